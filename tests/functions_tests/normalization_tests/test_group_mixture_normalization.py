import chainer
from chainer import functions as F
from chainer import gradient_check
from chainer import testing
from chainer.utils import type_check
import numpy
import pytest

from functions_tests import equations
import mixnorm


_SEED = 0

# Input shape and groups.
_LAYOUTS = [
    ((3, 6), 1), ((3, 6), 3), ((2, 4, 5), 1), ((2, 4, 5), 2), ((2, 4, 5), 4),
    ((1, 2, 3, 7), 2), ((2, 2, 2, 1, 3), 1)]


def _rows(x, groups):
    """The sets of an activation, ``(N, G)`` of points ``(P, 1)``."""
    return numpy.asarray(x, 'd').reshape(x.shape[0], groups, -1, 1)


def _posteriors(x, groups, weights, means, variances):
    """Of every set under its own mixture, ``(N, G)`` of ``(P, K)``."""
    rows = _rows(x, groups)
    tau = numpy.empty(rows.shape[:3] + weights.shape[2:])
    for i in numpy.ndindex(*rows.shape[:2]):
        tau[i] = equations.posterior(
            rows[i], weights[i], means[i][:, None], variances[i][:, None])
    return tau


def _expected(x, gamma, beta, tau, eps, f=None):
    """(34) to (37) for every set; then gamma and beta channel by channel."""
    groups = tau.shape[1]
    rows = _rows(x, groups)
    y = numpy.empty(rows.shape)
    length = int(numpy.prod(x.shape[2:]))
    per_group = x.shape[1] // groups
    for n, g in numpy.ndindex(*rows.shape[:2]):
        statistics = equations.statistics(rows[n, g], tau[n, g])
        for c in range(per_group):
            here = slice(c * length, (c + 1) * length)
            channel = slice(g * per_group + c, g * per_group + c + 1)
            y[n, g, here] = equations.weighted_sum(
                rows[n, g, here], gamma[..., channel], beta[..., channel],
                tau[n, g, here], *statistics, eps, f)
    return y.reshape(x.shape)


def _expected_gradients(x, gamma, tau, eps, gy):
    """Of ``x``, ``gamma`` and ``beta``, set by set."""
    groups = tau.shape[1]
    rows, upstream = _rows(x, groups), _rows(gy, groups)
    gx = numpy.empty(rows.shape)
    ggamma = numpy.zeros(gamma.shape)
    length = int(numpy.prod(x.shape[2:]))
    per_group = x.shape[1] // groups
    spread = (1, -1) + (1,) * (x.ndim - 2)
    scaled = _rows(gy * gamma.reshape(spread), groups)
    for n, g in numpy.ndindex(*rows.shape[:2]):
        gx[n, g], _, _ = equations.mixture_normalization_gradients(
            rows[n, g], numpy.ones(1), tau[n, g], eps, scaled[n, g])
        y = equations.weighted_sum(
            rows[n, g], numpy.ones(1), numpy.zeros(1), tau[n, g],
            *equations.statistics(rows[n, g], tau[n, g]), eps)
        ggamma[g * per_group:(g + 1) * per_group] += (
            y * upstream[n, g]).reshape(per_group, length).sum(axis=1)
    axes = (0,) + tuple(range(2, x.ndim))
    return gx.reshape(x.shape), ggamma, gy.sum(axis=axes)


def _mixtures(random, x, groups, n_components, absent=None):
    """A mixture for every set, with its components amid the points."""
    rows = _rows(x, groups)
    shape = rows.shape[:2] + (n_components,)
    weights = random.uniform(.3, 1, shape)
    if absent is not None:
        weights[0, 0, absent] = 0
    center = rows.mean(axis=(2, 3))[..., None]
    return (weights / weights.sum(axis=2, keepdims=True),
            center + random.randn(*shape), random.uniform(.3, 2, shape))


def _affine(random, x, n_components, per_component):
    shape = x.shape[1:2]
    if per_component:
        shape = (n_components,) + shape
    return random.uniform(.5, 1.5, shape), random.uniform(-1, 1, shape)


