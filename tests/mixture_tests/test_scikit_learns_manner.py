"""The estimator among scikit-learn's: checks, copies, draws, restarts."""
import copy
import inspect
import subprocess
import sys

import numpy
import pytest
from scipy import stats
import sklearn.base
from sklearn.utils.estimator_checks import parametrize_with_checks

from mixnorm.mixture import DiagonalGaussianMixture


def _points(seed=0, n_points=300):
    random = numpy.random.RandomState(seed)
    means = 4 * random.randn(3, 2)
    return means[random.randint(3, size=n_points)] + random.randn(n_points, 2)


@parametrize_with_checks([DiagonalGaussianMixture()])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_mixnorm_imports_neither_scikit_learn_nor_dask():
    code = ("import sys, mixnorm; "
            "assert not {'sklearn', 'dask'} & set(sys.modules); "
            "assert 'DiagonalGaussianMixture' in dir(mixnorm.mixture); "
            "mixnorm.mixture.DiagonalGaussianMixture; "
            "assert 'sklearn' in sys.modules and 'dask' not in sys.modules")
    subprocess.run([sys.executable, '-c', code], check=True)


def test_unknown_name_of_the_module():
    with pytest.raises(ImportError, match='FullGaussianMixture'):
        from mixnorm.mixture import FullGaussianMixture  # NOQA


def test_parameters():
    gm = DiagonalGaussianMixture(4, init='k-means||', n_init=2)
    names = set(inspect.signature(DiagonalGaussianMixture).parameters)
    assert set(gm.get_params()) == names
    same = sklearn.base.clone(gm)
    assert same is not gm and same.get_params() == gm.get_params()
    text = repr(gm)
    assert text.startswith('DiagonalGaussianMixture(')
    assert "init='k-means||'" in text and 'n_components=4' in text
    assert gm.set_params(n_components=2).n_components == 2


def test_fit_predict():
    X = _points()
    gm = DiagonalGaussianMixture(3, random_state=0)
    labels = gm.fit_predict(X)
    numpy.testing.assert_array_equal(labels, gm.predict(X))
    weights = numpy.r_[numpy.ones(100), numpy.zeros(200)]
    heavier = DiagonalGaussianMixture(3, random_state=0)
    numpy.testing.assert_array_equal(
        heavier.fit_predict(X, sample_weight=weights),
        DiagonalGaussianMixture(3, random_state=0).fit(X[:100]).predict(X))


@pytest.mark.parametrize('dtype', ['f', 'd'])
@pytest.mark.parametrize('generator', [
    numpy.random.RandomState, numpy.random.default_rng])
def test_sample(dtype, generator):
    gm = DiagonalGaussianMixture(3, random_state=0).fit(
        _points().astype(dtype))
    gm.random_state = generator(1)
    X, labels = gm.sample(20000)
    assert X.dtype == dtype and X.shape == (20000, 2)
    counts = numpy.bincount(labels, minlength=3)
    assert stats.chisquare(counts, 20000 * gm.weights_.astype(
        'd') / gm.weights_.sum(dtype='d')).pvalue > 1e-3
    for k in range(3):
        for c in range(2):
            deviations = X[labels == k, c] - gm.means_[k, c]
            assert stats.kstest(
                deviations / gm.covariances_[k, c] ** .5, 'norm'
            ).pvalue > 1e-4
    assert len(gm.sample()[0]) == 1
    with pytest.raises(ValueError, match='n_samples is 0'):
        gm.sample(0)


def test_absent_component_is_not_sampled():
    gm = DiagonalGaussianMixture(3, random_state=0, min_weight=.99).fit(
        _points())
    _, labels = gm.sample(100)
    assert set(labels) == {gm.weights_.argmax()}


def test_warm_start_goes_on():
    X = _points()
    options = {'random_state': 0, 'tol': 0}
    whole = DiagonalGaussianMixture(3, max_iter=7, **options).fit(X)
    gm = DiagonalGaussianMixture(
        3, max_iter=3, warm_start=True, **options).fit(X)
    gm.set_params(max_iter=4, n_init=5).fit(X)
    for name in ('weights_', 'means_', 'covariances_', 'lower_bound_'):
        numpy.testing.assert_allclose(
            getattr(gm, name), getattr(whole, name), rtol=1e-9, err_msg=name)


def test_warm_start_from_another_shape():
    X = _points()
    gm = DiagonalGaussianMixture(
        3, warm_start=True, random_state=0).fit(X)
    means = gm.means_
    gm.n_components = 2
    with pytest.raises(ValueError, match='n_components is 2.*warm_start'):
        gm.fit(X)
    gm.n_components = 3
    with pytest.raises(ValueError, match='X has 1 features.*warm_start'):
        gm.fit(X[:, :1])
    assert gm.means_ is means and gm.n_features_in_ == 2


def test_best_of_several_seedings_is_kept():
    X = numpy.random.RandomState(0).uniform(size=(100, 2))
    options = {'init': 'random', 'max_iter': 5, 'tol': 0, 'kmeans_iter': 0}
    places = set()
    for seed in range(6):
        random = numpy.random.RandomState(seed)
        bounds = [
            DiagonalGaussianMixture(4, random_state=random, **options).fit(
                X).lower_bound_ for _ in range(3)]
        best = DiagonalGaussianMixture(
            4, n_init=3, random_state=seed, **options).fit(X)
        assert best.lower_bound_ == pytest.approx(max(bounds), rel=1e-5)
        places.add(numpy.argmax(bounds))
    # It is not always the first, nor the last.
    assert len(places) > 1


def test_verbose(capsys):
    X = _points()
    quiet = DiagonalGaussianMixture(3, random_state=0).fit(X)
    assert capsys.readouterr().out == ''
    gm = DiagonalGaussianMixture(3, random_state=0, verbose=1).fit(X)
    lines = capsys.readouterr().out.splitlines()
    # The seeding, ten iterations of K-means, and EM's.
    assert len(lines) == 11 + quiet.n_iter_
    assert all(' s  ' in line for line in lines)
    assert f'{gm.lower_bound_:.6f}' in lines[-1]
    numpy.testing.assert_array_equal(gm.means_, quiet.means_)


@pytest.mark.parametrize('init', [
    'k-means++', 'k-means||', 'afk-mc2'])
def test_order_and_repetition_do_not_matter_to_the_seeding(init):
    X = _points()
    random = numpy.random.RandomState(5)
    weights = random.randint(0, 4, len(X))
    order = random.permutation(len(X))
    options = {'init': init, 'random_state': 0, 'kmeans_iter': 0,
               'max_iter': 1, 'tol': 0}
    repeated = DiagonalGaussianMixture(8, **options).fit(
        X.repeat(weights, axis=0))
    weighted = DiagonalGaussianMixture(8, **options).fit(
        X[order], sample_weight=weights[order])
    numpy.testing.assert_allclose(
        weighted.means_, repeated.means_, rtol=1e-9)


def test_failed_fit_keeps_names_and_number_of_features():
    gm = DiagonalGaussianMixture(2, random_state=0).fit(_points())
    before = copy.copy(vars(gm))
    for X, weight in [(numpy.ones((5, 3)), -numpy.ones(5)),
                      ([numpy.ones((5, 3)), numpy.ones((5, 2))], None)]:
        with pytest.raises(ValueError):
            gm.fit(X, sample_weight=weight)
    assert vars(gm) == before
