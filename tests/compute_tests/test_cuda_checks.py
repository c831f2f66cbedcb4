"""The checks of kernels notice what a CPU forgives and a GPU does not."""
import numpy
import pytest

from compute_tests import cuda_on_cpu


# Kernels with a fault each, whose results are right on a CPU, or may be.
_FAULTS = '''
extern __shared__ __align__(16) unsigned char dynamic_shared[];

struct __align__(16) Quad {
  float at[4];
};

// Every thread block gets what all wrote; `from` counts them.
template <bool kFenceBefore, bool kFenceAfter, bool kBarrier>
__device__ void sum_by_last(float* from, float* to, unsigned* counts) {
  __shared__ int is_last[1];
  from[blockIdx.x * blockDim.x + threadIdx.x] += 1;
  if (kBarrier) __syncthreads();
  if (threadIdx.x == 0) {
    if (kFenceBefore) __threadfence();
    *is_last = atomicAdd(counts, 1u) == gridDim.x - 1;
    if (kFenceAfter) __threadfence();
  }
  __syncthreads();
  if (!*is_last) return;
  float sum = 0;
  for (int i = 0; i < gridDim.x; ++i) {
    sum += from[i * blockDim.x + threadIdx.x];
  }
  to[threadIdx.x] = sum;
}

extern "C" __global__ void last(float* from, float* to, unsigned* counts) {
  sum_by_last<true, true, true>(from, to, counts);
}

extern "C" __global__ void no_fence_before(
    float* from, float* to, unsigned* counts) {
  sum_by_last<false, true, true>(from, to, counts);
}

extern "C" __global__ void no_fence_after(
    float* from, float* to, unsigned* counts) {
  sum_by_last<true, false, true>(from, to, counts);
}

extern "C" __global__ void no_barrier_before(
    float* from, float* to, unsigned* counts) {
  sum_by_last<true, true, false>(from, to, counts);
}

extern "C" __global__ void same_value(
    float* from, float* to, unsigned* counts) {
  __shared__ int flag[1];
  if (threadIdx.x % 100 == 0) *flag = 1;
  __syncthreads();
  to[threadIdx.x] = *flag;
}

extern "C" __global__ void vote(float* from, float* to, unsigned* counts) {
  int all = __syncthreads_and(threadIdx.x < 1000);
  int others = __syncthreads_and(threadIdx.x != 70);
  to[blockIdx.x * blockDim.x + threadIdx.x] = all + 2 * others;
}

extern "C" __global__ void write_behind_read(
    float* from, float* to, unsigned* counts) {
  float* shared = reinterpret_cast<float*>(dynamic_shared);
  shared[threadIdx.x] = 1;
  __syncthreads();
  float value = shared[255 - threadIdx.x];
  shared[threadIdx.x] = value;
}

extern "C" __global__ void lanes_without_barrier(
    float* from, float* to, unsigned* counts) {
  float* shared = reinterpret_cast<float*>(dynamic_shared);
  shared[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1.f, 1);
  __shfl_xor_sync(0xffffffffu, 1.f, 1);
  to[threadIdx.x] = shared[threadIdx.x ^ 1];
}

extern "C" __global__ void one_place(
    float* from, float* to, unsigned* counts) {
  to[blockIdx.x] = 1;
}

extern "C" __global__ void other_thread_block(
    float* from, float* to, unsigned* counts) {
  to[blockIdx.x * 256 + threadIdx.x] = from[threadIdx.x];
  __syncthreads();
  from[threadIdx.x] = 2;
}

extern "C" __global__ void copied(float* from, float* to, unsigned* counts) {
  float* shared = reinterpret_cast<float*>(dynamic_shared);
  __pipeline_memcpy_async(
      shared + threadIdx.x, from + threadIdx.x, sizeof(float));
  __pipeline_commit();
  __pipeline_wait_prior(0);
  to[threadIdx.x] = shared[threadIdx.x] + shared[threadIdx.x ^ 32];
}

extern "C" __global__ void copies_two_bytes(
    float* from, float* to, unsigned* counts) {
  __pipeline_memcpy_async(dynamic_shared + 2 * threadIdx.x, from, 2);
}

extern "C" __global__ void copies_unaligned(
    float* from, float* to, unsigned* counts) {
  __pipeline_memcpy_async(
      dynamic_shared + 16 * threadIdx.x, from + threadIdx.x, 16);
}

extern "C" __global__ void unset(float* from, float* to, unsigned* counts) {
  float* shared = reinterpret_cast<float*>(dynamic_shared);
  if (threadIdx.x > 0) shared[threadIdx.x] = 1;
  __syncthreads();
  to[threadIdx.x] = shared[255 - threadIdx.x];
}

extern "C" __global__ void unaligned(
    float* from, float* to, unsigned* counts) {
  Quad quad = *reinterpret_cast<Quad*>(from + (threadIdx.x & 1));
  to[threadIdx.x] = quad.at[1];
}

extern "C" __global__ void outside(float* from, float* to, unsigned* counts) {
  to[threadIdx.x] = from[4 * 256 - threadIdx.x];
}

extern "C" __global__ void behind_shared(
    float* from, float* to, unsigned* counts) {
  float* shared = reinterpret_cast<float*>(dynamic_shared);
  to[threadIdx.x] = shared[1024];
}

extern "C" __global__ void overflow(
    float* from, float* to, unsigned* counts) {
  int factor = 1 << 20;
  to[threadIdx.x] = from[(int)threadIdx.x * factor * 16 % 4];
}
'''


