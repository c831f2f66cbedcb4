"""Points in blocks: the fit to the joined array is the oracle."""
import numpy
import pytest

from mixnorm.mixture import coreset, DiagonalGaussianMixture
from mixnorm.mixture import block_fitting
from mixnorm.mixture.blocks import as_blocks

_FITTED = 'weights_', 'means_', 'covariances_', 'lower_bound_'
_ENDS = [[], [1], [100, 101, 350], list(range(17, 400, 17))]


@pytest.fixture(params=['all points sorted', 'as they come'])
def ordered(request, monkeypatch):
    if request.param == 'as they come':
        monkeypatch.setattr(block_fitting, '_ORDERED_POINTS', 0)


def _points(dtype='d', shift=0.):
    random = numpy.random.RandomState(0)
    groups = 4 * random.randn(4, 3)
    return (groups[random.randint(4, size=400)] + random.randn(400, 3)
            + shift).astype(dtype)


def _fit(X, sample_weight=None, **options):
    return DiagonalGaussianMixture(4, **dict(
        {'random_state': 0, 'max_iter': 6, 'tol': 0}, **options)).fit(
            X, sample_weight=sample_weight)


def _check_same(actual, expected, tolerance=1e-10):
    for name in _FITTED:
        numpy.testing.assert_allclose(
            getattr(actual, name), getattr(expected, name),
            rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize('init', [
    'k-means++', 'k-means||', 'afk-mc2', 'random'])
@pytest.mark.parametrize('weighted', [False, True])
def test_fit_to_blocks_is_that_to_the_joined_array(weighted, init, ordered):
    X = _points(shift=50)
    w = numpy.random.RandomState(1).exponential(
        size=400) if weighted else None
    expected = _fit(X, w, init=init)
    for ends in _ENDS:
        _check_same(_fit(numpy.split(X, ends), w, init=init), expected)


@pytest.mark.parametrize('options', [
    {'sample_ratio': .5}, {'kmeans_iter': 0}, {'min_weight': .2},
    {'tol': 1e-2, 'max_iter': 50}, {'n_init': 3, 'init': 'random'},
    {'means_init': numpy.eye(4, 3)}], ids=str)
def test_options(options, ordered):
    X = _points()
    expected = _fit(X, **options)
    for ends in _ENDS[:3]:
        actual = _fit(numpy.split(X, ends), **options)
        _check_same(actual, expected)
        assert actual.n_iter_ == expected.n_iter_
        assert actual.n_effective_ == expected.n_effective_


def test_single_precision(ordered):
    X = _points('f')
    actual = _fit(numpy.split(X, [37, 200]), kmeans_iter=3)
    assert actual.means_.dtype == 'f'
    _check_same(actual, _fit(X, kmeans_iter=3), 1e-3)


def test_activations_integers_and_memory_maps(tmp_path, ordered):
    X = numpy.round(_points())
    expected = _fit(X)
    x = X.reshape(40, 10, 3).transpose(0, 2, 1)
    _check_same(_fit([x[:7], x[7:]]), expected)
    numpy.save(tmp_path / 'X.npy', X.astype('i8'))
    mapped = numpy.load(tmp_path / 'X.npy', mmap_mode='r')
    _check_same(_fit([mapped[:30], mapped[30:]]), expected)


def test_any_object_that_gives_blocks_again(ordered):
    class Blocks:

        def __iter__(self):
            return iter(numpy.split(_points(), [100]))

    _check_same(_fit(Blocks()), _fit(_points()))


def test_blocks_may_be_lists(ordered):
    class Blocks:

        def __iter__(self):
            return (z.tolist() for z in numpy.split(_points(), [100]))

    _check_same(_fit(Blocks()), _fit(_points()))


@pytest.mark.parametrize('dtypes', ['fd', 'ef', 'dg'])
def test_dtypes_are_joined_as_those_of_arrays(dtypes, ordered):
    X = _points()
    blocks = [z.astype(dtype) for z, dtype in zip(
        numpy.split(X, [150]), dtypes)]
    dtype = {'fd': 'd', 'ef': 'f', 'dg': 'd'}[dtypes]
    expected = _fit(numpy.concatenate(blocks).astype(dtype))
    actual = _fit(blocks)
    assert actual.means_.dtype == dtype
    _check_same(actual, expected, 1e-10 if dtype == 'd' else 1e-3)


class _Counting:

    """Counts how often each of two blocks is read."""

    def __init__(self):
        self.counts = [0, 0]

    def __iter__(self):
        for i, block in enumerate(numpy.split(_points(), [150])):
            self.counts[i] += 1
            yield block


@pytest.mark.parametrize('call', [
    lambda gm, X: gm.fit(X), lambda gm, X: list(gm.predict(X)),
    lambda gm, X: gm.score(X), lambda gm, X: coreset(X, 3, 0)],
    ids=['fit', 'predict', 'score', 'coreset'])
def test_first_block_is_looked_at_once_beside_the_passes(call):
    X = _Counting()
    call(_fit(_points()), X)
    assert X.counts[0] == X.counts[1] + 1


@pytest.mark.parametrize('name', ['predict', 'predict_proba', 'score_samples'])
def test_what_is_returned_per_point(name):
    X = _points()
    gm = _fit(X)
    blocks = list(getattr(gm, name)(numpy.split(X, [30, 300])))
    assert [len(z) for z in blocks] == [30, 270, 100]
    numpy.testing.assert_allclose(
        numpy.concatenate(blocks), getattr(gm, name)(X), rtol=1e-9)


def test_what_is_returned_for_all_points():
    X = _points()
    gm = _fit(X)
    w = numpy.arange(400.)
    blocks = numpy.split(X, [30, 300])
    for name in ('score', 'bic', 'aic'):
        numpy.testing.assert_allclose(
            getattr(gm, name)(blocks), getattr(gm, name)(X), rtol=1e-10)
    numpy.testing.assert_allclose(
        gm.score(blocks, sample_weight=w), w @ gm.score_samples(X) / w.sum())


@pytest.mark.parametrize('n_blocks', range(1, 12))
def test_sum_has_every_block_once(n_blocks):
    blocks = as_blocks([numpy.full((1, 1), 10. ** i)
                        for i in range(n_blocks)])
    total = blocks.sum(lambda x, _: ''.join(str(int(x[0, 0, 0]))),
                       lambda a, b: f'{a} {b}')
    assert total == ' '.join(str(10 ** i) for i in range(n_blocks))


def test_take():
    X = _points()
    blocks = as_blocks(numpy.split(X, [1, 7, 300]), numpy.arange(400.))
    numbers = numpy.array([399, 0, 3, 1, 7, 3, 299])
    points, weights = blocks.take(numbers)
    numpy.testing.assert_array_equal(points, X[numbers])
    numpy.testing.assert_array_equal(weights, numbers)


class _Changing:

    """Gives more or fewer blocks from time to time."""

    def __init__(self, n_blocks, change):
        self._n_blocks = n_blocks
        self._change = change

    def __iter__(self):
        self._n_blocks += self._change
        return iter([numpy.eye(3)] * self._n_blocks)


@pytest.mark.parametrize('X,weight,message', [
    ((z for z in [numpy.eye(3)]), None,
     'X is a generator.*gone through only once'),
    ([numpy.eye(3), numpy.ones((4, 2))], None,
     'block 1 of X has 2 features, block 0 has 3'),
    ([numpy.eye(3), numpy.full((2, 3), numpy.inf)], None,
     'block 1 of X holds 6 of 6 values that are not finite'),
    ([numpy.eye(3), numpy.ones(3)], None, r'block 1 of X has shape \(3,\)'),
    ([numpy.eye(3), numpy.ones((0, 3))], None, r'block 1 of X has shape'),
    ([numpy.eye(3), 1j * numpy.eye(3)], None, 'block 1 of X has dtype'),
    (_Changing(0, 0), None, 'X gives no blocks'),
    ({1., 2.}, None, r'block 0 of X has shape \(\)'),
    ([numpy.eye(3)] * 2, numpy.ones(5),
     r'sample_weight has shape \(5,\).* X, which has 6 or more'),
    ([numpy.eye(3)] * 2, numpy.ones(7),
     r'sample_weight has shape \(7,\).* X, which has 6$'),
    ([numpy.eye(3)] * 2, 1., r'sample_weight has shape \(\)'),
    ([numpy.eye(3)] * 2, 'text', 'sample_weight is no array of numbers'),
    ([numpy.eye(3), numpy.eye(3, 3)[:2]], [numpy.ones(3), numpy.ones(2)],
     'sample_weight is no array of numbers'),
    ([numpy.eye(3)] * 2, -numpy.ones(6), 'sample_weight .* negative'),
    ([numpy.eye(3)] * 2, numpy.zeros(6), 'sample_weight is zero'),
    (_Changing(9, -1), None, 'X gave .* blocks at first'),
    (_Changing(1, 1), None, 'X gave .* blocks at first'),
], ids=lambda value: repr(value)[:30])
def test_bad_blocks(X, weight, message):
    gm = _fit(_points())
    before = dict(vars(gm))
    with pytest.raises(ValueError, match=message):
        gm.fit(X, sample_weight=weight)
    assert vars(gm) == before


def test_blocks_of_another_width_than_fitted():
    gm = _fit(_points())
    with pytest.raises(ValueError, match='X has 2 features.* expecting 3'):
        gm.score([numpy.ones((4, 2))])
    with pytest.raises(ValueError, match='X has 2 features.* expecting 3'):
        list(gm.predict([numpy.ones((4, 2))]))
