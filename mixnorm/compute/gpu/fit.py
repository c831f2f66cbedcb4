"""A whole fit in one launch."""
import functools
import math

import numpy

from mixnorm.compute.gpu import cooperative
from mixnorm.compute.gpu import launcher
from mixnorm.compute.gpu import tile
from mixnorm.compute.gpu.constants import MAX_COMPONENTS, QUAD, THREADS, WARP
from mixnorm.compute.gpu.mixture import check_components
from mixnorm.compute.gpu.points import (
    contiguous, divide_up, n_points, NULL, stack_arguments)
from mixnorm.compute.layout import get_array_module, working_dtype
from mixnorm.compute.parameters import Parameters

_SOURCE, _NAME = 'fit', 'mixnorm_fit'


@launcher.on_device
def at_once(x, indices, draws, n_components, kmeans_iter, em_iter, reg_covar,
            min_weight, start=None):
    """Runs a whole fit in one launch, if its sample fits the GPU's shared \
memory."""
    check_components(n_components)
    xp = get_array_module(x)
    dtype = working_dtype(x.dtype)
    n_dims = x.shape[1]
    n = n_points(x) if indices is None else len(indices)
    n_trials = 1
    if start is None and n_components > 1:
        n_trials = (len(draws) - 1) // (n_components - 1)
    if n == 0 or n_dims == 0 or (start is None and kmeans_iter == 0):
        return None
    plan = _plan(launcher.current_device(), x.dtype, n, n_dims,
                 n_components, n_trials, tile.THREAD_BLOCKS)
    if plan is None:
        return None
    points, n_slots, n_blocks, n_bytes = plan

    first_point = 0
    # All that comes from the host, in one copy: the count of arrivals, the
    # numbers of the points, the draws.
    sent = [numpy.zeros(1, numpy.int64)]
    if indices is not None:
        sent.append(indices)
    if start is None:
        first_point = min(int(draws[0] * n), n - 1)
        sent.append(draws[1:].view(numpy.int64))
    sent = xp.asarray(numpy.concatenate(sent))
    n_tiles = divide_up(n, points)
    matrix = n_components * n_dims
    doubles = xp.empty((
        n_tiles * (2 * matrix + n_components + 1 + 2 * n_trials),),
        numpy.float64)
    workings = xp.empty((
        2 * n_trials * n + 2 * n_dims + n_components + 2 * matrix,), dtype)
    new = Parameters(xp.empty((n_components,), dtype), *(
        xp.empty((n_components, n_dims), dtype) for _ in range(2)))
    cooperative.launch(
        _SOURCE, _NAME, x.dtype, (n_blocks,), n_bytes,
        (*stack_arguments(x, n), NULL if indices is None else sent[1:],
         numpy.int64(first_point),
         NULL if start is not None else sent[1 + (
             0 if indices is None else n):],
         *map(numpy.int32, (
             n_trials, n_components, 0 if start is not None else kmeans_iter,
             em_iter)), numpy.float64(reg_covar), numpy.float64(min_weight),
         dtype.type(1e4 * math.sqrt(numpy.finfo(dtype).tiny)),
         *((NULL,) * 3 if start is None else (
             contiguous(z, dtype) for z in start)),
         numpy.int32(points), numpy.int32(n_slots), sent, doubles, workings,
         *new))
    return new


@functools.lru_cache(maxsize=1000)
def _plan(device, dtype, n, n_dims, n_components, n_trials, n_rows):
    """Divides a sample among thread blocks.

    Args:
        device (int): Number of the current device.
        dtype (numpy.dtype): Type of the activations.
        n (int): Number of points.
        n_dims (int): Number of channels.
        n_components (int): Number of components.
        n_trials (int): Candidates for each centre.
        n_rows (int): ``tile.THREAD_BLOCKS``.

    Returns:
        tuple of ints or None: Points of a tile, tiles and number of thread
        blocks, and bytes of shared memory.  ``None`` if it does not fit, or
        if the kernels of single steps have tiles of other sizes or several
        for a thread block, so that they add up in another order.

    """
    working = working_dtype(dtype)
    tiles = {tile.choose(n, n_dims, n_columns, n_constants, working)[:2]
             for n_columns, n_constants in (
                 (1, 0), (n_components, n_components),
                 (min(n_trials, MAX_COMPONENTS), 0))}
    (points, channels), *others = tiles
    n_tiles = divide_up(n, points)
    if others or channels < n_dims or n_tiles > n_rows:
        return None
    arguments = _SOURCE, _NAME, dtype, device
    most = cooperative.shared_bytes(*arguments)
    for n_slots in range(1, n_tiles + 1):
        n_bytes = _shared_bytes(
            points, n_slots, n_dims, n_components, n_trials,
            working.itemsize)
        if n_bytes > most:
            return None
        n_blocks = divide_up(n_tiles, n_slots)
        if n_blocks <= cooperative.capacity(*arguments, n_bytes):
            return points, n_slots, n_blocks, n_bytes
    return None


def _shared_bytes(n_points, n_slots, n_dims, n_components, n_trials,
                  itemsize):
    """Returns the shared memory of some tiles and of what goes with them."""
    def rounded(n):
        return divide_up(n, 16) * 16

    columns = divide_up(n_components, QUAD) * QUAD
    most = max(columns, divide_up(min(n_trials, MAX_COMPONENTS), QUAD) * QUAD)
    return sum(map(rounded, (
        n_slots * n_dims * (n_points + 1) * itemsize,
        n_dims * most * itemsize, n_dims * columns * itemsize,
        n_points * most * itemsize, 2 * QUAD * THREADS * itemsize,
        8 * n_points, columns * itemsize, n_points * itemsize,
        8 * (THREADS // WARP), 8 * n_trials, 8 * n_components, 4)))
