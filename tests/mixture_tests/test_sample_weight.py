"""Weighted points: scikit-learn's fits to repeated ones are the oracle."""
import warnings

import numpy
import pytest
from sklearn.mixture import GaussianMixture

from mixnorm.mixture import DiagonalGaussianMixture


def _case(seed, dtype='d', shift=0.):
    random = numpy.random.RandomState(seed)
    groups = 3 * random.randn(3, 4)
    X = (groups[random.randint(3, size=150)] + random.randn(150, 4) + shift)
    counts = random.randint(0, 4, 150)
    start = (numpy.full(3, 1 / 3), groups + shift + .5 * random.randn(3, 4),
             random.uniform(.5, 2, (3, 4)))
    return X.astype(dtype), counts, start


def _ours(start, **options):
    return DiagonalGaussianMixture(3, **dict(zip(
        ('weights_init', 'means_init', 'covariances_init'), start)),
        **options)


def _scikit_learns(X, start, **options):
    gm = GaussianMixture(
        3, covariance_type='diag', weights_init=start[0],
        means_init=start[1], precisions_init=1 / start[2], **options)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # It has not converged.
        return gm.fit(X)


@pytest.mark.parametrize('dtype,tolerance', [('f', 2e-4), ('d', 1e-9)])
@pytest.mark.parametrize('n_iter', [1, 4])
@pytest.mark.parametrize('seed', range(3))
def test_integers_are_repetitions(seed, n_iter, dtype, tolerance):
    X, counts, start = _case(seed, dtype)
    options = {'max_iter': n_iter, 'tol': 0, 'reg_covar': 1e-6}
    ours = _ours(start, **options).fit(X, sample_weight=counts)
    repeated = X.astype('d').repeat(counts, axis=0)
    theirs = _scikit_learns(repeated, start, **options)
    for name in ('weights_', 'means_', 'covariances_', 'lower_bound_'):
        numpy.testing.assert_allclose(
            getattr(ours, name), getattr(theirs, name), rtol=tolerance,
            atol=tolerance, err_msg=name)
    numpy.testing.assert_allclose(
        ours.score(X, sample_weight=counts), theirs.score(repeated),
        rtol=tolerance)


def test_any_weights_by_the_equations():
    X, _, (weights, means, variances) = _case(0)
    w = numpy.random.RandomState(1).exponential(size=150)
    log_joint = (-.5 * ((X[:, None] - means) ** 2 / variances
                        + numpy.log(2 * numpy.pi * variances)).sum(axis=2)
                 + numpy.log(weights))
    density = numpy.exp(log_joint).sum(axis=1)
    tau = w[:, None] * numpy.exp(log_joint) / density[:, None]
    gm = _ours((weights, means, variances), max_iter=1, tol=0,
               reg_covar=0).fit(X, sample_weight=w)
    numpy.testing.assert_allclose(
        gm.weights_, tau.sum(axis=0) / w.sum(), rtol=1e-10)
    mean = tau.T @ X / tau.sum(axis=0)[:, None]
    numpy.testing.assert_allclose(gm.means_, mean, rtol=1e-10)
    numpy.testing.assert_allclose(gm.covariances_, [
        tau[:, k] @ (X - mean[k]) ** 2 / tau[:, k].sum()
        for k in range(3)], rtol=1e-9)
    numpy.testing.assert_allclose(
        gm.lower_bound_, w @ numpy.log(density) / w.sum(), rtol=1e-10)


@pytest.mark.parametrize('dtype', ['f', 'd'])
@pytest.mark.parametrize('factor', [1e-3, 1e-60, 1e60])
def test_common_factor_changes_nothing(factor, dtype):
    X, _, start = _case(0)
    w = numpy.random.RandomState(1).exponential(size=150)
    one, other = (_ours(start, max_iter=3, tol=0).fit(
        X.astype(dtype), sample_weight=z * w) for z in (1, factor))
    tolerance = 1e-9 if dtype == 'd' else 1e-4
    for name in ('means_', 'weights_', 'covariances_', 'lower_bound_'):
        numpy.testing.assert_allclose(
            getattr(other, name), getattr(one, name), rtol=tolerance)


@pytest.mark.parametrize('shift', [1e4, 1e6])
def test_far_from_the_origin(shift):
    X, counts, start = _case(0, shift=shift)
    near, _, near_start = _case(0)
    options = {'max_iter': 3, 'tol': 0}
    far = _ours(start, **options).fit(X, sample_weight=counts)
    expected = _ours(near_start, **options).fit(near, sample_weight=counts)
    numpy.testing.assert_allclose(
        far.covariances_, expected.covariances_, rtol=1e-7)


def test_activation():
    X, counts, _ = _case(0)
    x = X.reshape(15, 10, 4).transpose(0, 2, 1)
    options = {'random_state': 0, 'max_iter': 5}
    expected = DiagonalGaussianMixture(3, **options).fit(
        X, sample_weight=counts)
    actual = DiagonalGaussianMixture(3, **options).fit(
        x, sample_weight=counts.reshape(15, 10))
    numpy.testing.assert_allclose(actual.means_, expected.means_, rtol=1e-9)


@pytest.mark.parametrize('init', [
    'k-means++', 'k-means||', 'afk-mc2', 'random'])
def test_points_of_no_weight_are_not_there(init):
    X, _, _ = _case(0)
    w = numpy.r_[numpy.ones(100), numpy.zeros(50)]
    X[100:] = 1e3
    for seed in range(3):
        gm = DiagonalGaussianMixture(
            5, init=init, random_state=seed, kmeans_iter=0, max_iter=1,
            tol=0).fit(X, sample_weight=w)
        assert abs(gm.means_).max() < 50
        assert abs(gm.covariances_).max() < 100


@pytest.mark.parametrize('method', ['fit', 'score'])
@pytest.mark.parametrize('weight,message', [
    (-numpy.ones(150), 'sample_weight holds values that are negative'),
    (numpy.full(150, numpy.nan), 'sample_weight holds values .*not finite'),
    (numpy.zeros(150), 'sample_weight is zero for every point'),
    (numpy.ones(149), r'sample_weight has shape \(149,\).*\(150,\)'),
    (numpy.ones((150, 1)), r'sample_weight has shape \(150, 1\)'),
    (['a'] * 150, 'sample_weight is no array of numbers'),
], ids=['negative', 'nan', 'zeros', 'short', 'matrix', 'text'])
def test_bad_weights(method, weight, message):
    X, _, _ = _case(0)
    gm = DiagonalGaussianMixture(2, random_state=0).fit(X)
    means = gm.means_
    with pytest.raises(ValueError, match=message):
        getattr(gm, method)(X, sample_weight=weight)
    assert gm.means_ is means
