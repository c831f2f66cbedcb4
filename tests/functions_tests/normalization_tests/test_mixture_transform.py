"""The Fisher vector of second order beside that of first."""
import chainer
from chainer import functions as F
from chainer import testing
from chainer.utils import type_check
import numpy
import pytest

from functions_tests import equations
import mixnorm


_SEED = 0


def _posterior(random, shape, n_components):
    tau = random.uniform(.05, 1, (shape[0], n_components) + shape[2:])
    return tau / tau.sum(axis=1, keepdims=True)


@testing.parameterize(*(testing.product({
    'shape': [(7, 3), (3, 2, 2, 3)],
    'n_components': [1, 3],
    'per_component': [False, True],
    'activation': [None, 'tanh'],
    'dtypes': [(numpy.float64, numpy.float64)],
}) + testing.product({
    'shape': [(4, 3, 5)],
    'n_components': [2],
    'per_component': [False, True],
    'activation': [None, 'tanh'],
    'dtypes': [(numpy.float16, numpy.float16), (numpy.float16, numpy.float32),
               (numpy.float32, numpy.float32)],
})))
@testing.inject_backend_tests(None, [{}, {'use_cuda': True}])
class TestSecondOrder(testing.FunctionTestCase):

    """Value, gradients and double gradients; the posterior is held fixed."""

    eps = 2e-2

    def setUp(self):
        # chainer.testing draws its upstream gradients from numpy.random.
        numpy.random.seed(_SEED)
        self.tau = _posterior(numpy.random, self.shape, self.n_components)
        half = numpy.float16 in self.dtypes
        options = ({'atol': 5e-2, 'rtol': 5e-2} if half
                   else {'atol': 1e-4, 'rtol': 1e-4})
        self.check_forward_options = options
        self.check_backward_options = options
        self.check_double_backward_options = options

    def generate_inputs(self):
        affine = self.shape[1:2]
        if self.per_component:
            affine = (self.n_components,) + affine
        x_dtype, affine_dtype = self.dtypes
        return (numpy.random.uniform(-1, 1, self.shape).astype(x_dtype),) + (
            tuple(numpy.random.uniform(.5, 1.5, (3,) + affine).astype(
                affine_dtype)))

    def forward(self, inputs, device):
        x, gamma, beta, delta = inputs
        return mixnorm.functions.mixture_normalization(
            x, gamma, beta, device.send(self.tau), self.eps,
            self.activation and getattr(F, self.activation), delta=delta),

    def forward_expected(self, inputs):
        x, gamma, beta, delta = inputs
        rows, tau = equations.points(x), equations.points(self.tau)
        return equations.activation(equations.second_order_sum(
            rows, gamma, beta, delta, tau, *equations.statistics(rows, tau),
            self.eps, self.activation and getattr(numpy, self.activation)),
            x.shape).astype(x.dtype),


