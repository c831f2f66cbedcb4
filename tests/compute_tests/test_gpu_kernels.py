"""The CUDA sources compile, and the stand-in for a GPU notices mistakes."""
import os
import shutil
import subprocess

import numpy
import pytest

from compute_tests import cuda_on_cpu
from mixnorm.compute.kernels import read_source, TYPES

_ARCHITECTURES = ('75', '80', '90')

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


# Where a stack's points are, by the kernels' own header.
_OFFSETS = '''
extern "C" __global__ void offsets(
    const Index* points, Index length, Index* found) {
  const Input* none = nullptr;
  found[threadIdx.x] =
      make_stack(none, 1000, 7, 3, length).offset(points[threadIdx.x]);
}
'''


def _compiler():
    compiler = shutil.which('g++') or shutil.which('c++')
    if compiler is None:
        pytest.skip('there is no C++ compiler')
    return compiler


@pytest.fixture(scope='module')
def mistakes(tmp_path_factory):
    library = str(tmp_path_factory.mktemp('mistakes') / 'mistakes.so')
    cuda_on_cpu.build(_compiler(), library, _MISTAKES)
    return cuda_on_cpu.Emulator({'float32': library})


def _launch(emulator, name, order=0):
    emulator.order = order
    x = numpy.random.RandomState(0).rand(256).astype('f')
    y = numpy.zeros_like(x)
    emulator.launch(None, name, x.dtype, (1,), 4 * 256, (x, y))
    return x, y


@pytest.mark.parametrize('order', range(4))
def test_barrier(mistakes, order):
    x, y = _launch(mistakes, 'neighbour', order)
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


def test_race_differs_between_orders(mistakes):
    results = [_launch(mistakes, 'race', order)[1] for order in range(4)]
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


def test_shared_memory_starts_unset(mistakes):
    assert numpy.isnan(_launch(mistakes, 'unset')[1]).all()


@pytest.mark.parametrize('dtype', sorted(TYPES))
@pytest.mark.parametrize('name', cuda_on_cpu.SOURCES)
def test_compiles_for_gpus(name, dtype, tmp_path):
    # The text that CuPy compiles. Not optimized: the errors are the same.
    compiler = shutil.which('nvcc')
    if compiler is None:
        pytest.skip('there is no nvcc')
    source = tmp_path / 'kernels.cu'
    source.write_text(read_source(name))
    binary = tmp_path / 'kernels.fatbin'
    options = []
    for architecture in _ARCHITECTURES:
        options += ['-gencode', f'arch=compute_{architecture},code=sm_'
                                f'{architecture}']
    done = subprocess.run(
        [compiler, '-std=c++14', '--fatbin', '-Xcicc', '-O0', '-Xptxas',
         '-O0', *options, f'-DMIXNORM_INPUT={TYPES[dtype]}', '-o',
         str(binary), str(source)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    assert os.path.getsize(str(binary)) > 0


def test_points_beyond_two_to_the_31(tmp_path):
    library = str(tmp_path / 'offsets.so')
    cuda_on_cpu.build(
        _compiler(), library, read_source('sample') + _OFFSETS,
        ('-O0', '-DMIXNORM_INPUT=float'))
    emulator = cuda_on_cpu.Emulator({'float32': library})
    points = numpy.random.RandomState(0).randint(0, 1 << 36, 256)
    points[:6] = 0, (1 << 31) - 1, 1 << 31, 1 << 32, (1 << 32) - 1, 5
    for length in 1, 7, 1 << 20, (1 << 31) + 5, 1 << 40:
        found = numpy.empty_like(points)
        emulator.launch(None, 'offsets', numpy.dtype('f'), (1,), 0,
                        (points, numpy.int64(length), found))
        b, i = numpy.divmod(points, length)
        numpy.testing.assert_array_equal(found, 1000 * b + 3 * i, str(length))
