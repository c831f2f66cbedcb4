import numpy
import pytest

from compute_tests.gpu_tests import cases
from mixnorm.compute import gpu


def _seed_centers(x, n_clusters, n_trials, draws):
    """K-means++ with local trials, by a plain cumulative sum."""
    points = cases.rows(x)
    indices = [min(int(draws[0] * len(points)), len(points) - 1)]
    closest = ((points - points[indices[0]]) ** 2).sum(axis=1)
    for uniform in draws[1:].reshape(n_clusters - 1, n_trials):
        ends = closest.cumsum()
        candidates = numpy.searchsorted(ends, uniform * ends[-1])
        candidates = numpy.minimum(candidates, len(points) - 1)
        remaining = [numpy.minimum(
            closest, ((points - points[i]) ** 2).sum(axis=1))
            for i in candidates]
        best = numpy.argmin([z.sum() for z in remaining])
        closest = remaining[best]
        indices.append(candidates[best])
    return indices


@pytest.mark.parametrize('n_trials', [1, 3, 18])
def test_seed(device, case, n_trials):
    n_clusters = len(case.parameters.weights)
    draws = case.random.uniform(size=1 + (n_clusters - 1) * n_trials)
    centers, indices = device.get(gpu.seeding.seed(
        device.send(case.x, case.layout), n_clusters, draws))
    assert indices.dtype == 'int64' and centers.dtype == case.working
    numpy.testing.assert_array_equal(
        indices, _seed_centers(case.x, n_clusters, n_trials, draws))
    numpy.testing.assert_array_equal(centers, cases.rows(case.x)[indices])


def test_seed_of_many_points(device):
    # More tiles than blocks.
    case = cases.Case((1, 2, 150000), 3, 'float32')
    draws = case.random.uniform(size=1 + 2 * 3)
    _, indices = device.get(gpu.seeding.seed(device.send(case.x), 3, draws))
    numpy.testing.assert_array_equal(
        indices, _seed_centers(case.x, 3, 3, draws))


@pytest.mark.parametrize('draw', [0, 1 - 1e-16])
def test_seed_from_equal_points(device, draw):
    x = device.send(numpy.full((2, 3, 50), 1.5, 'f'))
    centers, indices = device.get(gpu.seeding.seed(
        x, 4, numpy.full(1 + 3 * 2, draw)))
    numpy.testing.assert_array_equal(centers, numpy.full((4, 3), 1.5))
    assert ((0 <= indices) & (indices < 100)).all()


def test_seed_takes_distinct_points_first(device):
    # Equal points but for two: those are the only ones with a distance.
    x = numpy.zeros((1, 2, 400), 'f')
    x[0, :, 71] = 1
    x[0, :, 333] = -5
    for seed in range(10):
        draws = numpy.random.RandomState(seed).uniform(size=1 + 2 * 2)
        _, indices = device.get(gpu.seeding.seed(device.send(x), 3, draws))
        if indices[0] not in (71, 333):
            assert set(indices[1:]) == {71, 333}, seed


def test_nearest_of_any_number_of_centers(device, case):
    centers = case.matrix(20)
    labels, distances = device.get(gpu.seeding.nearest(
        device.send(case.x, case.layout), device.send(centers)))
    expected = ((cases.rows(case.x)[:, None] - centers.astype('d')) ** 2).sum(
        axis=2)
    assert labels.dtype == 'int64' and distances.dtype == case.working
    cases.assert_close(distances, expected.min(axis=1), 20 * case.rtol)
    numpy.testing.assert_allclose(
        expected[numpy.arange(len(labels)), labels], expected.min(axis=1),
        rtol=20 * case.rtol)


def test_take(device, case):
    numbers = case.random.randint(case.x[:, 0].size, size=7)
    points = device.get(gpu.seeding.take(
        device.send(case.x, case.layout), device.send(numbers)))
    assert points.dtype == case.working
    numpy.testing.assert_array_equal(points, cases.rows(case.x)[numbers])
