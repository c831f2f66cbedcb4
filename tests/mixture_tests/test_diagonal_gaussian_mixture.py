import copy
import pickle
import tracemalloc
import warnings

import chainer
from chainer import testing
import hypothesis
from hypothesis import strategies
from hypothesis.extra import numpy as arrays
import numpy
import pytest
from sklearn import mixture as sklearn_mixture
from sklearn.exceptions import ConvergenceWarning

from mixnorm.mixture import DiagonalGaussianMixture, NotFittedError

pytestmark = pytest.mark.filterwarnings(
    'ignore::sklearn.exceptions.ConvergenceWarning')

_FITTED = ('weights_', 'means_', 'covariances_', 'n_iter_', 'converged_',
           'lower_bound_', 'n_effective_', 'n_features_in_')


def _points(seed, n_points, n_dims, n_groups=3):
    random = numpy.random.RandomState(seed)
    groups = 2.5 * random.randn(n_groups, n_dims)
    deviations = random.uniform(.5, 1.5, (n_groups, n_dims))
    labels = random.randint(n_groups, size=n_points)
    return groups[labels] + deviations[labels] * random.randn(
        n_points, n_dims)


def _start(X, n_components, seed):
    random = numpy.random.RandomState(seed)
    weights = random.uniform(.5, 1.5, n_components)
    means = X[random.permutation(len(X))[:n_components]].astype('d')
    return (weights / weights.sum(), means + .1 * random.randn(*means.shape),
            random.uniform(.5, 2, means.shape))


def _scikit_learns(X, start, **kwargs):
    weights, means, covariances = start
    gm = sklearn_mixture.GaussianMixture(
        len(weights), covariance_type='diag', weights_init=weights,
        means_init=means, precisions_init=1 / covariances, **kwargs)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # It has not converged.
        return gm.fit(X)


def _ours(X, start, **kwargs):
    weights, means, covariances = start
    return DiagonalGaussianMixture(
        len(weights), weights_init=weights, means_init=means,
        covariances_init=covariances, **kwargs).fit(X)


@pytest.mark.parametrize('n_iter', range(1, 7))
@pytest.mark.parametrize('seed', range(2))
@pytest.mark.parametrize('n_points,n_dims,n_components,reg_covar', [
    (200, 3, 3, 1e-6), (60, 1, 2, 1e-6), (30, 8, 4, 1e-2), (150, 2, 1, 0)])
@pytest.mark.parametrize('dtype', ['f', 'd'])
def test_iterations_are_scikit_learns(
        dtype, n_points, n_dims, n_components, reg_covar, seed, n_iter):
    X = _points(seed, n_points, n_dims).astype(dtype)
    start = _start(X, n_components, seed)
    kwargs = {'tol': 0, 'max_iter': n_iter, 'reg_covar': reg_covar}
    ours = _ours(X, start, **kwargs)
    exact = X.astype('d')
    theirs = _scikit_learns(exact, start, **kwargs)
    new = _points(seed + 100, 40, n_dims).astype(dtype)

    # Both converge linearly, and so does a rounding of X to float32.
    tolerance = {'f': 2e-4, 'd': 1e-8}[dtype]

    def check(actual, expected, name):
        numpy.testing.assert_allclose(
            actual, expected, rtol=tolerance, atol=tolerance, err_msg=name)

    assert ours.n_iter_ == theirs.n_iter_ == n_iter
    assert not ours.converged_
    assert ours.n_features_in_ == n_dims
    assert ours.n_effective_ == n_components
    for name in ('weights_', 'means_', 'covariances_', 'lower_bound_'):
        check(getattr(ours, name), getattr(theirs, name), name)
    for name in ('weights_', 'means_', 'covariances_'):
        assert getattr(ours, name).dtype == X.dtype
    for name in ('predict_proba', 'score_samples'):
        actual = getattr(ours, name)(new)
        assert actual.dtype == X.dtype
        check(actual, getattr(theirs, name)(new.astype('d')), name)
    for name in ('score', 'bic', 'aic'):
        check(getattr(ours, name)(X), getattr(theirs, name)(exact), name)
    certain = theirs.predict_proba(new.astype('d')).max(axis=1) > .51
    numpy.testing.assert_array_equal(
        ours.predict(new)[certain], theirs.predict(new)[certain])


