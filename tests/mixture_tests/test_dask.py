"""Dask arrays: the fit to the joined NumPy array is the oracle."""
import numpy
import pytest

from mixnorm.mixture import coreset, DiagonalGaussianMixture
from mixnorm.mixture import block_fitting

dask = pytest.importorskip('dask')
da = pytest.importorskip('dask.array')

_CHUNKS = [(300, 4), (37, 4), ((1, 250, 49), 4), (100, 2)]


def _points(shift=0.):
    random = numpy.random.RandomState(0)
    groups = 4 * random.randn(3, 4)
    return groups[random.randint(3, size=300)] + random.randn(
        300, 4) + shift


def _fit(X, sample_weight=None, **options):
    return DiagonalGaussianMixture(3, **dict(
        {'random_state': 0, 'max_iter': 5, 'tol': 0}, **options)).fit(
            X, sample_weight=sample_weight)


def _check_same(actual, expected):
    for name in ('weights_', 'means_', 'covariances_', 'lower_bound_'):
        value = getattr(actual, name)
        assert isinstance(value, (numpy.ndarray, float))
        numpy.testing.assert_allclose(
            value, getattr(expected, name), rtol=1e-10, atol=1e-10,
            err_msg=name)


@pytest.mark.parametrize('chunks', _CHUNKS, ids=str)
@pytest.mark.parametrize('init', ['k-means++', 'k-means||', 'afk-mc2'])
@pytest.mark.parametrize('n_ordered', [0, 1 << 16])
def test_chunks_change_nothing(n_ordered, init, chunks, monkeypatch):
    monkeypatch.setattr(block_fitting, '_ORDERED_POINTS', n_ordered)
    X = _points(1e3)
    _check_same(_fit(da.from_array(X, chunks=chunks), init=init),
                _fit(X, init=init))


def test_weights_and_activations():
    X = _points()
    w = numpy.random.RandomState(1).exponential(size=300)
    expected = _fit(X, w)
    lazy = da.from_array(X, chunks=(70, 4))
    for weight in (w, da.from_array(w, chunks=300)):
        _check_same(_fit(lazy, weight), expected)
    x = da.from_array(X.reshape(30, 10, 4).transpose(0, 2, 1),
                      chunks=(7, 3, 4))
    _check_same(_fit(x, w.reshape(30, 10)), expected)
    numpy.testing.assert_allclose(
        expected.score(lazy, sample_weight=w),
        expected.score(X, sample_weight=w))


def test_chunks_without_points():
    X = _points()
    gm = _fit(X)
    lazy = da.from_array(X, chunks=((0, 100, 0, 200), (4,)))
    w = numpy.arange(300.)
    for weight in (None, w, da.from_array(w, chunks=70)):
        _check_same(_fit(lazy, weight), _fit(X, None if weight is None else w))
    for name in ('predict', 'predict_proba', 'score_samples'):
        numpy.testing.assert_allclose(
            getattr(gm, name)(lazy).compute(), getattr(gm, name)(X),
            rtol=1e-9)
    numpy.testing.assert_allclose(gm.score(lazy), gm.score(X))


@pytest.mark.parametrize('dtype', ['e', 'f', 'g', 'i8'])
def test_dtypes(dtype):
    X = _points().astype(dtype)
    gm = _fit(X)
    lazy = da.from_array(X, chunks=(70, 2))
    assert _fit(lazy).means_.dtype == gm.means_.dtype
    for name in ('predict', 'predict_proba', 'score_samples'):
        actual = getattr(gm, name)(lazy)
        assert actual.dtype == actual.compute().dtype == getattr(
            gm, name)(X).dtype


def test_what_is_returned_is_lazy():
    X = _points()
    gm = _fit(X)
    lazy = da.from_array(X, chunks=(70, 2))
    for name in ('predict', 'predict_proba', 'score_samples'):
        expected = getattr(gm, name)(X)
        actual = getattr(gm, name)(lazy)
        assert isinstance(actual, da.Array)
        assert actual.shape == expected.shape
        assert actual.dtype == expected.dtype
        numpy.testing.assert_allclose(
            actual.compute(), expected, rtol=1e-9)
    for name in ('score', 'bic', 'aic'):
        numpy.testing.assert_allclose(
            getattr(gm, name)(lazy), getattr(gm, name)(X), rtol=1e-10)
    x = da.from_array(X.reshape(30, 10, 4).transpose(0, 2, 1), chunks=7)
    assert gm.predict_proba(x).compute().shape == (30, 3, 10)
    assert gm.predict(x).compute().shape == (30, 10)


def test_schedulers_agree():
    X = da.from_array(_points(), chunks=(70, 4))
    with dask.config.set(scheduler='synchronous'):
        expected = _fit(X)
    with dask.config.set(scheduler='threads'):
        _check_same(_fit(X), expected)


def test_coreset():
    X = _points()
    for actual, expected in zip(
            coreset(da.from_array(X, chunks=(70, 2)), 20, 0),
            coreset(X, 20, 0)):
        assert isinstance(actual, numpy.ndarray)
        numpy.testing.assert_allclose(actual, expected, rtol=1e-9)


def _unknown():
    X = da.from_array(_points(), chunks=100)
    return X[X[:, 0] > 0]


def _other_than_announced(shape):
    return da.concatenate([
        da.ones((20, 4), chunks=10),
        da.from_delayed(dask.delayed(numpy.ones)(shape), (10, 4), float)])


@pytest.mark.parametrize('make,message', [
    (lambda: _other_than_announced((10, 3)),
     'block 2 of X has 10 points and 3 features: .* X has 10 and 4'),
    (lambda: _other_than_announced((9, 4)),
     'block 2 of X has 9 points and 4 features: .* X has 10 and 4'),
    (lambda: da.full((20, 4), numpy.nan, chunks=10),
     'block . of X holds 40 of 40 values'),
    (lambda: da.ones(20), r'X has shape \(20,\)'),
    (lambda: da.ones((20, 4)) * 1j, 'X has dtype complex'),
    (_unknown, 'X has chunks of unknown size'),
], ids=['width', 'length', 'nan', 'vector', 'complex', 'unknown'])
def test_bad_arrays(make, message):
    gm = _fit(_points())
    before = dict(vars(gm))
    with pytest.raises(ValueError, match=message):
        gm.fit(make())
    assert vars(gm) == before


def test_bad_weights_and_widths():
    X = da.from_array(_points(), chunks=(70, 4))
    for weight, message in [
            (numpy.ones(299), r'sample_weight has shape \(299,\)'),
            (-numpy.ones(300), 'sample_weight .* negative'),
            (['a'] * 300, 'sample_weight is no array of numbers'),
            (1j * da.ones(300), 'sample_weight has dtype complex'),
            (da.zeros(300), 'sample_weight is zero')]:
        with pytest.raises(ValueError, match=message):
            _fit(X, weight)
    for name in ('predict', 'score'):
        with pytest.raises(ValueError, match='X has 2 features'):
            getattr(_fit(X), name)(da.ones((5, 2)))
