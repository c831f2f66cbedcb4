"""Group normalization against its equations, one set at a time."""
import chainer
import chainer.functions as F
from chainer import testing
from chainer.utils import type_check
import numpy
import pytest

import mixnorm


_SEED = 0


def _expected(x, groups, gamma, beta, eps):
    """Wu & He's (1) to (6) in float64."""
    x = numpy.asarray(x, numpy.float64)
    y = numpy.empty(x.shape)
    width = x.shape[1] // groups
    for n in range(len(x)):
        for g in range(groups):
            members = slice(g * width, (g + 1) * width)
            points = x[n, members]
            y[n, members] = (points - points.mean()) / numpy.sqrt(
                points.var() + eps)
    per_channel = (1, -1) + (1,) * (x.ndim - 2)
    return gamma.reshape(per_channel) * y + beta.reshape(per_channel)


@testing.parameterize(*(testing.product_dict([
    {'shape': (5, 4), 'groups': 1},
    {'shape': (5, 4), 'groups': 2},
    {'shape': (3, 2), 'groups': 2},
    {'shape': (2, 4, 3), 'groups': 4},
    {'shape': (2, 6, 2, 3), 'groups': 3},
    {'shape': (1, 2, 2, 1, 3), 'groups': 2},
], [{'dtypes': (numpy.float64, numpy.float64)}]) + testing.product_dict([
    {'shape': (4, 6), 'groups': 2},
    {'shape': (2, 4, 3, 3), 'groups': 4},
], [
    {'dtypes': (numpy.float16, numpy.float16)},
    {'dtypes': (numpy.float16, numpy.float32)},
    {'dtypes': (numpy.float32, numpy.float32)},
    {'dtypes': (numpy.float64, numpy.float32)},
])))
@testing.inject_backend_tests(None, [{}, {'use_cuda': True}])
class TestGroupNormalization(testing.FunctionTestCase):

    """Value, gradients and double gradients."""

    eps = .1

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
            numpy.random.uniform(-1, 1, n_channels).astype(dtype))

    def forward(self, inputs, device):
        x, gamma, beta = inputs
        return mixnorm.functions.group_normalization(
            x, self.groups, gamma, beta, self.eps),

    def forward_expected(self, inputs):
        x, gamma, beta = inputs
        y = _expected(x, self.groups, gamma, beta, self.eps)
        return y.astype(self.dtypes[0]),


def test_gradient_penalty():
    """Differentiates the gradient with respect to x alone."""
    random = numpy.random.RandomState(_SEED)
    x = random.randn(2, 4, 5)
    gamma, beta = (chainer.Variable(z) for z in random.randn(2, 4))

    def penalty():
        v = chainer.Variable(x)
        y = mixnorm.functions.group_normalization(v, 2, gamma, beta)
        gx, = chainer.grad(
            [F.sum(y ** 3)], [v], enable_double_backprop=True)
        return F.sum(gx ** 2)

    penalty().backward()
    for parameter in gamma, beta:
        gradient = parameter.grad
        for c in range(4):
            parameter.array[c] += 1e-5
            high = penalty().array
            parameter.array[c] -= 2e-5
            low = penalty().array
            parameter.array[c] += 1e-5
            numpy.testing.assert_allclose(
                gradient[c], (high - low) / 2e-5, rtol=1e-5)


@pytest.mark.parametrize('shape', [(0, 6), (0, 6, 4), (0, 6, 4, 3)], ids=str)
@pytest.mark.filterwarnings('error')
def test_empty_batch(shape):
    def normalize(x, gamma, beta):
        return mixnorm.functions.group_normalization(x, 3, gamma, beta)

    arrays = [numpy.ones(z, 'f') for z in (shape, 6, 6)]
    with pytest.raises(type_check.InvalidType):
        normalize(*arrays)
    variables = [chainer.Variable(z) for z in arrays]
    with chainer.using_config('train', False):
        y = normalize(*variables)
    assert (y.shape, y.dtype) == (shape, numpy.float32)
    F.sum(y).backward()
    assert not any(v.grad.any() for v in variables)


@pytest.mark.parametrize('groups', [0, -2, 1.5, True, None, 3], ids=repr)
def test_groups_out_of_range(groups):
    with pytest.raises(ValueError, match='groups is'):
        mixnorm.functions.group_normalization(
            numpy.ones((2, 4), 'f'), groups, numpy.ones(4, 'f'),
            numpy.zeros(4, 'f'))


@pytest.mark.parametrize('name, shape', [
    ('gamma', (1,)), ('beta', (2, 4)), ('x', (4,)), ('x', (0, 4))])
def test_shapes_that_do_not_fit(name, shape):
    arguments = {'x': numpy.ones((2, 4), 'f'), 'gamma': numpy.ones(4, 'f'),
                 'beta': numpy.ones(4, 'f')}
    arguments[name] = numpy.ones(shape, 'f')
    with pytest.raises(type_check.InvalidType, match=name):
        mixnorm.functions.group_normalization(groups=2, **arguments)


testing.run_module(__name__, __file__)
