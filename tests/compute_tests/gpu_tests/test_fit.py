"""The fit in one launch, against the same steps in several."""
import numpy
import pytest

from compute_tests import cuda_on_cpu
from compute_tests.gpu_tests import cases
from mixnorm.compute import gpu
from mixnorm.compute.gpu import cooperative, fit
from mixnorm.compute.gpu.launcher import compiler_options, read_source
from mixnorm.compute.parameters import Parameters


_REG_COVAR = 1e-6
_MIN_WEIGHT = .05


def _steps(device, x, indices, draws, n_components, kmeans_iter, em_iter,
           start):
    sample, location, scale, _ = gpu.sample.standardized_sample(
        x, indices if indices is None else device.send(indices))

    def regularized(parameters):
        variances = parameters.variances
        return parameters._replace(
            variances=variances + variances.dtype.type(_REG_COVAR))

    parameters = start
    if start is None:
        parameters = gpu.seeding.seeded_lloyd_step(
            sample, n_components, draws)
        for _ in range(kmeans_iter - 1):
            parameters = gpu.mixture.lloyd_step(sample, parameters.means)
    parameters = regularized(parameters)
    for _ in range(em_iter):
        parameters, _ = gpu.mixture.em_step(sample, parameters, _REG_COVAR)
    return gpu.mixture.discard_and_rescale(
        parameters, _MIN_WEIGHT, location, scale)


def _compare(device, case, ratio=1, n_trials=3, kmeans_iter=1, em_iter=1,
             start=None):
    """Asserts the same bits; returns the parameters."""
    x = device.send(case.x, case.layout)
    n = x.shape[0] * x.shape[2]
    n_components = len(case.parameters.weights)
    random = numpy.random.RandomState(0)
    indices = None
    if ratio < 1:
        indices = numpy.sort(random.choice(n, int(ratio * n), replace=False))
    draws = random.uniform(size=1 + (n_components - 1) * n_trials)
    found = gpu.fit.at_once(
        x, indices, draws, n_components, kmeans_iter, em_iter, _REG_COVAR,
        _MIN_WEIGHT, start)
    expected = _steps(
        device, x, indices, draws, n_components, kmeans_iter, em_iter, start)
    for actual, value in zip(device.get(found), device.get(expected)):
        assert actual.dtype == value.dtype == case.working
        assert actual.tobytes() == value.tobytes()
    return found


_CASES = [
    ((1, 1, 130), 3, 'float64', 'contiguous'),
    ((5, 3, 1), 2, 'float32', 'contiguous'),
    ((1, 37, 300), 3, 'float32', 'channels last'),
    ((1, 7, 301), 16, 'float16', 'channels last'),
    ((3, 5, 49), 4, 'float32', 'strided'),
    ((3, 33, 2), 1, 'float16', 'strided'),
    ((70, 3, 40), 3, 'float32', 'contiguous'),
    ((4, 65, 16), 8, 'float16', 'contiguous'),
]


@pytest.mark.parametrize('arguments', _CASES, ids=str)
def test_same_bits_as_steps(device, arguments):
    _compare(device, cases.Case(*arguments))


@pytest.mark.parametrize('n_blocks', [1, 2, 7])
@pytest.mark.parametrize('options', [
    {'ratio': .25}, {'n_trials': 1}, {'n_trials': 20},
    {'kmeans_iter': 3, 'em_iter': 2}, {'em_iter': 0}], ids=str)
def test_any_number_of_thread_blocks(
        emulated, monkeypatch, n_blocks, options):
    monkeypatch.setattr(cooperative, 'capacity', lambda *_: n_blocks)
    _compare(emulated, cases.Case((6, 10, 40), 4, 'float32'), **options)


def test_from_a_start(device):
    case = cases.Case((6, 10, 40), 4, 'float32')
    start = Parameters(*map(device.send, case.parameters))
    _compare(device, case, ratio=.5, kmeans_iter=0, em_iter=2, start=start)


def test_values_that_are_not_finite(device):
    # They end, and stay within their arrays.
    case = cases.Case((3, 5, 49), 3, 'float32')
    case.x[1, 2, 3] = numpy.nan
    x = device.send(case.x)
    draws = numpy.random.RandomState(0).uniform(size=7)
    _, means, _ = device.get(gpu.fit.at_once(
        x, None, draws, 3, 1, 1, _REG_COVAR, _MIN_WEIGHT))
    assert not numpy.isfinite(means).all()


@pytest.mark.parametrize('name,value', [
    ('shared_bytes', 0), ('shared_bytes', 12 << 10), ('capacity', 0)])
def test_what_does_not_fit(emulated, monkeypatch, name, value):
    monkeypatch.setattr(cooperative, name, lambda *_: value)
    case = cases.Case((6, 10, 40), 4, 'float32')
    assert gpu.fit.at_once(
        emulated.send(case.x), None, numpy.zeros(10), 4, 1, 1, _REG_COVAR,
        _MIN_WEIGHT) is None


@pytest.mark.parametrize('shape', [(2, 700, 40), (1, 2, 150000)], ids=str)
def test_other_tiles_than_in_steps(emulated, shape):
    # Channels by turns, and several tiles for a thread block.
    assert gpu.fit.at_once(
        emulated.send(numpy.zeros(shape, 'f')), None, numpy.zeros(7), 3, 1, 1,
        _REG_COVAR, _MIN_WEIGHT) is None


def test_shared_memory_is_what_the_kernel_takes(emulated, monkeypatch):
    # One piece less, and the kernel writes behind the end.
    shared_bytes = fit._shared_bytes
    monkeypatch.setattr(
        fit, '_shared_bytes', lambda *arguments: shared_bytes(*arguments) - 16)
    case = cases.Case((6, 10, 40), 4, 'float32')
    with pytest.raises(RuntimeError, match='behind its shared memory'):
        _compare(emulated, case)


def test_builds_for_old_architectures(compiler, tmp_path):
    # Which have cooperative launches, but no thread can sleep.
    cuda_on_cpu.build(
        compiler, str(tmp_path / 'fit.so'), read_source('fit'),
        ('-O0', '-D__CUDA_ARCH__=610', *compiler_options('float32')))


_MISTAKES = '''
__device__ void wait(unsigned* arrived, unsigned n) {
  __syncthreads();
  if (threadIdx.x == 0) {
    atomicAdd(arrived, 1u);
    while (*(volatile unsigned*)arrived < n) __nanosleep(1);
  }
  __syncthreads();
}

extern "C" __global__ void together(unsigned* arrived, unsigned* to) {
  wait(arrived, gridDim.x);
  to[blockIdx.x] = *arrived;
}

extern "C" __global__ void one_ends(unsigned* arrived, unsigned* to) {
  if (blockIdx.x == 1) return;
  wait(arrived, gridDim.x);
}
'''


def test_stand_in_runs_thread_blocks_at_once(compiler, tmp_path):
    library = str(tmp_path / 'mistakes.so')
    cuda_on_cpu.build(compiler, library, _MISTAKES)
    emulator = cuda_on_cpu.Emulator({'float32': library})
    for order in range(3):
        emulator.order = order
        arrived, to = numpy.zeros(1, 'u4'), numpy.zeros(4, 'u4')
        emulator.launch(None, 'together', numpy.dtype('f'), (4,), 0,
                        (arrived, to), cooperative=True)
        numpy.testing.assert_array_equal(to, 4)
    with pytest.raises(RuntimeError, match='thread blocks that have ended'):
        emulator.launch(None, 'one_ends', numpy.dtype('f'), (4,), 0,
                        (0 * arrived, to), cooperative=True)
