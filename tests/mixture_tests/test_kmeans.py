import warnings

import numpy
import pytest
from sklearn import cluster

from mixnorm.compute import cpu
from mixnorm.compute.layout import stack
from mixnorm.mixture import kmeans_plusplus
from mixnorm.mixture.fitting import lloyd


def _points(seed, n_points=300, n_dims=4, n_groups=3):
    random = numpy.random.RandomState(seed)
    groups = 4 * random.randn(n_groups, n_dims)
    return (groups[random.randint(n_groups, size=n_points)]
            + random.randn(n_points, n_dims))


@pytest.mark.parametrize('n_local_trials', [None, 1, 5])
@pytest.mark.parametrize('n_clusters', [1, 2, 7])
@pytest.mark.parametrize('seed', range(5))
def test_same_centers_as_scikit_learn(seed, n_clusters, n_local_trials):
    X = _points(seed)
    centers, indices = kmeans_plusplus(
        X, n_clusters, random_state=seed, n_local_trials=n_local_trials)
    expected_centers, expected = cluster.kmeans_plusplus(
        X, n_clusters, random_state=seed, n_local_trials=n_local_trials)
    numpy.testing.assert_array_equal(indices, expected)
    numpy.testing.assert_array_equal(centers, expected_centers)


def test_every_source_of_random_numbers():
    X = _points(0)
    for make in (numpy.random.RandomState, numpy.random.default_rng):
        source = make(3)
        _, first = kmeans_plusplus(X, 5, random_state=source)
        _, second = kmeans_plusplus(X, 5, random_state=source)
        _, again = kmeans_plusplus(X, 5, random_state=make(3))
        numpy.testing.assert_array_equal(first, again)
        assert (first != second).any()
    _, unseeded = kmeans_plusplus(X, 5)
    assert len(set(unseeded.tolist())) == 5


def test_centers_are_the_points_named():
    X = _points(1).astype('f')
    centers, indices = kmeans_plusplus(X, 4, random_state=0)
    assert centers.dtype == X.dtype
    numpy.testing.assert_array_equal(centers, X[indices])


def test_activation_is_the_matrix_of_its_points():
    x = _points(2, 120).reshape(5, 4, 6, 4).transpose(0, 3, 1, 2)
    matrix = x.transpose(0, 2, 3, 1).reshape(-1, 4)
    assert not x.flags.c_contiguous
    expected = kmeans_plusplus(matrix, 4, random_state=0)
    for actual, wanted in zip(
            kmeans_plusplus(x, 4, random_state=0), expected):
        numpy.testing.assert_array_equal(actual, wanted)


@pytest.mark.parametrize('dtype', ['e', 'f', 'd', 'g', 'i', 'B', '?'])
def test_dtypes(dtype):
    X = (_points(0) > 1).astype(dtype)
    centers, indices = kmeans_plusplus(X, 3, random_state=0)
    numpy.testing.assert_array_equal(centers, X[indices])
    assert centers.dtype == (X.dtype if dtype in 'efd' else numpy.float64)


def test_input_is_not_modified():
    X = _points(0)
    before = X.copy()
    kmeans_plusplus(X, 5, random_state=0)
    numpy.testing.assert_array_equal(X, before)
    X.flags.writeable = False
    kmeans_plusplus(X, 5, random_state=0)


def test_distinct_points_are_all_found():
    # A point at distance 0 has no chance while another is further away.
    X = numpy.repeat([[0., 0.], [1e-3, 0.], [50., 1.], [1e4, -1.]], 25, 0)
    for seed in range(10):
        centers, _ = kmeans_plusplus(X, 4, random_state=seed)
        assert len(numpy.unique(centers, axis=0)) == 4, seed


@pytest.mark.parametrize('dtype', ['e', 'f', 'd'])
def test_fewer_distinct_points_than_centers(dtype):
    X = numpy.repeat(numpy.array([[1, 2], [3, 4]], dtype), 5, axis=0)
    centers, indices = kmeans_plusplus(X, 5, random_state=0)
    assert centers.shape == (5, 2)
    assert len(numpy.unique(centers, axis=0)) == 2
    numpy.testing.assert_array_equal(centers, X[indices])
    centers, _ = kmeans_plusplus(X[:1], 5, random_state=0)
    numpy.testing.assert_array_equal(centers, numpy.repeat(X[:1], 5, 0))


def test_float32_far_from_the_origin():
    # |x|^2 is 1e8 there, which float32 holds to 8; distances are near 0.01.
    X = (_points(0) * .1 + 1e4).astype('f')
    for seed in range(5):
        _, indices = kmeans_plusplus(X, 6, random_state=seed)
        _, expected = kmeans_plusplus(
            X.astype('d'), 6, random_state=seed)
        numpy.testing.assert_array_equal(indices, expected, str(seed))


