"""K-means++ with local trials."""
import numpy

from mixnorm.compute.gpu import launcher
from mixnorm.compute.gpu import tile
from mixnorm.compute.gpu.mixture import (
    check_components, lloyd_step, MAX_COMPONENTS)
from mixnorm.compute.gpu.points import divide_up, n_points, stack_arguments
from mixnorm.compute import layout
from mixnorm.compute.layout import get_array_module, working_dtype


@launcher.on_device
def seed(x, n_clusters, draws):
    """Chooses centres among the points by K-means++ with local trials."""
    check_components(n_clusters)
    xp = get_array_module(x)
    dtype = working_dtype(x.dtype)
    n, n_dims = n_points(x), x.shape[1]
    first = min(int(draws[0] * n), n - 1)
    if n_clusters == 1:
        b, i = divmod(first, x.shape[2])
        return (x[b:b + 1, :, i].astype(dtype),
                xp.full((1,), first, numpy.int64))

    n_trials = (len(draws) - 1) // (n_clusters - 1)
    points, channels, columns, n_bytes = tile.choose(
        n, n_dims, min(n_trials, MAX_COMPONENTS), 0, dtype)
    n_tiles = divide_up(n, points)
    block_points = divide_up(
        n_tiles, min(n_tiles, tile.THREAD_BLOCKS)) * points
    n_thread_blocks = divide_up(n, block_points)
    # The counts of the thread blocks that have ended, and the draws, in one
    # copy: a number that is 0 has no bits set.
    sent = xp.asarray(numpy.concatenate([numpy.zeros(n_clusters), draws[1:]]))
    candidates = xp.empty((n_trials,), numpy.int64)
    chosen = xp.empty((1,), numpy.int32)
    remaining = xp.empty((n_trials, n), dtype)
    block_sums = xp.empty((n_trials, n_thread_blocks), numpy.float64)
    centers = xp.empty((n_clusters, n_dims), dtype)
    indices = xp.empty((n_clusters,), numpy.int64)
    for i in range(n_clusters):
        is_last = i == n_clusters - 1
        launcher.launch(
            'seeding', 'mixnorm_seed', x.dtype, (n_thread_blocks,), n_bytes,
            (*stack_arguments(x), numpy.int32(i), numpy.int64(first),
             numpy.int32(n_trials if i > 0 else 1),
             sent[n_clusters + i * n_trials:],
             numpy.int32(0 if is_last else n_trials),
             *map(numpy.int32, (points, channels, columns)),
             numpy.int64(block_points), candidates, chosen, sent[i:],
             remaining, block_sums, centers, indices))
    return centers, indices


@launcher.on_device
def seeded_lloyd_step(x, n_clusters, draws):
    """Chooses centres by K-means++, runs the first of Lloyd's iterations."""
    centers, _ = seed(x, n_clusters, draws)
    return lloyd_step(x, centers)


@launcher.on_device
def nearest(x, centers):
    """Finds the nearest of some centres for every point, one by one."""
    xp = get_array_module(x)
    z = x.astype(working_dtype(x.dtype), copy=False)
    labels = xp.zeros((x.shape[0], x.shape[2]), numpy.int64)
    closest = xp.full(labels.shape, numpy.inf, z.dtype)
    for k, center in enumerate(centers):
        deviation = z - center[:, None]
        distances = (deviation * deviation).sum(axis=1)
        labels[distances < closest] = k
        closest = xp.minimum(closest, distances)
    return labels.ravel(), closest.ravel()


@launcher.on_device
def take(x, indices):
    """Gathers points."""
    return layout.take(x, indices).astype(working_dtype(x.dtype), copy=False)
