import numpy
import pytest

from compute_tests import cuda_on_cpu
from mixnorm.compute.gpu import points
from mixnorm.compute.gpu.launcher import compiler_options, read_source


# Where a stack's points are, by the kernels' own header.
_OFFSETS = '''
extern "C" __global__ void offsets(
    const Index* points, Index length, Index* found) {
  const Input* none = nullptr;
  found[threadIdx.x] =
      make_stack(none, 1000, 7, 3, length).offset(points[threadIdx.x]);
}
'''


def test_points_beyond_two_to_the_31(compiler, tmp_path):
    library = str(tmp_path / 'offsets.so')
    cuda_on_cpu.build(
        compiler, library, read_source('sample') + _OFFSETS,
        ('-O0', *compiler_options('float32')))
    emulator = cuda_on_cpu.Emulator({'float32': library})
    points = numpy.random.RandomState(0).randint(0, 1 << 36, 256)
    points[:6] = 0, (1 << 31) - 1, 1 << 31, 1 << 32, (1 << 32) - 1, 5
    for length in 1, 7, 1 << 20, (1 << 31) + 5, 1 << 40:
        found = numpy.empty_like(points)
        emulator.launch(None, 'offsets', numpy.dtype('f'), (1,), 0,
                        (points, numpy.int64(length), found))
        b, i = numpy.divmod(points, length)
        numpy.testing.assert_array_equal(found, 1000 * b + 3 * i, str(length))


@pytest.mark.parametrize('dtype', ['float16', 'float32', 'float64'])
def test_what_is_aligned(dtype):
    # A multiple of what a cache line has, whatever the allocator gives.
    memory = numpy.zeros(3 * 9 * 8 + 64, dtype)
    start = -memory.ctypes.data % 128 // memory.itemsize
    x = memory[start:start + 3 * 9 * 8].reshape(3, 9, 8)
    for z in (x, x[:, 2:7], x[::2], x[:, ::3], x[:, :, :4], x[:, :, 4:],
              numpy.broadcast_to(x[:1], x.shape)):
        assert points.is_aligned(z), z.strides
    for z in (x[:, :, 1:5], x[:, :, :6], x[:, :, ::2], x[:, :, ::-1],
              x[:, ::-1], x[::-1], x.swapaxes(1, 2),
              x.reshape(3, 2, 36)[:, :, :8].reshape(3, 4, 4)[:, :, :3],
              x.reshape(1, 8, 27)[:, :, :4],
              memory[start + 1:start + 65].reshape(2, 4, 8)):
        assert not points.is_aligned(z), z.strides
        assert not points.is_aligned(x, z)


def test_axes_of_one_element_have_any_stride():
    x = numpy.zeros((1, 1, 8), 'f')
    odd = numpy.lib.stride_tricks.as_strided(x, x.shape, (12, -4, 4))
    assert points.is_aligned(odd)
    assert points.aligned_strides(odd)[1:] == (0, 0)


@pytest.mark.parametrize('size,aligned', [((1 << 31) - 8, True),
                                          (1 << 31, False)])
def test_offsets_of_32_bits(size, aligned):
    x = numpy.zeros((2, 1, 4), 'f')
    far = numpy.lib.stride_tricks.as_strided(x, x.shape, (4 * size, 16, 4))
    assert points.is_aligned(far) == aligned
