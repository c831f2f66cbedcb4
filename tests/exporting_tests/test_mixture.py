"""Queues in which digits are easily lost, exported to ONNX."""

import chainer
import mixnorm
import numpy
import pytest

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')

from exporting_tests.runtimes import (  # NOQA
    export, in_onnxruntime, in_reference, in_test_mode)
from functions_tests import equations  # NOQA

_EPS = 2e-5

every_runtime = pytest.mark.parametrize(
    'run', [in_onnxruntime, in_reference])


class _Queue(chainer.Link):

    """Normalizes by a given queue."""

    def __init__(self, weights, means, variances):
        super().__init__()
        n_entries, _, n_channels = numpy.shape(means)
        self.arrays = [numpy.asarray(z, numpy.float32) for z in (
            weights, means, variances,
            numpy.arange(n_entries, 0, -1) / sum(range(n_entries + 1)))]
        with self.init_scope():
            self.gamma = chainer.Parameter(
                numpy.linspace(.5, 1.5, n_channels).astype('f'))
            self.beta = chainer.Parameter(
                numpy.linspace(-1, 1, n_channels).astype('f'))

    def forward(self, x):
        return mixnorm.functions.fixed_mixture_normalization(
            x, self.gamma, self.beta, *self.arrays, _EPS)

    def expected(self, x):
        """Eq. (38) in float64, without least variances."""
        x, gamma, beta, *queue, factors = (
            numpy.asarray(z, numpy.float64) for z in (
                x, self.gamma.array, self.beta.array, *self.arrays))
        return equations.fixed_mixture_normalization(
            x, gamma, beta, equations.queue_posteriors(x, *queue), *queue,
            factors, _EPS)


def _check(run, link, x, expected):
    y = run(export(link, x), x)
    assert y.dtype == x.dtype
    numpy.testing.assert_allclose(
        y, expected, rtol=0, atol=2e-5 * max(1, abs(expected).max()))


def _random_queue(random, n_entries, n_components, n_channels, distance):
    """Entries of unlike mixtures, their components some deviations apart."""
    weights = random.dirichlet(5 * numpy.ones(n_components), n_entries)
    shape = n_entries, n_components, n_channels
    means = distance * random.normal(size=shape)
    return weights, means, random.uniform(.5, 2, shape)


@every_runtime
@pytest.mark.parametrize('n_channels, distance, offset', [
    # Expanded squares of all components.
    (4, 1, 0),
    # Far from the origin, in units of deviations.
    (4, 1, 1000),
    # Far from each other: no expansion.
    (64, 10, 0), (4, 300, -2000)])
def test_by_the_equation(n_channels, distance, offset, run):
    random = numpy.random.RandomState(0)
    weights, means, variances = _random_queue(
        random, 3, 2, n_channels, distance)
    means += offset
    link = _Queue(weights, means, variances)
    # Points of all components.
    x = (means[:, :, None] + random.normal(
        size=(3, 2, 20, n_channels))).reshape(24, 5, n_channels)
    x = x.swapaxes(1, 2).astype('f')
    _check(run, link, x, link.expected(x))


@every_runtime
def test_components_near_each_other_and_far_from_a_third(run):
    """Their posteriors are uncertain, and squares from amid them large."""
    random = numpy.random.RandomState(5)
    means = numpy.array([[[100.] * 4, [101.] * 4, [-200.] * 4]])
    link = _Queue([[.3, .3, .4]], means, numpy.full((1, 3, 4), 1.))
    x = (100.5 + random.normal(size=(12, 4, 3))).astype('f')
    _check(run, link, x, link.expected(x))


@every_runtime
def test_far_narrow_components_beside_wide_ones(run):
    random = numpy.random.RandomState(1)
    weights, means, variances = _random_queue(random, 2, 3, 4, 2)
    means[:, 1] += 500
    variances[:, 1] = 1e-2
    link = _Queue(weights, means, variances)
    x = random.normal(size=(12, 4)).astype('f')
    x[::2] += means[0, 1].astype('f')
    # The least variance is the widest distance's, as in the library, whose
    # own rounding in float32 would be as large as the tolerance.
    _check(run, link, x, in_test_mode(link, x.astype('d')))


@every_runtime
def test_absent_components(run):
    random = numpy.random.RandomState(2)
    weights, means, variances = _random_queue(random, 2, 3, 4, 2)
    weights[0], weights[1] = [.4, 0, .6], [1, 0, 0]
    # Whatever moments.
    means[:, 1], variances[0, 1] = 1e4, 0
    link = _Queue(weights, means, variances)
    x = random.normal(size=(12, 4, 3)).astype('f')
    x[0] = 1e4
    kept = _Queue(weights[:, [0, 2]], means[:, [0, 2]],
                  variances[:, [0, 2]])
    _check(run, link, x, kept.expected(x))


@every_runtime
def test_channels_that_did_not_vary(run):
    random = numpy.random.RandomState(3)
    weights, means, variances = _random_queue(random, 2, 2, 4, 2)
    means[:, :, 1], variances[:, :, 1] = 3, 0
    link = _Queue(weights, means, variances)
    x = random.normal(size=(12, 4, 3)).astype('f')
    x[:, 1] = 3
    # It tells nothing: the posterior is the other channels'.
    others = [0, 2, 3]
    tau = equations.queue_posteriors(
        x[:, others].astype('d'), weights, means[..., others],
        variances[..., others])
    expected = equations.fixed_mixture_normalization(
        x.astype('d'), link.gamma.array, link.beta.array, tau, weights, means,
        variances, link.arrays[3], _EPS)
    _check(run, link, x, expected)
    # Also of a point whose square there is beyond float32.
    x[0, 1, 0] = 1e30
    _check(run, link, x, in_test_mode(link, x))


@every_runtime
def test_component_of_one_point(run):
    """Its slopes are eps' alone, and thousands."""
    random = numpy.random.RandomState(6)
    point = random.normal(size=4)
    link = _Queue([[.995, .005]], [[[3.] * 4, point]], [[[1.] * 4, [0.] * 4]])
    x = numpy.stack([point, [3.] * 4]).astype('f')
    y = run(export(link, x), x)
    numpy.testing.assert_allclose(y[0], link.beta.array, atol=2e-5)


@every_runtime
@pytest.mark.filterwarnings('ignore:overflow')
def test_points_beyond_all_densities(run):
    """Components that are present are alike there, and absent ones are not."""
    random = numpy.random.RandomState(4)
    weights, means, variances = _random_queue(random, 1, 3, 4, 2)
    weights[0] = [.4, 0, .6]
    link = _Queue(weights, means, variances)
    x = numpy.full((2, 4), 1e25, 'f')
    expected = sum(
        .5 / numpy.sqrt(weights[0, k]) / numpy.sqrt(variances[0, k] + _EPS)
        for k in (0, 2)) * x * link.gamma.array
    _check(run, link, x, expected)
