"""Arrays as the kernels take them; beside ``points.h``."""
import functools
import typing

import numpy

from mixnorm.compute.gpu.constants import FOUR
from mixnorm.compute.layout import get_array_module

# The null pointer.
NULL = numpy.uint64(0)


def divide_up(n, by):
    """Divides two integers, rounding up."""
    return -(-n // by)


def n_points(x):
    """Returns the number of points of a stack ``(B, C, L)``."""
    return x.shape[0] * x.shape[2]


def element_strides(x):
    """Returns strides in elements, as kernels take them."""
    return _element_strides(x.strides, x.itemsize)


@functools.lru_cache(maxsize=1000)
def _element_strides(strides, itemsize):
    return tuple(numpy.int64(s // itemsize) for s in strides)


def strided(x):
    """Returns an array and its strides in elements, as kernels take them."""
    return x, *element_strides(x)


def channels_fast(x):
    """Tells whether a point's channels lie closer together than points do.

    Adjacent threads then read adjacent channels.  Points lie apart by the
    last axis' stride in runs of its length; in short runs, by more.

    """
    batch, channel, length = (abs(s) for s in x.strides)
    if x.shape[2] == 1:
        length = batch
    return channel * min(x.shape[2], 8) < 8 * length


def is_aligned(*stacks):
    """Tells whether kernels can move four neighbouring positions at once.

    Args:
        stacks (arrays): ``(B, C, L)`` or ``(B, J, L)``, none of them empty.

    Returns:
        bool: Whether positions lie side by side, all begin whole fours in
        memory, and 32 bits hold every offset.

    """
    return all(_is_aligned(z) for z in stacks)


def _is_aligned(z):
    return (_address(z) % min(FOUR * z.itemsize, 16) == 0
            and _has_fours(_layout(z)))


@functools.lru_cache(maxsize=1000)
def _has_fours(z):
    """Tells whether a layout is aligned but for where it begins."""
    size = z.itemsize
    if z.shape[2] % FOUR != 0 or z.strides[2] != size:
        return False
    last = z.shape[2]
    for n, stride in zip(z.shape[:2], z.strides):
        if n > 1 and (stride < 0 or stride % (FOUR * size) != 0):
            return False
        last += (n - 1) * stride // size
    return last < 1 << 31


def _address(z):
    # CuPy's, and NumPy's where the kernels run on the CPU.
    pointer = getattr(z.data, 'ptr', None)
    return z.ctypes.data if pointer is None else pointer


def aligned_arguments(x):
    """Returns the arguments that describe an aligned stack to a kernel.

    Args:
        x (array): Stack ``(B, C, L)``, see :func:`is_aligned`.

    """
    return (x, *_aligned_numbers(_layout(x)))


def aligned_strides(x):
    """Returns an aligned stack and its strides by sample and channel."""
    return (x, *_aligned_numbers(_layout(x))[:2])


def stack_arguments(x, n=None):
    """Returns the arguments that describe a stack to a kernel.

    Args:
        x (array): Stack ``(B, C, L)``.
        n (int): Number of points to work on; all if ``None``.

    """
    return (x, *_stack_numbers(_layout(x), n))


class _Layout(typing.NamedTuple):

    """What the numbers that describe an array follow from."""

    shape: tuple
    strides: tuple
    itemsize: int


def _layout(x):
    return _Layout(x.shape, x.strides, x.itemsize)


@functools.lru_cache(maxsize=1000)
def _aligned_numbers(x):
    fours = x.shape[2] // FOUR
    return (*(numpy.int32(stride // x.itemsize if n > 1 else 0)
              for n, stride in zip(x.shape[:2], x.strides)),
            numpy.int32(fours), numpy.int32(x.shape[0] * fours),
            numpy.int32(x.shape[1]))


@functools.lru_cache(maxsize=1000)
def _stack_numbers(x, n):
    return (*element_strides(x), numpy.int64(x.shape[2]),
            numpy.int64(n_points(x) if n is None else n),
            numpy.int32(x.shape[1]), numpy.int32(channels_fast(x)))


def contiguous(array, dtype):
    """Returns an array as kernels read it, a null pointer for ``None``."""
    if array is None:
        return NULL
    return get_array_module(array).ascontiguousarray(array, dtype=dtype)


def empty_like(x):
    """Makes an array of the same type and order in memory.

    Points' channels lie side by side in it if they do in ``x``, and otherwise
    it is contiguous: what is written side by side is read so.

    """
    xp = get_array_module(x)
    n_batch, n_dims, length = x.shape
    if channels_fast(x):
        return xp.empty((n_batch, length, n_dims), x.dtype).transpose(0, 2, 1)
    return xp.empty(x.shape, x.dtype)
