import numpy
import pytest
from scipy import stats

from mixnorm.mixture.expectation_maximization import (
    batch_statistics, discard, estimate, expectation_maximization_step,
    Parameters, posterior)
from mixnorm.mixture.stack import stack


_PARAMETERS = Parameters(
    numpy.array([.2, .5, .3]),
    numpy.array([[0., 1.], [2., -1.], [-3., 4.]]),
    numpy.array([[1., .5], [2., 3.], [.1, 1.]]))


def _points(n_points=50, seed=0):
    return 3 * numpy.random.RandomState(seed).randn(n_points, 2)


def test_posterior_and_log_density():
    X = _points()
    joint = numpy.stack([
        weight * stats.norm.pdf(X, mean, variance ** .5).prod(axis=1)
        for weight, mean, variance in zip(*_PARAMETERS)], axis=1)
    tau, log_density = posterior(stack(X), _PARAMETERS)
    numpy.testing.assert_allclose(
        tau[0].T, joint / joint.sum(axis=1, keepdims=True), atol=1e-12)
    numpy.testing.assert_allclose(
        log_density[0], numpy.log(joint.sum(axis=1)), rtol=1e-10)


def test_posterior_far_from_every_component():
    # All densities underflow; the nearest component in deviations has it.
    tau, log_density = posterior(
        stack(numpy.array([[1e6, 0.]])), _PARAMETERS)
    numpy.testing.assert_array_equal(tau[0, :, 0], [0, 1, 0])
    assert numpy.isfinite(log_density).all()


def test_absent_component_takes_no_part():
    absent = _PARAMETERS._replace(weights=numpy.array([.4, 0, .6]))
    others = Parameters(*(z[[0, 2]] for z in absent))
    X = stack(_points())
    tau, log_density = posterior(X, absent)
    expected, expected_density = posterior(X, others)
    numpy.testing.assert_array_equal(tau[:, 1], 0)
    numpy.testing.assert_allclose(tau[:, [0, 2]], expected, rtol=1e-12)
    numpy.testing.assert_allclose(log_density, expected_density)


@pytest.mark.parametrize('shape', [
    (7, 3), (5, 3, 4), (60000, 4), (2, 3, 250, 300), (900, 40, 2, 3)], ids=str)
@pytest.mark.parametrize('dtype', ['e', 'f', 'd'])
def test_statistics_are_weighted_moments(shape, dtype):
    random = numpy.random.RandomState(0)
    x = (random.randn(*shape) + 5).astype(dtype)
    x[shape[0] // 2:] *= 2
    tau = random.uniform(0, 1, (shape[0], 3) + shape[2:])
    tau /= tau.sum(axis=1, keepdims=True)
    working = 'f' if dtype == 'e' else dtype
    found = batch_statistics(stack(x), stack(tau.astype(working)))

    rows = numpy.moveaxis(x.astype('d'), 1, -1).reshape(-1, shape[1])
    share = numpy.moveaxis(tau, 1, -1).reshape(-1, 3)
    tolerance = 1e-10 if dtype == 'd' else 2e-5
    numpy.testing.assert_allclose(
        found.weights, share.mean(axis=0), rtol=tolerance)
    for k in range(3):
        mean = numpy.average(rows, axis=0, weights=share[:, k])
        variance = numpy.average(
            (rows - mean) ** 2, axis=0, weights=share[:, k])
        numpy.testing.assert_allclose(
            found.means[k], mean, rtol=tolerance, err_msg=str(k))
        numpy.testing.assert_allclose(
            found.variances[k], variance, rtol=tolerance, err_msg=str(k))
    assert all(z.dtype == working for z in found)


def test_float32_moments_far_from_the_origin():
    random = numpy.random.RandomState(0)
    x = (1e4 + .1 * random.randn(64, 3, 8, 8)).astype('f')
    tau = numpy.ones((64, 1, 8, 8), 'f')
    found = batch_statistics(stack(x), stack(tau))
    exact = x.astype('d')
    numpy.testing.assert_allclose(
        found.means[0], exact.mean(axis=(0, 2, 3)), rtol=1e-7)
    numpy.testing.assert_allclose(
        found.variances[0], exact.var(axis=(0, 2, 3)), rtol=1e-4)


def test_component_without_points():
    x = stack(_points(4))
    tau = numpy.zeros((1, 2, 4))
    tau[:, 0] = 1
    fallback = numpy.array([[7., 7.], [8., 9.]])
    found = estimate(x, tau, numpy.zeros(2), fallback)
    numpy.testing.assert_array_equal(found.weights, [1, 0])
    numpy.testing.assert_array_equal(found.means[1], [8, 9])
    numpy.testing.assert_array_equal(found.variances[1], 0)


def test_step_raises_the_likelihood():
    X = stack(_points())
    parameters, bounds = _PARAMETERS, []
    for _ in range(8):
        parameters, bound = expectation_maximization_step(
            X, parameters, 0, numpy.zeros(2))
        bounds.append(float(bound))
    assert (numpy.diff(bounds) > -1e-12).all(), bounds


@pytest.mark.parametrize('weights,min_weight,expected', [
    ([.5, .495, .005], .01, [.5 / .995, .495 / .995, 0]),
    ([.5, .49, .01], .01, [.5, .49, .01]),  # Not smaller.
    ([.5, .5, 0], 0, [.5, .5, 0]),
    ([.3, .4, .3], .9, [0, 1, 0]),  # The heaviest stays.
    ([.5, .5, 0], .9, [.5, .5, 0]),
    ([1.], .99, [1.]),
])
def test_discard(weights, min_weight, expected):
    parameters = Parameters(numpy.array(weights), None, None)
    numpy.testing.assert_allclose(
        discard(parameters, min_weight).weights, expected, rtol=1e-12)
