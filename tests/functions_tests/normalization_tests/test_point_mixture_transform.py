"""Float32 where float32 is narrow: far offsets, narrow components.

The functions of the same float32 numbers, computed in float64 by the
equations, are what is expected.
"""
import chainer
import numpy
import pytest

import mixnorm
from functions_tests import equations


_SEED = 0
_EPS = 2e-5


def _far_channels(random, shape):
    """Each channel somewhere else, some at 1e4 with a deviation of 0.1."""
    x = random.randn(*shape)
    offsets = numpy.resize([0, 1e4, -1e4, 3, -700, 1e4], shape[1])
    scales = numpy.resize([1, .1, 1, 1e-2, .5, 30], shape[1])
    spatial = (1,) * (len(shape) - 2)
    return (x * scales.reshape((1, -1) + spatial)
            + offsets.reshape((1, -1) + spatial))


def _unlike_beginning(random, shape):
    """The first half of the samples does not tell where the rest lie."""
    x = .1 * random.randn(*shape)
    x[shape[0] // 2:] += 300
    return x


def _constant_beginning(random, shape):
    x = random.randn(*shape) + 1e3
    x[:max(1, shape[0] // 8)] = 0
    return x


def _rectified(random, shape):
    return numpy.maximum(random.randn(*shape) - 1, 0)


def _outlier(random, shape):
    x = random.randn(*shape)
    x[(-1,) + (0,) * (len(shape) - 1)] = 1e5
    return x


_LAYOUTS = [_far_channels, _unlike_beginning, _constant_beginning,
            _rectified, _outlier]
_SHAPES = [(400, 6), (16, 6, 5, 5), (6, 3, 40), (64, 40, 3, 3)]


def _hard_and_soft(random, shape):
    """Two components of the halves of the batch, each divided softly."""
    share = random.uniform(.2, .8, (shape[0], 1) + shape[2:])
    half = numpy.zeros_like(share)
    half[:shape[0] // 2] = 1
    return numpy.concatenate(
        [half * share, half * (1 - share),
         (1 - half) * share, (1 - half) * (1 - share)], axis=1)


def _assert_close(actual, expected, tolerance, name):
    # In units of the channel's own largest: gradients differ between
    # channels as their scales do.
    axes = (0,) + tuple(range(2, expected.ndim))
    scale = abs(expected).max(axis=axes, keepdims=True)
    error = (abs(actual - expected) / (scale + 1e-12)).max()
    assert error < tolerance, f'{name}: {error}'


@pytest.mark.parametrize('layout', _LAYOUTS)
@pytest.mark.parametrize('shape', _SHAPES, ids=str)
def test_batch_statistics(shape, layout):
    random = numpy.random.RandomState(_SEED)
    x = layout(random, shape).astype('f')
    gy = random.randn(*shape).astype('f')
    gamma, beta = random.uniform(.5, 1.5, (2, shape[1])).astype('f')
    tau = _hard_and_soft(random, shape).astype('f')
    variables = [chainer.Variable(z) for z in (x, gamma, beta)]
    y = mixnorm.functions.mixture_normalization(*variables, tau, _EPS)
    y.grad = gy
    y.backward()
    expected = equations.mixture_normalization(x, gamma, beta, tau, _EPS)
    # 1e4 is held to 0.001, which is a hundredth of the deviation there.
    _assert_close(y.array, expected, 1e-2, 'y')
    gx, ggamma, gbeta = equations.mixture_normalization_gradients(
        x, gamma, tau, _EPS, gy)
    _assert_close(variables[0].grad, gx, 1e-2, 'gx')
    numpy.testing.assert_allclose(
        variables[1].grad, ggamma, rtol=1e-2, atol=1e-2 * abs(ggamma).max())
    numpy.testing.assert_allclose(
        variables[2].grad, gbeta, rtol=1e-4, atol=1e-4 * abs(gbeta).max())


@pytest.mark.parametrize('layout', _LAYOUTS)
@pytest.mark.parametrize('shape', _SHAPES, ids=str)
def test_queue(shape, layout):
    random = numpy.random.RandomState(_SEED)
    x = layout(random, shape).astype('f')
    gamma, beta = random.uniform(.5, 1.5, (2, shape[1])).astype('f')
    # The mixtures of the halves of two batches of the same layout.
    rows = [equations.points(layout(random, shape)) for _ in range(2)]
    halves = [numpy.array_split(r, 2) for r in rows]
    queue = [
        numpy.full((2, 2), .5),
        numpy.array([[h.mean(axis=0) for h in pair] for pair in halves]),
        numpy.array([[h.var(axis=0) + 1e-3 * r.var(axis=0)
                      for h in pair] for pair, r in zip(halves, rows)])]
    queue = [z.astype('f') for z in queue]
    factors = numpy.array([.6, .4], 'f')
    y = mixnorm.functions.fixed_mixture_normalization(
        x, gamma, beta, *queue, factors, _EPS)
    expected = equations.fixed_mixture_normalization(
        x, gamma, beta, equations.queue_posteriors(
            x, *[z.astype('d') for z in queue]), *queue, factors, _EPS)
    _assert_close(y.array, expected, 1e-2, 'y')


@pytest.mark.parametrize('distance', [10, 100, 250, 1000])
def test_posterior_between_narrow_components_far_away(distance):
    # Two of the components overlap, far from the third in deviations.
    random = numpy.random.RandomState(_SEED)
    means = numpy.array([0, distance, distance + 1.])[:, None]
    x = (means[random.randint(3, size=600)]
         + random.randn(600, 1)).astype('f')
    queue = numpy.ones((1, 3)) / 3, means[None], numpy.ones((1, 3, 1))
    gamma, beta = numpy.ones(1, 'f'), numpy.zeros(1, 'f')
    y = mixnorm.functions.fixed_mixture_normalization(
        x, gamma, beta, *[z.astype('f') for z in queue],
        numpy.ones(1, 'f'))
    expected = equations.fixed_mixture_normalization(
        x, gamma, beta, equations.queue_posteriors(x, *queue), *queue,
        numpy.ones(1), 2e-5)
    numpy.testing.assert_allclose(y.array, expected, atol=1e-2)


def test_half_precision_input():
    # Sums of many float16 values, which end at 65504.
    random = numpy.random.RandomState(_SEED)
    x = (random.randn(64, 3, 40, 40) + 60).astype('e')
    gy = random.randn(*x.shape).astype('e')
    tau = random.uniform(.1, 1, (64, 2, 40, 40))
    tau = (tau / tau.sum(axis=1, keepdims=True)).astype('e')
    v = chainer.Variable(x)
    gamma, beta = numpy.ones(3, 'f'), numpy.zeros(3, 'f')
    y = mixnorm.functions.mixture_normalization(v, gamma, beta, tau)
    y.grad = gy
    y.backward()
    assert y.dtype == v.grad.dtype == numpy.float16
    numpy.testing.assert_allclose(
        y.array, equations.mixture_normalization(
            x, gamma, beta, tau, 2e-5), rtol=2e-3, atol=2e-3)
    numpy.testing.assert_allclose(
        v.grad, equations.mixture_normalization_gradients(
            x, gamma, tau, 2e-5, gy)[0], rtol=2e-3, atol=2e-3)
