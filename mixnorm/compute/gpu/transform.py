"""The transform and its gradient."""
import numpy

from mixnorm.compute.gpu import launcher
from mixnorm.compute.gpu import tile
from mixnorm.compute.gpu.constants import (
    ORIGIN_POINTS, QUAD, THREADS, TRANSFORM_CHANNELS, TRANSFORM_POINTS, WARP)
from mixnorm.compute.gpu.points import (
    channels_fast, contiguous, divide_up, element_strides, empty_like,
    n_points, stack_arguments)
from mixnorm.compute.layout import get_array_module, working_dtype


def find_origin(x):
    """Finds a point amid the data, whether or not 0 would serve."""
    n_dims = x.shape[1]
    origin = get_array_module(x).zeros((n_dims,), working_dtype(x.dtype))
    if n_points(x) > 0:
        launcher.launch(
            'transform', 'mixnorm_find_origin', x.dtype,
            (divide_up(n_dims, THREADS),), 0,
            (*stack_arguments(x)[:-1],
             numpy.int32(min(ORIGIN_POINTS, n_points(x))), origin))
    return origin


def _grid(x):
    return (divide_up(n_points(x), TRANSFORM_POINTS),
            divide_up(x.shape[1], TRANSFORM_CHANNELS))


def affine(x, tau, slope, offset, origin, shift):
    """Computes ``(x - origin) * (tau slope) + tau offset + shift``."""
    y = empty_like(x)
    if y.size > 0:
        launcher.launch(
            'transform', 'mixnorm_affine', x.dtype, _grid(x), 0,
            (*stack_arguments(x), tau, *element_strides(tau),
             numpy.int32(tau.shape[1]),
             *(contiguous(z, tau.dtype)
               for z in (slope, offset, origin, shift)),
             y, *element_strides(y)))
    return y


def gradient_sums(x, gy, tau, origin):
    """Computes what the gradients of means and variances are made of."""
    xp = get_array_module(x)
    dtype = tau.dtype
    n, n_dims, n_columns = n_points(x), x.shape[1], tau.shape[1]
    n_sums = (2 * n_columns + 1) * n_dims
    make_sums = xp.empty if n > 0 else xp.zeros
    sums = make_sums((2 * n_columns + 1, n_dims), numpy.float64)
    if n > 0:
        points = 512 // dtype.itemsize
        n_quads = 1 if n_columns <= QUAD else 2
        n_chunks = divide_up(n_dims, TRANSFORM_CHANNELS)
        n_rows = min(max(1, tile.THREAD_BLOCKS // n_chunks),
                     divide_up(n, points))
        n_bytes = (2 * TRANSFORM_CHANNELS * (points + 1) * dtype.itemsize
                   + points * n_quads * QUAD * dtype.itemsize
                   + 2 * points * 8 + THREADS * 8)
        partial = xp.empty((n_rows, n_sums), numpy.float64)
        launcher.launch(
            'transform', 'mixnorm_gradient_sums', x.dtype,
            (n_rows, n_chunks, divide_up(n_columns, n_quads * QUAD)), n_bytes,
            (*stack_arguments(x), gy, *element_strides(gy),
             numpy.int32(channels_fast(gy)), tau, *element_strides(tau),
             numpy.int32(n_columns), contiguous(origin, dtype),
             numpy.int32(n_quads), numpy.int32(points), partial))
        launcher.launch(
            'transform', 'mixnorm_sum_rows', x.dtype,
            (divide_up(n_sums, WARP),), 0,
            (partial, numpy.int64(n_rows), numpy.int64(n_sums), sums))
    return sums[:n_columns], sums[n_columns:-1], sums[-1]


def gradient_input(x, gy, tau, slope, quadratic, offset, origin):
    """Computes ``gy * (tau slope) + (x - origin) * (tau quadratic) + tau \
offset``."""
    gx = empty_like(x)
    if gx.size > 0:
        launcher.launch(
            'transform', 'mixnorm_gradient_input', x.dtype, _grid(x), 0,
            (*stack_arguments(x), gy, *element_strides(gy),
             tau, *element_strides(tau), numpy.int32(tau.shape[1]),
             *(contiguous(z, tau.dtype)
               for z in (slope, offset, quadratic, origin)),
             gx, *element_strides(gx)))
    return gx
