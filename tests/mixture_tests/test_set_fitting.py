"""Fits to many sets of scalars at once."""
import numpy
import pytest

from functions_tests import equations
from mixnorm.mixture.set_fitting import fit_sets


_SEED = 0


def _fit(x, seed=_SEED, **kwargs):
    options = {'n_components': 3, 'n_iter': 2, 'sample_ratio': 1.,
               'min_weight': .01}
    options.update(kwargs)
    options.setdefault('kmeans_iter', options['n_iter'] // 2)
    return fit_sets(
        x, numpy.random.default_rng(seed), n_init_trials=None, **options)


def _three_groups(shape, seed=_SEED):
    """Points of three groups far apart, at places of each set's own."""
    random = numpy.random.RandomState(seed)
    labels = random.choice(3, shape, p=(.5, .3, .2))
    location = 20 * random.randn(*shape[:2], 1)
    unit = random.uniform(.1, 10, shape[:2] + (1,))
    return (location + unit * (30 * labels + random.uniform(-1, 1, shape)),
            labels)


@pytest.mark.parametrize('kwargs', [
    {}, {'n_iter': 5}, {'sample_ratio': .5}], ids=str)
@pytest.mark.parametrize('shape', [(3, 4, 60), (2, 1, 400)], ids=str)
def test_separate_groups_are_found(shape, kwargs):
    x, labels = _three_groups(shape)
    weights, means, variances = _fit(x, **kwargs)
    assert weights.shape == means.shape == variances.shape == shape[:2] + (3,)
    for i in numpy.ndindex(*shape[:2]):
        counts = numpy.bincount(labels[i], minlength=3)
        if 'sample_ratio' in kwargs:
            # Of half of the points, the mixture is roughly that of all.
            unit = x[i][labels[i] == 1].std()
            nearest = [abs(means[i] - x[i][labels[i] == k].mean()).min()
                       for k in range(3)]
            assert max(nearest) < unit
            continue
        numpy.testing.assert_allclose(
            weights[i], counts / shape[2], rtol=1e-9)
        for k in range(3):
            mine = x[i][labels[i] == k]
            numpy.testing.assert_allclose(
                means[i][k], mine.mean(), rtol=1e-7, atol=1e-7)
            numpy.testing.assert_allclose(
                variances[i][k], mine.var() + 1e-6 * x[i].var(), rtol=1e-6)


@pytest.mark.parametrize('n_iter', [2, 3, 4, 7])
def test_iterations(n_iter):
    # Two groups of points each nearer to all of their own than to any other,
    # so that Lloyd's first iteration finds them from any point of each; their
    # Gaussians overlap, so that every iteration of EM counts.
    row = numpy.repeat([-1., 1., 3.1, 5.1], [30, 30, 20, 20])
    x = numpy.stack([row, 10 * row + 3])[:, None]
    actual = _fit(x, n_components=2, n_iter=n_iter)
    for i in range(2):
        rows = x[i].T
        total = rows.var()
        middle = rows[40:80].mean()
        tau = numpy.concatenate([rows < middle, rows > middle], 1).astype('d')
        weights, means, variances = equations.statistics(rows, tau)
        variances += 1e-6 * total
        for _ in range(n_iter - n_iter // 2):
            tau = equations.posterior(rows, weights, means, variances)
            weights, means, variances = equations.statistics(rows, tau)
            variances += 1e-6 * total
        for found, expected in zip(actual, (weights, means, variances)):
            numpy.testing.assert_allclose(
                found[i, 0], expected.ravel(), rtol=1e-7)


def test_one_iteration_is_one_of_em():
    # From the seeds themselves: the distinct points, which K-means++ cannot
    # miss, with equal weights and the variances of the whole.
    row = numpy.repeat([0., 2., -3.], [20, 10, 5])
    actual = _fit(row[None, None], n_iter=1, min_weight=0)
    rows = row[:, None]
    tau = equations.posterior(
        rows, numpy.ones(3) / 3, numpy.array([[0.], [2.], [-3.]]),
        numpy.full((3, 1), (1 + 1e-6) * row.var()))
    weights, means, variances = equations.statistics(rows, tau)
    order = [2, 0, 1]
    for found, expected in zip(
            actual, (weights, means, variances + 1e-6 * row.var())):
        numpy.testing.assert_allclose(
            found[0, 0], expected[order].ravel(), rtol=1e-6)


def test_light_components_are_dropped():
    row = numpy.concatenate([
        numpy.linspace(99, 101, 395), numpy.linspace(9, 11, 600),
        numpy.linspace(-901, -899, 5)])
    x = numpy.stack([row, 2 * row + 1])[:, None]
    kept = _fit(x, min_weight=0)
    numpy.testing.assert_allclose(
        kept.weights[:, 0], [[.005, .6, .395]] * 2, rtol=1e-9)
    dropped = _fit(x)
    # Then it is the last.
    numpy.testing.assert_allclose(
        dropped.weights[:, 0], [[.6 / .995, .395 / .995, 0]] * 2, rtol=1e-9)
    numpy.testing.assert_array_equal(
        dropped.means, kept.means[..., [1, 2, 0]])
    # The heaviest is kept whatever it weighs.
    heaviest = _fit(x, min_weight=.99)
    numpy.testing.assert_array_equal(
        heaviest.weights[:, 0], [[1, 0, 0]] * 2)
    numpy.testing.assert_array_equal(
        heaviest.means[..., 0], kept.means[..., 1])


def test_lowest_component_comes_first():
    x = numpy.random.RandomState(_SEED).randn(20, 5, 40).astype('f')
    weights, means, _ = _fit(x, n_components=4, n_iter=7)
    assert (weights > 0).all()
    assert (numpy.diff(means, axis=2) >= 0).all()
    numpy.testing.assert_allclose(weights.sum(axis=2), 1, rtol=1e-5)


@pytest.mark.parametrize('shape', [(6, 3, 20), (6, 3, 300)], ids=str)
def test_set_is_by_itself(shape):
    # Wherever it stands, and whatever is beside it.
    x = numpy.random.RandomState(_SEED).randn(*shape)
    kwargs = {'sample_ratio': .3}
    whole = _fit(x, **kwargs)
    for i in numpy.ndindex(*shape[:2]):
        alone = _fit(x[i][None, None], **kwargs)
        for actual, expected in zip(alone, whole):
            numpy.testing.assert_allclose(
                actual[0, 0], expected[i], rtol=1e-9, err_msg=str(i))


def test_draws():
    x = numpy.random.RandomState(_SEED).randn(4, 1, 400)
    first, same, other = (_fit(x, seed, sample_ratio=.25).means
                          for seed in (0, 0, 1))
    numpy.testing.assert_array_equal(first, same)
    assert (first != other).all()


@pytest.mark.parametrize('n_points,n_components,ratio,expected', [
    (400, 3, .25, 100), (100, 3, .25, 30), (20, 3, .25, 20),
    (64, 1, .1, 10), (64, 1, 1, 64), (1, 2, .5, 1)])
def test_number_of_points_drawn(n_points, n_components, ratio, expected):
    class Generator(numpy.random.Generator):
        drawn = n_points

        def choice(self, a, size, **kwargs):
            self.drawn = size
            return super().choice(a, size, **kwargs)

    generator = Generator(numpy.random.PCG64(_SEED))
    fit_sets(numpy.arange(float(n_points))[None, None], generator,
             n_components=n_components, n_iter=2, kmeans_iter=1,
             n_init_trials=None, sample_ratio=ratio, min_weight=0)
    assert generator.drawn == expected


@pytest.mark.parametrize('dtype', ['e', 'f', 'd'])
@pytest.mark.parametrize('row', [
    numpy.zeros(30), numpy.full(30, .1), numpy.arange(30) % 2,
    numpy.maximum(numpy.random.RandomState(_SEED).randn(30) - 1, 0),
    numpy.ones(1), numpy.arange(2.), 6e4 * (-1.) ** numpy.arange(30),
    1e-7 * numpy.arange(30), 1e-20 * (numpy.arange(30) % 2)], ids=[
        'zeros', 'constant', 'two values', 'sparse', 'one point',
        'two points', 'large', 'small', 'tiny'])
def test_degenerate_sets(row, dtype):
    random = numpy.random.RandomState(_SEED)
    x = numpy.stack([row, random.randn(len(row))])[:, None].astype(dtype)
    for n_iter in (1, 2, 5):
        weights, means, variances = _fit(
            x, n_components=4, n_iter=n_iter)
        for z in (weights, means, variances):
            assert numpy.isfinite(z).all()
            assert z.dtype == ('d' if dtype == 'd' else 'f')
        numpy.testing.assert_allclose(weights.sum(axis=2), 1, rtol=1e-5)
        assert (variances > 0).all()
        low, high = (f(x.astype('d'), axis=2) for f in (numpy.min, numpy.max))
        slack = 1e-3 * (high - low) + 1e-6 * abs(high)
        assert (means >= (low - slack)[..., None]).all()
        assert (means <= (high + slack)[..., None]).all()


def test_bad_values_spoil_only_their_set():
    x = numpy.random.RandomState(_SEED).randn(3, 2, 50)
    expected = _fit(x)
    x[1, 0, 7] = numpy.nan
    x[2, 1, 3] = numpy.inf
    for actual, wanted in zip(_fit(x), expected):
        for i in ((0, 0), (0, 1), (1, 1), (2, 0)):
            numpy.testing.assert_allclose(actual[i], wanted[i], rtol=1e-9)


@pytest.mark.parametrize('shape', [(0, 2, 3), (2, 3, 0)], ids=str)
def test_no_points(shape):
    for z in _fit(numpy.empty(shape, 'f')):
        assert z.shape == shape[:2] + (3,)
