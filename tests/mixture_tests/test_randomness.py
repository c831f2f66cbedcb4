import numpy
import pytest

from mixnorm.mixture.randomness import as_generator, sample_indices


@pytest.mark.parametrize('make', [
    numpy.random.RandomState, numpy.random.default_rng])
@pytest.mark.parametrize('n_points,ratio,size', [
    (100, .25, 25), (100, 1, 100), (1, .25, 1), (3, .01, 1), (1000, .5, 500)])
def test_sample(n_points, ratio, size, make):
    indices = sample_indices(n_points, ratio, make(0))
    assert len(indices) == size
    assert (numpy.diff(indices) > 0).all()  # Distinct.
    assert 0 <= indices[0] and indices[-1] < n_points


@pytest.mark.parametrize('make', [
    numpy.random.RandomState, numpy.random.default_rng])
def test_every_point_is_drawn_equally_often(make):
    n_draws, n_points = 4000, 12
    generator = make(0)
    counts = numpy.zeros(n_points)
    for _ in range(n_draws):
        counts[sample_indices(n_points, .25, generator)] += 1
    # Three of twelve: a quarter of the draws, within five deviations.
    deviation = (n_draws * .25 * .75) ** .5
    assert abs(counts - n_draws * .25).max() < 5 * deviation, 'seed 0'


def test_at_least_the_share_asked_for():
    # The paper's bound: "at least 25 % of the data points".
    for n_points in range(1, 30):
        assert len(sample_indices(n_points, .25, 0)) >= .25 * n_points


def test_generators():
    generator = numpy.random.default_rng(0)
    assert as_generator(generator) is generator
    state = numpy.random.RandomState(0)
    assert as_generator(state) is state
    assert (as_generator(numpy.int64(7)).random_sample()
            == numpy.random.RandomState(7).random_sample())
    assert (as_generator(None).random_sample()
            != as_generator(None).random_sample())


@pytest.mark.parametrize('bad', [-1, 1 << 32, 1.5, 'a', True, [1]])
def test_bad_random_state(bad):
    with pytest.raises(ValueError, match='random_state is .*None, an integer'):
        as_generator(bad)