@testing.parameterize(*(testing.product_dict(
    [{'shape': shape, 'groups': groups} for shape, groups in _LAYOUTS],
    testing.product({
        'n_components': [1, 3],
        'per_component': [False, True],
        'activation': [None],
        'dtypes': [(numpy.float64, numpy.float64)],
    })) + testing.product({
        'shape': [(2, 4, 9)],
        'groups': [2],
        'n_components': [2],
        'per_component': [False, True],
        'activation': [None, 'tanh'],
        'dtypes': [
            (numpy.float16, numpy.float16), (numpy.float16, numpy.float32),
            (numpy.float32, numpy.float32), (numpy.float32, numpy.float16),
            (numpy.float64, numpy.float64)],
    })))
@testing.inject_backend_tests(None, [{}, {'use_cuda': True}])
class TestGroupMixtureNormalization(testing.FunctionTestCase):

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
        dtype = min(self.dtypes, key=lambda d: numpy.finfo(d).bits)
        tolerance = 3e-2 if dtype == numpy.float16 else 1e-4
        options = {'atol': tolerance, 'rtol': tolerance}
        self.check_forward_options = options
        self.check_backward_options = options
        self.check_double_backward_options = options
        sets = (self.shape[0], self.groups, self.n_components)
        self.mixtures = [
            z.astype('f').astype('d') for z in (
                numpy.full(sets, 1 / self.n_components),
                self.distance * numpy.arange(self.n_components)
                + numpy.random.uniform(-1, 1, sets),
                numpy.random.uniform(.5, 2, sets))]

    def generate_inputs(self):
        x = numpy.random.uniform(-1, 1, self.shape)
        x += self.distance * numpy.random.randint(
            self.n_components, size=self.shape)
        x_dtype, dtype = self.dtypes
        return (x.astype(x_dtype),) + tuple(
            z.astype(dtype) for z in _affine(
                numpy.random, x, self.n_components, self.per_component))

    def forward(self, inputs, device):
        x, gamma, beta = inputs
        return mixnorm.functions.group_mixture_normalization(
            x, self.groups, gamma, beta,
            *(device.send(z.astype('f')) for z in self.mixtures), self.eps,
            self.activation and getattr(F, self.activation)),

    def forward_expected(self, inputs):
        x, gamma, beta = inputs
        tau = _posteriors(x, self.groups, *self.mixtures)
        assert ((tau == 0) | (tau == 1)).all()
        return _expected(
            x, gamma, beta, tau, self.eps,
            self.activation and getattr(numpy, self.activation)
        ).astype(x.dtype),


def _problem(shape, groups, per_component=False, dtype='d', n_components=3):
    random = numpy.random.RandomState(_SEED)
    x = (2 * random.randn(*shape)).astype(dtype)
    gamma, beta = (z.astype(dtype) for z in _affine(
        random, x, n_components, per_component))
    mixtures = [z.astype('f').astype('d') for z in _mixtures(
        random, x, groups, n_components,
        n_components - 1 if n_components > 1 else None)]
    return x, gamma, beta, mixtures


@pytest.mark.parametrize('dtype', ['e', 'f', 'd'])
@pytest.mark.parametrize('f', [None, 'tanh'])
@pytest.mark.parametrize('per_component', [False, True])
@pytest.mark.parametrize(
    'shape,groups', _LAYOUTS + [((3, 64, 2), 2), ((40, 3, 2), 3)], ids=str)