@pytest.fixture(scope='module')
def faults(compiler, tmp_path_factory):
    library = str(tmp_path_factory.mktemp('faults') / 'faults.so')
    cuda_on_cpu.build(compiler, library, _FAULTS, cuda_on_cpu.CHECKED)
    return cuda_on_cpu.Emulator({'float32': library})


def _launch(emulator, name, order=0):
    emulator.order = order
    memory = numpy.zeros(4 * 256 + 8, 'f')
    start = -memory.ctypes.data % 16 // 4
    x = memory[start:start + 4 * 256]
    y, counts = numpy.zeros_like(x), numpy.zeros(1, 'u4')
    emulator.launch(None, name, x.dtype, (4,), 4 * 1024, (x, y, counts))
    return y


@pytest.mark.parametrize('order', range(3))
def test_what_is_right(faults, order):
    numpy.testing.assert_array_equal(_launch(faults, 'last', order)[:256], 4)
    numpy.testing.assert_array_equal(_launch(faults, 'vote', order), 1)


@pytest.mark.parametrize('order', range(2))
@pytest.mark.parametrize('name,message', [
    ('no_fence_before', 'reads 4 bytes of array 0.*writes at the same time'),
    ('no_fence_after', 'reads 4 bytes of array 0.*writes at the same time'),
    ('no_barrier_before', 'reads 4 bytes of array 0.*writes at the same'),
    ('same_value', 'writes 4 bytes of static.*writes at the same time'),
    ('write_behind_read', 'of dynamic shared memory.* at the same time'),
    ('lanes_without_barrier', 'of dynamic shared memory.* at the same time'),
    ('one_place', 'writes 4 bytes of array 1, from [0-9]+.*writes at the'),
    ('other_thread_block', 'of array 0.* at the same time'),
    ('copied', 'reads 4 bytes of dynamic shared memory'),
    ('copies_two_bytes', 'copies 2 bytes at odd addresses'),
    ('copies_unaligned', 'copies 16 bytes at odd addresses'),
    ('unset', 'from 0, which nothing was written to'),
    ('unaligned', 'uses an address that is not aligned in .*faults.so.cpp:'),
    ('outside', 'reads 4 bytes outside of arrays'),
    ('behind_shared', 'reads 4 bytes outside of arrays'),
    ('overflow', 'overflows in '),
])
def test_fault_is_noticed(faults, name, message, order):
    with pytest.raises(RuntimeError, match=f'{name}: thread .*{message}'):
        _launch(faults, name, order)


def test_the_line_is_named(faults):
    with pytest.raises(RuntimeError, match=r'to\[threadIdx.x\] = shared'):
        _launch(faults, 'unset')
