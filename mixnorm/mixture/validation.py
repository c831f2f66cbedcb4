"""Checks of what users give, with messages that name it."""
import numbers

import numpy

from mixnorm import compute
from mixnorm.compute.stack import get_array_module, stack


def check_integer(name, value, minimum):
    """Raises ValueError unless ``value`` is an integer >= ``minimum``."""
    if (not isinstance(value, numbers.Integral) or isinstance(value, bool)
            or value < minimum):
        raise ValueError('{} is {!r}: it must be an integer of at least '
                         '{}'.format(name, value, minimum))


def check_real(name, value, low, high, closed_low=True, closed_high=True):
    """Raises ValueError unless ``value`` is a real number in the interval."""
    if (isinstance(value, numbers.Real) and not isinstance(value, bool)
            and (value >= low if closed_low else value > low)
            and (value <= high if closed_high else value < high)):
        return
    raise ValueError('{} is {!r}: it must be a number in {}{}, {}{}'.format(
        name, value, '[' if closed_low else '(', low, high,
        ']' if closed_high else ')'))


def check_choice(name, value, choices):
    """Raises ValueError unless ``value`` is one of ``choices``."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError('{} is {!r}: it must be {}'.format(
            name, value, ' or '.join(map(repr, choices))))


def check_points(X):
    """Validates points.

    Args:
        X (array-like): Points ``(N, C, *S)``.

    Returns:
        array: ``X`` as a NumPy or CuPy array of a floating dtype.

    Raises:
        ValueError: If there are fewer than two axes, no point, no dimension,
            or a value that is not finite.

    """
    xp = get_array_module(X)
    try:
        X = xp.asarray(X)
    except ValueError as error:
        raise ValueError('X is no array: {}'.format(error))
    if X.dtype.kind in 'biu':
        X = X.astype(numpy.float64)
    if X.dtype.kind != 'f':
        raise ValueError('X has dtype {}: it must be real'.format(X.dtype))
    if X.ndim < 2 or X.size == 0:
        raise ValueError(
            'X has shape {}: it must be (points, dimensions), or '
            '(samples, dimensions, *spatial), and hold at least one '
            'point'.format(X.shape))
    n_bad = int(compute.of(X).count_not_finite(stack(X)))
    if n_bad:
        raise ValueError('X holds {} of {} values that are not finite'.format(
            n_bad, X.size))
    return X
