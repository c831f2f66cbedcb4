"""Checks of what users give, with messages that name it."""
import numbers

import numpy

from mixnorm import compute
from mixnorm.compute.stack import get_array_module, stack


def check_integer(name, value, minimum):
    """Raises ValueError unless ``value`` is an integer >= ``minimum``."""
    if (not isinstance(value, numbers.Integral) or isinstance(value, bool)
            or value < minimum):
        raise ValueError(f'{name} is {value!r}: it must be an integer of at '
                         f'least {minimum}')


def check_real(name, value, low, high, closed_low=True, closed_high=True):
    """Raises ValueError unless ``value`` is a real number in the interval."""
    if (isinstance(value, numbers.Real) and not isinstance(value, bool)
            and (value >= low if closed_low else value > low)
            and (value <= high if closed_high else value < high)):
        return
    raise ValueError(f'{name} is {value!r}: it must be a number in '
                     f"{'[' if closed_low else '('}{low}, "
                     f"{high}{']' if closed_high else ')'}")


def check_choice(name, value, choices):
    """Raises ValueError unless ``value`` is one of ``choices``."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f'{name} is {value!r}: it must be '
                         f"{' or '.join(map(repr, choices))}")


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
        raise ValueError(f'X is no array: {error}')
    if X.dtype.kind in 'biu':
        X = X.astype(numpy.float64)
    if X.dtype.kind != 'f':
        raise ValueError(f'X has dtype {X.dtype}: it must be real')
    if X.ndim < 2 or X.size == 0:
        raise ValueError(
            f'X has shape {X.shape}: it must be (points, dimensions), or '
            '(samples, dimensions, *spatial), and hold at least one point')
    n_bad = int(compute.of(X).count_not_finite(stack(X)))
    if n_bad:
        raise ValueError(f'X holds {n_bad} of {X.size} values that are not '
                         'finite')
    return X
