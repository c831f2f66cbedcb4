import numpy
import pytest

from mixnorm.compute.layout import stack, take, unstack, working_dtype


_SHAPES = [(7, 3), (1, 3), (7, 3, 1, 1), (4, 3, 5), (2, 3, 4, 5),
           (2, 1, 2, 2, 2), (1, 3, 4), (5, 3, 3, 3)]


def _rows(x):
    """The points one row each, in the order of their numbers."""
    return numpy.moveaxis(x, 1, -1).reshape(-1, x.shape[1])


@pytest.mark.parametrize('shape', _SHAPES, ids=str)
def test_points_are_numbered_by_sample_then_position(shape):
    x = numpy.random.RandomState(0).randn(*shape)
    rows, stacked = _rows(x), stack(x)
    numpy.testing.assert_array_equal(
        numpy.moveaxis(stacked, 1, -1).reshape(-1, shape[1]), rows)
    # But for short samples of several channels, which are joined.
    length = len(rows) // shape[0]
    assert numpy.shares_memory(stacked, x) == (
        length == 1 or length > 8 or shape[0] == 1 or shape[1] == 1)
    numpy.testing.assert_array_equal(
        take(stacked, numpy.arange(len(rows))[::-1]), rows[::-1])


@pytest.mark.parametrize('shape', _SHAPES, ids=str)
def test_unstack_undoes_stack(shape):
    x = numpy.random.RandomState(0).randn(*shape)
    numpy.testing.assert_array_equal(unstack(stack(x), shape), x)
    # With another number of components in the place of the channels.
    wide = numpy.random.RandomState(1).randn(
        shape[0], 6, *shape[2:])
    numpy.testing.assert_array_equal(unstack(stack(wide), shape), wide)


def test_working_dtype():
    assert working_dtype(numpy.dtype('e')) == numpy.float32
    assert working_dtype(numpy.dtype('f')) == numpy.float32
    assert working_dtype(numpy.dtype('d')) == numpy.float64
