"""Divisive normalization against its equations, a position at a time."""
import itertools

import chainer
import chainer.functions as F
from chainer import testing
from chainer.utils import type_check
import numpy
import pytest

import mixnorm


_SEED = 0


def _local_means(x, window):
    """Means over all channels and the window about each position."""
    means = numpy.empty((len(x), 1) + x.shape[2:])
    if not isinstance(window, tuple):
        window = (window,) * (x.ndim - 2)
    for position in itertools.product(*map(range, x.shape[2:])):
        near = tuple(slice(max(p - w // 2, 0), p + w // 2 + 1)
                     for p, w in zip(position, window))
        for n in range(len(x)):
            means[(n, 0) + position] = x[(n, slice(None)) + near].mean()
    return means


def _expected(x, gamma, beta, rho, window, eps):
    x = numpy.asarray(x, numpy.float64)
    v = x - _local_means(x, window)
    y = v / numpy.sqrt(
        numpy.float64(rho) ** 2 + _local_means(v ** 2, window) + eps)
    per_channel = (1, -1) + (1,) * (x.ndim - 2)
    return gamma.reshape(per_channel) * y + beta.reshape(per_channel)


@testing.parameterize(*(testing.product_dict([
    {'shape': (7, 3), 'window': 5},
    {'shape': (2, 1), 'window': ()},
    {'shape': (2, 3, 6), 'window': 3},
    {'shape': (2, 2, 3), 'window': (9,)},
    {'shape': (2, 3, 4, 5), 'window': 3},
    {'shape': (1, 2, 4, 3), 'window': (1, 5)},
    {'shape': (1, 2, 3, 1, 2), 'window': (3, 1, 3)},
], [{'dtypes': (numpy.float64, numpy.float64)}]) + testing.product_dict([
    {'shape': (4, 3), 'window': 1},
    {'shape': (2, 2, 3, 3), 'window': 3},
], [
    {'dtypes': (numpy.float16, numpy.float16)},
    {'dtypes': (numpy.float16, numpy.float32)},
    {'dtypes': (numpy.float32, numpy.float32)},
    {'dtypes': (numpy.float64, numpy.float32)},
])))
@testing.inject_backend_tests(None, [{}, {'use_cuda': True}])
class TestDivisiveNormalization(testing.FunctionTestCase):

    """Value, gradients and double gradients, of the smoother as well."""

    eps = 1e-2

    def setUp(self):
        # chainer.testing draws its upstream gradients from numpy.random.
        numpy.random.seed(_SEED)
        tolerance = 3e-2 if numpy.float16 in self.dtypes else 2e-3
        for check in ('forward', 'backward', 'double_backward'):
            setattr(self, f'check_{check}_options',
                    {'rtol': tolerance, 'atol': tolerance})

    def generate_inputs(self):
        x_dtype, dtype = self.dtypes
        n_channels = self.shape[1]
        return (
            numpy.random.uniform(-2, 2, self.shape).astype(x_dtype),
            numpy.random.uniform(.5, 1.5, n_channels).astype(dtype),
            numpy.random.uniform(-1, 1, n_channels).astype(dtype),
            numpy.array(.7, dtype))

    def forward(self, inputs, device):
        return mixnorm.functions.divisive_normalization(
            *inputs, window=self.window, eps=self.eps),

    def forward_expected(self, inputs):
        y = _expected(*inputs, self.window, self.eps)
        return y.astype(self.dtypes[0]),


def _arguments(*shape):
    random = numpy.random.RandomState(_SEED)
    gamma, beta = random.randn(2, shape[1])
    return random.randn(*shape), gamma, beta


@pytest.mark.parametrize('rho', [0, .5, 2., numpy.float32(.5)])
def test_number_for_rho(rho):
    inputs = _arguments(2, 3, 4, 5)
    numpy.testing.assert_allclose(
        mixnorm.functions.divisive_normalization(
            *inputs, rho, window=3, eps=1e-3).array,
        _expected(*inputs, rho, 3, 1e-3), rtol=1e-6)


@pytest.mark.parametrize('shape', [(6, 4), (3, 4, 5), (2, 4, 3, 2)], ids=str)
def test_window_over_everything_is_layer_normalization(shape):
    inputs = _arguments(*shape)
    numpy.testing.assert_allclose(
        mixnorm.functions.divisive_normalization(
            *inputs, 0, window=11, eps=1e-3).array,
        F.group_normalization(
            inputs[0], 1, *inputs[1:], eps=1e-3).array, rtol=1e-8, atol=1e-8)


def test_constant_map_is_all_shift():
    _, gamma, beta = _arguments(1, 3)
    x = chainer.Variable(numpy.full((2, 3, 4, 4), 7.))
    y = mixnorm.functions.divisive_normalization(x, gamma, beta, rho=0.)
    y.grad = numpy.ones(y.shape)
    y.backward()
    numpy.testing.assert_allclose(
        y.array, numpy.broadcast_to(beta[:, None, None], y.shape), atol=1e-9)
    assert numpy.isfinite(x.grad).all()


def test_float16_does_not_overflow():
    x = 1e4 * numpy.random.RandomState(_SEED).choice(
        [-1, 1], (2, 3, 4)).astype('e')
    gamma, beta = numpy.ones(3, 'e'), numpy.zeros(3, 'e')
    y = mixnorm.functions.divisive_normalization(x, gamma, beta, window=3)
    assert y.dtype == numpy.float16
    numpy.testing.assert_allclose(
        y.array, _expected(x, gamma, beta, 1, 3, 2e-5), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize('shape', [(0, 6), (0, 6, 4), (0, 6, 4, 3)], ids=str)
@pytest.mark.filterwarnings('error')
def test_empty_batch(shape):
    def normalize(x, gamma, beta, rho):
        return mixnorm.functions.divisive_normalization(
            x, gamma, beta, rho, 3)

    arrays = [numpy.ones(z, 'f') for z in (shape, 6, 6, ())]
    with pytest.raises(type_check.InvalidType):
        normalize(*arrays)
    variables = [chainer.Variable(z) for z in arrays]
    with chainer.using_config('train', False):
        y = normalize(*variables)
    assert (y.shape, y.dtype) == (shape, numpy.float32)
    F.sum(y).backward()
    assert not any(v.grad.any() for v in variables)


@pytest.mark.parametrize(
    'window', [0, 2, -1, 3., True, 'wide', None, (3, 2), [3, 3]], ids=repr)
def test_window_out_of_range(window):
    with pytest.raises(ValueError, match='window is'):
        mixnorm.functions.divisive_normalization(
            *_arguments(2, 3, 4, 4), window=window)


def test_window_of_other_axes():
    with pytest.raises(ValueError, match=r'window is \(3, 3\).* 1 spatial'):
        mixnorm.functions.divisive_normalization(
            *_arguments(2, 3, 4), window=(3, 3))


def test_rho_of_several_elements():
    with pytest.raises(type_check.InvalidType, match='rho.size'):
        mixnorm.functions.divisive_normalization(
            *_arguments(2, 3, 4), numpy.ones(3))


testing.run_module(__name__, __file__)
