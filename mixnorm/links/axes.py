"""Which axes of an input are channels, as links' ``size`` and ``axis`` say.

``size`` is the shape of the channel dimensions, a tuple, or ``None`` while it
is not known; ``axis`` are the axes along which the points lie, a tuple, or
``None`` for all but those of ``size`` after the first.
"""
import functools
import math

import chainer
from chainer import functions
from chainer.utils import type_check


def split_axes(ndim, size, axis):
    """Tells the axes of points from those of channels.

    Args:
        ndim (int): Number of the input's axes.
        size (tuple of ints or None): See above.
        axis (tuple of ints or None): See above.

    Returns:
        tuple: Axes of points, and axes of channels.

    """
    if axis is None:
        n_channel_axes = 1 if size is None else len(size)
        axis = (0,) + tuple(range(1 + n_channel_axes, ndim))
    return axis, tuple(a for a in range(ndim) if a not in axis)


def check_type(x, size, axis):
    """Checks that an input is floating and fits ``size`` and ``axis``.

    Args:
        x (:class:`~chainer.Variable` or array): The input.
        size (tuple of ints or None): See above.
        axis (tuple of ints or None): See above.

    Raises:
        chainer.utils.type_check.InvalidType: If it does not, or, in training
            mode, has no points.

    """
    if chainer.config.type_check:
        _check_type(
            tuple(x.shape), x.dtype, size, axis, chainer.config.train)


# What fits is not looked at again; what does not raises an error each time.
@functools.lru_cache(maxsize=1000)
def _check_type(shape, dtype, size, axis, is_training):
    x_type = type_check.make_variable(type_check.TypeInfo(shape, dtype), 'x')
    type_check.expect(x_type.dtype.kind == 'f')
    if axis is not None:
        type_check.expect(x_type.ndim > axis[-1])
    else:
        type_check.expect(
            x_type.ndim >= 1 + (1 if size is None else len(size)))
    point_axes, channel_axes = split_axes(len(shape), size, axis)
    if is_training:
        for a in point_axes:
            type_check.expect(x_type.shape[a] > 0)
    if size is not None:
        type_check.expect(x_type.ndim == len(point_axes) + len(size))
        for a, s in zip(channel_axes, size):
            type_check.expect(x_type.shape[a] == s)


def channels_second(x, size, axis):
    """Brings an input into the form ``(N, C, *S)``.

    Args:
        x (~chainer.Variable): Input that fits ``size`` and ``axis``.
        size (tuple of ints): See above.
        axis (tuple of ints or None): See above.

    Returns:
        tuple: ``x`` with the first axis of points first, then the product of
        the channel dimensions, then the other axes of points; and a function
        that takes a variable of that shape back into the form of ``x``.

    """
    point_axes, channel_axes = split_axes(x.ndim, size, axis)
    order = point_axes[:1] + channel_axes + point_axes[1:]
    points = x
    if order != tuple(range(x.ndim)):
        points = functions.transpose(points, order)
    transposed_shape = points.shape
    if len(channel_axes) != 1:
        points = functions.reshape(
            points, points.shape[:1] + (math.prod(size),)
            + points.shape[1 + len(channel_axes):])

    def restore(y):
        if y.shape != transposed_shape:
            y = functions.reshape(y, transposed_shape)
        if order != tuple(range(x.ndim)):
            y = functions.transpose(
                y, tuple(order.index(a) for a in range(x.ndim)))
        return y

    return points, restore
