"""Gathering of a sample of points, its standardization, and its check."""
import math

import numpy

from mixnorm.compute.gpu import launcher
from mixnorm.compute.gpu import tile
from mixnorm.compute.gpu.constants import THREADS
from mixnorm.compute.gpu.mixture import empty_sums, moments
from mixnorm.compute.gpu.points import (
    contiguous, divide_up, n_points, stack_arguments)
from mixnorm.compute.layout import get_array_module, working_dtype


@launcher.on_device
def count_not_finite(x):
    """Counts values that are not a number or infinite."""
    return x.size - get_array_module(x).isfinite(x).sum()


def with_origin(x):
    """Returns the array: a kernel finds the origin where it is needed."""
    return x


def precompute(x):
    """Returns the array: kernels need nothing but the points."""
    return x


@launcher.on_device
def standardized_sample(x, indices):
    """Gathers points, relative to their mean and in units of deviations.

    Each channel's lie side by side.

    """
    xp = get_array_module(x)
    dtype = working_dtype(x.dtype)
    n_dims = x.shape[1]
    n = n_points(x) if indices is None else len(indices)
    points, channels, _, n_bytes = tile.choose(n, n_dims, 1, 0, dtype)
    n_rows = min(tile.THREAD_BLOCKS, divide_up(n, points))
    z = xp.empty((1, n_dims, n), dtype)
    first_point = xp.empty((1, n_dims), dtype)
    partial = empty_sums(x, n_rows, 1)
    launcher.launch(
        'sample', 'mixnorm_gather', x.dtype, (n_rows,), n_bytes,
        (*stack_arguments(x, n), contiguous(indices, numpy.int64),
         numpy.int32(points), numpy.int32(channels), z, first_point, partial))
    _, location, variance = moments(z, partial, first_point)
    location = location[0]
    scale = xp.empty((n_dims,), dtype)
    launcher.launch(
        'sample', 'mixnorm_standardize', dtype,
        (n_dims, min(tile.THREAD_BLOCKS, divide_up(n, 4 * THREADS))), 0,
        (z, numpy.int64(n), location, variance,
         dtype.type(1e4 * math.sqrt(numpy.finfo(dtype).tiny)), scale))
    return z, location, scale, None
