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
    (7, 3), (5, 1), (1, 2), (4, 3, 5), (1, 3, 6), (3, 2, 2, 3), (4, 3, 1, 1),
    (2, 3, 2, 1, 3)]


def _tolerances(dtype):
    if dtype == numpy.float16:
        return {'atol': 3e-2, 'rtol': 3e-2}
    return {'atol': 1e-4, 'rtol': 1e-4}


def _queue(random, n_entries, n_components, n_channels, distance=1.):
    """Entries with components ``distance`` times further apart than 1."""
    weights = random.uniform(.2, 1, (n_entries, n_components))
    weights /= weights.sum(axis=1, keepdims=True)
    means = random.uniform(-1, 1, (n_entries, n_components, n_channels))
    means += distance * numpy.arange(n_components)[:, None]
    variances = random.uniform(.3, 2, means.shape)
    factors = random.uniform(.1, 1, n_entries)
    return weights, means, variances, factors / factors.sum()


_EVERY_SHAPE = testing.product({
    'shape': _SHAPES,
    'n_components': [1, 3],
    'n_entries': [1, 3],
    'per_component': [False, True],
    'activation': [None],
    'dtypes': [(numpy.float64, numpy.float64)],
})
_EVERY_DTYPE = testing.product({
    'shape': [(7, 3), (3, 2, 2, 3)],
    'n_components': [3],
    'n_entries': [2],
    'per_component': [False, True],
    'activation': [None, 'tanh'],
    'dtypes': [(numpy.float16, numpy.float16), (numpy.float16, numpy.float32),
               (numpy.float32, numpy.float32), (numpy.float32, numpy.float16),
               (numpy.float64, numpy.float64)],
})


@testing.parameterize(*(_EVERY_SHAPE + _EVERY_DTYPE))
@testing.inject_backend_tests(None, [{}, {'use_cuda': True}])
class TestFixedMixtureNormalization(testing.FunctionTestCase):

    """Value, gradients and double gradients by the numerical ones.

    The numerical gradient moves the posterior with ``x``, which the function
    holds fixed.  So the components are so far apart here that every posterior
    is 0 or 1, wherever the gradient looks.
    """

    eps = 2e-2
    distance = 60.

    def setUp(self):
        # chainer.testing draws its upstream gradients from numpy.random.
        numpy.random.seed(_SEED)
        self.queue = _queue(
            numpy.random, self.n_entries, self.n_components, self.shape[1],
            self.distance)
        # As a link's: in float32, beside whatever input.
        self.queue = [z.astype(numpy.float32).astype(numpy.float64)
                      for z in self.queue]
        dtype = min(self.dtypes, key=lambda d: numpy.finfo(d).bits)
        self.check_forward_options = _tolerances(dtype)
        self.check_backward_options = _tolerances(dtype)
        self.check_double_backward_options = _tolerances(dtype)

    def generate_inputs(self):
        n_channels = self.shape[1]
        affine = ((self.n_components, n_channels) if self.per_component
                  else (n_channels,))
        x_dtype, affine_dtype = self.dtypes
        x = numpy.random.uniform(-1, 1, self.shape)
        x += self.distance * numpy.random.randint(
            self.n_components, size=(self.shape[0], 1) + self.shape[2:])
        return (x.astype(x_dtype),
                numpy.random.uniform(.5, 1.5, affine).astype(affine_dtype),
                numpy.random.uniform(-1, 1, affine).astype(affine_dtype))

    def forward(self, inputs, device):
        queue = [device.send(z.astype('f')) for z in self.queue]
        return mixnorm.functions.fixed_mixture_normalization(
            *inputs, *queue, self.eps,
            self.activation and getattr(F, self.activation)),

    def forward_expected(self, inputs):
        x, gamma, beta = inputs
        posteriors = equations.queue_posteriors(x, *self.queue[:3])
        for tau in posteriors:
            assert ((tau == 0) | (tau == 1)).all()
        return equations.fixed_mixture_normalization(
            x, gamma, beta, posteriors, *self.queue, self.eps,
            self.activation and getattr(numpy, self.activation)
        ).astype(x.dtype),


def _problem(shape, per_component, dtype='d', n_components=3, n_entries=3):
    random = numpy.random.RandomState(_SEED)
    queue = _queue(random, n_entries, n_components, shape[1])
    # One entry without its last component, one that does not count.
    if n_components > 1:
        queue[0][0, -1] = 0
        queue[0][0] /= queue[0][0].sum()
    queue[3][1] = 0
    queue[3][:] /= queue[3].sum()
    affine = (n_components, shape[1]) if per_component else shape[1:2]
    x = (2 * random.randn(*shape)).astype(dtype)
    gamma = random.uniform(.5, 1.5, affine).astype(dtype)
    beta = random.randn(*affine).astype(dtype)
    return x, gamma, beta, [z.astype(dtype) for z in queue]