def test_value_with_soft_posterior(shape, groups, per_component, f, dtype):
    x, gamma, beta, mixtures = _problem(shape, groups, per_component, dtype)
    tau = _posteriors(x, groups, *mixtures)
    assert ((tau > .1) & (tau < .9)).any()
    expected = _expected(
        x, gamma, beta, tau, 2e-5, f and getattr(numpy, f))
    y = mixnorm.functions.group_mixture_normalization(
        x, groups, gamma, beta, *mixtures,
        activation=f and getattr(F, f))
    assert y.dtype == x.dtype
    # Half precision is that of the output alone.
    tolerance = {'e': 6e-4, 'f': 1e-4, 'd': 1e-9}[dtype]
    numpy.testing.assert_allclose(
        y.array, expected, rtol=tolerance, atol=tolerance)
    if f is None and not per_component:
        v = chainer.Variable(x)
        y = mixnorm.functions.group_mixture_normalization(
            v, groups, gamma, beta, *mixtures)
        gy = numpy.random.RandomState(_SEED + 1).randn(*shape).astype(dtype)
        y.grad = gy
        y.backward()
        gx, _, _ = _expected_gradients(x, gamma, tau, 2e-5, gy.astype('d'))
        # What sets of two points leave of it are small differences.
        tolerance = {'e': 2e-3, 'f': 2e-3, 'd': 1e-8}[dtype]
        numpy.testing.assert_allclose(
            v.grad, gx, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize('f', [None, 'tanh'])
@pytest.mark.parametrize('per_component', [False, True])
@pytest.mark.parametrize('shape,groups', [
    ((3, 6), 3), ((2, 4, 3), 1), ((1, 2, 2, 4), 2)], ids=str)
def test_gradient_holds_posterior_fixed(shape, groups, per_component, f):
    *arrays, mixtures = _problem(shape, groups, per_component)
    gy = numpy.random.RandomState(_SEED + 1).randn(*shape)
    tau = _posteriors(arrays[0], groups, *mixtures)

    # numerical_grad moves the arrays in place; the posteriors stay.
    expected = gradient_check.numerical_grad(
        lambda: (_expected(
            *arrays, tau, 1e-2, f and getattr(numpy, f)),),
        arrays, (gy,), eps=1e-4)

    variables = [chainer.Variable(z) for z in arrays]
    y = mixnorm.functions.group_mixture_normalization(
        variables[0], groups, *variables[1:], *mixtures, 1e-2,
        activation=f and getattr(F, f))
    y.grad = gy
    y.backward()
    for variable, gradient, name in zip(
            variables, expected, ('x', 'gamma', 'beta')):
        numpy.testing.assert_allclose(
            variable.grad, gradient, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize('shape,groups', [
    ((3, 6), 3), ((2, 4, 3), 1), ((1, 2, 2, 4), 2)], ids=str)
def test_double_gradient_holds_posterior_fixed(shape, groups):
    x, gamma, beta, mixtures = _problem(shape, groups)
    random = numpy.random.RandomState(_SEED + 1)
    gy, ggx = random.randn(2, *shape)
    gggamma, ggbeta = random.randn(2, shape[1])
    tau = _posteriors(x, groups, *mixtures)
    arrays = [x, gamma, gy]
    expected = gradient_check.numerical_grad(
        lambda: _expected_gradients(*arrays[:2], tau, 1e-2, arrays[2]),
        arrays, (ggx, gggamma, ggbeta), eps=1e-4)

    v, g, b, u = map(chainer.Variable, (x, gamma, beta, gy))
    y = mixnorm.functions.group_mixture_normalization(
        v, groups, g, b, *mixtures, 1e-2)
    first = chainer.grad([y], [v, g, b], [u], enable_double_backprop=True)
    second = chainer.grad(
        first, [v, g, u], [chainer.Variable(z)
                           for z in (ggx, gggamma, ggbeta)])
    for gradient, wanted, name in zip(second, expected, ('x', 'gamma', 'gy')):
        numpy.testing.assert_allclose(
            gradient.array, wanted, rtol=1e-5, atol=1e-6, err_msg=name)


def _outcome(function, arrays, gy):
    variables = [chainer.Variable(z) for z in arrays]
    y = function(*variables)
    y.grad = gy
    y.backward()
    return [y.array] + [v.grad for v in variables]


@pytest.mark.parametrize('dtype', ['e', 'f', 'd'])
@pytest.mark.parametrize('shape,groups', _LAYOUTS + [
    # Of several blocks of samples, and of groups.
    ((40, 8, 32, 32), 2), ((1, 6, 300, 300), 6)], ids=str)
def test_one_component_is_group_normalization(shape, groups, dtype):
    # Whatever the component: it has every point to itself.
    x, gamma, beta, mixtures = _problem(
        shape, groups, dtype=dtype, n_components=1)
    mixtures[0][...] = 1
    gy = numpy.random.RandomState(_SEED + 1).randn(*shape).astype(dtype)
    tolerance = {'e': 2e-2, 'f': 1e-4, 'd': 1e-9}[dtype]
    for actual, expected in zip(
            _outcome(lambda x, gamma, beta:
                     mixnorm.functions.group_mixture_normalization(
                         x, groups, gamma, beta, *mixtures, 1e-3),
                     (x, gamma, beta), gy),
            _outcome(lambda x, gamma, beta: F.group_normalization(
                x, groups, gamma, beta, 1e-3), (x, gamma, beta), gy)):
        assert actual.dtype == expected.dtype
        numpy.testing.assert_allclose(
            actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize('f', [None, 'tanh'])
@pytest.mark.parametrize('per_component', [False, True])
def test_second_order(per_component, f):
    random = numpy.random.RandomState(_SEED)
    x, gamma, beta, mixtures = _problem((2, 4, 5), 2, per_component)
    delta = random.randn(*gamma.shape)
    tau = _posteriors(x, 2, *mixtures)
    rows = _rows(x, 2)
    expected = numpy.empty(rows.shape)
    for n, g, c in numpy.ndindex(2, 2, 2):
        here, channel = slice(5 * c, 5 * c + 5), slice(2 * g + c,
                                                       2 * g + c + 1)
        expected[n, g, here] = equations.second_order_sum(
            rows[n, g, here], gamma[..., channel], beta[..., channel],
            delta[..., channel], tau[n, g, here],
            *equations.statistics(rows[n, g], tau[n, g]), 2e-5,
            f and getattr(numpy, f))
    variables = [chainer.Variable(z) for z in (x, gamma, beta, delta)]
    y = mixnorm.functions.group_mixture_normalization(
        variables[0], 2, *variables[1:3], *mixtures,
        activation=f and getattr(F, f), delta=variables[3])
    numpy.testing.assert_allclose(
        y.array.reshape(rows.shape), expected, rtol=1e-9)
    F.sum(y ** 2).backward()
    assert all(numpy.isfinite(v.grad).all() for v in variables)
    assert (variables[3].grad != 0).all()
    zero = numpy.zeros_like(delta)
    numpy.testing.assert_array_equal(*(
        mixnorm.functions.group_mixture_normalization(
            x, 2, gamma, beta, *mixtures, activation=f and getattr(F, f),
            delta=d).array for d in (zero, None)))


@pytest.mark.parametrize('eps', [0, 1e-5])
@pytest.mark.parametrize('dtype', ['e', 'f', 'd'])
def test_constant_sets(dtype, eps):
    x = numpy.repeat(numpy.array([0, 7, -3e4]), 6).reshape(3, 2, 3)
    mixtures = (numpy.array([[[1., 0]]] * 3),
                numpy.array([[[0., 9]], [[7, 7]], [[-3e4, 0]]]),
                numpy.full((3, 1, 2), 1e-6))
    gamma, beta = numpy.array([[2., 3], [-1, .5]])
    v, g, b = (chainer.Variable(z.astype(dtype)) for z in (x, gamma, beta))
    y = mixnorm.functions.group_mixture_normalization(
        v, 1, g, b, *mixtures, eps)
    numpy.testing.assert_array_equal(
        y.array, numpy.broadcast_to(beta[:, None], x.shape))
    first = chainer.grad([F.sum(y * y)], [v, g, b],
                         enable_double_backprop=True)
    assert all(numpy.isfinite(z.array).all() for z in first)
    if eps > 0:
        second = chainer.grad([sum(F.sum(z) for z in first)], [v, g, b])
        assert all(numpy.isfinite(z.array).all() for z in second)


@pytest.mark.parametrize('f', [None, F.tanh])
@pytest.mark.parametrize('eps', [0, 1e-5])
def test_absent_components_add_nothing(eps, f):
    x, gamma, beta, (weights, means, variances) = _problem((2, 4, 5), 2)
    weights[...] = [.5, .5, 0]

    def outcome(n_components):
        variables = [chainer.Variable(z) for z in (x, gamma, beta)]
        y = mixnorm.functions.group_mixture_normalization(
            variables[0], 2, *variables[1:],
            *(z[..., :n_components] for z in (weights, means, variances)),
            eps, activation=f)
        first = chainer.grad([F.sum(y * y)], variables,
                             enable_double_backprop=True)
        second = chainer.grad([sum(F.sum(z * z) for z in first)], variables)
        return [z.array for z in [y] + first + second]

    for actual, expected in zip(outcome(3), outcome(2)):
        numpy.testing.assert_allclose(actual, expected, rtol=1e-7, atol=1e-9)


def test_input_is_not_modified():
    for shape, groups in (((2, 4, 5), 2), ((2, 4, 50), 1)):
        x, gamma, beta, mixtures = _problem(shape, groups)
        arrays = [x, gamma, beta] + mixtures
        before = [z.copy() for z in arrays]
        gy = numpy.ones_like(x)
        for z in arrays + [gy]:
            z.flags.writeable = False
        _outcome(lambda x, gamma, beta:
                 mixnorm.functions.group_mixture_normalization(
                     x, groups, gamma, beta, *mixtures),
                 (x, gamma, beta), gy)
        for actual, expected in zip(arrays, before):
            numpy.testing.assert_array_equal(actual, expected)


_GOOD = {'x': ((4, 6, 2), 'f'), 'gamma': ((6,), 'f'), 'beta': ((6,), 'f'),
         'weights': ((4, 2, 3), 'f'), 'means': ((4, 2, 3), 'f'),
         'variances': ((4, 2, 3), 'f')}


def _call(groups, types, **kwargs):
    x, *others = (numpy.ones(*z) for z in types.values())
    return mixnorm.functions.group_mixture_normalization(
        x, groups, *others, **kwargs)


@pytest.mark.parametrize('f', [None, F.relu])
@pytest.mark.parametrize('bad', [
    {'x': ((4, 6, 2), 'i')},
    {'x': ((4,), 'f')},
    {'x': ((4, 8, 2), 'f')},
    {'x': ((5, 6, 2), 'f')},
    {'gamma': ((4,), 'f'), 'beta': ((4,), 'f')},
    {'gamma': ((), 'f'), 'beta': ((), 'f')},
    {'gamma': ((2, 6), 'f'), 'beta': ((2, 6), 'f')},
    {'gamma': ((3, 6), 'f')},
    {'gamma': ((6,), 'i'), 'beta': ((6,), 'i')},
    {'beta': ((6,), 'd')},
    {'weights': ((4, 2), 'f')},
    {'weights': ((4, 3, 3), 'f'), 'means': ((4, 3, 3), 'f'),
     'variances': ((4, 3, 3), 'f')},
    {'means': ((4, 2, 4), 'f')},
    {'variances': ((4, 1, 3), 'f')},
], ids=str)
def test_type_error(bad, f):
    with pytest.raises(type_check.InvalidType):
        _call(2, dict(_GOOD, **bad), activation=f)
    with pytest.raises(type_check.InvalidType, match='delta'):
        _call(2, _GOOD, activation=f, delta=numpy.ones(5, 'f'))


@pytest.mark.parametrize('groups, allowed', [
    (0, 'integer of at least 1'), (-1, 'integer of at least 1'),
    (4, 'must divide'), (12, 'must divide'), (2., 'integer of at least 1'),
    (True, 'integer of at least 1'), (None, 'integer of at least 1'),
    ('2', 'integer of at least 1')])
def test_bad_groups(groups, allowed):
    with pytest.raises(ValueError, match=f'groups is .*{allowed}'):
        _call(groups, _GOOD)


def test_good_types():
    # What the errors above differ from in one place.
    _call(2, _GOOD)


testing.run_module(__name__, __file__)
