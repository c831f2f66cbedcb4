import functools

import numpy
import pytest
from sklearn.mixture import GaussianMixture

from mixnorm.compute.layout import stack
from mixnorm.compute.parameters import Parameters
from mixnorm.mixture.statistics import (
    add, em_statistics, lloyd_statistics, to_parameters)


def _case(dtype='d', shift=0.):
    random = numpy.random.RandomState(0)
    X = 2 * random.randn(400, 3) + shift
    parameters = Parameters(
        numpy.array([.5, .3, .2]), 2 * random.randn(3, 3) + shift,
        random.uniform(.5, 2, (3, 3)))
    return X.astype(dtype), Parameters(*(z.astype(dtype) for z in parameters))


@pytest.mark.parametrize('weighted', [False, True])
def test_parts_add_up(weighted):
    X, parameters = _case(shift=100)
    w = numpy.random.RandomState(1).uniform(size=400) if weighted else None
    parts = [em_statistics(
        stack(X[part]), None if w is None else w[None, part], parameters)
        for part in (slice(0, 1), slice(1, 150), slice(150, 400))]
    whole = em_statistics(
        stack(X), None if w is None else w[None], parameters)
    for a, b in zip(functools.reduce(add, parts), whole):
        numpy.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-9)


@pytest.mark.filterwarnings('ignore::sklearn.exceptions.ConvergenceWarning')
@pytest.mark.parametrize('dtype,shift,tolerance', [
    ('d', 0, 1e-10), ('d', 1e5, 1e-6), ('f', 0, 1e-4), ('f', 1e3, 1e-2)])
def test_em_is_scikit_learns(dtype, shift, tolerance):
    X, parameters = _case(dtype, shift)
    # About 0, where scikit-learn is exact.
    near = X.astype('d') - shift
    weights, means, variances = (z.astype('d') for z in parameters)
    gm = GaussianMixture(
        3, covariance_type='diag', weights_init=weights / weights.sum(),
        means_init=means - shift, precisions_init=1 / variances, max_iter=1,
        tol=1e9, reg_covar=0).fit(near)
    found = em_statistics(stack(X), None, parameters)
    assert all(z.dtype == 'd' for z in found)
    actual = to_parameters(found, parameters.means, 0)
    numpy.testing.assert_allclose(
        actual.weights, gm.weights_, rtol=tolerance)
    numpy.testing.assert_allclose(
        actual.means.astype('d') - shift, gm.means_, atol=10 * tolerance)
    numpy.testing.assert_allclose(
        actual.variances, gm.covariances_, rtol=10 * tolerance)
    numpy.testing.assert_allclose(
        found.log_density / 400, gm.lower_bound_, rtol=10 * tolerance)


def test_lloyd_is_the_means_of_the_nearest():
    X, parameters = _case()
    w = numpy.random.RandomState(1).uniform(size=400)
    centers = parameters.means
    labels = ((X[:, None] - centers) ** 2).sum(axis=2).argmin(axis=1)
    found = to_parameters(
        lloyd_statistics(stack(X), w[None], centers), centers, 1e-3)
    for k in range(3):
        share = w * (labels == k)
        mean = share @ X / share.sum()
        numpy.testing.assert_allclose(found.means[k], mean, rtol=1e-9)
        numpy.testing.assert_allclose(
            found.variances[k],
            share @ (X - mean) ** 2 / share.sum() + 1e-3, rtol=1e-9)
        numpy.testing.assert_allclose(
            found.weights[k], share.sum() / w.sum(), rtol=1e-9)


def test_component_without_points_stays():
    X, _ = _case()
    centers = numpy.array([[0., 0., 0.], [1e3, 1e3, 1e3]])
    found = to_parameters(
        lloyd_statistics(stack(X), None, centers), centers, .1)
    assert found.weights.tolist() == [1, 0]
    numpy.testing.assert_array_equal(found.means[1], centers[1])
    numpy.testing.assert_array_equal(found.variances[1], .1)
