import chainer
from chainer import functions as F
from chainer import testing
from chainer.utils import type_check
import numpy
import pytest

import mixnorm
from functions_tests import mode_equations
from mixnorm.functions.normalization.fixed_mode_normalization import (
    GatedFixedModeNormalization)


_SEED = 0
_SHAPES = [(7, 3), (1, 3), (4, 3, 5), (3, 2, 1), (3, 2, 2, 3)]


def _gates(random, n_samples, n_modes):
    gates = random.uniform(.05, 1, (n_samples, n_modes))
    return gates / gates.sum(axis=1, keepdims=True)


def _moments(random, n_modes, n_channels):
    mean = random.uniform(-1, 1, (n_modes, n_channels))
    return mean, mean ** 2 + random.uniform(.5, 2, mean.shape)


@testing.parameterize(*testing.product({
    'shape': _SHAPES,
    'n_modes': [1, 3],
    'per_mode': [False, True],
    'dtypes': [(numpy.float16, numpy.float32),
               (numpy.float32, numpy.float32),
               (numpy.float64, numpy.float64)],
}))
@testing.inject_backend_tests(None, [{}, {'use_cuda': True}])
class TestFixedModeNormalization(testing.FunctionTestCase):

    """Value, gradients and double gradients, of the gates as well."""

    eps = 5e-2

    def setUp(self):
        # chainer.testing draws its upstream gradients from numpy.random.
        numpy.random.seed(_SEED)
        self.moments = _moments(numpy.random, self.n_modes, self.shape[1])
        tolerance = 3e-2 if self.dtypes[0] == numpy.float16 else 1e-4
        for options in ('check_forward_options', 'check_backward_options',
                        'check_double_backward_options'):
            setattr(self, options, {'atol': tolerance, 'rtol': tolerance})

    def generate_inputs(self):
        affine = self.shape[1:2]
        if self.per_mode:
            affine = (self.n_modes,) + affine
        x_dtype, affine_dtype = self.dtypes
        return (
            numpy.random.uniform(-2, 2, self.shape).astype(x_dtype),
            _gates(numpy.random, self.shape[0], self.n_modes).astype(
                affine_dtype),
            numpy.random.uniform(.5, 1.5, affine).astype(affine_dtype),
            numpy.random.uniform(-1, 1, affine).astype(affine_dtype))

    def forward(self, inputs, device):
        return mixnorm.functions.fixed_mode_normalization(
            *inputs, *device.send(self.moments), self.eps),

    def forward_expected(self, inputs):
        mean, sqmean = self.moments
        y = mode_equations.fixed_mode_normalization(
            *mode_equations.double(
                *inputs), *mode_equations.double(mean, sqmean - mean ** 2),
            self.eps)
        return y.array.astype(inputs[0].dtype),


@pytest.mark.parametrize('per_mode', [False, True])
@pytest.mark.parametrize('shape', _SHAPES, ids=str)
def test_gated(shape, per_mode):
    # The function that computes gates itself, to second order.
    random = numpy.random.RandomState(_SEED)
    affine = (3, shape[1]) if per_mode else shape[1:2]
    inputs = [random.randn(*shape), random.randn(3, shape[1]),
              random.randn(3), *random.randn(2, *affine)]
    mean, sqmean = _moments(random, 3, shape[1])
    gy = random.randn(*shape)
    second = [random.randn(*z.shape) for z in inputs]

    def expected(x, W, b, gamma, beta):
        return mode_equations.fixed_mode_normalization(
            x, mode_equations.sample_gates(x, W, b), gamma, beta,
            *mode_equations.double(mean, sqmean - mean ** 2), 1e-2)

    actual = mode_equations.derivatives(
        lambda *args: GatedFixedModeNormalization(
            mean, sqmean, 1e-2).apply(args)[0], inputs, gy, second)
    for i, (a, e) in enumerate(zip(actual, mode_equations.derivatives(
            expected, inputs, gy, second))):
        numpy.testing.assert_allclose(
            a, e, rtol=1e-9, atol=1e-9, err_msg=str(i))


