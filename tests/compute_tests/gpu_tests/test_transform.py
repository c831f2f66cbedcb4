import numpy
import pytest

from compute_tests.gpu_tests import cases
from mixnorm.compute import gpu
from mixnorm.compute.gpu import launcher, tile


def test_find_origin(device, case):
    x = device.send(case.x, case.layout)
    origin = device.get(gpu.transform.find_origin(x))
    assert origin.dtype == case.working
    points = cases.rows(case.x)
    assert origin.shape == points.shape[1:]
    slack = 1e-3
    assert (points.min(axis=0) - slack <= origin).all()
    assert (origin <= points.max(axis=0) + slack).all()


def test_origin_is_amid_most_points(device):
    case = cases.Case((16, 5, 64), 3, 'float32')
    case.x[0] = 1e7
    case.x[3, 1, 7] = numpy.nan
    origin = device.get(gpu.transform.find_origin(device.send(case.x)))
    assert (abs(origin) < 20).all()


@pytest.mark.parametrize('n_columns', [None, 30])
@pytest.mark.parametrize('centered', [True, False])
def test_affine(device, case, n_columns, centered):
    tau = case.tau
    if n_columns is not None:
        tau = case.random.uniform(size=(
            len(tau), n_columns, tau.shape[2])).astype(case.working)
    slope, offset = case.matrix(tau.shape[1]), case.matrix(tau.shape[1])
    origin, shift = (case.row(), case.row()) if centered else (None, None)
    y = gpu.transform.affine(
        device.send(case.x, case.layout), device.send(tau, case.layout),
        device.send(slope), device.send(offset),
        *(None if z is None else device.send(z) for z in (origin, shift)))
    expected = ((cases.rows(case.x) - (origin if centered else 0))
                * (cases.rows(tau) @ slope) + cases.rows(tau) @ offset
                + (shift if centered else 0))
    assert y.dtype == case.x.dtype
    if case.layout == 'channels last':
        assert y.strides[1] == y.itemsize
    cases.assert_close(cases.rows(device.get(y)), expected, case.rtol_out)


@pytest.mark.parametrize('n_columns', [None, 30])
def test_gradient_sums(device, case, n_columns):
    tau = case.tau
    if n_columns is not None:
        tau = case.random.uniform(size=(
            len(tau), n_columns, tau.shape[2])).astype(case.working)
    origin = case.row()
    gy = case.random.randn(*case.x.shape).astype(case.x.dtype)
    found = device.get(gpu.transform.gradient_sums(
        device.send(case.x, case.layout), device.send(gy),
        device.send(tau), device.send(origin)))
    g = cases.rows(gy)
    expected = (cases.rows(tau).T @ g,
                cases.rows(tau).T @ (g * (cases.rows(case.x) - origin)),
                g.sum(axis=0))
    for a, e in zip(found, expected):
        assert a.dtype == 'float64'
        cases.assert_close(a, e, case.rtol)


@pytest.mark.parametrize('through_statistics', [True, False])
def test_gradient_input(device, case, through_statistics):
    slope, quadratic, offset = (
        case.matrix(case.tau.shape[1]) for _ in range(3))
    origin = case.row()
    gy = case.random.randn(*case.x.shape).astype(case.x.dtype)
    tau = cases.rows(case.tau)
    expected = cases.rows(gy) * (tau @ slope)
    terms = None, None
    if through_statistics:
        expected += (cases.rows(case.x) - origin) * (tau @ quadratic)
        expected += tau @ offset
        terms = device.send(quadratic), device.send(offset)
    gx = gpu.transform.gradient_input(
        device.send(case.x, case.layout), device.send(gy),
        device.send(case.tau), device.send(slope), *terms,
        device.send(origin))
    assert gx.dtype == case.x.dtype
    cases.assert_close(cases.rows(device.get(gx)), expected, case.rtol_out)


def test_every_number_of_half_precision(device):
    # y = x * 1 for all of them; what is not finite as well.
    bits = numpy.arange(1 << 16).astype('u2')
    x = bits.view('f2').reshape(1, 1, -1)
    ones = numpy.ones((1, 1), 'f')
    y = device.get(gpu.transform.affine(
        device.send(x), device.send(numpy.ones(x.shape, 'f')),
        device.send(ones), device.send(0 * ones), None, None))
    number = ~numpy.isnan(x)
    numpy.testing.assert_array_equal(y[number], x[number])
    assert numpy.isnan(y[~number]).all()


def test_rounding_to_half_precision(device):
    random = numpy.random.RandomState(0)
    tau = (2. ** random.uniform(-27, 17, (1, 1, 5000))).astype('f')
    x = numpy.ones(tau.shape, 'f2')
    ones = numpy.ones((1, 1), 'f')
    y = device.get(gpu.transform.affine(
        device.send(x), device.send(tau), device.send(ones),
        device.send(0 * ones), None, None))
    with numpy.errstate(over='ignore'):
        numpy.testing.assert_array_equal(y, tau.astype('f2'))


@pytest.mark.parametrize('shape,n_columns,dtype,n_blocks', [
    ((3, 70, 48), 3, 'float32', 512),
    ((2, 5, 2304), 4, 'float32', 3),
    ((7, 9, 4), 1, 'float16', 512),
    ((2, 40, 260), 13, 'float16', 2),
    ((5, 33, 36), 6, 'float64', 512),
    ((1, 3, 8), 150, 'float32', 512),
], ids=str)
def test_aligned_as_in_any_order_of_memory(
        device, monkeypatch, shape, n_columns, dtype, n_blocks):
    monkeypatch.setattr(tile, 'THREAD_BLOCKS', n_blocks)
    monkeypatch.setattr(gpu.transform, '_THREAD_BLOCKS', n_blocks)
    launched = []
    launch = launcher.launch

    def recorded(source, name, *args):
        launched.append(name)
        launch(source, name, *args)

    monkeypatch.setattr(launcher, 'launch', recorded)
    case = cases.Case(shape, n_columns, dtype)
    gy = case.random.randn(*shape).astype(dtype)
    matrices = [device.send(case.matrix(n_columns)) for _ in range(3)]
    row = device.send(case.row())

    def run(layout):
        x, g, tau = (device.send(z, layout) for z in (case.x, gy, case.tau))
        return device.get((
            gpu.transform.affine(x, tau, *matrices[:2], row, row),
            gpu.transform.gradient_input(x, g, tau, *matrices, row),
            gpu.transform.gradient_input(x, g, tau, matrices[0], None, None,
                                         row),
            *gpu.transform.gradient_sums(x, g, tau, row)))

    general = run('strided')
    assert not [name for name in launched if 'aligned' in name]
    del launched[:]
    aligned = run('contiguous')
    expected = ['affine', 'gradient_input', 'gradient_direct', 'gradient_sums']
    if n_columns == 150:  # Shared memory does not hold three such matrices.
        expected.remove('gradient_input')
    assert [name[len('mixnorm_aligned_'):] for name in launched
            if 'aligned' in name] == expected
    for a, b in zip(aligned[:3], general):
        cases.assert_close(a, b, case.rtol_out)
    for a, b in zip(aligned[3:], general[3:]):
        cases.assert_close(a, b, case.rtol)
    for a, b in zip(run('contiguous'), aligned):
        numpy.testing.assert_array_equal(a, b)
