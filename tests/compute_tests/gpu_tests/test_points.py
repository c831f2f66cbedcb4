import numpy

from compute_tests import cuda_on_cpu
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
