"""Both mode normalizations, with batch statistics, by sample and group."""
import functools

import chainer
from chainer import functions as F
from chainer import gradient_check
from chainer import testing
from chainer.utils import type_check
import numpy
import pytest

import mixnorm
from functions_tests import mode_equations
from mixnorm.functions.normalization.mode_group_normalization import (
    GatedModeGroupNormalization)
from mixnorm.functions.normalization.mode_normalization import (
    GatedModeNormalization)


_SEED = 0
_SHAPES = [
    (7, 3), (5, 1), (4, 3, 5), (1, 3, 6), (3, 2, 1), (3, 2, 2, 3),
    (4, 3, 1, 1), (2, 3, 2, 1, 3)]


def _tolerances(dtype):
    if dtype == numpy.float16:
        return {'atol': 3e-2, 'rtol': 3e-2}
    return {'atol': 1e-4, 'rtol': 1e-4}


def _gates(random, shape, n_modes, kind):
    leading = shape[:1] if kind == 'sample' else shape[:2]
    gates = random.uniform(.05, 1, leading + (n_modes,))
    return gates / gates.sum(axis=-1, keepdims=True)


def _gating(random, shape, n_modes, kind):
    W_shape = (n_modes, shape[1]) if kind == 'sample' else (n_modes,)
    return random.randn(*W_shape), random.randn(n_modes)


_FUNCTIONS = {
    'sample': mixnorm.functions.mode_normalization,
    'group': mixnorm.functions.mode_group_normalization}
_GATED_FUNCTIONS = {
    'sample': lambda *inputs, eps: GatedModeNormalization(
        eps).apply(inputs)[0],
    'group': lambda *inputs, eps: GatedModeGroupNormalization(
        eps).apply(inputs)[0]}
_EQUATIONS = {
    'sample': mode_equations.mode_normalization,
    'group': mode_equations.mode_group_normalization}
_GATES = {'sample': mode_equations.sample_gates,
          'group': mode_equations.channel_gates}


@testing.parameterize(*(testing.product({
    'kind': ['sample', 'group'],
    'shape': _SHAPES,
    'n_modes': [1, 3],
    'per_mode': [False, True],
    'dtypes': [(numpy.float64, numpy.float64)],
}) + testing.product({
    'kind': ['sample', 'group'],
    'shape': [(7, 3), (3, 2, 2, 3)],
    'n_modes': [2],
    'per_mode': [False, True],
    'dtypes': [(numpy.float16, numpy.float16), (numpy.float16, numpy.float32),
               (numpy.float32, numpy.float32), (numpy.float32, numpy.float16),
               (numpy.float64, numpy.float64)],
})))
@testing.inject_backend_tests(None, [{}, {'use_cuda': True}])
class TestModeNormalizations(testing.FunctionTestCase):

    """Value, gradients and double gradients, of the gates as well."""

    eps = 5e-2

    def setUp(self):
        # chainer.testing draws its upstream gradients from numpy.random.
        numpy.random.seed(_SEED)
        dtype = min(self.dtypes, key=lambda d: numpy.finfo(d).bits)
        self.check_forward_options = _tolerances(dtype)
        self.check_backward_options = _tolerances(dtype)
        self.check_double_backward_options = _tolerances(dtype)

    def generate_inputs(self):
        affine = self.shape[1:2]
        if self.per_mode:
            affine = (self.n_modes,) + affine
        x_dtype, affine_dtype = self.dtypes
        return (
            numpy.random.uniform(-2, 2, self.shape).astype(x_dtype),
            _gates(numpy.random, self.shape, self.n_modes, self.kind).astype(
                affine_dtype),
            numpy.random.uniform(.5, 1.5, affine).astype(affine_dtype),
            numpy.random.uniform(-1, 1, affine).astype(affine_dtype))

    def forward(self, inputs, device):
        return _FUNCTIONS[self.kind](*inputs, self.eps),

    def forward_expected(self, inputs):
        y = _EQUATIONS[self.kind](*mode_equations.double(*inputs), self.eps)
        return y.array.astype(inputs[0].dtype),


