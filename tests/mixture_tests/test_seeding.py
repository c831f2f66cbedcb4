import inspect

import numpy
import pytest
from scipy import stats
from sklearn import cluster

from mixnorm.compute.layout import stack
from mixnorm.mixture.blocks import ArrayBlocks, IterableBlocks
from mixnorm.mixture.seeding import _last_state, draw, seed, weight_masses


def _mixture_of_gaussians(variance, n_points=2000, n_groups=20):
    """GaussMixture of Bahmani et al., section 4.1, smaller."""
    random = numpy.random.RandomState(0)
    means = variance ** .5 * random.randn(n_groups, 15)
    return means[random.randint(n_groups, size=n_points)] + random.randn(
        n_points, 15)


def _potential(X, centers):
    return ((X[:, None] - centers) ** 2).sum(axis=2).min(axis=1).sum()


def _blocks(X, weights=None):
    return ArrayBlocks(
        stack(X), None if weights is None else weights[None])


@pytest.mark.skipif(
    'sample_weight' not in inspect.signature(
        cluster.kmeans_plusplus).parameters,
    reason='scikit-learn before 1.3 does not weight points')
@pytest.mark.parametrize('n_blocks', [1, 3])
@pytest.mark.parametrize('random_state', range(4))
def test_weighted_kmeans_plusplus_is_scikit_learns(random_state, n_blocks):
    X = _mixture_of_gaussians(10, 300)
    w = numpy.random.RandomState(9).exponential(size=300)
    expected, _ = cluster.kmeans_plusplus(
        X, 7, sample_weight=w, random_state=random_state)
    blocks = _blocks(X, w) if n_blocks == 1 else IterableBlocks(
        numpy.split(X, [10, 200]), w)
    numpy.testing.assert_array_equal(seed(
        blocks, 7, 'k-means++', numpy.random.RandomState(random_state)),
        expected)


@pytest.mark.parametrize('random_state', range(3))
def test_kmeans_plusplus_of_blocks_is_scikit_learns(random_state):
    X = _mixture_of_gaussians(10, 300)
    expected, _ = cluster.kmeans_plusplus(X, 7, random_state=random_state)
    for blocks in (_blocks(X), IterableBlocks(numpy.split(X, [1, 100, 299]))):
        numpy.testing.assert_array_equal(seed(
            blocks, 7, 'k-means++',
            numpy.random.RandomState(random_state)), expected)


@pytest.mark.parametrize('variance', [1, 100])
@pytest.mark.parametrize('n_trials', [1, None])
@pytest.mark.parametrize('method', ['k-means||', 'afk-mc2'])
def test_potentials_are_those_of_kmeans_plusplus(method, n_trials, variance):
    X = _mixture_of_gaussians(variance)

    def mean_potential(method):
        return numpy.mean([
            _potential(X, seed(
                _blocks(X), 20, method, numpy.random.RandomState(i),
                n_trials)) for i in range(8)])

    assert mean_potential(method) < 1.25 * mean_potential('k-means++')


@pytest.mark.parametrize('method', ['k-means||', 'afk-mc2'])
def test_centers_are_points(method):
    X = _mixture_of_gaussians(1, 50).astype('f')
    for n_clusters in (1, 2, 30, 60):
        centers = seed(_blocks(X), n_clusters, method,
                       numpy.random.RandomState(0))
        assert centers.shape == (n_clusters, 15) and centers.dtype == 'f'
        assert {c.tobytes() for c in centers} <= {p.tobytes() for p in X}


@pytest.mark.parametrize('method', ['k-means++', 'k-means||', 'afk-mc2'])
@pytest.mark.parametrize('n_distinct', [1, 2])
def test_fewer_distinct_points_than_centers(n_distinct, method):
    X = numpy.repeat(numpy.eye(2)[:n_distinct] + 5, 10, 0)
    for weights in (None, numpy.ones(len(X))):
        for i in range(5):
            centers = seed(_blocks(X, weights), 4, method,
                           numpy.random.RandomState(i))
            assert len(numpy.unique(centers, axis=0)) == n_distinct


class _Counting:

    """Blocks that count how often they are gone through."""

    def __init__(self, blocks):
        self._blocks = blocks
        self.n_passes = 0

    def __iter__(self):
        self.n_passes += 1
        return iter(self._blocks)


