"""The stand-in for a GPU notices mistakes."""
import numpy
import pytest

from compute_tests import cuda_on_cpu


# Kernels that a GPU would hang, crash or err on, each in its own way.
_MISTAKES = '''
extern __shared__ __align__(16) unsigned char dynamic_shared[];

extern "C" __global__ void neighbour(const float* from, float* to) {
  float* shared = reinterpret_cast<float*>(dynamic_shared);
  shared[threadIdx.x] = from[threadIdx.x];
  __syncthreads();
  to[threadIdx.x] = shared[(threadIdx.x + 1) % blockDim.x];
}

extern "C" __global__ void race(const float* from, float* to) {
  float* shared = reinterpret_cast<float*>(dynamic_shared);
  shared[threadIdx.x] = from[threadIdx.x];
  to[threadIdx.x] = shared[(threadIdx.x + 1) % blockDim.x];
}

extern "C" __global__ void half_waits(const float* from, float* to) {
  if (threadIdx.x < 64) __syncthreads();
  to[threadIdx.x] = from[threadIdx.x];
}

extern "C" __global__ void waits_apart(const float* from, float* to) {
  if (threadIdx.x < 64) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  to[threadIdx.x] = from[threadIdx.x];
}

extern "C" __global__ void beyond(const float* from, float* to) {
  float* shared = reinterpret_cast<float*>(dynamic_shared);
  shared[threadIdx.x + 1] = from[threadIdx.x];
  to[threadIdx.x] = 0;
}

extern "C" __global__ void unset(const float* from, float* to) {
  float* shared = reinterpret_cast<float*>(dynamic_shared);
  to[threadIdx.x] = from[threadIdx.x] + shared[threadIdx.x];
}

extern "C" __global__ void copy(const float* from, float* to) {
  float* shared = reinterpret_cast<float*>(dynamic_shared);
  __pipeline_memcpy_async(
      shared + threadIdx.x, from + threadIdx.x, sizeof(float));
  __pipeline_commit();
  __pipeline_wait_prior(0);
  __syncthreads();
  to[threadIdx.x] = shared[(threadIdx.x + 1) % blockDim.x];
}

extern "C" __global__ void no_wait(const float* from, float* to) {
  float* shared = reinterpret_cast<float*>(dynamic_shared);
  __pipeline_memcpy_async(
      shared + threadIdx.x, from + threadIdx.x, sizeof(float));
  __pipeline_commit();
  to[threadIdx.x] = shared[threadIdx.x];
}

extern "C" __global__ void no_commit(const float* from, float* to) {
  float* shared = reinterpret_cast<float*>(dynamic_shared);
  __pipeline_memcpy_async(
      shared + threadIdx.x, from + threadIdx.x, sizeof(float));
  __pipeline_wait_prior(0);
  to[threadIdx.x] = shared[threadIdx.x];
}

extern "C" __global__ void copy_too_early(const float* from, float* to) {
  float* shared = reinterpret_cast<float*>(dynamic_shared);
  shared[threadIdx.x] = 0;
  __pipeline_memcpy_async(
      shared + threadIdx.x, from + threadIdx.x, sizeof(float));
  __pipeline_commit();
  to[threadIdx.x] = shared[threadIdx.x];
  __pipeline_wait_prior(0);
}

extern "C" __global__ void missing_lane(const float* from, float* to) {
  float value = from[threadIdx.x];
  if (threadIdx.x % 32 != 5) value = __shfl_xor_sync(0xffffffffu, value, 1);
  to[threadIdx.x] = value;
}

extern "C" __global__ void lanes(const float* from, float* to) {
  float value = from[threadIdx.x];
  int lane = threadIdx.x % 32;
  float pair = value + __shfl_xor_sync(0xffffffffu, value, 1);
  float before = __shfl_up_sync(0xffffffffu, value, 2);
  float third = __shfl_sync(0xffffffffu, value, 3);
  unsigned odd = __ballot_sync(0xffffffffu, lane % 2 == 1);
  float half = 0;
  if (lane < 16) half = __shfl_xor_sync(0x0000ffffu, value, 8);
  to[threadIdx.x] = pair + 10 * before + 100 * third + (odd == 0xaaaaaaaau) +
                    1000 * half + __ffs(odd);
}
'''


@pytest.fixture(scope='module')
def mistakes(compiler, tmp_path_factory):
    library = str(tmp_path_factory.mktemp('mistakes') / 'mistakes.so')
    cuda_on_cpu.build(compiler, library, _MISTAKES)
    return cuda_on_cpu.Emulator({'float32': library})


def _launch(emulator, name, order=0):
    emulator.order = order
    x = numpy.random.RandomState(0).rand(256).astype('f')
    y = numpy.zeros_like(x)
    emulator.launch(None, name, x.dtype, (1,), 4 * 256, (x, y))
    return x, y


@pytest.mark.parametrize('name', ['neighbour', 'copy'])
@pytest.mark.parametrize('order', range(4))
def test_barrier(mistakes, order, name):
    x, y = _launch(mistakes, name, order)
    numpy.testing.assert_array_equal(y, numpy.roll(x, -1))


@pytest.mark.parametrize('order', range(4))
def test_lanes(mistakes, order):
    x, y = _launch(mistakes, 'lanes', order)
    x = x.reshape(8, 32)
    before = x.copy()
    before[:, 2:] = x[:, :-2]
    half = numpy.where(numpy.arange(32) < 16, x[:, numpy.arange(32) ^ 8], 0)
    expected = (x + x[:, numpy.arange(32) ^ 1] + 10 * before
                + 100 * x[:, 3:4] + 1 + 1000 * half + 2)
    numpy.testing.assert_allclose(y.reshape(8, 32), expected, 1e-6)


@pytest.mark.parametrize('name', [
    'race', 'no_wait', 'no_commit', 'copy_too_early'])
def test_race_differs_between_orders(mistakes, name):
    results = [_launch(mistakes, name, order)[1] for order in range(4)]
    assert any((y != results[0]).any() for y in results)


@pytest.mark.parametrize('name,message', [
    ('half_waits', 'for others that do not come'),
    ('waits_apart', r'threads wait at __syncthreads\(\) in .* and in '),
    ('missing_lane', 'for others that do not come'),
    ('beyond', 'writes behind its shared memory'),
    ('absent', 'there is no kernel absent'),
])
def test_mistake_is_noticed(mistakes, name, message):
    with pytest.raises(RuntimeError, match=message):
        _launch(mistakes, name)


def test_wrong_number_of_arguments(mistakes):
    x = numpy.zeros(256, 'f')
    with pytest.raises(RuntimeError, match='takes 2 arguments, not 1'):
        mistakes.launch(None, 'neighbour', x.dtype, (1,), 4 * 256, (x,))


@pytest.mark.parametrize('argument,message', [
    (numpy.zeros(256), 'ndarray of float64'),
    (numpy.zeros(256, 'i4'), 'ndarray of int32'),
    (numpy.float32(0), 'float32 of float32'),
    (numpy.uint64(8), 'uint64 of uint64'),
])
def test_wrong_type_of_argument(mistakes, argument, message):
    x = numpy.zeros(256, 'f')
    with pytest.raises(RuntimeError, match=(
            rf'neighbour takes \*f4 as argument 1, not {message}')):
        mistakes.launch(
            None, 'neighbour', x.dtype, (1,), 4 * 256, (x, argument))


def test_shared_memory_starts_unset(mistakes):
    assert numpy.isnan(_launch(mistakes, 'unset')[1]).all()
