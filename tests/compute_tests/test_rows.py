"""Arithmetic on rows, on the CPU and by the kernels, against float64."""
import chainer
import numpy
import pytest

from compute_tests.devices import Device
from mixnorm import compute
from mixnorm.compute import cpu
from mixnorm.compute import gpu
from mixnorm.links import ModeGroupNormalization
from mixnorm.links import ModeNormalization


# Shape (N, C, L) and order of memory.
_SHAPES = [
    ((1, 1, 1), 'contiguous'), ((1, 1, 3000), 'contiguous'),
    ((5, 3, 1), 'contiguous'), ((300, 7, 1), 'channels last'),
    ((9, 5, 4), 'contiguous'), ((3, 37, 5), 'channels last'),
    ((2, 70, 64), 'contiguous'), ((3, 2, 301), 'strided'),
    ((4, 33, 17), 'strided'), ((1, 300, 40), 'channels last'),
    ((2, 3, 70000), 'contiguous'), ((1, 2, 9000), 'channels last')]
_DTYPES = ['float16', 'float32', 'float64']
_TOLERANCE = {'float16': 2e-3, 'float32': 1e-5, 'float64': 1e-12}
_WORKING = {'float16': 'f', 'float32': 'f', 'float64': 'd'}


class _Cpu:

    rows = cpu.rows
    xp = numpy

    def __init__(self, device):
        self.send = device.send

    def get(self, arrays):
        return arrays


class _Gpu:

    rows = gpu.rows

    def __init__(self, device):
        self.xp, self.send, self.get = device.xp, device.send, device.get


@pytest.fixture(
    params=['numpy', 'emulated',
            pytest.param('cuda_device', marks=pytest.mark.gpu)])
def place(request):
    if request.param == 'numpy':
        return _Cpu(Device(numpy))
    return _Gpu(request.getfixturevalue(request.param))


@pytest.fixture(params=_SHAPES, ids=str)
def shape_and_layout(request):
    return request.param


@pytest.fixture(params=_DTYPES)
def dtype(request):
    return request.param


def _random(shape, dtype, offset=0):
    # The seed is fixed: a failure is one of the shape and the dtype.
    random = numpy.random.RandomState(0)
    return [(random.randn(*shape) + offset).astype(dtype) for _ in range(2)]


def _coefficients(shape, dtype, n):
    random = numpy.random.RandomState(1)
    return [random.randn(*shape[:2]).astype(_WORKING[dtype])
            for _ in range(n)]


def _assert_close(actual, expected, dtype, scale):
    tolerance = _TOLERANCE[dtype]
    numpy.testing.assert_allclose(
        actual, expected, rtol=tolerance, atol=tolerance * scale)


def test_moments(place, shape_and_layout, dtype):
    shape, layout = shape_and_layout
    x, _ = _random(shape, dtype, 30)
    sent = place.send(x, layout)
    mean, variance = place.get(place.rows.moments(sent))
    assert mean.dtype == _WORKING[dtype]
    assert variance.dtype == numpy.float64
    d = x.astype('d')
    _assert_close(mean, d.mean(axis=2), dtype, 1)
    # From far away, where a difference of squares would be lost.
    numpy.testing.assert_allclose(
        variance, d.var(axis=2), rtol=2e-5, atol=1e-9)
    numpy.testing.assert_array_equal(
        place.get(place.rows.means(sent)), mean)


def test_affine(place, shape_and_layout, dtype):
    shape, layout = shape_and_layout
    x, _ = _random(shape, dtype)
    m, a, b = _coefficients(shape, dtype, 3)
    sent = place.send(x, layout)
    y = place.rows.affine(sent, *map(place.xp.asarray, (m, a, b)))
    assert y.dtype == dtype
    if layout != 'strided':
        # The same order of memory, for what reads it next.
        for i, j in ((0, 1), (1, 2)):
            assert (y.strides[i] > y.strides[j]) == (
                sent.strides[i] > sent.strides[j]) or 1 in shape
    expected = (x.astype('d') - m[:, :, None]) * a[:, :, None] + b[
        :, :, None]
    _assert_close(place.get(y), expected, dtype, 10)


def test_gradient_sums(place, shape_and_layout, dtype):
    shape, layout = shape_and_layout
    x, gy = _random(shape, dtype)
    m, = _coefficients(shape, dtype, 1)
    slope, offset = place.get(place.rows.gradient_sums(
        place.send(x, layout), place.send(gy), place.xp.asarray(m)))
    assert slope.dtype == offset.dtype == numpy.float64
    g = gy.astype('d')
    # The inputs are exact, and what is added up is float32 at least.
    scale = max(1, shape[2]) * 4
    working = 'float32' if dtype == 'float16' else dtype
    _assert_close(offset, g.sum(axis=2), working, scale)
    _assert_close(slope, (g * (x - m[:, :, None].astype('d'))).sum(axis=2),
                  working, scale)


@pytest.mark.parametrize('is_quadratic', [False, True])
def test_gradient_input(place, shape_and_layout, dtype, is_quadratic):
    shape, layout = shape_and_layout
    x, gy = _random(shape, dtype)
    m, a, q, b = _coefficients(shape, dtype, 4)
    asarray = place.xp.asarray
    gx = place.rows.gradient_input(
        place.send(x, layout), place.send(gy), asarray(m), asarray(a),
        asarray(q) if is_quadratic else None, asarray(b))
    assert gx.dtype == dtype
    expected = gy.astype('d') * a[:, :, None] + b[:, :, None]
    if is_quadratic:
        expected += (x.astype('d') - m[:, :, None]) * q[:, :, None]
    _assert_close(place.get(gx), expected, dtype, 10)