def _assert_equal_derivatives(actual, expected, tolerance):
    assert len(actual) == len(expected)
    for i, (a, e) in enumerate(zip(actual, expected)):
        numpy.testing.assert_allclose(
            a, e, rtol=tolerance, atol=tolerance * (1 + abs(e).max()),
            err_msg=f'output, gradients, double gradients: number {i}')


@pytest.mark.parametrize('per_mode', [False, True])
@pytest.mark.parametrize('kind', ['sample', 'group'])
@pytest.mark.parametrize('shape', _SHAPES, ids=str)
def test_gated(shape, kind, per_mode):
    # The function that computes gates itself, to second order.
    random = numpy.random.RandomState(_SEED)
    affine = (3, shape[1]) if per_mode else shape[1:2]
    inputs = [random.randn(*shape), *_gating(random, shape, 3, kind),
              *random.randn(2, *affine)]
    gy = random.randn(*shape)
    second = [random.randn(*z.shape) for z in inputs]

    def expected(x, W, b, gamma, beta):
        return _EQUATIONS[kind](x, _GATES[kind](x, W, b), gamma, beta, 1e-2)

    _assert_equal_derivatives(
        mode_equations.derivatives(
            lambda *args: _GATED_FUNCTIONS[kind](*args, eps=1e-2),
            inputs, gy, second),
        mode_equations.derivatives(expected, inputs, gy, second), 1e-8)


@pytest.mark.parametrize('dtypes', [
    ('d', 'd'), ('f', 'f'), ('e', 'f'), ('e', 'e')], ids=''.join)
@pytest.mark.parametrize('gates', ['one mode', 'constant gates'])
@pytest.mark.parametrize('kind', ['sample', 'group'])
@pytest.mark.parametrize('shape', _SHAPES, ids=str)
def test_one_mode_is_batch_or_group_normalization(
        shape, kind, gates, dtypes):
    random = numpy.random.RandomState(_SEED)
    x_dtype, affine_dtype = dtypes
    x, gy, ggx = random.randn(3, *shape).astype(x_dtype)
    gamma, beta, gg, gb = random.randn(4, shape[1]).astype(affine_dtype)
    leading = shape[:1] if kind == 'sample' else shape[:2]
    if gates == 'one mode':
        gates = numpy.ones(leading + (1,), affine_dtype)
    else:
        gates = numpy.broadcast_to(
            numpy.array([.25, .125, .625], affine_dtype), leading + (3,))
    # With two or three points, 1 / sqrt(var + eps) is large enough to turn
    # float16's rounding of x into anything.
    eps = 1e-1

    def normalize(x, gamma, beta):
        return _FUNCTIONS[kind](x, gates, gamma, beta, eps)

    def expected(x, gamma, beta):
        if kind == 'sample':
            return F.batch_normalization(x, gamma, beta, eps=eps)
        return F.group_normalization(x, 1, gamma, beta, eps=eps)

    arrays = [x, gamma, beta], gy, [ggx, gg, gb]
    # Chainer's group normalization rounds float16 between its steps.
    if kind == 'sample' or x_dtype == 'd':
        expected = mode_equations.derivatives(expected, *arrays)
    else:
        expected = mode_equations.derivatives(
            expected, [z.astype('d') for z in arrays[0]], gy.astype('d'),
            [z.astype('d') for z in arrays[2]])
    actual = mode_equations.derivatives(normalize, *arrays)
    for a, dtype in zip(actual, [x_dtype, x_dtype] + [affine_dtype] * 2):
        assert a.dtype == dtype
    _assert_equal_derivatives(
        actual, expected, {'d': 1e-10, 'f': 1e-4, 'e': 5e-2}[x_dtype])


