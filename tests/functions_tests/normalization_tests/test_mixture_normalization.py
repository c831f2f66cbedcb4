import chainer
from chainer import functions as F
from chainer import gradient_check
from chainer import testing
from chainer.utils import type_check
import numpy
import pytest

import mixnorm
from functions_tests import equations


_SEED = 0
_SHAPES = [
    (7, 3), (5, 1), (4, 3, 5), (1, 3, 6), (3, 2, 1), (3, 2, 2, 3),
    (4, 3, 1, 1), (2, 3, 2, 1, 3)]


def _tolerances(dtype):
    if dtype == numpy.float16:
        return {'atol': 3e-2, 'rtol': 3e-2}
    return {'atol': 1e-4, 'rtol': 1e-4}


def _posterior(random, shape, n_components, absent=None):
    tau = random.uniform(.05, 1, (shape[0], n_components) + shape[2:])
    if absent is not None:
        tau[:, absent] = 0
    return tau / tau.sum(axis=1, keepdims=True)


_EVERY_SHAPE = testing.product({
    'shape': _SHAPES,
    'n_components': [1, 3],
    'per_component': [False, True],
    'absent': [None],
    'activation': [None],
    'dtypes': [(numpy.float64, numpy.float64)],
})
_EVERY_DTYPE = testing.product({
    'shape': [(7, 3), (3, 2, 2, 3)],
    'n_components': [3],
    'per_component': [False, True],
    'absent': [None, 1],
    'activation': [None, 'tanh'],
    'dtypes': [(numpy.float16, numpy.float16), (numpy.float16, numpy.float32),
               (numpy.float32, numpy.float32), (numpy.float32, numpy.float16),
               (numpy.float64, numpy.float64)],
})


@testing.parameterize(*(_EVERY_SHAPE + _EVERY_DTYPE))
@testing.inject_backend_tests(None, [{}, {'use_cuda': True}])
class TestMixtureNormalization(testing.FunctionTestCase):

    """Value, gradients and double gradients; the posterior is held fixed."""

    eps = 2e-2

    def setUp(self):
        # chainer.testing draws its upstream gradients from numpy.random.
        numpy.random.seed(_SEED)
        self.tau = _posterior(
            numpy.random, self.shape, self.n_components, self.absent)
        dtype = min(self.dtypes, key=lambda d: numpy.finfo(d).bits)
        self.check_forward_options = _tolerances(dtype)
        self.check_backward_options = _tolerances(dtype)
        self.check_double_backward_options = _tolerances(dtype)

    def generate_inputs(self):
        n_channels = self.shape[1]
        affine = ((self.n_components, n_channels) if self.per_component
                  else (n_channels,))
        x_dtype, affine_dtype = self.dtypes
        return (numpy.random.uniform(-2, 2, self.shape).astype(x_dtype),
                numpy.random.uniform(.5, 1.5, affine).astype(affine_dtype),
                numpy.random.uniform(-1, 1, affine).astype(affine_dtype))

    def forward(self, inputs, device):
        x, gamma, beta = inputs
        # The numerical gradient comes in float64, whatever the dtype was.
        tau = device.send(self.tau.astype(x.dtype))
        return mixnorm.functions.mixture_normalization(
            x, gamma, beta, tau, self.eps,
            self.activation and getattr(F, self.activation)),

    def forward_expected(self, inputs):
        x, gamma, beta = inputs
        return equations.mixture_normalization(
            x, gamma, beta, self.tau, self.eps,
            self.activation and getattr(numpy, self.activation)
        ).astype(x.dtype),


def _with_gradients(function, x, gamma, beta, gy, second):
    """Output, gradients, and the gradients of those along ``second``."""
    inputs = [chainer.Variable(z) for z in (x, gamma, beta)]
    upstream = chainer.Variable(gy)
    y = function(*inputs)
    first = chainer.grad(
        [y], inputs, [upstream], enable_double_backprop=True)
    again = chainer.grad(
        first, inputs + [upstream], [chainer.Variable(z) for z in second])
    # None is how Chainer says 0.
    return [y.array] + [v.array for v in first] + [
        numpy.zeros(v.shape, v.dtype) if g is None else g.array
        for g, v in zip(again, inputs + [upstream])]