@pytest.mark.parametrize('dtype', ['e', 'f', 'd'])
@pytest.mark.parametrize('f', [None, 'tanh'])
@pytest.mark.parametrize('per_component', [False, True])
@pytest.mark.parametrize('shape', [(7, 3), (4, 2, 5), (2, 3, 2, 3)], ids=str)
def test_value_with_soft_posterior(shape, per_component, f, dtype):
    x, gamma, beta, queue = _problem(shape, per_component, dtype)
    posteriors = equations.queue_posteriors(x, *queue[:3])
    assert .05 < max(tau[:, 0].min() for tau in posteriors) < .95 or any(
        ((tau > .05) & (tau < .95)).any() for tau in posteriors)
    expected = equations.fixed_mixture_normalization(
        x, gamma, beta, posteriors, *queue, 2e-5,
        f and getattr(numpy, f))
    y = mixnorm.functions.fixed_mixture_normalization(
        x, gamma, beta, *queue, activation=f and getattr(F, f))
    assert y.dtype == x.dtype
    tolerance = {'e': 1e-2, 'f': 1e-4, 'd': 1e-10}[dtype]
    numpy.testing.assert_allclose(
        y.array, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize('f', [None, 'tanh'])
@pytest.mark.parametrize('per_component', [False, True])
@pytest.mark.parametrize('shape', [(5, 3), (2, 2, 2, 2)], ids=str)
def test_gradient_holds_posterior_fixed(shape, per_component, f):
    arrays = list(_problem(shape, per_component))
    queue = arrays.pop()
    gy = numpy.random.RandomState(_SEED + 1).randn(*shape)
    posteriors = equations.queue_posteriors(arrays[0], *queue[:3])

    # numerical_grad moves the arrays in place; the posteriors stay.
    expected = gradient_check.numerical_grad(
        lambda: (equations.fixed_mixture_normalization(
            *arrays, posteriors, *queue, 2e-5, f and getattr(numpy, f)),),
        arrays, (gy,), eps=1e-4)

    variables = [chainer.Variable(z) for z in arrays]
    y = mixnorm.functions.fixed_mixture_normalization(
        *variables, *queue, activation=f and getattr(F, f))
    y.grad = gy
    y.backward()
    for variable, gradient, name in zip(
            variables, expected, ('x', 'gamma', 'beta')):
        numpy.testing.assert_allclose(
            variable.grad, gradient, rtol=1e-6, atol=1e-7, err_msg=name)


@pytest.mark.parametrize('shape', [(5, 3), (2, 2, 2, 2)], ids=str)
def test_double_gradient_holds_posterior_fixed(shape):
    # With S = sum_tk c_tk / sigma_tk and Z = sum_tk c_tk (x - mu_tk) /
    # sigma_tk, where c is constant: y = gamma Z + beta, gx = gy gamma S and
    # ggamma = sum_i gy Z.
    x, gamma, beta, queue = _problem(shape, False)
    random = numpy.random.RandomState(_SEED + 1)
    gy, ggx = random.randn(2, *shape)
    gggamma, ggbeta = random.randn(2, shape[1])
    zero, one = numpy.zeros(shape[1]), numpy.ones(shape[1])
    posteriors = equations.queue_posteriors(x, *queue[:3])
    z, z_plus_s = (
        equations.fixed_mixture_normalization(
            moved, one, zero, posteriors, *queue, 2e-5)
        for moved in (x, x + 1))
    s = z_plus_s - z

    def spread(parameter):
        return parameter.reshape((1, -1) + (1,) * (x.ndim - 2))

    axes = (0,) + tuple(range(2, x.ndim))
    expected = [
        gy * spread(gggamma) * s,
        (ggx * gy * s).sum(axis=axes),
        ggx * spread(gamma) * s + spread(gggamma) * z + spread(ggbeta)]

    x, gamma, beta, gy = (
        chainer.Variable(v) for v in (x, gamma, beta, gy))
    y = mixnorm.functions.fixed_mixture_normalization(
        x, gamma, beta, *queue)
    first = chainer.grad(
        [y], [x, gamma, beta], [gy], enable_double_backprop=True)
    second = chainer.grad(
        first, [x, gamma, gy],
        [chainer.Variable(v) for v in (ggx, gggamma, ggbeta)])
    for actual, wanted, name in zip(second, expected, ('x', 'gamma', 'gy')):
        numpy.testing.assert_allclose(
            actual.array, wanted, rtol=1e-8, atol=1e-8, err_msg=name)


@pytest.mark.parametrize('dtypes', [
    ('d', 'd'), ('f', 'f'), ('e', 'f'), ('e', 'e')], ids=''.join)
@pytest.mark.parametrize('shape', _SHAPES, ids=str)
def test_one_entry_of_one_component_is_fixed_batch_normalization(
        shape, dtypes):
    random = numpy.random.RandomState(_SEED)
    x_dtype, affine_dtype = dtypes
    channels = shape[1]
    x, gy, ggx = random.randn(3, *shape).astype(x_dtype)
    gamma, beta, mean, gg, gb = random.randn(
        5, channels).astype(affine_dtype)
    variance = random.uniform(.5, 2, channels).astype(affine_dtype)

    def derivatives(function):
        inputs = [chainer.Variable(z) for z in (x, gamma, beta)]
        upstream = chainer.Variable(gy)
        y = function(*inputs)
        first = chainer.grad(
            [y], inputs, [upstream], enable_double_backprop=True)
        second = chainer.grad(
            first, [inputs[0], inputs[1], upstream],
            [chainer.Variable(z) for z in (ggx, gg, gb)])
        return [y] + first + second

    actual = derivatives(
        lambda *args: mixnorm.functions.fixed_mixture_normalization(
            *args, numpy.ones((1, 1), 'f'), mean[None, None],
            variance[None, None], numpy.ones(1, 'f')))
    expected = derivatives(
        lambda *args: F.fixed_batch_normalization(*args, mean, variance))
    tolerance = {'d': 1e-10, 'f': 1e-4, 'e': 3e-2}[x_dtype]
    # Chainer gives gggamma in x's dtype, not in gamma's.
    dtypes = [z.dtype for z in (x, x, gamma, gamma, x, gamma, x)]
    for a, e, dtype, name in zip(actual, expected, dtypes, (
            'y', 'gx', 'ggamma', 'gbeta', 'ggx', 'gggamma', 'ggy')):
        assert a.dtype == dtype, name
        numpy.testing.assert_allclose(
            a.array, e.array, rtol=tolerance,
            atol=tolerance * (1 + abs(e.array).max()), err_msg=name)


def test_gradient_penalty():
    # The upstream gradient depends on x, too, as it does behind any loss.
    # With one component the posterior is constant for the numerical one.
    x, gamma, beta, queue = _problem((5, 2, 2), False, n_components=1)

    def penalty(*inputs):
        y = mixnorm.functions.fixed_mixture_normalization(*inputs, *queue)
        gradients = chainer.grad(
            [F.sum(y ** 3)], inputs, enable_double_backprop=True)
        return sum(F.sum(g ** 2) for g in gradients)

    gradient_check.check_backward(
        penalty, (x, gamma, beta), None, dtype='d', eps=1e-5, rtol=1e-4,
        atol=1e-4)


# Far more than the 2**17 elements that are worked on at once.
@pytest.mark.parametrize('shape', [
    (48, 96, 12, 12), (2, 3, 260, 300), (70001, 5)], ids=str)
def test_large_activation(shape):
    x, gamma, beta, queue = _problem(shape, False, 'f')
    x[shape[0] // 2:] += 1
    gy = numpy.random.RandomState(_SEED + 1).randn(*shape).astype('f')
    posteriors = equations.queue_posteriors(x, *queue[:3])
    zero, one = numpy.zeros(shape[1]), numpy.ones(shape[1])
    z, z_plus_s = (
        equations.fixed_mixture_normalization(
            moved, one, zero, posteriors, *queue, 2e-5)
        for moved in (x.astype('d'), x.astype('d') + 1))
    axes = (0,) + tuple(range(2, x.ndim))
    spread = [(1, -1) + (1,) * (x.ndim - 2)]
    expected = [
        gamma.reshape(*spread) * z + beta.reshape(*spread),
        gy * gamma.reshape(*spread) * (z_plus_s - z),
        (gy * z).sum(axis=axes),
        gy.sum(axis=axes, dtype='d')]

    variables = [chainer.Variable(v) for v in (x, gamma, beta)]
    y = mixnorm.functions.fixed_mixture_normalization(*variables, *queue)
    y.grad = gy
    y.backward()
    for actual, wanted, name in zip(
            [y.array] + [v.grad for v in variables], expected,
            ('y', 'gx', 'ggamma', 'gbeta')):
        numpy.testing.assert_allclose(
            actual, wanted, rtol=1e-3, atol=1e-3 * abs(wanted).max(),
            err_msg=name)


def test_constant_channel_does_not_tell_components_apart():
    # A queued channel of variance 0 has no density; the posterior is that of
    # the other channels, wherever the constant channel goes afterwards.
    weights = numpy.array([[.25, .75]])
    means = numpy.array([[[0., 7.], [4., 7.]]])
    variances = numpy.array([[[1., 0.], [2., 0.]]])
    x = numpy.array([[1., 7.], [2., 7.], [3., 7.1]])
    tau = equations.posterior(
        x[:, :1], weights[0], means[0, :, :1], variances[0, :, :1])
    eps = 1e-2
    y = mixnorm.functions.fixed_mixture_normalization(
        x, numpy.ones(2), numpy.zeros(2), weights, means, variances,
        numpy.ones(1), eps)
    numpy.testing.assert_allclose(
        y.array, equations.fixed_mixture_normalization(
            x, numpy.ones(2), numpy.zeros(2), [tau], weights, means,
            variances, numpy.ones(1), eps), rtol=1e-9, atol=1e-9)


def test_without_eps_absent_component_adds_nothing():
    x, gamma, beta, queue = _problem((6, 2, 3), False)
    queue[2][0, -1] = 0  # The variances of the component of weight 0.
    posteriors = equations.queue_posteriors(
        x, queue[0], queue[1], numpy.where(queue[2] > 0, queue[2], 1))
    y = mixnorm.functions.fixed_mixture_normalization(
        x, gamma, beta, *queue, eps=0)
    numpy.testing.assert_allclose(
        y.array, equations.fixed_mixture_normalization(
            x, gamma, beta, posteriors, *queue, 0), rtol=1e-9, atol=1e-9)


def test_empty_batch():
    x, gamma, beta, queue = _problem((6, 2, 3), False, 'f')
    y = mixnorm.functions.fixed_mixture_normalization(
        x[:0], gamma, beta, *queue)
    assert y.shape == (0, 2, 3)


def test_gradients_of_some_inputs_only():
    x, gamma, beta, queue = _problem((6, 2, 3), False)
    both = [chainer.Variable(z) for z in (gamma, beta)]
    alone = chainer.Parameter(gamma)
    for inputs in ((x, *both), (x, alone, beta)):
        y = mixnorm.functions.fixed_mixture_normalization(*inputs, *queue)
        y.grad = x
        y.backward()
    numpy.testing.assert_array_equal(alone.grad, both[0].grad)


def test_no_backprop_mode():
    x, gamma, beta, queue = _problem((6, 2, 3), False)
    for f in (None, F.tanh):
        with chainer.no_backprop_mode():
            y = mixnorm.functions.fixed_mixture_normalization(
                x, chainer.Parameter(gamma), beta, *queue, activation=f)
        assert y.creator is None


_GOOD = {'x': ((4, 3, 2), 'f'), 'gamma': ((3,), 'f'), 'beta': ((3,), 'f'),
         'weights': ((5, 2), 'f'), 'means': ((5, 2, 3), 'f'),
         'variances': ((5, 2, 3), 'f'), 'factors': ((5,), 'f')}


@pytest.mark.parametrize('f', [None, F.relu])
@pytest.mark.parametrize('bad', [
    {'x': ((4, 3, 2), 'i')},
    {'x': ((4,), 'f')},
    {'x': ((4, 5, 2), 'f')},
    {'gamma': ((4,), 'f'), 'beta': ((4,), 'f')},
    {'gamma': ((3, 3), 'f'), 'beta': ((3, 3), 'f')},
    {'gamma': ((2, 3), 'f')},
    {'beta': ((3,), 'd')},
    {'weights': ((5,), 'f')},
    {'weights': ((4, 2), 'f')},
    {'weights': ((5, 3), 'f')},
    {'means': ((5, 2, 4), 'f')},
    {'means': ((5, 2), 'f')},
    {'variances': ((5, 2, 1), 'f')},
    {'factors': ((4,), 'f')},
    {'factors': ((5, 1), 'f')},
], ids=str)
def test_type_error(bad, f):
    arrays = [numpy.ones(*z) for z in dict(_GOOD, **bad).values()]
    with pytest.raises(type_check.InvalidType):
        mixnorm.functions.fixed_mixture_normalization(
            *arrays, activation=f)


def test_good_types():
    # What the errors above differ from in one place.
    mixnorm.functions.fixed_mixture_normalization(
        *[numpy.ones(*z) for z in _GOOD.values()])


testing.run_module(__name__, __file__)