@pytest.mark.parametrize('kind', ['sample', 'group'])
def test_mode_without_members(kind):
    random = numpy.random.RandomState(_SEED)
    x, gy = random.randn(2, 6, 4, 3)
    two = _gates(random, x.shape, 2, kind)
    three = numpy.concatenate(
        [two, numpy.zeros(two.shape[:-1] + (1,))], axis=-1)
    gamma, beta = random.randn(2, 4)
    if kind == 'group':
        # It has a share of the mean over modes all the same.
        y = _FUNCTIONS[kind](x, three, gamma, beta, 1.)
        assert numpy.isfinite(y.array).all()
        return
    outcome = []
    for gates in (two, three):
        variables = [chainer.Variable(z) for z in (x, gates, gamma, beta)]
        y = _FUNCTIONS[kind](*variables)
        y.grad = gy
        y.backward()
        assert all(numpy.isfinite(v.grad).all() for v in variables)
        outcome.append([y.array, variables[0].grad, variables[2].grad])
    for a, b in zip(*outcome):
        numpy.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('kind', ['sample', 'group'])
def test_one_point(kind):
    # Variances are 0, and only eps is left under the root.
    y = _FUNCTIONS[kind](
        numpy.array([[3.]]), numpy.full(
            (1, 2) if kind == 'sample' else (1, 1, 2), .5),
        numpy.ones(1), numpy.array([2.]))
    numpy.testing.assert_allclose(y.array, [[2.]])


@pytest.mark.parametrize('kind', ['sample', 'group'])
def test_empty_batch(kind):
    x = numpy.empty((0, 3, 2, 2), 'f')
    y = _FUNCTIONS[kind](
        x, numpy.empty((0, 2) if kind == 'sample' else (0, 3, 2), 'f'),
        numpy.ones(3, 'f'), numpy.zeros(3, 'f'))
    assert y.shape == x.shape
    assert y.dtype == x.dtype


def _far_channels(random, shape):
    x = random.randn(*shape)
    spatial = (1,) * (len(shape) - 2)
    offsets = numpy.resize([0, 1e4, -1e4, 3, -700, 1e4], shape[1])
    scales = numpy.resize([1, .1, 1, 1e-2, .5, 30], shape[1])
    return (x * scales.reshape((1, -1) + spatial)
            + offsets.reshape((1, -1) + spatial))