@pytest.mark.parametrize('dtypes', [
    ('d', 'd'), ('f', 'f'), ('e', 'f'), ('e', 'e')], ids=''.join)
@pytest.mark.parametrize('shape', _SHAPES, ids=str)
def test_one_component_is_batch_normalization(shape, dtypes):
    random = numpy.random.RandomState(_SEED)
    x_dtype, affine_dtype = dtypes
    channels = shape[1]
    x, gy, ggx = random.randn(3, *shape).astype(x_dtype)
    gamma, beta, gg, gb = random.randn(4, channels).astype(affine_dtype)
    ones = numpy.ones((shape[0], 1) + shape[2:], x_dtype)
    # With two or three points, 1 / sqrt(var + eps) is large enough to turn
    # float16's rounding of x into anything.
    eps = 1e-1

    actual = _with_gradients(
        lambda *args: mixnorm.functions.mixture_normalization(
            *args, ones, eps), x, gamma, beta, gy, (ggx, gg, gb))
    expected = _with_gradients(
        lambda *args: F.batch_normalization(*args, eps=eps),
        x, gamma, beta, gy, (ggx, gg, gb))

    tolerance = {'d': 1e-10, 'f': 1e-4, 'e': 5e-2}[x_dtype]
    for a, e, name in zip(actual, expected, (
            'y', 'gx', 'ggamma', 'gbeta', 'ggx', 'gggamma', 'ggbeta',
            'ggy')):
        assert a.dtype == e.dtype, name
        numpy.testing.assert_allclose(
            a, e, rtol=tolerance, atol=tolerance * (1 + abs(e).max()),
            err_msg=name)


def test_without_eps_absent_component_adds_nothing():
    # Its variance is 0: where eps is 0 as well, 1 / sqrt(var) is infinite.
    random = numpy.random.RandomState(_SEED)
    x, gy = random.randn(2, 6, 2, 3)
    tau = _posterior(random, x.shape, 3, absent=2)
    for affine in ((2,), (3, 2)):
        gamma, beta = random.randn(2, *affine)
        variables = [chainer.Variable(z) for z in (x, gamma, beta)]
        y = mixnorm.functions.mixture_normalization(*variables, tau, eps=0)
        y.grad = gy
        y.backward()
        numpy.testing.assert_allclose(
            y.array, equations.mixture_normalization(
                x, gamma, beta, tau, 0), rtol=1e-9, atol=1e-9)
        expected = equations.mixture_normalization_gradients(
            x, gamma, tau, 0, gy)
        for variable, gradient in zip(variables, expected):
            numpy.testing.assert_allclose(
                variable.grad, gradient, rtol=1e-8, atol=1e-8)


def test_one_point():
    # var is 0, and only eps is left under the root.
    x = numpy.array([[3., -5.]])
    y = mixnorm.functions.mixture_normalization(
        x, numpy.ones(2), numpy.array([1., 2.]), numpy.ones((1, 1)))
    numpy.testing.assert_allclose(y.array, [[1., 2.]])


def test_empty_batch():
    x = numpy.empty((0, 3, 2, 2), 'f')
    y = mixnorm.functions.mixture_normalization(
        x, numpy.ones(3, 'f'), numpy.zeros(3, 'f'),
        numpy.empty((0, 2, 2, 2), 'f'))
    assert y.shape == x.shape
    assert y.dtype == x.dtype


# Each has far more than the 2**17 elements that are worked on at once: in
# the batch, within a sample, and without spatial axes.
@pytest.mark.parametrize('shape', [
    (48, 96, 12, 12), (2, 3, 260, 300), (70001, 5)], ids=str)
