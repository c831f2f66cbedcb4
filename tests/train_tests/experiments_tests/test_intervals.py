import numpy
import pytest
from scipy import stats

from train.experiments.intervals import difference, mean_and_interval


@pytest.mark.parametrize('n', [2, 3, 5, 12, 21])
def test_interval_is_student_s(n):
    values = numpy.random.RandomState(n).randn(n) + 3
    mean, half = mean_and_interval(values.tolist())
    low, high = stats.t.interval(
        .95, n - 1, loc=values.mean(), scale=stats.sem(values))
    numpy.testing.assert_allclose(
        [mean - half, mean + half], [low, high], rtol=1e-3)


def test_one_run_has_no_interval():
    assert mean_and_interval([3.5]) == (3.5, None)


def test_difference_is_that_of_pairs():
    a, b = numpy.random.RandomState(0).randn(2, 5)
    mean, half = difference(list(zip(a, b)))
    interval = stats.ttest_rel(a, b).confidence_interval(.95)
    numpy.testing.assert_allclose(
        [mean - half, mean + half], [interval.low, interval.high],
        rtol=1e-3, atol=1e-3)