@pytest.mark.parametrize('tol', [1e-1, 1e-3, 1e-5])
@pytest.mark.parametrize('seed', range(3))
def test_stops_where_scikit_learn_stops(seed, tol):
    X = _points(seed, 200, 3)
    start = _start(X, 3, seed)
    ours = _ours(X, start, tol=tol, max_iter=60)
    theirs = _scikit_learns(X, start, tol=tol, max_iter=60)
    assert ours.n_iter_ == theirs.n_iter_
    assert ours.converged_ == theirs.converged_
    numpy.testing.assert_allclose(
        ours.lower_bound_, theirs.lower_bound_, rtol=1e-9)


@pytest.mark.parametrize('tol,max_iter,warned', [
    (1e-3, 2, True), (1e-3, 100, False), (0, 2, False)])
def test_warns_of_a_tolerance_not_reached(tol, max_iter, warned):
    X = _points(0, 200, 3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        gm = DiagonalGaussianMixture(
            3, random_state=0, kmeans_iter=0, tol=tol,
            max_iter=max_iter).fit(X)
    assert gm.converged_ == (tol > 0 and not warned)
    assert [(w.category, w.filename) for w in caught] == [
        (ConvergenceWarning, __file__)] * warned


@pytest.mark.parametrize('dtype', ['f', 'd'])
@pytest.mark.parametrize('seed', range(8))
def test_lower_bound_never_falls(seed, dtype):
    random = numpy.random.RandomState(seed)
    X = (_points(seed, random.randint(100, 300), random.randint(1, 6))
         + random.choice([0, 1e3])).astype(dtype)
    bounds = [
        DiagonalGaussianMixture(
            1 + seed % 5, random_state=seed, kmeans_iter=1,
            tol=0, max_iter=n, reg_covar=0).fit(X).lower_bound_
        for n in range(1, 12)]
    rounding = 1e-9 if dtype == 'd' else 1e-4
    assert (numpy.diff(bounds) > -rounding * abs(bounds[-1])).all()
    assert bounds[-1] > bounds[0] - rounding


@pytest.mark.parametrize('sample_ratio,most', [(1, 2.4), (.25, .7)])
def test_memory_of_a_fit(sample_ratio, most):
    X = numpy.random.RandomState(0).randn(20000, 200).astype('f')
    gm = DiagonalGaussianMixture(
        2, random_state=0, kmeans_iter=1, max_iter=1, tol=0,
        sample_ratio=sample_ratio)
    tracemalloc.start()
    try:
        gm.fit(X)
        kept, greatest = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert greatest < most * X.nbytes
    assert kept < .1 * X.nbytes


def test_finds_the_groups():
    random = numpy.random.RandomState(0)
    means = numpy.array([[0., 0.], [20., 0.], [0., 30.]])
    labels = random.choice(3, 600, p=[.2, .3, .5])
    X = means[labels] + random.randn(600, 2) * [1., 2.]
    gm = DiagonalGaussianMixture(3, random_state=1).fit(X)
    order = gm.weights_.argsort()
    numpy.testing.assert_allclose(
        gm.weights_[order], numpy.bincount(labels) / 600, atol=1e-6)
    for component, group in zip(order, range(3)):
        members = X[labels == group]
        numpy.testing.assert_allclose(
            gm.means_[component], members.mean(axis=0), atol=1e-5)
        numpy.testing.assert_allclose(
            gm.covariances_[component], members.var(axis=0), rtol=1e-3)
    numpy.testing.assert_array_equal(order[labels], gm.predict(X))
    assert gm.converged_


def test_random_start_takes_distinct_points():
    X = numpy.array([[0., 0.], [1., 5.], [9., 2.], [40., 40.]])
    for seed in range(5):
        gm = DiagonalGaussianMixture(
            4, init='random', random_state=seed, kmeans_iter=3, max_iter=1,
            tol=0).fit(X)
        numpy.testing.assert_allclose(
            gm.means_[gm.means_[:, 0].argsort()], X, atol=1e-6,
            err_msg=str(seed))


def test_what_is_not_given_comes_from_kmeans():
    X = _points(0, 100, 2)
    means = X[:3]
    given = DiagonalGaussianMixture(
        3, means_init=means, kmeans_iter=2, max_iter=1, tol=0).fit(X)
    # Two Lloyd iterations from there, then one of EM.
    centers = means
    for _ in range(2):
        labels = ((X[:, None] - centers) ** 2).sum(axis=2).argmin(axis=1)
        centers = numpy.stack([X[labels == k].mean(axis=0)
                               for k in range(3)])
    start = (numpy.bincount(labels) / len(X), means,
             numpy.stack([X[labels == k].var(axis=0) + 1e-6
                          for k in range(3)]))
    expected = _scikit_learns(X, start, tol=0, max_iter=1)
    numpy.testing.assert_allclose(
        given.means_, expected.means_, rtol=1e-9)
    numpy.testing.assert_allclose(
        given.covariances_, expected.covariances_, rtol=1e-9)


@pytest.mark.parametrize('shape', [
    (20, 4, 6), (10, 4, 3, 4), (6, 4, 2, 2, 5), (120, 4, 1, 1)], ids=str)
def test_activation_is_the_matrix_of_its_points(shape):
    matrix = _points(0, 120, 4)
    spatial = shape[:1] + shape[2:]
    x = numpy.moveaxis(matrix.reshape(spatial + (4,)), -1, 1)
    kwargs = {'random_state': 0, 'max_iter': 5, 'sample_ratio': .5}
    expected = DiagonalGaussianMixture(3, **kwargs).fit(matrix)
    actual = DiagonalGaussianMixture(3, **kwargs).fit(x)
    for name in ('weights_', 'means_', 'covariances_', 'lower_bound_'):
        numpy.testing.assert_allclose(
            getattr(actual, name), getattr(expected, name), rtol=1e-9,
            err_msg=name)
    numpy.testing.assert_allclose(
        numpy.moveaxis(actual.predict_proba(x), 1, -1).reshape(-1, 3),
        expected.predict_proba(matrix), atol=1e-9)
    assert actual.predict_proba(x).shape == (shape[0], 3) + shape[2:]
    assert actual.predict(x).shape == spatial
    assert actual.score_samples(x).shape == spatial
    numpy.testing.assert_array_equal(
        actual.predict(x).ravel(), expected.predict(matrix))
    numpy.testing.assert_allclose(
        actual.score_samples(x).ravel(), expected.score_samples(matrix),
        rtol=1e-9)
    for name in ('score', 'bic', 'aic'):
        numpy.testing.assert_allclose(
            getattr(actual, name)(x), getattr(expected, name)(matrix),
            rtol=1e-9, err_msg=name)


@pytest.mark.parametrize('dtype,fitted', [
    ('e', 'f'), ('f', 'f'), ('d', 'd'), ('i', 'd'), ('B', 'd'), ('?', 'd')])
def test_dtypes(dtype, fitted):
    X = (_points(0, 200, 3) + 5).astype(dtype)
    gm = DiagonalGaussianMixture(2, random_state=0).fit(X)
    exact = DiagonalGaussianMixture(2, random_state=0).fit(X.astype('d'))
    assert gm.means_.dtype == gm.predict_proba(X).dtype == fitted
    numpy.testing.assert_allclose(gm.means_, exact.means_, rtol=1e-3)
    # And asked about points of another dtype.
    for other in 'efd':
        numpy.testing.assert_allclose(
            gm.predict_proba(X.astype(other)), exact.predict_proba(X),
            atol=2e-2)


def test_lists_and_noncontiguous_arrays():
    X = _points(0, 60, 2)
    wide = numpy.zeros((120, 4))
    wide[::2, 1:3] = X
    expected = DiagonalGaussianMixture(2, random_state=0).fit(X)
    for same in (X.tolist(), wide[::2, 1:3], numpy.asfortranarray(X)):
        gm = DiagonalGaussianMixture(2, random_state=0).fit(same)
        numpy.testing.assert_allclose(
            gm.means_, expected.means_, rtol=1e-9)
        numpy.testing.assert_allclose(
            gm.predict_proba(same), expected.predict_proba(X), atol=1e-9)


@pytest.mark.parametrize('shape', [(60, 2), (15, 2, 4)], ids=str)
def test_input_is_not_modified(shape):
    X = numpy.random.RandomState(0).randn(*shape)
    X.flags.writeable = False
    start = _start(_points(0, 60, 2), 3, 0)
    kept = copy.deepcopy(start)
    for kwargs in ({}, {'sample_ratio': .5}):
        gm = _ours(X, start, max_iter=3, **kwargs)
    for f in (gm.predict_proba, gm.predict, gm.score_samples, gm.bic):
        f(X)
    for before, after in zip(kept, start):
        numpy.testing.assert_array_equal(before, after)


# Data that a mixture has no place for, every component of which has to
# remain a density all the same.
_DEGENERATE = {
    'constant channel': numpy.c_[numpy.arange(20.), numpy.full(20, 3.)],
    'all constant': numpy.full((20, 2), 7.),
    'duplicates': numpy.repeat(numpy.array([[0., 1.], [5., 2.]]), 20, 0),
    'fewer distinct points than components': numpy.repeat(
        numpy.eye(2), 10, 0),
    'one point': numpy.array([[3., -1.]]),
    'two points': numpy.array([[3., -1.], [0., 4.]]),
    'zeros': numpy.zeros((5, 3)),
    'outlier': numpy.r_[numpy.random.RandomState(0).randn(50, 2),
                        [[1e4, 1e4]]],
    'rectified': numpy.maximum(
        numpy.random.RandomState(0).randn(100, 4), 0),
}


@pytest.mark.parametrize('init', ['k-means++', 'random'])
@pytest.mark.parametrize('dtype', ['e', 'f', 'd'])
@pytest.mark.parametrize('name', sorted(_DEGENERATE))
def test_degenerate_points(name, dtype, init):
    X = _DEGENERATE[name].astype(dtype)
    for seed in range(3):
        gm = DiagonalGaussianMixture(
            4, init=init, random_state=seed, max_iter=20).fit(X)
        tau = gm.predict_proba(X)
        for z in (gm.weights_, gm.means_, gm.covariances_, gm.lower_bound_,
                  tau, gm.score_samples(X), gm.bic(X)):
            assert numpy.isfinite(z).all(), seed
        assert (gm.covariances_ > 0).all(), seed
        numpy.testing.assert_allclose(
            gm.weights_.sum(), 1, rtol=1e-5, err_msg=str(seed))
        numpy.testing.assert_allclose(
            tau.sum(axis=1), 1, rtol=1e-5, err_msg=str(seed))
        # Moments of the whole are kept, however it is divided.
        numpy.testing.assert_allclose(
            gm.weights_ @ gm.means_, X.mean(axis=0, dtype='d'),
            rtol=1e-3, atol=1e-3, err_msg=str(seed))


@pytest.mark.parametrize('seed', range(4))
def test_float32_far_from_the_origin(seed):
    X = (1e4 + .1 * _points(seed, 500, 3)).astype('f')
    single = DiagonalGaussianMixture(
        3, random_state=seed, max_iter=10, tol=0).fit(X)
    double = DiagonalGaussianMixture(
        3, random_state=seed, max_iter=10, tol=0).fit(X.astype('d'))
    numpy.testing.assert_allclose(
        single.weights_, double.weights_, atol=1e-2)
    numpy.testing.assert_allclose(
        single.means_ - 1e4, double.means_ - 1e4, atol=1e-2)
    numpy.testing.assert_allclose(
        single.covariances_, double.covariances_, rtol=.1)
    numpy.testing.assert_allclose(
        single.predict_proba(X), double.predict_proba(X), atol=.1)
    assert abs(single.score(X) - double.score(X)) < 1e-2


def test_sample_ratio():
    X = _points(0, 400, 2)
    whole = DiagonalGaussianMixture(2, random_state=0, max_iter=30).fit(X)
    part = DiagonalGaussianMixture(
        2, random_state=0, max_iter=30, sample_ratio=.25).fit(X)
    assert abs(part.means_ - whole.means_).max() > 0
    # Weights are shares of the points that were drawn.
    gm = DiagonalGaussianMixture(
        2, random_state=0, kmeans_iter=3, max_iter=1, tol=0, reg_covar=1e-9,
        sample_ratio=.25).fit(numpy.repeat([[0.], [100.]], 100, 0))
    numpy.testing.assert_allclose(
        gm.weights_ * 50, numpy.round(gm.weights_ * 50), atol=1e-9)


def test_min_weight():
    random = numpy.random.RandomState(0)
    X = numpy.r_[random.randn(500, 1), 50 + random.randn(490, 1),
                 numpy.full((10, 1), 200.) + random.randn(10, 1)]
    kept = DiagonalGaussianMixture(
        3, random_state=0, min_weight=.005).fit(X)
    assert kept.n_effective_ == 3
    numpy.testing.assert_allclose(
        sorted(kept.weights_), [.01, .49, .5], atol=1e-6)

    dropped = DiagonalGaussianMixture(
        3, random_state=0, min_weight=.02).fit(X)
    assert dropped.n_effective_ == 2
    absent = dropped.weights_.argmin()
    numpy.testing.assert_allclose(
        numpy.sort(dropped.weights_), [0, .49 / .99, .5 / .99], atol=1e-6)
    tau = dropped.predict_proba(X)
    numpy.testing.assert_array_equal(tau[:, absent], 0)
    numpy.testing.assert_allclose(tau.sum(axis=1), 1, rtol=1e-9)
    # The far points went to the component nearest to them.
    heir = dropped.means_[:, 0] > 40
    heir[absent] = False
    numpy.testing.assert_allclose(tau[-10:, heir], 1)
    # Its parameters are not counted any more.
    log_density = dropped.score_samples(X).sum()
    numpy.testing.assert_allclose(
        dropped.aic(X), -2 * log_density + 2 * (2 + 2 + 1))
    numpy.testing.assert_allclose(
        dropped.bic(X), -2 * log_density + 5 * numpy.log(1000))


def test_heaviest_component_is_kept_whatever_it_weighs():
    X = _points(0, 200, 2)
    gm = DiagonalGaussianMixture(3, random_state=0, min_weight=.99).fit(X)
    assert gm.n_effective_ == 1
    assert sorted(gm.weights_) == [0, 0, 1]
    numpy.testing.assert_array_equal(
        gm.predict(X), gm.weights_.argmax())


def test_seeds():
    X = _points(0, 200, 3, n_groups=8)

    def means(seed):
        return DiagonalGaussianMixture(
            5, random_state=seed, max_iter=3).fit(X).means_

    numpy.testing.assert_array_equal(means(0), means(0))
    numpy.testing.assert_array_equal(
        means(numpy.random.RandomState(0)), means(0))
    assert any(abs(means(s) - means(0)).max() > 1e-3 for s in range(1, 5))


def test_refit_replaces_everything():
    gm = DiagonalGaussianMixture(2, random_state=0)
    assert gm.fit(_points(0, 50, 3)) is gm
    gm.fit(_points(1, 40, 2))
    fresh = DiagonalGaussianMixture(2, random_state=0).fit(
        _points(1, 40, 2))
    for name in _FITTED:
        numpy.testing.assert_array_equal(
            getattr(gm, name), getattr(fresh, name), name)


def test_pickle_and_copy():
    X = _points(0, 50, 3)
    gm = DiagonalGaussianMixture(2, random_state=0).fit(X)
    for same in (pickle.loads(pickle.dumps(gm)), copy.deepcopy(gm)):
        numpy.testing.assert_array_equal(
            same.predict_proba(X), gm.predict_proba(X))


_NAN = numpy.full((3, 2), numpy.nan)


@pytest.mark.parametrize('X,changes,message', [
    (_NAN, {}, r'X holds 6 of 6 values that are not finite'),
    (numpy.ones(3), {}, 'Expected 2D array, got 1D array'),
    (numpy.ones((0, 2)), {}, r'0 sample\(s\) \(shape=\(0, 2\)\)'),
    (numpy.ones((2, 2), complex), {}, 'Complex data not supported'),
    ([['a', 'b']], {}, 'could not convert string to float'),
    (None, {}, 'Expected 2D array'),
    (None, {'means_init': numpy.ones((2, 5))},
     r'means_init has shape \(2, 5\): it must be \(2, 2\)'),
    (None, {'means_init': _NAN[:2]}, 'means_init holds values .* not finite'),
    (None, {'weights_init': [.5, .4]}, r'weights_init is .*sum to 1'),
    (None, {'weights_init': [1.5, -.5]}, r'weights_init is .*negative'),
    (None, {'weights_init': [1.]}, r'weights_init has shape \(1,\)'),
    (None, {'covariances_init': numpy.zeros((2, 2))},
     'covariances_init .* not positive'),
    ([[1., 2.], [3.]], {}, 'setting an array element with a sequence'),
    # NumPy before 1.24 makes an array of objects of them.
    (None, {'means_init': [[1., 2.], [3.]]},
     'means_init (is no array|has dtype object)'),
    (None, {'means_init': numpy.ones((2, 2)) * 1j}, 'means_init has dtype'),
    (None, {'weights_init': ['a', 'b']}, 'weights_init has dtype'),
    (None, {'sample_ratio': 7}, 'sample_ratio is 7'),
    (None, {'n_components': 'a'}, "n_components is 'a'"),
], ids=lambda value: repr(value)[:30])
def test_fit_that_fails_changes_nothing(X, changes, message):
    good = _points(0, 50, 2)
    gm = DiagonalGaussianMixture(2, random_state=0).fit(good)
    before = {name: copy.copy(getattr(gm, name)) for name in _FITTED}
    for name, value in changes.items():
        setattr(gm, name, value)
    with pytest.raises(ValueError, match=message):
        gm.fit(good if changes else X)
    for name, value in before.items():
        numpy.testing.assert_array_equal(getattr(gm, name), value, name)


@pytest.mark.parametrize('changes,message', [
    ({'means_init': numpy.full((2, 2), 1e39)}, 'means_init .*float32'),
    ({'covariances_init': numpy.full((2, 2), 1e-60)},
     'covariances_init .*float32')], ids=['means', 'covariances'])
def test_starting_values_beyond_the_dtype_of_the_points(changes, message):
    gm = DiagonalGaussianMixture(2, random_state=0, **changes)
    with pytest.raises(ValueError, match=message):
        gm.fit(_points(0, 50, 2).astype('f'))


@pytest.mark.parametrize('X,reg_covar', [
    (numpy.ones((5, 2)), 0),
    ((numpy.random.RandomState(0).randn(50, 2) * 1e25).astype('f'), 1e-6),
], ids=['no variance', 'overflow'])
def test_fit_without_a_finite_outcome(X, reg_covar):
    # scikit-learn: "Fitting the mixture model failed because some components
    # have ill-defined empirical covariance".
    gm = DiagonalGaussianMixture(2, random_state=0, reg_covar=reg_covar)
    with pytest.raises(ValueError):
        gm.fit(X)
    assert not hasattr(gm, 'weights_')


@pytest.mark.parametrize('name', [
    'predict_proba', 'predict', 'score_samples', 'score', 'bic', 'aic'])
def test_asked_too_early_or_about_the_wrong_points(name):
    gm = DiagonalGaussianMixture(2, random_state=0)
    with pytest.raises(NotFittedError, match='not fitted yet'):
        getattr(gm, name)(numpy.ones((3, 2)))
    gm.fit(_points(0, 50, 2))
    with pytest.raises(ValueError, match='X has 3 features.* expecting 2'):
        getattr(gm, name)(numpy.ones((3, 3)))
    with pytest.raises(ValueError, match='X holds 6 of 6'):
        getattr(gm, name)(_NAN)


@pytest.mark.parametrize('name,bad,allowed', [
    ('n_components', (0, -1, 2.5, True, None, '3'), 'integer of at least 1'),
    ('init', ('kmeans', None, 3, numpy.array(['a', 'b'])),
     "'k-means\\+\\+' or .* or 'random'"),
    ('n_init_trials', (0, 1.5), 'integer of at least 1'),
    ('kmeans_iter', (-1, 1.5), 'integer of at least 0'),
    ('max_iter', (0, -3, 1.), 'integer of at least 1'),
    ('tol', (-1e-3, float('nan'), float('inf'), 'a'), r'\[0, inf\)'),
    ('reg_covar', (-1e-6, float('nan'), None), r'\[0, inf\)'),
    ('sample_ratio', (0, 0., -.1, 1.1, float('nan'), None), r'\(0, 1\]'),
    ('min_weight', (-.1, 1, 1., float('nan')), r'\[0, 1\)'),
    ('random_state', (-1, 1.5, 'a', True, 1 << 32),
     'None, an integer from 0'),
    ('n_init', (0, 1.5, None), 'integer of at least 1'),
    ('warm_start', (0, None, 'yes'), 'True or False'),
])
def test_bad_arguments(name, bad, allowed):
    for value in bad:
        # As scikit-learn does, when it is fitted.
        gm = DiagonalGaussianMixture(**{name: value})
        with pytest.raises(
                ValueError, match=f'{name} is .*{allowed}'):
            gm.fit(numpy.eye(4))


def test_unknown_argument():
    with pytest.raises(TypeError, match='covariance_type'):
        DiagonalGaussianMixture(2, covariance_type='diag')


@testing.attr.gpu
@pytest.mark.parametrize('shape', [(300, 4), (10, 4, 5, 6)], ids=str)
@pytest.mark.parametrize('dtype', ['e', 'f', 'd'])
def test_gpu_gives_the_same_numbers(dtype, shape):
    gpu, cpu = (chainer.get_device(name) for name in ('@cupy:0', '@numpy'))
    X = numpy.moveaxis(_points(0, 300, 4).reshape(
        shape[:1] + shape[2:] + (4,)), -1, 1).astype(dtype)
    tolerance = 1e-8 if dtype == 'd' else 1e-3
    for kwargs in ({'tol': 1e-3}, {'tol': 0, 'max_iter': 5},
                   {'sample_ratio': .5, 'min_weight': .05},
                   {'init': 'random'}):
        here, there = (
            DiagonalGaussianMixture(3, random_state=0, **kwargs).fit(z)
            for z in (X, gpu.send(X)))
        assert here.n_iter_ == there.n_iter_
        assert here.converged_ == there.converged_
        assert here.n_effective_ == there.n_effective_
        for name in ('weights_', 'means_', 'covariances_'):
            value = getattr(there, name)
            assert isinstance(value, gpu.xp.ndarray)
            numpy.testing.assert_allclose(
                cpu.send(value), getattr(here, name), rtol=tolerance,
                atol=tolerance, err_msg=name)
        for name in ('predict_proba', 'predict', 'score_samples'):
            value = getattr(there, name)(gpu.send(X))
            assert isinstance(value, gpu.xp.ndarray)
            numpy.testing.assert_allclose(
                cpu.send(value), getattr(here, name)(X), rtol=tolerance,
                atol=tolerance, err_msg=name)
        for name in ('score', 'bic', 'aic'):
            numpy.testing.assert_allclose(
                getattr(there, name)(gpu.send(X)), getattr(here, name)(X),
                rtol=tolerance, err_msg=name)


_stable = hypothesis.settings(
    derandomize=True, database=None, deadline=None, max_examples=60,
    print_blob=True)


@_stable
@hypothesis.given(
    X=strategies.sampled_from([numpy.float16, numpy.float32, numpy.float64])
    .flatmap(lambda dtype: arrays.arrays(
        dtype, arrays.array_shapes(
            min_dims=2, max_dims=4, min_side=1, max_side=5),
        elements=strategies.floats(-1000, 1000, width=16))),
    n_components=strategies.integers(1, 4), seed=strategies.integers(0, 9))
def test_posterior_sums_to_one(X, n_components, seed):
    gm = DiagonalGaussianMixture(
        n_components, random_state=seed, max_iter=4, tol=0,
        min_weight=.01).fit(X)
    tau = gm.predict_proba(X)
    assert (tau >= 0).all()
    numpy.testing.assert_allclose(tau.sum(axis=1), 1, rtol=1e-5)
    numpy.testing.assert_allclose(gm.weights_.sum(), 1, rtol=1e-5)
    assert (gm.covariances_ > 0).all()
    assert numpy.isfinite(gm.score_samples(X)).all()


@_stable
@hypothesis.given(seed=strategies.integers(0, 1000),
                  n_dims=strategies.integers(1, 4))
def test_order_does_not_matter(seed, n_dims):
    # Of the points, and of the components that a fit starts from.
    X = _points(seed, 40, n_dims)
    random = numpy.random.RandomState(seed)
    start = _start(X, 3, seed)
    points, components = random.permutation(40), random.permutation(3)
    gm = _ours(X, start, max_iter=4, tol=0)
    permuted = _ours(X[points], [z[components] for z in start],
                     max_iter=4, tol=0)
    for name in ('weights_', 'means_', 'covariances_'):
        numpy.testing.assert_allclose(
            getattr(permuted, name), getattr(gm, name)[components],
            rtol=1e-6, atol=1e-8)
    numpy.testing.assert_allclose(
        permuted.predict_proba(X), gm.predict_proba(X)[:, components],
        atol=1e-6)


@_stable
@hypothesis.given(seed=strategies.integers(0, 1000),
                  scale=strategies.floats(1e-3, 1e3),
                  shift=strategies.floats(-1e4, 1e4))
def test_affine_maps(seed, scale, shift):
    # A fit follows where its points go; one scale for all channels keeps
    # the distances that K-means compares.
    X = _points(seed, 40, 2)
    kwargs = {'random_state': seed, 'max_iter': 4, 'tol': 0, 'reg_covar': 0}
    gm = DiagonalGaussianMixture(2, **kwargs).fit(X)
    moved = DiagonalGaussianMixture(2, **kwargs).fit(X * scale + shift)
    numpy.testing.assert_allclose(moved.weights_, gm.weights_, rtol=1e-4)
    numpy.testing.assert_allclose(
        (moved.means_ - shift) / scale, gm.means_, rtol=1e-4, atol=1e-4)
    numpy.testing.assert_allclose(
        moved.covariances_, gm.covariances_ * scale ** 2, rtol=1e-3)
