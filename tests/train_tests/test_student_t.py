import numpy
import pytest

from train import student_t


stats = pytest.importorskip('scipy.stats')


@pytest.mark.parametrize('degrees', [*range(1, 41), 99, 100, 1001, 10 ** 4])
def test_quantile(degrees):
    assert student_t.quantile(degrees) == pytest.approx(
        stats.t.ppf(.975, degrees), rel=1e-10)


@pytest.mark.parametrize('n', [2, 3, 5, 30])
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