@pytest.mark.parametrize('shape', [(0, 3, 4), (2, 0, 4)], ids=str)
def test_no_rows(place, shape):
    x = place.send(numpy.empty(shape, 'f'))
    m = place.xp.empty(shape[:2], 'f')
    for found in place.rows.moments(x):
        assert found.shape == shape[:2]
    assert place.rows.affine(x, m, m, m).shape == shape
    assert place.rows.gradient_input(x, x, m, m, m, m).shape == shape
    for found in place.rows.gradient_sums(x, x, m):
        assert found.shape == shape[:2]


def test_values_that_are_not_finite(place):
    # They spoil their own row only.
    x, _ = _random((3, 4, 50), 'f')
    x[1, 2, 7], x[0, 3, 0] = numpy.nan, numpy.inf
    with numpy.errstate(invalid='ignore'):
        mean, variance = place.get(place.rows.moments(place.send(x)))
        expected = x.astype('d').var(axis=2)
    numpy.testing.assert_allclose(variance, expected, rtol=1e-5)
    assert numpy.isfinite(mean).sum() == 10


def _run_all(place, x, gy, coefficients):
    m, a, q, b = map(place.xp.asarray, coefficients)
    found = place.get((
        *place.rows.moments(x), place.rows.affine(x, m, a, b),
        *place.rows.gradient_sums(x, gy, m),
        place.rows.gradient_input(x, gy, m, a, q, b)))
    return [array.tobytes() for array in found]


def test_same_bits_in_any_order_of_threads(
        emulated, shape_and_layout, dtype):
    # A race shows as a difference between orders.
    shape, layout = shape_and_layout
    place = _Gpu(emulated)
    x, gy = (place.send(z, layout) for z in _random(shape, dtype))
    coefficients = _coefficients(shape, dtype, 4)
    forward = _run_all(place, x, gy, coefficients)
    for order in 1, 2:
        emulated.emulator.order = order
        assert _run_all(place, x, gy, coefficients) == forward, order


@pytest.mark.parametrize('n_threads', [1, 2, 5])
def test_same_bits_by_any_number_of_threads(monkeypatch, n_threads):
    place = _Cpu(Device(numpy))
    x, gy = _random((40, 30, 700), 'f')
    coefficients = _coefficients(x.shape, 'float32', 4)
    monkeypatch.setenv('OMP_NUM_THREADS', '3')
    expected = _run_all(place, x, gy, coefficients)
    monkeypatch.setenv('OMP_NUM_THREADS', str(n_threads))
    assert _run_all(place, x, gy, coefficients) == expected


@pytest.mark.parametrize('axis', ['batch', 'channel', 'length'])
def test_more_than_two_to_the_31_elements(emulated, tmp_path, axis):
    # What lies so far apart in a file of holes, beside it side by side.
    small = numpy.random.RandomState(0).randn(2, 2, 2).astype('f2')
    far = (1 << 31) + 1000
    memory = numpy.memmap(
        str(tmp_path / 'memory'), 'f2', 'w+', shape=(far + 100,))
    strides = {'batch': (far, 40, 1), 'channel': (40, far, 1),
               'length': (1, 40, far)}[axis]
    x = numpy.lib.stride_tricks.as_strided(
        memory, small.shape, tuple(2 * s for s in strides))
    x[...] = small
    place = _Gpu(emulated)
    coefficients = _coefficients(small.shape, 'float16', 4)
    assert _run_all(place, x, x, coefficients) == _run_all(
        place, small, small, coefficients)
    del x, memory
    (tmp_path / 'memory').unlink()


@pytest.mark.parametrize('kind', [ModeNormalization, ModeGroupNormalization])
@pytest.mark.parametrize('shape', [(16, 5, 4, 4), (64, 7)], ids=str)
@pytest.mark.parametrize('dtype,tolerance', [
    ('float16', 5e-3), ('float32', 2e-4), ('float64', 1e-10)])
def test_layer_as_on_the_cpu(
        emulated, monkeypatch, kind, shape, dtype, tolerance):
    # The whole layer, by the kernels and by NumPy.
    def run():
        random = numpy.random.RandomState(0)
        numpy.random.seed(0)
        link = kind(shape[1], n_modes=3)
        values = []
        for is_training in True, True, False:
            x = chainer.Variable(random.randn(*shape).astype(dtype))
            link.cleargrads()
            with chainer.using_config('train', is_training):
                y = link(x)
            y.grad = random.randn(*shape).astype(dtype)
            y.backward()
            values += [y.array, x.grad, link.gamma.grad, link.beta.grad,
                       link.gate_W.grad, link.gate_b.grad, link.gates]
        return values

    expected = run()
    monkeypatch.setattr(compute, 'arithmetic', lambda x: gpu)
    for actual, value in zip(run(), expected):
        assert actual.dtype == value.dtype
        numpy.testing.assert_allclose(
            actual, value, rtol=tolerance,
            atol=tolerance * (1e-3 + abs(value).max()))