def test_float32_tight_groups_far_apart():
    # Within a group, distances are near 1e-4 where |x|^2 is 1e6.
    random = numpy.random.RandomState(0)
    X = (1000. * numpy.sign(random.randn(200, 1)) * [1, -1]
         + .01 * random.randn(200, 2)).astype('f')
    for seed in range(5):
        _, indices = kmeans_plusplus(X, 8, random_state=seed)
        _, expected = kmeans_plusplus(X.astype('d'), 8, random_state=seed)
        numpy.testing.assert_array_equal(indices, expected, str(seed))


@pytest.mark.parametrize('n_iter', [1, 2, 3, 4])
@pytest.mark.parametrize('seed', range(3))
def test_lloyd_iterations_are_scikit_learns(seed, n_iter):
    X = _points(seed)
    centers = X[numpy.random.RandomState(seed).permutation(len(X))[:3]]
    kmeans = cluster.KMeans(
        3, init=centers, n_init=1, max_iter=n_iter, tol=0,
        algorithm='lloyd')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # It has not converged.
        kmeans.fit(X)

    weights, means, variances = lloyd(stack(X), centers, n_iter, 1e-3)
    numpy.testing.assert_allclose(
        means, kmeans.cluster_centers_, rtol=1e-9)
    # The clusters are those of the last assignment.
    before = centers if n_iter == 1 else lloyd(
        stack(X), centers, n_iter - 1, 0).means
    labels = ((X[:, None] - before) ** 2).sum(axis=2).argmin(axis=1)
    for k in range(3):
        members = X[labels == k]
        numpy.testing.assert_allclose(weights[k], len(members) / len(X))
        numpy.testing.assert_allclose(means[k], members.mean(axis=0))
        numpy.testing.assert_allclose(
            variances[k], members.var(axis=0) + 1e-3)


def test_center_without_points_stays():
    X = numpy.array([[0.], [1.], [2.]])
    weights, means, variances = lloyd(
        stack(X), numpy.array([[1.], [50.]]), 2, 1e-3)
    numpy.testing.assert_allclose(means, [[1.], [50.]])
    numpy.testing.assert_allclose(weights, [1, 0])
    numpy.testing.assert_allclose(variances, [[2 / 3 + 1e-3], [1e-3]])


def test_no_lloyd_iteration():
    X = _points(0)
    weights, means, variances = lloyd(stack(X), X[:3], 0, 1e-3)
    numpy.testing.assert_allclose(weights, numpy.full(3, 1 / 3))
    numpy.testing.assert_array_equal(means, X[:3])
    numpy.testing.assert_allclose(
        variances, numpy.tile(X.var(axis=0) + 1e-3, (3, 1)))


def test_best_of_the_trials_is_kept():
    # Of the trials, the centre is the one that leaves the least distance.
    X = _points(0, 60)
    draws = numpy.random.RandomState(1).rand(1 + 4)
    _, (first, second) = cpu.seeding.seed(stack(X), 2, draws)
    assert first == int(draws[0] * len(X))
    distance = ((X - X[first]) ** 2).sum(axis=1)
    candidates = [
        numpy.flatnonzero(
            numpy.cumsum(distance) >= u * distance.sum())[0]
        for u in draws[1:]]
    left = [
        numpy.minimum(distance, ((X - X[c]) ** 2).sum(axis=1)).sum()
        for c in candidates]
    assert second == candidates[numpy.argmin(left)]
    assert len(set(candidates)) > 1


@pytest.mark.parametrize('arguments,message', [
    ({'n_clusters': 0}, r'n_clusters is 0.*integer of at least 1'),
    ({'n_clusters': 2.}, r'n_clusters is 2\.0.*integer of at least 1'),
    ({'n_clusters': True}, r'n_clusters is True.*integer of at least 1'),
    ({'n_local_trials': 0}, r'n_local_trials is 0.*integer of at least 1'),
    ({'random_state': -1}, r'random_state is -1.*None.*integer from 0'),
    ({'random_state': 'a'}, r"random_state is 'a'.*None.*integer from 0"),
    ({'X': numpy.ones(3)}, r'X has shape \(3,\).*points, dimensions'),
    ({'X': numpy.ones((0, 3))}, r'X has shape \(0, 3\).*at least one point'),
    ({'X': numpy.ones((3, 0))}, r'X has shape \(3, 0\)'),
    ({'X': numpy.ones((3, 2), complex)}, r'X has dtype complex.*real'),
    ({'X': numpy.array([['a', 'b']])}, r'X has dtype.*real'),
    ({'X': numpy.array([[numpy.nan, 1], [numpy.inf, 2]])},
     r'X holds 2 of 4 values that are not finite'),
])
def test_bad_input(arguments, message):
    arguments = dict({'X': numpy.eye(4), 'n_clusters': 2}, **arguments)
    with pytest.raises(ValueError, match=message):
        kmeans_plusplus(**arguments)