def _far_samples(random, shape):
    """Modes hundreds of deviations apart."""
    x = random.randn(*shape)
    x[shape[0] // 2:] += 300
    return x


def _rectified(random, shape):
    return numpy.maximum(random.randn(*shape) - 1, 0)


# More elements than are worked on at once: in the batch, within a sample, in
# one row, without spatial axes.
@pytest.mark.parametrize('shape', [
    (48, 96, 12, 12), (2, 3, 300, 700), (40001, 7), (16, 6, 5, 5)], ids=str)
@pytest.mark.parametrize(
    'layout', [_far_channels, _far_samples, _rectified])
def test_float32(shape, layout):
    # The function of the same float32 numbers in float64.
    random = numpy.random.RandomState(_SEED)
    x = layout(random, shape).astype('f')
    gy = random.randn(*shape).astype('f')
    gamma, beta = random.uniform(.5, 1.5, (2, shape[1])).astype('f')
    gates = numpy.zeros((shape[0], 2))
    gates[:shape[0] // 2] = .9, .1
    gates[shape[0] // 2:] = .2, .8
    gates = gates.astype('f')
    results = []
    for function, arrays in (
            (mixnorm.functions.mode_normalization, (x, gates, gamma, beta)),
            (lambda *args: mode_equations.mode_normalization(*args, 2e-5),
             [z.astype('d') for z in (x, gates, gamma, beta)])):
        variables = [chainer.Variable(z) for z in arrays]
        y = function(*variables)
        y.grad = gy.astype(y.dtype)
        y.backward()
        results.append([y.array] + [v.grad for v in variables])
    for a, e, name in zip(*results, (
            'y', 'gx', 'ggates', 'ggamma', 'gbeta')):
        # In units of the channel's own largest, where there are channels.
        axes = {'ggates': (0, 1), 'ggamma': 0, 'gbeta': 0}.get(
            name, (0,) + tuple(range(2, e.ndim)))
        error = abs(a - e).max(axis=axes) / (abs(e).max(axis=axes) + 1e-12)
        # 1e4 is held to 0.001, which is a hundredth of the deviation there.
        assert error.max() < 1e-2, (name, error.max())


@pytest.mark.parametrize('kind', ['sample', 'group'])
def test_half_precision_input(kind):
    # Squares and sums of many float16 values, which end at 65504.
    random = numpy.random.RandomState(_SEED)
    x = (random.randn(8, 3, 40, 40) * 3000 + 10000).astype('e')
    gy = random.randn(*x.shape).astype('e')
    gates = _gates(random, x.shape, 2, kind).astype('e')
    gamma, beta = numpy.ones(3, 'f'), numpy.zeros(3, 'f')
    v = chainer.Variable(x)
    y = _FUNCTIONS[kind](v, gates, gamma, beta)
    y.grad = gy
    y.backward()
    assert y.dtype == v.grad.dtype == numpy.float16
    w, *others = mode_equations.double(x, gates, gamma, beta)
    z = _EQUATIONS[kind](w, *others, 2e-5)
    z.grad = gy.astype('d')
    z.backward()
    numpy.testing.assert_allclose(y.array, z.array, rtol=2e-3, atol=2e-3)
    # Gradients of 1e-4 are where float16 has few digits left.
    numpy.testing.assert_allclose(v.grad, w.grad, rtol=5e-3, atol=1e-7)


@pytest.mark.parametrize('kind', ['sample', 'group'])
def test_order_of_memory(kind):
    random = numpy.random.RandomState(_SEED)
    x, gy = random.randn(2, 5, 4, 3, 6)
    gates = _gates(random, x.shape, 2, kind)
    gamma, beta = random.randn(2, 4)
    results = []
    for order in (lambda z: z,
                  lambda z: numpy.moveaxis(numpy.ascontiguousarray(
                      numpy.moveaxis(z, 1, -1)), -1, 1),
                  lambda z: numpy.repeat(z, 2, axis=3)[:, :, :, ::2]):
        v = chainer.Variable(order(x))
        y = _FUNCTIONS[kind](v, gates, gamma, beta)
        y.grad = order(gy)
        y.backward()
        results.append((y.array, v.grad))
    for y, gx in results[1:]:
        numpy.testing.assert_allclose(y, results[0][0], rtol=1e-12)
        numpy.testing.assert_allclose(gx, results[0][1], rtol=1e-12)


@pytest.mark.parametrize('kind', ['sample', 'group'])
def test_gradient_penalty(kind):
    # The upstream gradient depends on x, too, as it does behind any loss.
    random = numpy.random.RandomState(_SEED)
    x = random.randn(5, 3, 2)
    gamma, beta = random.randn(2, 3)

    def penalty(*inputs):
        y = _GATED_FUNCTIONS[kind](*inputs, eps=1e-2)
        gradients = chainer.grad(
            [F.sum(y ** 3)], inputs, enable_double_backprop=True)
        return sum(F.sum(g ** 2) for g in gradients)

    gradient_check.check_backward(
        penalty, (x, *_gating(random, x.shape, 2, kind), gamma, beta), None,
        dtype='d', eps=1e-5, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('kind', ['sample', 'group'])
@pytest.mark.parametrize('factor', [1e-40, 1e-100, 1e-160, 1e-220, 1e-280])
def test_gradient_penalty_of_a_mode_of_tiny_gates(factor, kind):
    random = numpy.random.RandomState(_SEED)
    x = random.randn(5, 3, 2)
    gamma, beta = random.randn(2, 3)
    gates = _gates(random, x.shape, 2, kind)
    # A sample has nothing of such a mode; to the mean over modes it counts
    # as it is, whatever it is multiplied by.
    same = gates[:, :1] if kind == 'sample' else gates
    outcomes = []
    for each in gates * [1, factor], same:
        variables = [chainer.Variable(z) for z in (x, each, gamma, beta)]
        y = _FUNCTIONS[kind](*variables, 1e-2)
        gx, = chainer.grad(
            [F.sum(y ** 3)], variables[:1], enable_double_backprop=True)
        F.sum(gx ** 2).backward()
        assert all(numpy.isfinite(v.grad).all() for v in variables[:3])
        outcomes.append([y.array, gx.array, variables[0].grad,
                         variables[1].grad[..., 0], variables[2].grad])
    for actual, expected in zip(*outcomes):
        numpy.testing.assert_allclose(
            actual, expected, rtol=1e-6, atol=1e-6 * abs(expected).max())


@pytest.mark.parametrize('kind', ['sample', 'group'])
@pytest.mark.parametrize('wanted', [(0,), (1,), (2,), (3,), (1, 3)], ids=str)
def test_gradients_of_some_inputs_only(wanted, kind):
    random = numpy.random.RandomState(_SEED)
    shape = 6, 3, 2
    arrays = [random.randn(*shape), _gates(random, shape, 2, kind),
              *random.randn(2, 3)]
    gy = random.randn(*shape)

    def gradients(numbers):
        variables = [chainer.Variable(z, requires_grad=i in numbers)
                     for i, z in enumerate(arrays)]
        y = _FUNCTIONS[kind](*variables)
        y.grad = gy
        y.backward()
        return [variables[i].grad for i in wanted]

    for a, b in zip(gradients(wanted), gradients(range(4))):
        numpy.testing.assert_array_equal(a, b)


_GOOD = {
    'sample': {'x': ((4, 3, 2), 'f'), 'gates': ((4, 2), 'f'),
               'gamma': ((3,), 'f'), 'beta': ((3,), 'f')},
    'group': {'x': ((4, 3, 2), 'f'), 'gates': ((4, 3, 2), 'f'),
              'gamma': ((3,), 'f'), 'beta': ((3,), 'f')}}
_BAD = [
    {'x': ((4, 3, 2), 'i')},
    {'x': ((4,), 'f')},
    {'x': ((4, 5, 2), 'f')},
    {'gates': ((4,), 'f')},
    {'gates': ((5, 2), 'f')},
    {'gates': ((4, 2, 2), 'f')},
    {'gates': ((4, 2), 'i')},
    {'gamma': ((4,), 'f'), 'beta': ((4,), 'f')},
    {'gamma': ((), 'f'), 'beta': ((), 'f')},
    {'gamma': ((3, 3), 'f'), 'beta': ((3, 3), 'f')},
    {'gamma': ((3,), 'i'), 'beta': ((3,), 'i')},
    {'gamma': ((2, 3), 'f')},
    {'beta': ((3,), 'd')},
]


@pytest.mark.parametrize('kind', ['sample', 'group'])
@pytest.mark.parametrize('bad', _BAD, ids=str)
def test_type_error(bad, kind):
    arrays = [numpy.ones(*z) for z in dict(_GOOD[kind], **bad).values()]
    with pytest.raises(type_check.InvalidType):
        _FUNCTIONS[kind](*arrays)


@pytest.mark.parametrize('kind', ['sample', 'group'])
def test_good_types(kind):
    # What the errors above differ from in one place.
    _FUNCTIONS[kind](*[numpy.ones(*z) for z in _GOOD[kind].values()])


_GATING = {
    'sample': [((2, 3), 'f'), ((2,), 'f')],
    'group': [((2,), 'f'), ((2,), 'f')]}


@pytest.mark.parametrize('kind,W,b', [
    ('sample', ((2, 4), 'f'), ((2,), 'f')),
    ('sample', ((2,), 'f'), ((2,), 'f')),
    ('sample', ((2, 3), 'f'), ((3,), 'f')),
    ('sample', ((2, 3), 'f'), ((2, 1), 'f')),
    ('sample', ((2, 3), 'i'), ((2,), 'i')),
    ('sample', ((2, 3), 'f'), ((2,), 'd')),
    ('group', ((2, 1), 'f'), ((2, 1), 'f')),
    ('group', ((2,), 'f'), ((3,), 'f')),
    ('group', ((2,), 'i'), ((2,), 'i')),
    ('group', ((2,), 'f'), ((2,), 'd'))])
def test_type_error_of_gating(kind, W, b):
    x, gamma, beta = numpy.ones((4, 3, 2), 'f'), *numpy.ones((2, 3), 'f')
    function = functools.partial(_GATED_FUNCTIONS[kind], eps=2e-5)
    function(x, *[numpy.ones(*z) for z in _GATING[kind]], gamma, beta)
    with pytest.raises(type_check.InvalidType):
        function(x, numpy.ones(*W), numpy.ones(*b), gamma, beta)


testing.run_module(__name__, __file__)
