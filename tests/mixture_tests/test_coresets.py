import numpy
import pytest

from mixnorm.mixture import coreset, DiagonalGaussianMixture


def _points(n_points=500, shift=0.):
    random = numpy.random.RandomState(0)
    return numpy.r_[random.randn(n_points - 5, 3),
                    20 + random.randn(5, 3)] + shift


def _cost(X, centers, weights=1.):
    distances = ((X[:, None] - centers) ** 2).sum(axis=2).min(axis=1)
    return (weights * distances).sum()


@pytest.mark.parametrize('shift', [0, 1e6])
def test_cost_is_unbiased(shift):
    X = _points(shift=shift)
    centers = X[[0, 1, -1]]
    costs = []
    sizes = []
    random = numpy.random.RandomState(1)
    for _ in range(300):
        points, weights = coreset(X, 20, random)
        costs.append(_cost(points, centers, weights))
        sizes.append(weights.sum())
    for found, exact in [(costs, _cost(X, centers)), (sizes, len(X))]:
        error = numpy.std(found) / len(found) ** .5
        assert abs(numpy.mean(found) - exact) < 3 * error


def test_weights_are_those_of_the_paper():
    X = _points()
    points, weights = coreset(X, 50, 3)
    distances = ((X - X.mean(axis=0)) ** 2).sum(axis=1)
    q = .5 / len(X) + .5 * distances / distances.sum()
    numbers = [numpy.flatnonzero((X == point).all(axis=1))[0]
               for point in points]
    numpy.testing.assert_allclose(weights, 1 / (50 * q[numbers]), rtol=1e-9)
    # The few far points are drawn as often as all others together.
    assert .2 < numpy.mean(numpy.array(numbers) >= 495) < .8


def test_it_is_fitted_like_all_points():
    random = numpy.random.RandomState(0)
    means = numpy.array([[0., 0.], [20., 0.], [0., 30.]])
    X = means[random.choice(3, 20000, p=[.2, .3, .5])] + random.randn(
        20000, 2)
    points, weights = coreset(X, 2000, 0)
    gm = DiagonalGaussianMixture(3, random_state=0).fit(
        points, sample_weight=weights)
    order = gm.weights_.argsort()
    numpy.testing.assert_allclose(gm.weights_[order], [.2, .3, .5], atol=.05)
    numpy.testing.assert_allclose(gm.means_[order], means, atol=.3)


def test_blocks_and_activations():
    X = _points()
    expected = coreset(X, 30, 0)
    for same in ([X[:100], X[100:]],
                 X.reshape(50, 10, 3).transpose(0, 2, 1)):
        for actual, wanted in zip(coreset(same, 30, 0), expected):
            numpy.testing.assert_allclose(actual, wanted, rtol=1e-9)


def test_equal_points():
    points, weights = coreset(numpy.full((10, 2), 7.), 4, 0)
    numpy.testing.assert_array_equal(points, 7)
    numpy.testing.assert_allclose(weights, 2.5)


@pytest.mark.parametrize('arguments,message', [
    ({'m': 0}, 'm is 0.*integer of at least 1'),
    ({'X': numpy.full((3, 2), numpy.nan)}, 'X holds 6 of 6'),
    ({'X': numpy.array([[1e200, 0], [-1e200, 1]])}, 'X is too large'),
    ({'random_state': 'a'}, "random_state is 'a'"),
])
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        coreset(**dict({'X': numpy.eye(3), 'm': 2}, **arguments))