@pytest.mark.parametrize('per_component', [False, True])
def test_large_activation(shape, per_component):
    random = numpy.random.RandomState(_SEED)
    n_components = 3
    x, gy = random.randn(2, *shape).astype('f')
    # Far from 0, and unlike at the beginning and at the end.
    x += 100
    x[shape[0] // 2:] *= 1.5
    tau = _posterior(random, shape, n_components).astype('f')
    affine = (n_components, shape[1]) if per_component else (shape[1],)
    gamma = random.uniform(.5, 1.5, affine).astype('f')
    beta = random.randn(*affine).astype('f')

    variables = [chainer.Variable(z) for z in (x, gamma, beta)]
    y = mixnorm.functions.mixture_normalization(*variables, tau)
    y.grad = gy
    y.backward()

    numpy.testing.assert_allclose(
        y.array, equations.mixture_normalization(
            x, gamma, beta, tau, 2e-5), rtol=1e-3, atol=1e-3)
    expected = equations.mixture_normalization_gradients(
        x, gamma, tau, 2e-5, gy)
    for variable, gradient, name in zip(
            variables, expected, ('x', 'gamma', 'beta')):
        numpy.testing.assert_allclose(
            variable.grad, gradient, rtol=1e-3,
            atol=1e-4 * abs(gradient).max(), err_msg=name)


def test_posterior_is_constant():
    random = numpy.random.RandomState(_SEED)
    x = chainer.Variable(random.randn(5, 2, 3))
    tau = chainer.Variable(_posterior(random, x.shape, 2))
    for f in (None, F.tanh):
        tau.cleargrad()
        y = mixnorm.functions.mixture_normalization(
            x, numpy.ones(2), numpy.zeros(2), tau, activation=f)
        F.sum(y * y).backward()
        assert tau.grad is None
        assert x.grad is not None


def test_given_statistics_are_used():
    random = numpy.random.RandomState(_SEED)
    x = random.randn(6, 2, 3)
    tau = _posterior(random, x.shape, 2)
    gamma, beta = random.randn(2, 2)
    found = equations.statistics(
        equations.points(x), equations.points(tau))
    y = mixnorm.functions.mixture_normalization(
        x, gamma, beta, tau, statistics=found)
    numpy.testing.assert_allclose(
        y.array, equations.mixture_normalization(x, gamma, beta, tau, 2e-5),
        rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('wanted', [
    ('x',), ('gamma',), ('beta',), ('gamma', 'beta')], ids='-'.join)
@pytest.mark.parametrize('f', [None, F.tanh])
def test_gradients_of_some_inputs_only(wanted, f):
    random = numpy.random.RandomState(_SEED)
    arrays = {'x': random.randn(6, 2, 3), 'gamma': random.randn(2),
              'beta': random.randn(2)}
    tau = _posterior(random, arrays['x'].shape, 2)
    gy = random.randn(6, 2, 3)

    def gradients(names):
        variables = {
            name: chainer.Variable(z, requires_grad=name in names)
            for name, z in arrays.items()}
        y = mixnorm.functions.mixture_normalization(
            *variables.values(), tau, activation=f)
        first = chainer.grad(
            [y], [variables[name] for name in wanted],
            [chainer.Variable(gy)], enable_double_backprop=True)
        loss = sum(F.sum(g * g) for g in first)
        if loss.creator is None:  # of beta: constant
            return first, []
        return first, chainer.grad(
            [loss], [variables[name] for name in wanted])

    alone, among_all = gradients(wanted), gradients(tuple(arrays))
    for a, b in zip(alone[0] + alone[1], among_all[0] + among_all[1]):
        if a is None or b is None:
            assert a is b
        else:
            numpy.testing.assert_array_equal(a.array, b.array)


@pytest.mark.parametrize('f', [None, F.tanh])
@pytest.mark.parametrize('per_component', [False, True])
@pytest.mark.parametrize('eps,absent', [(1e-2, None), (0, 1)])
def test_gradient_penalty(eps, absent, per_component, f):
    # The upstream gradient depends on x, too, as it does behind any loss.
    random = numpy.random.RandomState(_SEED)
    x = random.randn(5, 2, 2)
    affine = (3, 2) if per_component else (2,)
    gamma, beta = random.randn(2, *affine)
    tau = _posterior(random, x.shape, 3, absent)

    def penalty(*inputs):
        y = mixnorm.functions.mixture_normalization(
            *inputs, tau, eps, activation=f)
        gradients = chainer.grad(
            [F.sum(y ** 3)], inputs, enable_double_backprop=True)
        return sum(F.sum(g ** 2) for g in gradients)

    gradient_check.check_backward(
        penalty, (x, gamma, beta), None, dtype='d', eps=1e-5, rtol=1e-4,
        atol=1e-4)


def test_no_backprop_mode():
    random = numpy.random.RandomState(_SEED)
    x = random.randn(6, 2, 3).astype('f')
    tau = _posterior(random, x.shape, 2).astype('f')
    gamma = chainer.Parameter(numpy.ones(2, 'f'))
    for f in (None, F.tanh):
        with chainer.no_backprop_mode():
            y = mixnorm.functions.mixture_normalization(
                x, gamma, numpy.zeros(2, 'f'), tau, activation=f)
        assert y.creator is None


_GOOD = {'x': ((4, 3, 2), 'f'), 'gamma': ((3,), 'f'), 'beta': ((3,), 'f'),
         'posterior': ((4, 2, 2), 'f')}


@pytest.mark.parametrize('f', [None, F.relu])
@pytest.mark.parametrize('bad', [
    {'x': ((4, 3, 2), 'i')},
    {'x': ((4,), 'f')},
    {'x': ((4, 5, 2), 'f')},
    {'gamma': ((4,), 'f'), 'beta': ((4,), 'f')},
    {'gamma': ((), 'f'), 'beta': ((), 'f')},
    {'gamma': ((3, 3), 'f'), 'beta': ((3, 3), 'f')},
    {'gamma': ((2, 4), 'f'), 'beta': ((2, 4), 'f')},
    {'gamma': ((1, 2, 3), 'f'), 'beta': ((1, 2, 3), 'f')},
    {'gamma': ((2, 3), 'f')},
    {'gamma': ((3,), 'i'), 'beta': ((3,), 'i')},
    {'beta': ((3,), 'd')},
    {'posterior': ((4, 2, 2), 'i')},
    {'posterior': ((5, 2, 2), 'f')},
    {'posterior': ((4, 2, 3), 'f')},
    {'posterior': ((4, 2), 'f')},
    {'posterior': ((4, 2, 2, 1), 'f')},
], ids=str)
def test_type_error(bad, f):
    arrays = [numpy.ones(*z) for z in dict(_GOOD, **bad).values()]
    with pytest.raises(type_check.InvalidType):
        mixnorm.functions.mixture_normalization(*arrays, activation=f)


@pytest.mark.parametrize('options,message', [
    ({'eps': -1}, 'eps is -1'), ({'eps': 'a'}, "eps is 'a'"),
    ({'activation': 3}, 'activation is 3')])
def test_options_out_of_range(options, message):
    arrays = [numpy.ones(*z) for z in _GOOD.values()]
    with pytest.raises(ValueError, match=message):
        mixnorm.functions.mixture_normalization(*arrays, **options)
    x, gamma, beta, _ = arrays
    moments = numpy.ones((1, 2, 3), 'f')
    with pytest.raises(ValueError, match=message):
        mixnorm.functions.fixed_mixture_normalization(
            x, gamma, beta, moments[..., 0] / 2, moments, moments,
            numpy.ones(1, 'f'), **options)


def test_good_types():
    # What the errors above differ from in one place.
    mixnorm.functions.mixture_normalization(
        *[numpy.ones(*z) for z in _GOOD.values()])


testing.run_module(__name__, __file__)
