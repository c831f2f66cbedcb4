"""The transform and its gradient.

There are kernels for every order of memory, and others for stacks whose
positions lie side by side in whole fours, as activations' mostly do.
"""
import numpy

from mixnorm.compute.gpu import launcher
from mixnorm.compute.gpu import tile
from mixnorm.compute.gpu.constants import (
    ALIGNED_CHANNELS, ALIGNED_SUM_CHANNELS, FOUR, ORIGIN_POINTS, QUAD,
    THREADS, TRANSFORM_CHANNELS, TRANSFORM_POINTS, WARP)
from mixnorm.compute.gpu.points import (
    aligned_arguments, aligned_strides, channels_fast, contiguous, divide_up,
    empty_like, is_aligned, n_points, stack_arguments, strided)
from mixnorm.compute.layout import get_array_module, working_dtype

# Thread blocks of an aligned pass: some for every multiprocessor, which then
# end at about the same time, and few enough to read the matrices seldom.
_THREAD_BLOCKS = 2048


@launcher.on_device
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


@launcher.on_device
def affine(x, tau, slope, offset, origin, shift):
    """Computes ``(x - origin) * (tau slope) + tau offset + shift``."""
    y = empty_like(x)
    if y.size == 0:
        return y
    matrices = _contiguous(tau.dtype, slope, offset, origin, shift)
    if _is_aligned(2, tau, x, y):
        _launch_aligned(
            'mixnorm_aligned_affine', x, tau, 2,
            (*aligned_arguments(x), *_columns(tau, aligned_strides),
             *matrices, y))
    else:
        _launch('mixnorm_affine', x, (
            *stack_arguments(x), *_columns(tau, strided), *matrices,
            *strided(y)))
    return y


@launcher.on_device
def gradient_input(x, gy, tau, slope, quadratic, offset, origin):
    """Computes ``gy * (tau slope) + (x - origin) * (tau quadratic) + tau \
offset``."""
    gx = empty_like(x)
    if gx.size == 0:
        return gx
    if quadratic is None:
        _gradient_direct(gy, tau, slope, gx)
        return gx
    matrices = _contiguous(tau.dtype, slope, offset, quadratic, origin)
    if _is_aligned(3, tau, x, gy, gx):
        _launch_aligned(
            'mixnorm_aligned_gradient_input', x, tau, 3,
            (*aligned_arguments(x), *aligned_strides(gy),
             *_columns(tau, aligned_strides), *matrices, gx))
    else:
        _launch('mixnorm_gradient_input', x, (
            *stack_arguments(x), *strided(gy), *_columns(tau, strided),
            *matrices, *strided(gx)))
    return gx


def _gradient_direct(gy, tau, slope, gx):
    matrices = _contiguous(tau.dtype, slope)
    if _is_aligned(1, tau, gy, gx):
        _launch_aligned(
            'mixnorm_aligned_gradient_direct', gx, tau, 1,
            (*aligned_arguments(gy), *_columns(tau, aligned_strides),
             *matrices, gx))
    else:
        _launch('mixnorm_gradient_direct', gx, (
            *stack_arguments(gy)[:-1], numpy.int32(channels_fast(gx)),
            *_columns(tau, strided), *matrices, *strided(gx)))


def _contiguous(dtype, *arrays):
    """Returns parameters as kernels read them."""
    return tuple(contiguous(z, dtype) for z in arrays)


def _columns(tau, described):
    """Returns coefficients as kernels take them, and their number."""
    return *described(tau), numpy.int32(tau.shape[1])


def _launch(name, x, arguments):
    launcher.launch(
        'transform', name, x.dtype,
        (divide_up(n_points(x), TRANSFORM_POINTS),
         divide_up(x.shape[1], TRANSFORM_CHANNELS)), 0, arguments)


def _is_aligned(n_terms, tau, *others):
    """Tells whether arrays are aligned and matrices fit shared memory."""
    return (_aligned_shared_bytes(tau, n_terms) <= tile.SHARED_BYTES
            and is_aligned(tau, *others))


def _aligned_shared_bytes(tau, n_terms):
    """Returns the memory of ``n_terms`` matrices, origin and shift."""
    columns = divide_up(tau.shape[1], QUAD) * QUAD
    return ALIGNED_CHANNELS * (n_terms * columns + 2) * tau.itemsize


def _launch_aligned(name, x, tau, n_terms, arguments):
    n_chunks = divide_up(x.shape[1], ALIGNED_CHANNELS)
    n_tiles = divide_up(n_points(x), FOUR * WARP)
    launcher.launch(
        'transform_aligned', name, x.dtype,
        (min(n_tiles, max(1, _THREAD_BLOCKS // n_chunks)), n_chunks),
        _aligned_shared_bytes(tau, n_terms), arguments)


@launcher.on_device
def gradient_sums(x, gy, tau, origin):
    """Computes what the gradients of means and variances are made of."""
    xp = get_array_module(x)
    n_dims, n_columns = x.shape[1], tau.shape[1]
    sums = xp.zeros((2 * n_columns + 1, n_dims), numpy.float64)
    if n_points(x) > 0:
        origin = contiguous(origin, tau.dtype)
        if is_aligned(x, gy, tau):
            partial = _aligned_partial_sums(x, gy, tau, origin)
        else:
            partial = _partial_sums(x, gy, tau, origin)
        launcher.launch(
            'transform', 'mixnorm_sum_rows', x.dtype,
            (divide_up(sums.size, WARP),), 0,
            (partial, numpy.int64(len(partial)), numpy.int64(sums.size),
             sums))
    return sums[:n_columns], sums[n_columns:-1], sums[-1]


def _empty_rows(x, tau, n_chunks, tile_points):
    """Makes memory for thread blocks' sums, ``(blocks, 2 J + 1, C)``."""
    n_rows = min(max(1, tile.THREAD_BLOCKS // n_chunks),
                 divide_up(n_points(x), tile_points))
    return get_array_module(x).empty(
        (n_rows, 2 * tau.shape[1] + 1, x.shape[1]), numpy.float64)


def _aligned_partial_sums(x, gy, tau, origin):
    n_chunks = divide_up(x.shape[1], ALIGNED_SUM_CHANNELS)
    partial = _empty_rows(x, tau, n_chunks, FOUR * WARP)
    launcher.launch(
        'transform_aligned', 'mixnorm_aligned_gradient_sums', x.dtype,
        (len(partial), n_chunks, divide_up(tau.shape[1], QUAD)), 0,
        (*aligned_arguments(x), *aligned_strides(gy),
         *_columns(tau, aligned_strides), origin, partial))
    return partial


def _partial_sums(x, gy, tau, origin):
    size = tau.itemsize
    points = 512 // size
    n_quads = 1 if tau.shape[1] <= QUAD else 2
    n_chunks = divide_up(x.shape[1], TRANSFORM_CHANNELS)
    partial = _empty_rows(x, tau, n_chunks, points)
    n_bytes = (2 * TRANSFORM_CHANNELS * (points + 1) * size
               + points * n_quads * QUAD * size
               + 2 * points * 8 + THREADS * 8)
    launcher.launch(
        'transform', 'mixnorm_gradient_sums', x.dtype,
        (len(partial), n_chunks, divide_up(tau.shape[1], n_quads * QUAD)),
        n_bytes,
        (*stack_arguments(x), *strided(gy), numpy.int32(channels_fast(gy)),
         *_columns(tau, strided), origin, numpy.int32(n_quads),
         numpy.int32(points), partial))
    return partial
