import threading
import warnings

import chainer
import numpy
import pytest
from sklearn.mixture import GaussianMixture

from mixnorm.mixture import DiagonalGaussianMixture, Parameters
from tools.validate_gmm import fits


OPTIONS = fits.Options(max_iter=4, tol=0., reg_covar=1e-3, seed=5)
CPU = chainer.get_device('@numpy')


def _points():
    random = numpy.random.RandomState(0)
    return random.randn(60, 2) + 3 * random.randint(2, size=(60, 1))


def _start(X):
    return Parameters(numpy.array([.4, .6]), X[:2],
                      numpy.array([[1., 2.], [3., 4.]]))


def _scikit_learns(X, **start):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return GaussianMixture(
            2, covariance_type='diag', max_iter=4, tol=0., reg_covar=1e-3,
            random_state=5, **start).fit(X)


def test_fits_are_described_by_their_own_figures():
    X = _points()
    start = _start(X)
    ours = DiagonalGaussianMixture(
        2, max_iter=4, tol=0., reg_covar=1e-3, weights_init=start.weights,
        means_init=start.means, covariances_init=start.variances).fit(X)
    theirs = _scikit_learns(
        X, weights_init=start.weights, means_init=start.means,
        precisions_init=1 / start.variances)
    for fit, expected in ((fits.fit_ours, ours), (fits.fit_theirs, theirs)):
        found = fits.describe(
            lambda x: fit(x, 2, OPTIONS, start), X, CPU)
        assert found.error is None
        assert found.log_likelihood == expected.score(X)
        assert found.bic == expected.bic(X)
        assert found.iterations == 4 and found.converged is False
        numpy.testing.assert_array_equal(found.labels, expected.predict(X))
        for name, attribute in (('weights', 'weights_'), ('means', 'means_'),
                                ('variances', 'covariances_')):
            numpy.testing.assert_array_equal(
                getattr(found.parameters, name), getattr(expected, attribute))


def test_own_seeding_is_the_seeds():
    X = _points()
    numpy.testing.assert_array_equal(
        fits.fit_theirs(X, 2, OPTIONS).means_, _scikit_learns(X).means_)
    numpy.testing.assert_array_equal(
        fits.fit_ours(X, 2, OPTIONS).means_, DiagonalGaussianMixture(
            2, max_iter=4, tol=0., reg_covar=1e-3, random_state=5).fit(
                X).means_)


def test_warnings_are_not_shown():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        fits.fit_theirs(_points(), 2, OPTIONS)


def test_fit_that_fails():
    def fail(x):
        raise ValueError('no\nmixture')

    assert fits.describe(fail, _points(), CPU) == fits.Fit('no mixture')


def test_fit_that_is_not_finite():
    X = _points()
    mixture = fits.fit_theirs(X, 2, OPTIONS)
    mixture.covariances_[0, 0] = numpy.nan
    assert fits.describe(lambda x: mixture, X, CPU) == fits.Fit(
        'its parameters are not finite')


def test_times_are_medians_by_turns(monkeypatch):
    seconds = iter([1, 10, 5, 20, 2, 90])
    monkeypatch.setattr(
        fits, 'measure', lambda function, device: (
            function(), (next(seconds), 0))[1])
    calls = []
    found = fits.times_by_turns(
        {name: lambda name=name: calls.append(name) for name in 'ab'}, 3, CPU)
    assert found == {'a': 2, 'b': 20}
    assert calls == list('ababab')


@pytest.mark.parametrize('in_thread', [False, True])
def test_peak_is_that_of_arrays(in_thread):
    held = numpy.ones(1 << 20)  # It was there before.

    def work():
        a = numpy.ones(1 << 20)
        del a
        b, c = numpy.ones(1 << 18), numpy.ones(1 << 17)
        del b, c

    def function():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    peak = fits.peak_bytes(function if in_thread else work)
    assert held.nbytes <= peak < held.nbytes + 50000
