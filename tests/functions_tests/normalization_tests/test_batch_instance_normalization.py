"""Batch-instance normalization against its equation, one map at a time."""
import chainer
import chainer.functions as F
from chainer import testing
from chainer.utils import type_check
import numpy
import pytest

import mixnorm


_SEED = 0


def _standardized(values, mean, var, eps):
    return (values - mean) / numpy.sqrt(var + eps)


def _expected(x, gamma, beta, rho, eps, mean=None, var=None):
    """Nam & Kim's (3) in float64."""
    x = numpy.asarray(x, numpy.float64)
    y = numpy.empty(x.shape)
    for c in range(x.shape[1]):
        m = x[:, c].mean() if mean is None else mean[c]
        v = x[:, c].var() if var is None else var[c]
        for n in range(len(x)):
            instance = _standardized(
                x[n, c], x[n, c].mean(), x[n, c].var(), eps)
            batch = _standardized(x[n, c], m, v, eps)
            share = numpy.float64(rho[c])
            y[n, c] = gamma[c] * (
                share * batch + (1 - share) * instance) + beta[c]
    return y


@testing.parameterize(*(testing.product({
    'fixed': [False, True],
    'shape': [(7, 3), (5, 1), (1, 3, 4), (4, 3, 5), (3, 2, 2, 3),
              (2, 3, 2, 1, 3)],
    'dtypes': [(numpy.float64, numpy.float64)],
}) + testing.product({
    'fixed': [False, True],
    'shape': [(7, 3), (3, 2, 2, 3)],
    'dtypes': [(numpy.float16, numpy.float16), (numpy.float16, numpy.float32),
               (numpy.float32, numpy.float32), (numpy.float32, numpy.float64),
               (numpy.float64, numpy.float32)],
})))
@testing.inject_backend_tests(None, [{}, {'use_cuda': True}])
@pytest.mark.filterwarnings('ignore:.*batch with no more than one')
class TestBatchInstanceNormalization(testing.FunctionTestCase):

    """Value, gradients and double gradients, of the shares as well."""

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
        inputs = (
            numpy.random.uniform(-2, 2, self.shape).astype(x_dtype),
            numpy.random.uniform(.5, 1.5, n_channels).astype(dtype),
            numpy.random.uniform(-1, 1, n_channels).astype(dtype),
            numpy.random.uniform(0, 1, n_channels).astype(dtype))
        if self.fixed:
            inputs += (
                numpy.random.uniform(-1, 1, n_channels).astype(dtype),
                numpy.random.uniform(.5, 1, n_channels).astype(dtype))
        return inputs

    def forward(self, inputs, device):
        if self.fixed:
            function = mixnorm.functions.fixed_batch_instance_normalization
        else:
            function = mixnorm.functions.batch_instance_normalization
        return function(*inputs, eps=self.eps),

    def forward_expected(self, inputs):
        y = _expected(*inputs[:4], self.eps, *inputs[4:])
        return y.astype(self.dtypes[0]),


@pytest.mark.parametrize('shape', [(6, 3), (4, 3, 5)], ids=str)
def test_ends_are_batch_and_instance_normalization(shape):
    random = numpy.random.RandomState(_SEED)
    x = random.randn(*shape).astype('f')
    gamma, beta = random.randn(2, 3).astype('f')
    normalize = mixnorm.functions.batch_instance_normalization
    numpy.testing.assert_allclose(
        normalize(x, gamma, beta, numpy.ones(3, 'f')).array,
        F.batch_normalization(x, gamma, beta).array, rtol=1e-6, atol=1e-6)
    numpy.testing.assert_allclose(
        normalize(x, gamma, beta, numpy.zeros(3, 'f')).array,
        F.group_normalization(x, 3, gamma, beta, eps=2e-5).array, rtol=1e-6,
        atol=1e-6)


def test_running_averages_are_of_mean_and_unbiased_variance():
    x = numpy.random.RandomState(_SEED).randn(4, 3, 5).astype('f')
    ones, zeros = numpy.ones(3, 'f'), numpy.zeros(3, 'f')
    mean, var = numpy.full(3, 2, 'f'), numpy.full(3, 3, 'f')
    mixnorm.functions.batch_instance_normalization(
        x, ones, zeros, ones, running_mean=mean, running_var=var, decay=.75)
    numpy.testing.assert_allclose(
        mean, 1.5 + .25 * x.mean(axis=(0, 2)), rtol=1e-5)
    numpy.testing.assert_allclose(
        var, 2.25 + .25 * x.transpose(1, 0, 2).reshape(3, -1).var(
            axis=1, ddof=1), rtol=1e-5)


@pytest.mark.parametrize('name, shape', [
    ('gamma', (2,)), ('beta', (4,)), ('rho', (1,)), ('mean', (3, 1)),
    ('var', ()), ('x', (3,)), ('x', (0, 3)), ('x', (2, 3, 0))])
def test_shapes_that_do_not_fit(name, shape):
    arguments = {key: numpy.ones(3, 'f') for key in (
        'gamma', 'beta', 'rho', 'mean', 'var')}
    arguments['x'] = numpy.ones((2, 3), 'f')
    arguments[name] = numpy.ones(shape, 'f')
    with pytest.raises(type_check.InvalidType, match=name):
        mixnorm.functions.fixed_batch_instance_normalization(**arguments)


@pytest.mark.parametrize('fixed', [False, True])
@pytest.mark.filterwarnings('error')
def test_empty_batch(fixed):
    x, gamma = numpy.empty((0, 3, 4), 'f'), numpy.ones(3, 'f')
    averages = numpy.ones((2, 3), 'f')

    def normalize(*inputs):
        if fixed:
            return mixnorm.functions.fixed_batch_instance_normalization(
                *inputs, *averages)
        return mixnorm.functions.batch_instance_normalization(
            *inputs, 2e-5, *averages)

    with pytest.raises(type_check.InvalidType):
        normalize(x, gamma, gamma, gamma)
    variables = [chainer.Variable(z) for z in (x, gamma, gamma, gamma)]
    with chainer.using_config('train', False):
        y = normalize(*variables)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    F.sum(y).backward()
    assert not any(v.grad.any() for v in variables)
    numpy.testing.assert_array_equal(averages, 1)


@pytest.mark.parametrize('name', ['x', 'gamma', 'beta', 'rho'])
def test_integers_are_refused(name):
    arguments = {key: numpy.ones(3, 'f') for key in ('gamma', 'beta', 'rho')}
    arguments['x'] = numpy.ones((2, 3), 'f')
    arguments[name] = arguments[name].astype('i')
    with pytest.raises(type_check.InvalidType, match=name):
        mixnorm.functions.batch_instance_normalization(**arguments)


def test_float16_does_not_overflow():
    x = 1e4 * numpy.random.RandomState(_SEED).choice(
        [-1, 1], (6, 3, 4)).astype('e')
    gamma, beta, rho = numpy.ones((3, 3), 'e') * [[1], [0], [.5]]
    y = mixnorm.functions.batch_instance_normalization(
        x, *(z.astype('e') for z in (gamma, beta, rho)))
    numpy.testing.assert_allclose(
        y.array, _expected(x, gamma, beta, rho, 2e-5), rtol=1e-2, atol=1e-2)
    assert y.dtype == numpy.float16
    assert isinstance(y, chainer.Variable)


testing.run_module(__name__, __file__)
