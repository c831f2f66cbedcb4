"""Points reach shared memory the same, however they get there."""
import numpy
import pytest

from compute_tests import cuda_on_cpu
from compute_tests.gpu_tests import cases
from mixnorm.compute import gpu
from mixnorm.compute.gpu import launcher, tile
from mixnorm.compute.gpu.launcher import compiler_options, read_source
from mixnorm.compute.parameters import Parameters

# Shape and components: tiles of fours, of several and of few points; channels
# by turns; a last tile that is not full.
_SHAPES = [((4, 37, 140), 6), ((3, 130, 60), 3), ((2, 700, 12), 2)]


def _passes(device, x, case):
    """Returns the bytes of what every pass of mixture.cu makes of points."""
    parameters = Parameters(*map(device.send, case.parameters))
    tau, found = gpu.mixture.posterior_and_statistics(x, parameters)
    new, log_density = gpu.mixture.em_step(x, parameters, 1e-6)
    return [device.get(z).tobytes() for z in (
        tau, *found, *new, log_density,
        *gpu.mixture.posterior(
            x, *(device.xp.stack(6 * [z]) for z in parameters)),
        *gpu.mixture.statistics(x, tau),
        *gpu.mixture.lloyd_step(x, parameters.means))]


@pytest.fixture
def few_thread_blocks(monkeypatch):
    # Each has several tiles, one after the other.
    monkeypatch.setattr(tile, 'THREAD_BLOCKS', 2)


@pytest.mark.parametrize('shape,n_components', _SHAPES, ids=str)
@pytest.mark.parametrize('dtype', ['float16', 'float32', 'float64'])
def test_same_bits_in_any_order_of_memory(
        device, few_thread_blocks, shape, n_components, dtype):
    case = cases.Case(shape, n_components, dtype)
    expected = _passes(device, device.send(case.x, 'strided'), case)
    # Positions side by side: in whole fours, and not at a whole four's
    # address, or apart by no whole four.
    n_batch, n_dims, length = shape
    memory = device.xp.zeros((n_batch, n_dims, length + 4), dtype)
    apart = device.xp.zeros((n_batch, n_dims, length + 3), dtype)
    for x in (device.send(case.x), device.send(case.x, 'channels last'),
              memory[:, :, :length], memory[:, :, 1:length + 1],
              apart[:, :, :length]):
        x[...] = device.send(case.x)
        assert _passes(device, x, case) == expected, x.strides


@pytest.mark.parametrize('order', range(3))
@pytest.mark.parametrize('layout', ['contiguous', 'channels last'])
@pytest.mark.parametrize('shape,n_components', _SHAPES[:2], ids=str)
def test_same_bits_without_copies(
        emulated, without_copies, few_thread_blocks, monkeypatch, shape,
        n_components, layout, order):
    # What is copied too early or waited for too late differs in some order.
    case = cases.Case(shape, n_components, 'float32')
    x = emulated.send(case.x, layout)
    emulated.emulator.order = order
    found = _passes(emulated, x, case)
    monkeypatch.setattr(launcher, 'launch', without_copies.launch)
    assert _passes(emulated, x, case) == found


@pytest.fixture(scope='module')
def without_copies(compiler, tmp_path_factory):
    """The kernels as an architecture before 8.0 runs them."""
    library = str(tmp_path_factory.mktemp('kernels') / 'without_copies.so')
    cuda_on_cpu.build(
        compiler, library,
        read_source('mixture') + read_source('transform'),
        ('-O1', '-D__CUDA_ARCH__=750', *compiler_options('float32')))
    return cuda_on_cpu.Emulator({'float32': library})


def test_only_what_follows_one_another_is_in_fours(device):
    # A sample of some points, out of whole fours of neighbours.
    case = cases.Case((3, 33, 40), 1, 'float16')
    indices = numpy.sort(case.random.choice(120, 50, replace=False))
    sample, location, scale, _ = gpu.sample.standardized_sample(
        device.send(case.x), device.send(indices))
    x = cases.rows(case.x)[indices]
    expected = (x - x.mean(axis=0)) / x.std(axis=0)
    cases.assert_close(cases.rows(device.get(sample)), expected, 1e-5)
