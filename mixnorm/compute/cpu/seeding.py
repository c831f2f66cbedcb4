"""K-means++ with local trials."""
import numpy

from mixnorm.compute.cpu.mixture import assigned_lloyd_step
from mixnorm.compute.cpu.points import as_points, block_view, divide
from mixnorm.compute.cpu.products import squared_distances
from mixnorm.compute.threads import for_blocks

# Distances of more than this many bytes are not kept, but computed anew.
_KEPT_BYTES = 1 << 23


def seed(x, n_clusters, draws):
    """Chooses centres among the points by K-means++ with local trials."""
    centers, indices, _ = _seed(as_points(x), n_clusters, draws)
    return centers, indices


def seeded_lloyd_step(x, n_clusters, draws):
    """Chooses centres by K-means++ and runs the first of Lloyd's iterations.

    Where the distances of the seeding are kept, they tell which centre is
    nearest.

    """
    points = as_points(x)
    centers, _, nearest = _seed(points, n_clusters, draws)
    return assigned_lloyd_step(points, centers, nearest)


def nearest(x, centers):
    """Finds the nearest of some centres for every point."""
    points = as_points(x)
    n_batch, _, length = points.shape
    relative = centers if points.origin is None else centers - points.origin
    labels = numpy.empty((n_batch, 1, length), numpy.int64)
    closest = numpy.empty((n_batch, 1, length), points.dtype)

    def work(block, scratch):
        z = points.load(block, scratch)
        distances = squared_distances(
            z, points.squared_norms(block, z), relative, scratch)
        found = distances.argmin(axis=-2)[..., None, :]
        block_view(labels, block)[...] = found
        block_view(closest, block)[...] = numpy.take_along_axis(
            distances, found, axis=-2)

    for_blocks(work, divide(points.shape, len(centers)))
    return labels.ravel(), closest.ravel()


def take(x, indices):
    """Gathers points."""
    return as_points(x).take(indices)


def _seed(points, n_clusters, draws):
    """Seeds as :func:`seed`; returns as well which centre is nearest.

    That is ``(B, 1, L)``, or ``None`` where distances were not kept.

    """
    n_trials = (len(draws) - 1) // max(1, n_clusters - 1)
    trials = draws[1:].reshape(n_clusters - 1, n_trials)
    blocks = divide(points.shape, max(1, n_trials))
    n_batch, _, length = points.shape
    norms = numpy.empty((n_batch, 1, length), points.dtype)
    closest = numpy.full_like(norms, numpy.inf)

    def measure(indices, out, first=False):
        """Writes the distances that would remain with each of some points
        as a centre, ``(B, T, L)``; returns their sums by block."""
        centers = points.take(indices)
        if points.origin is not None:
            centers = centers - points.origin

        def work(block, scratch):
            z = points.load(block, scratch)
            if first:
                block_view(norms, block)[...] = points.squared_norms(block, z)
            distances = squared_distances(
                z, block_view(norms, block), centers, scratch)
            target = distances if out is None else block_view(out, block)
            numpy.minimum(distances, block_view(closest, block), out=target)
            return target.sum(axis=-1).sum(axis=(0, 1), dtype=numpy.float64)

        return numpy.array(for_blocks(work, blocks))

    def draw(uniform, block_sums):
        """Draws points in proportion to their distance."""
        ends = numpy.cumsum(block_sums)
        targets = uniform * ends[-1]
        drawn = numpy.empty(len(targets), numpy.int64)
        # Rounding, or what is not a number, may point past an end.
        numbers = numpy.minimum(
            numpy.searchsorted(ends, targets), len(ends) - 1)
        for i in set(numbers.tolist()):
            b, s, _ = blocks[i]
            cumulative = numpy.cumsum(
                closest[b, 0, s].ravel(), dtype=numpy.float64)
            cumulative += ends[i] - block_sums[i]
            here = numbers == i
            places = numpy.minimum(
                numpy.searchsorted(cumulative, targets[here]),
                len(cumulative) - 1)
            n = s.stop - s.start
            drawn[here] = ((b.start + places // n) * length
                           + s.start + places % n)
        return drawn

    indices = numpy.zeros(n_clusters, numpy.int64)
    indices[0] = min(int(draws[0] * points.n_points), points.n_points - 1)
    # All trials' distances, where they are few enough to be kept.
    kept = None
    if n_trials * closest.nbytes <= _KEPT_BYTES:
        kept = numpy.empty((n_batch, n_trials, length), closest.dtype)
    if n_clusters > 1:
        block_sums = measure(indices[:1], closest, first=True)[:, 0]
    nearest = None
    if kept is not None:
        nearest = numpy.zeros(closest.shape, numpy.int32)
    for k, uniform in enumerate(trials, 1):
        if not block_sums.any():
            # Every point is a centre: what follows can only coincide.
            break
        candidates = draw(uniform, block_sums)
        sums = measure(candidates, kept)
        best = sums.sum(axis=0).argmin()
        indices[k] = candidates[best]
        block_sums = sums[:, best]
        if kept is not None:
            remaining = kept[:, best:best + 1]
            numpy.maximum(
                nearest, (remaining < closest) * numpy.int32(k), out=nearest)
            closest[...] = remaining
        elif k < len(trials):
            measure(indices[k:k + 1], closest)
    return points.take(indices), indices, nearest
