"""The layout that the arithmetic on points works in.

A *stack* is an array ``(B, C, L)`` of ``B * L`` points in ``C`` dimensions:
an activation ``(N, C, *S)`` with its spatial axes flattened, or a matrix
``(M, C)`` of points seen as ``(1, C, M)``.  Neither is copied.  What belongs
to points comes as ``(B, K, L)`` or ``(B, L)``; points are numbered
``b * L + l``.
"""
import contextlib
import functools
import math

import numpy


# Samples of so few positions are joined.
_SHORT = 8


def get_array_module(*arrays):
    """Returns CuPy if any of the arrays is CuPy's, otherwise NumPy."""
    for array in arrays:
        if _is_of_cupy(type(array)):
            import cupy
            return cupy
    return numpy


@functools.lru_cache(maxsize=100)
def _is_of_cupy(kind):
    return kind.__module__.partition('.')[0] == 'cupy'


def device_of(array):
    """Returns a context in which the current device is an array's.

    Args:
        array (array): A NumPy or CuPy array.

    Returns:
        context manager: The device; one that does nothing for main memory.

    """
    if get_array_module(array) is numpy:
        return contextlib.nullcontext()
    return array.device


def working_dtype(dtype):
    """Returns the dtype to compute in: float32 for float16, else ``dtype``."""
    return numpy.promote_types(dtype, numpy.float32)


def is_channels_last(z):
    """Tells whether a point's channels lie side by side in memory.

    Args:
        z (array): ``(..., C, L)``.

    Returns:
        bool: If not, a channel's points do, or neither.

    """
    return z.shape[-2] > 1 and (
        z.strides[-2] < z.strides[-1]
        or z.shape[-1] == 1 and z.strides[-2] == z.itemsize)


def shape_like(memory, z):
    """Views memory ``(z.size,)`` in the shape and order of ``z``.

    Args:
        memory (numpy.ndarray): One axis, contiguous.
        z (numpy.ndarray): ``(..., C, L)``.

    Returns:
        numpy.ndarray: Channels lie side by side if they do in ``z``;
        otherwise it is contiguous.

    """
    if is_channels_last(z):
        return memory.reshape(
            z.shape[:-2] + z.shape[:-3:-1]).swapaxes(-1, -2)
    return memory.reshape(z.shape)


def empty_like(z, dtype):
    """Makes an array in the shape of ``z`` and its order in memory."""
    return shape_like(numpy.empty(z.size, dtype), z)


def stack(x):
    """Views points as a stack.

    Args:
        x (array): Points of shape ``(N, C, *S)``; ``S`` may be empty.

    Returns:
        array: ``(N, C, L)``; ``(1, C, N * L)`` if ``L`` is 1 or, in main
        memory, so small that products sample by sample would cost more than
        this copy.

    """
    n, c = x.shape[:2]
    length = math.prod(x.shape[2:])
    x = x.reshape(n, c, length)
    if _is_joined(x, length):
        return x.swapaxes(1, 2).reshape(n * length, c).T[None]
    return x


def _is_joined(x, length):
    return length == 1 or (
        1 < length <= _SHORT and get_array_module(x) is numpy)


def unstack(z, x_shape):
    """Undoes :func:`stack` for an array with ``K`` in the place of ``C``.

    Args:
        z (array): ``(B, K, L)`` in the layout of ``stack(x)``.
        x_shape (tuple of ints): Shape ``(N, C, *S)`` of ``x``.

    Returns:
        array: ``(N, K, *S)``.

    """
    n, spatial = x_shape[0], tuple(x_shape[2:])
    length = math.prod(spatial)
    if _is_joined(z, length):
        z = z[0].T.reshape(n, length, z.shape[1]).swapaxes(1, 2)
    return z.reshape((n, z.shape[1]) + spatial)


def take(x, indices):
    """Gathers points.

    Args:
        x (array): Stack ``(B, C, L)``.
        indices (array): Integers ``(m,)`` in ``[0, B * L)``, on ``x``'s
            device.

    Returns:
        array: Points ``(m, C)``.

    """
    length = x.shape[2]
    if x.shape[0] == 1 and x[0].T.flags.c_contiguous:
        # Several times as fast where points lie in one piece each.
        return x[0].T.take(indices, axis=0)
    return x[indices // length, :, indices % length]
