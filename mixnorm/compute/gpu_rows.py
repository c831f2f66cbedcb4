"""Arithmetic on rows on a GPU: what launches the CUDA kernels.

The functions are those of :mod:`mixnorm.compute.cpu_rows`.  A *row* is what a
sample holds of a channel: ``x`` is ``(N, C, L)``, of float16, float32 or
float64 and in any order of memory, and has ``N * C`` rows of ``L`` values.
Nothing waits for the GPU, and the same input gives the same bits.
"""
import numpy

from mixnorm.compute import gpu
from mixnorm.compute.stack import working_dtype

# Those of the kernels.
_THREADS = 256
_WARP = 32

# Values of a row that a thread takes, where rows are short.
_VALUES = 4


def _launch(x, name, arguments):
    n_batch, n_dims, length = x.shape
    n_rows = n_batch * n_dims
    channels_fast = gpu.channels_fast(x)
    # Threads that share a row, a power of two.
    parts, most = 1, _THREADS // _WARP if channels_fast else _THREADS
    while parts < most and _VALUES * parts < length:
        parts *= 2
    if n_rows > 0:
        gpu.launch(
            'rows', name, x.dtype, (-(-n_rows // (_THREADS // parts)),), 0,
            (x,) + gpu.element_strides(x) + (
                numpy.int64(length), numpy.int64(n_rows), numpy.int32(n_dims),
                numpy.int32(parts), numpy.int32(channels_fast)) + arguments)


def means(x):
    """Computes the mean of each row.

    Args:
        x (cupy.ndarray): ``(N, C, L)``.

    Returns:
        cupy.ndarray: ``(N, C)``, in the working dtype.

    """
    mean = gpu.get_array_module(x).empty(x.shape[:2], working_dtype(x.dtype))
    _launch(x, 'mixnorm_row_moments', (mean, gpu.NULL))
    return mean


def moments(x):
    """Computes the mean and the variance of each row.

    Args:
        x (cupy.ndarray): ``(N, C, L)``.

    Returns:
        tuple of cupy.ndarray: Means ``(N, C)``, in the working dtype, and
        variances ``(N, C)``, float64.

    """
    xp = gpu.get_array_module(x)
    mean = xp.empty(x.shape[:2], working_dtype(x.dtype))
    variance = xp.empty(x.shape[:2], numpy.float64)
    _launch(x, 'mixnorm_row_moments', (mean, variance))
    return mean, variance


def affine(x, center, slope, offset):
    """Computes ``(x - center) * slope + offset`` by rows.

    Args:
        x (cupy.ndarray): ``(N, C, L)``.
        center (cupy.ndarray): ``(N, C)``, in the working dtype.
        slope (cupy.ndarray): Likewise.
        offset (cupy.ndarray): Likewise.

    Returns:
        cupy.ndarray: ``(N, C, L)`` in ``x``'s dtype and order in memory.

    """
    y = gpu.empty_in_order_of(x)
    _launch(x, 'mixnorm_row_affine', tuple(
        gpu.contiguous(z, center.dtype) for z in (center, slope, offset)) + (
            y,) + gpu.element_strides(y))
    return y


def gradient_sums(x, gy, center):
    """Computes the gradients of :func:`affine`'s slope and offset.

    Args:
        x (cupy.ndarray): ``(N, C, L)``.
        gy (cupy.ndarray): Gradient of the output, ``(N, C, L)``, in ``x``'s
            dtype.
        center (cupy.ndarray): ``(N, C)``, in the working dtype.

    Returns:
        tuple of cupy.ndarray: Of each row, the sums of
        ``gy * (x - center)`` and of ``gy``: ``(N, C)``, float64.

    """
    xp = gpu.get_array_module(x)
    slope, offset = (
        xp.empty(x.shape[:2], numpy.float64) for _ in range(2))
    _launch(x, 'mixnorm_row_gradient_sums',
            (gy,) + gpu.element_strides(gy) + (
                gpu.contiguous(center, center.dtype), slope, offset))
    return slope, offset


def gradient_input(x, gy, center, slope, quadratic, offset):
    """Computes ``gy * slope + (x - center) * quadratic + offset`` by rows.

    Args:
        x (cupy.ndarray): ``(N, C, L)``.
        gy (cupy.ndarray): Gradient of the output, ``(N, C, L)``, in ``x``'s
            dtype.
        center (cupy.ndarray): ``(N, C)``, in the working dtype.
        slope (cupy.ndarray): Likewise.
        quadratic (cupy.ndarray or None): Likewise; ``None`` for 0.
        offset (cupy.ndarray): Likewise.

    Returns:
        cupy.ndarray: ``(N, C, L)`` in ``x``'s dtype and order in memory.

    """
    gx = gpu.empty_in_order_of(x)
    _launch(x, 'mixnorm_row_gradient_input',
            (gy,) + gpu.element_strides(gy) + tuple(
                gpu.contiguous(z, center.dtype)
                for z in (center, slope, quadratic, offset)) + (
                    gx,) + gpu.element_strides(gx))
    return gx