@pytest.mark.parametrize('f', [None, 'tanh'])
@pytest.mark.parametrize('per_component', [False, True])
@pytest.mark.parametrize('shape', [(7, 3), (2, 3, 2, 3)], ids=str)
def test_queue(shape, per_component, f):
    random = numpy.random.RandomState(_SEED)
    x = 2 * random.randn(*shape)
    n_components, factors = 2, numpy.array([.7, .3])
    affine = (n_components, 3) if per_component else (3,)
    gamma, beta, delta = random.randn(3, *affine)
    queue = [numpy.array([[.4, .6], [1, 0]]),
             random.randn(2, n_components, 3),
             random.uniform(.5, 2, (2, n_components, 3))]
    numpy_f = f and getattr(numpy, f)

    def outputs(rows, posteriors):
        parts = [equations.second_order_sum(
            rows, gamma, beta, delta, tau, *entry, 2e-5, numpy_f)
            for tau, entry in zip(posteriors, zip(*queue))]
        return factors[0] * parts[0] + factors[1] * parts[1]

    rows = equations.points(x)
    posteriors = equations.queue_posteriors(x, *queue)
    variables = [chainer.Variable(z) for z in (x, gamma, beta, delta)]
    y = mixnorm.functions.fixed_mixture_normalization(
        *variables[:3], *queue, factors, activation=f and getattr(F, f),
        delta=variables[3])
    numpy.testing.assert_allclose(
        equations.points(y.array), outputs(rows, posteriors), rtol=1e-10)

    # Posterior and statistics are constants: every value has a slope of its
    # own, which a small step in all of them shows.
    F.sum(y).backward()
    h = 1e-6
    numpy.testing.assert_allclose(
        equations.points(variables[0].grad),
        (outputs(rows + h, posteriors) - outputs(rows - h, posteriors))
        / (2 * h), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('dtype', ['e', 'f', 'd'])
@pytest.mark.parametrize('f', [None, F.tanh])
@pytest.mark.parametrize('per_component', [False, True])
def test_zero_weight_changes_nothing(per_component, f, dtype):
    random = numpy.random.RandomState(_SEED)
    # With activations at which squares overflow in half precision.
    x = (1e4 * random.randn(40, 3, 2)).astype(dtype)
    x[0] = 6e4
    affine = (2, 3) if per_component else (3,)
    gamma, beta = random.randn(2, *affine).astype(dtype)
    delta = chainer.Variable(numpy.zeros(affine, dtype))
    tau = _posterior(random, x.shape, 2)
    queue = (numpy.array([[.4, .6]]), 1e3 * random.randn(1, 2, 3),
             random.uniform(.5e4, 2e4, (1, 2, 3)), numpy.ones(1))
    for function, arguments in (
            (mixnorm.functions.mixture_normalization, (tau,)),
            (mixnorm.functions.fixed_mixture_normalization, queue)):
        expected = function(x, gamma, beta, *arguments, activation=f)
        assert numpy.isfinite(expected.array).all()
        y = function(x, gamma, beta, *arguments, activation=f, delta=delta)
        numpy.testing.assert_array_equal(y.array, expected.array)
        if dtype == 'd' and f is None:
            delta.cleargrad()
            F.sum(y ** 2).backward()
            assert (delta.grad != 0).all()


def test_one_component():
    random = numpy.random.RandomState(_SEED)
    x = random.randn(30, 3, 2)
    gamma, beta, delta = random.randn(3, 3)
    xhat = ((x - x.mean(axis=(0, 2), keepdims=True))
            / numpy.sqrt(x.var(axis=(0, 2), keepdims=True) + 2e-5))
    y = mixnorm.functions.mixture_normalization(
        x, gamma, beta, numpy.ones((30, 1, 2)), delta=delta)
    numpy.testing.assert_allclose(
        y.array, gamma[:, None] * xhat + beta[:, None]
        + delta[:, None] / numpy.sqrt(2) * (xhat ** 2 - 1), rtol=1e-10)


@pytest.mark.parametrize('f', [None, F.tanh])
@pytest.mark.parametrize('shape,dtype', [
    ((2,), 'f'), ((2, 3), 'f'), ((), 'f'), ((3,), 'd'), ((3,), 'i')], ids=str)
def test_type_error(shape, dtype, f):
    x, gamma = numpy.ones((4, 3, 2), 'f'), numpy.ones(3, 'f')
    queue = [numpy.ones(z, 'f') for z in ((1, 2), (1, 2, 3), (1, 2, 3), 1)]
    delta = numpy.ones(shape, dtype)
    with pytest.raises(type_check.InvalidType, match='delta'):
        mixnorm.functions.mixture_normalization(
            x, gamma, gamma, numpy.ones((4, 2, 2), 'f'), activation=f,
            delta=delta)
    with pytest.raises(type_check.InvalidType, match='delta'):
        mixnorm.functions.fixed_mixture_normalization(
            x, gamma, gamma, *queue, activation=f, delta=delta)


testing.run_module(__name__, __file__)
