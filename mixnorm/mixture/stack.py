"""The layout that every step of the density model works in.

A *stack* is an array ``(B, C, L)`` of ``B * L`` points in ``C`` dimensions:
an activation ``(N, C, *S)`` with its spatial axes flattened, or a matrix
``(M, C)`` of points seen as ``(1, C, M)``.  Neither is copied.  What belongs
to points comes as ``(B, K, L)`` or ``(B, L)``; points are numbered
``b * L + l``.
"""
import math

import numpy

# Elements of a block: small enough to stay in a core's cache with its
# temporaries; on a GPU, large enough to fill it.
_BLOCK_ELEMENTS_CPU = 1 << 17
_BLOCK_ELEMENTS_GPU = 1 << 26


def get_array_module(*arrays):
    """Returns CuPy if any of the arrays is CuPy's, otherwise NumPy."""
    for array in arrays:
        if type(array).__module__.partition('.')[0] == 'cupy':
            import cupy
            return cupy
    return numpy


def working_dtype(dtype):
    """Returns the dtype to compute in: float32 for float16, else ``dtype``."""
    return numpy.promote_types(dtype, numpy.float32)


def stack(x):
    """Views points as a stack.

    Args:
        x (array): Points of shape ``(N, C, *S)``; ``S`` may be empty.

    Returns:
        array: ``(N, C, L)``, or ``(1, C, N)`` if ``L`` is 1.

    """
    n, c = x.shape[:2]
    length = math.prod(x.shape[2:])
    if length == 1:
        return x.reshape(n, c).T[None]
    return x.reshape(n, c, length)


def unstack(z, x_shape):
    """Undoes :func:`stack` for an array with ``K`` in the place of ``C``.

    Args:
        z (array): ``(B, K, L)`` in the layout of ``stack(x)``.
        x_shape (tuple of ints): Shape ``(N, C, *S)`` of ``x``.

    Returns:
        array: ``(N, K, *S)``.

    """
    n, spatial = x_shape[0], tuple(x_shape[2:])
    if math.prod(spatial) == 1:
        z = z[0].T
    return z.reshape((n, z.shape[1]) + spatial)


def blocks(x):
    """Yields index pairs ``(b, l)`` of slices that cut a stack into blocks.

    ``x[b, :, l]`` is a block; what belongs to its points is ``z[b, ..., l]``.

    """
    n_batch, n_dims, length = x.shape
    size = (_BLOCK_ELEMENTS_CPU if isinstance(x, numpy.ndarray)
            else _BLOCK_ELEMENTS_GPU)
    n_points = max(1, size // max(1, n_dims))
    batch_step = max(1, n_points // max(1, length))
    length_step = min(max(1, length), n_points)
    for b in range(0, n_batch, batch_step):
        for start in range(0, length, length_step):
            yield (slice(b, b + batch_step),
                   slice(start, start + length_step))


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
    return x[indices // length, :, indices % length]


def pivot(x):
    """Returns a point ``(C,)`` amid the data, in the working dtype.

    Sums are taken relative to it: in float32, raw sums lose the deviations
    of points far from the origin.

    """
    b, length = next(blocks(x))
    dtype = working_dtype(x.dtype)
    return x[b, :, length].mean(axis=(0, 2), dtype=numpy.float64).astype(dtype)