@pytest.mark.parametrize('weighted', [False, True])
@pytest.mark.parametrize('method,n_passes', [
    ('k-means++', 2 * 20), ('k-means||', 12), ('afk-mc2', 3)])
def test_number_of_passes(method, n_passes, weighted):
    X = _Counting(numpy.split(_mixture_of_gaussians(1, 300), [50, 200]))
    blocks = IterableBlocks(X, numpy.ones(300) if weighted else None)
    X.n_passes = 0
    seed(blocks, 20, method, numpy.random.RandomState(0))
    assert X.n_passes == n_passes + weighted


@pytest.mark.parametrize('method', ['k-means||', 'afk-mc2'])
def test_groups_far_apart_are_all_found(method):
    X = numpy.random.RandomState(0).randn(400, 2) + numpy.repeat(
        [[0, 0], [1e3, 0], [0, 1e3], [1e3, 1e3]], [370, 10, 10, 10], 0)
    for i in range(5):
        centers = seed(
            _blocks(X), 4, method, numpy.random.RandomState(i))
        assert len(numpy.unique(numpy.round(centers / 1e3), axis=0)) == 4


def test_draws_are_in_proportion_to_weights():
    X = numpy.arange(6.)[:, None]
    w = numpy.array([0, 1, 2, 3, 0, 4.])
    uniform = numpy.random.RandomState(0).uniform(size=5000)
    drawn = draw(_blocks(X, w), weight_masses, uniform)
    counts = numpy.bincount(drawn[:, 0].astype(int), minlength=6)
    assert counts[0] == counts[4] == 0
    assert stats.chisquare(
        counts[w > 0], 5000 * w[w > 0] / w.sum()).pvalue > 1e-3
    for blocks in ([X[:1], X[1:]], [X[:4], X[4:5], X[5:]]):
        numpy.testing.assert_array_equal(
            draw(IterableBlocks(blocks, w), weight_masses, uniform), drawn)
    # The ends of the interval are points that can be drawn, too.
    numpy.testing.assert_array_equal(draw(
        _blocks(X, numpy.r_[w, 0][:6]), weight_masses,
        numpy.array([0., 1 - 2 ** -53])), [[1.], [5.]])


def test_chains_tend_to_the_distribution_of_kmeans_plusplus():
    # Points 0 to 4, the first centre at 0: the target is 0, 1, 4, 9, 16,
    # and proposals are half of it and half uniform.
    target = numpy.arange(5.) ** 2
    proposal = .5 * target / target.sum() + .1
    random = numpy.random.RandomState(0)

    def p_value(length):
        ends = [_end_of_chain(target / proposal, proposal, length, random)
                for _ in range(4000)]
        counts = numpy.bincount(ends, minlength=5)
        if length > 1:
            assert counts[0] == 0
        return stats.chisquare(
            counts[1:], counts[1:].sum() * target[1:] / target.sum()).pvalue

    assert p_value(1) < 1e-6
    assert p_value(30) > 1e-2


def _end_of_chain(ratios, proposal, length, random):
    points = random.choice(5, length, p=proposal)
    return points[_last_state(ratios[points], random.uniform(size=length))]


@pytest.mark.parametrize('weighted', [False, True])
def test_second_center_of_afk_mc2_is_drawn_by_squared_distance(weighted):
    X = numpy.array([[0.], [1.], [3.], [4.], [10.]])
    w = numpy.array([1., 2., 3., 1., .5]) if weighted else numpy.ones(5)
    random = numpy.random.RandomState(0)
    blocks = _blocks(X, w if weighted else None)
    pairs = numpy.array([
        seed(blocks, 2, 'afk-mc2', random, 1)[:, 0] for _ in range(500)])
    first, second = numpy.searchsorted(X[:, 0], pairs.T)
    mass = w * (X - X.T) ** 2
    joint = w[:, None] / w.sum() * mass / mass.sum(axis=1, keepdims=True)
    counts = numpy.zeros((5, 5))
    numpy.add.at(counts, (first, second), 1)
    assert (counts[joint == 0] == 0).all()
    assert stats.chisquare(
        counts[joint > 0], 500 * joint[joint > 0]).pvalue > 1e-3