@pytest.mark.parametrize('shape', _SHAPES, ids=str)
def test_one_mode_is_fixed_batch_normalization(shape):
    random = numpy.random.RandomState(_SEED)
    x, gy, ggx = random.randn(3, *shape).astype('f')
    gamma, beta, gg, gb = random.randn(4, shape[1]).astype('f')
    mean, sqmean = _moments(random, 1, shape[1])
    arrays = [x, gamma, beta], gy, [ggx, gg, gb]
    actual = mode_equations.derivatives(
        lambda x, gamma, beta: mixnorm.functions.fixed_mode_normalization(
            x, numpy.ones((len(x), 1), 'f'), gamma, beta, mean, sqmean),
        *arrays)
    expected = mode_equations.derivatives(
        lambda x, gamma, beta: F.fixed_batch_normalization(
            x, gamma, beta, mean[0].astype('f'),
            (sqmean - mean ** 2)[0].astype('f')), *arrays)
    for a, e in zip(actual, expected):
        assert a.dtype == e.dtype
        numpy.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-4)


def test_float32_far_from_zero():
    # <x^2> - <x>^2 is lost in float32, where it is a millionth of either.
    random = numpy.random.RandomState(_SEED)
    x = (random.randn(50, 2, 3) + 3000).astype('f')
    mean = numpy.array([[3000., 3001.], [2999., 3000.]])
    gates = _gates(random, 50, 2)
    y = mixnorm.functions.fixed_mode_normalization(
        x, gates.astype('f'), numpy.ones(2, 'f'), numpy.zeros(2, 'f'),
        mean, mean ** 2 + 1)
    expected = sum(
        gates[:, k, None, None] * (x.astype('d') - mean[k][:, None])
        for k in range(2)) / numpy.sqrt(1 + 2e-5)
    numpy.testing.assert_allclose(y.array, expected, rtol=1e-3, atol=1e-3)


def test_moments_may_be_variables():
    random = numpy.random.RandomState(_SEED)
    x, gates = random.randn(4, 3), _gates(random, 4, 2)
    moments = _moments(random, 2, 3)
    expected, actual = (mixnorm.functions.fixed_mode_normalization(
        x, gates, numpy.ones(3), numpy.zeros(3), *z).array
        for z in (moments, map(chainer.Variable, moments)))
    numpy.testing.assert_array_equal(actual, expected)


def test_negative_variance_counts_as_zero():
    # A rounding of the averages, no more.
    y = mixnorm.functions.fixed_mode_normalization(
        numpy.array([[2.]]), numpy.ones((1, 1)), numpy.ones(1),
        numpy.zeros(1), numpy.array([[1.]]), numpy.array([[1 - 1e-9]]), 1e-4)
    numpy.testing.assert_allclose(y.array, [[100.]])


_GOOD = {'x': (4, 3, 2), 'gates': (4, 2), 'gamma': (3,), 'beta': (3,),
         'mean': (2, 3), 'sqmean': (2, 3)}


@pytest.mark.parametrize('bad', [
    {'x': (4, 5, 2)}, {'x': (4,)}, {'gates': (5, 2)}, {'gates': (4, 3)},
    {'gates': (4, 2, 1)}, {'gamma': (4,), 'beta': (4,)}, {'beta': (2, 3)},
    {'gamma': (3, 3), 'beta': (3, 3)}, {'mean': (3,), 'sqmean': (3,)},
    {'mean': (2, 4), 'sqmean': (2, 4)}, {'mean': (3, 3), 'sqmean': (3, 3)},
    {'sqmean': (1, 3)}], ids=str)
def test_type_error(bad):
    with pytest.raises(type_check.InvalidType):
        mixnorm.functions.fixed_mode_normalization(
            *[numpy.ones(shape, 'f') for shape in dict(_GOOD, **bad).values()])


@pytest.mark.parametrize('bad', [
    {'gates': (2, 4)}, {'mean': (2, 4), 'sqmean': (2, 4)},
    {'mean': (3, 3), 'sqmean': (3, 3)}, {'gamma': (4,), 'beta': (4,)}],
    ids=str)
def test_type_error_of_gating(bad):
    good = dict(_GOOD, gates=(2, 3))

    def apply(shapes):
        x, W, gamma, beta, mean, sqmean = (
            numpy.ones(s, 'f') for s in shapes.values())
        return GatedFixedModeNormalization(mean, sqmean).apply(
            (x, W, numpy.zeros(2, 'f'), gamma, beta))

    apply(good)
    with pytest.raises(type_check.InvalidType):
        apply(dict(good, **bad))


def test_good_types():
    # What the errors above differ from in one place.
    y = mixnorm.functions.fixed_mode_normalization(
        *[numpy.ones(shape, 'f') for shape in _GOOD.values()])
    assert isinstance(y, chainer.Variable)


testing.run_module(__name__, __file__)
