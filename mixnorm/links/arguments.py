"""Checks of what links are made with, with messages that name it."""
import contextlib
import numbers

import numpy

import chainer


def check_dtype(dtype):
    """Checks the argument ``dtype`` of a link.

    Args:
        dtype (numpy.dtype or None): What a user gave.

    Returns:
        numpy.dtype: The type of parameters: that of ``chainer.config.dtype``
        if ``None``, and float32 for mixed16.

    Raises:
        ValueError: If it is no floating dtype.

    """
    try:
        resolved = chainer.get_dtype(dtype, map_mixed16=numpy.float32)
    except (TypeError, ValueError, SyntaxError):
        resolved = None
    if resolved is None or resolved.kind != 'f':
        raise ValueError(f'dtype is {dtype!r}: it must be None or a floating '
                         'dtype')
    return resolved


def check_flag(name, value):
    """Checks an argument that is yes or no.

    Args:
        name (str): Name of the argument.
        value (bool): What a user gave.

    Raises:
        ValueError: If it is neither ``True`` nor ``False``.

    """
    if not isinstance(value, (bool, numpy.bool_)):
        raise ValueError(f'{name} is {value!r}: it must be True or False')


def check_initializer(name, value, shape=None):
    """Checks an argument that initializes an array.

    Args:
        name (str): Name of the argument.
        value (float, array, callable or None): What a user gave.
        shape (tuple of ints or None): Shape of what it is to fill, where that
            is known.

    Raises:
        ValueError: If it is none of these, or an array that does not
            broadcast to the shape.

    """
    fill = getattr(value, 'fill_value', value)
    if isinstance(fill, chainer.get_array_types()):
        if fill.dtype.kind in 'fiu':
            _check_broadcast(name, fill.shape, shape)
            return
    # A class would be called with the array and leave it as it is.
    elif fill is None or _is_real(fill) or (
            callable(fill) and not isinstance(fill, type)):
        return
    raise ValueError(f'{name} is {value!r}: it must be None, a number, an '
                     'array of numbers or an initializer')


@contextlib.contextmanager
def naming_initializer(name, value, shape):
    """Names an initializer in the error if it cannot fill an array.

    Args:
        name (str): Name of the argument.
        value (callable): The initializer.
        shape (tuple of ints): Shape of what it fills.

    """
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ValueError(f'{name} is {value!r}: it cannot fill shape {shape}: '
                         f'{error}') from error


def _is_real(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _check_broadcast(name, shape, target):
    if target is None:
        return
    # Aligned at their last axes.
    aligned = zip(shape[::-1], target[::-1])
    if len(shape) > len(target) or any(
            n not in (1, expected) for n, expected in aligned):
        raise ValueError(f'{name} has shape {shape}: it must broadcast to '
                         f'{target}')
