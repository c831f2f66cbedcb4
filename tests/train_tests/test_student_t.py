import numpy
import pytest
from scipy import stats

from train import student_t


# From a printed table of t for a two-sided 95 %.
@pytest.mark.parametrize('n,t', [(2, 12.706), (5, 2.776), (31, 2.042)])
def test_interval_of_a_table(n, t):
    values = [0.] * (n - 1) + [float(n)]
    # The mean is 1, the sum of squared deviations n (n - 1).
    mean, half = student_t.mean_and_interval(values)
    assert mean == pytest.approx(1)
    assert half == pytest.approx(t, rel=5e-4)


@pytest.mark.parametrize('n', [2, 3, 5, 30, 10 ** 4])
def test_interval(n):
    values = numpy.random.RandomState(n).normal(3., 2., n)
    mean, half = student_t.mean_and_interval(values.tolist())
    expected = stats.t.interval(
        .95, n - 1, loc=values.mean(), scale=stats.sem(values))
    numpy.testing.assert_allclose(
        (mean - half, mean + half), expected, rtol=1e-9)


def test_one_value_has_no_interval():
    assert student_t.mean_and_interval([3.5]) == (3.5, None)


def test_interval_of_equal_values():
    assert student_t.mean_and_interval([.5, .5, .5]) == (.5, 0.)
