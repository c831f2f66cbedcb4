"""Arithmetic on rows: what a sample holds of a channel, ``L`` values each."""
import numpy

from mixnorm.compute.gpu import launcher
from mixnorm.compute.gpu.constants import THREADS, WARP
from mixnorm.compute.gpu.points import (
    channels_fast, contiguous, divide_up, element_strides, empty_like, NULL)
from mixnorm.compute.layout import get_array_module, working_dtype

# Values of a row that a thread takes, where rows are short.
_VALUES = 4


@launcher.on_device
def means(x):
    """Computes the mean of each row."""
    mean = get_array_module(x).empty(x.shape[:2], working_dtype(x.dtype))
    _launch(x, 'mixnorm_row_moments', mean, NULL)
    return mean


@launcher.on_device
def moments(x):
    """Computes the mean and the variance of each row."""
    xp = get_array_module(x)
    mean = xp.empty(x.shape[:2], working_dtype(x.dtype))
    variance = xp.empty(x.shape[:2], numpy.float64)
    _launch(x, 'mixnorm_row_moments', mean, variance)
    return mean, variance


@launcher.on_device
def affine(x, center, slope, offset):
    """Computes ``(x - center) * slope + offset`` by rows."""
    y = empty_like(x)
    _launch(x, 'mixnorm_row_affine',
            *(contiguous(z, center.dtype) for z in (center, slope, offset)),
            y, *element_strides(y))
    return y


@launcher.on_device
def gradient_sums(x, gy, center):
    """Computes the gradients of :func:`affine`'s slope and offset."""
    xp = get_array_module(x)
    slope, offset = (
        xp.empty(x.shape[:2], numpy.float64) for _ in range(2))
    _launch(x, 'mixnorm_row_gradient_sums', gy, *element_strides(gy),
            contiguous(center, center.dtype), slope, offset)
    return slope, offset


@launcher.on_device
def gradient_input(x, gy, center, slope, quadratic, offset):
    """Computes ``gy * slope + (x - center) * quadratic + offset`` by rows."""
    gx = empty_like(x)
    _launch(x, 'mixnorm_row_gradient_input', gy, *element_strides(gy),
            *(contiguous(z, center.dtype)
              for z in (center, slope, quadratic, offset)),
            gx, *element_strides(gx))
    return gx


def _launch(x, name, *arguments):
    n_batch, n_dims, length = x.shape
    n_rows = n_batch * n_dims
    is_fast = channels_fast(x)
    # Threads that share a row, a power of two.
    parts, most = 1, THREADS // WARP if is_fast else THREADS
    while parts < most and _VALUES * parts < length:
        parts *= 2
    if n_rows > 0:
        launcher.launch(
            'rows', name, x.dtype, (divide_up(n_rows, THREADS // parts),), 0,
            (x, *element_strides(x), numpy.int64(length),
             numpy.int64(n_rows), numpy.int32(n_dims), numpy.int32(parts),
             numpy.int32(is_fast), *arguments))
