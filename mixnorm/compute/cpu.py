"""Arithmetic on points in main memory: blocked, threaded NumPy.

``x`` is a stack ``(B, C, L)`` (see :mod:`mixnorm.compute.stack`) or a
:class:`~mixnorm.compute.blocks.Standardized` one; a mixture is ``weights``
``(K,)``, ``means`` and ``variances`` ``(K, C)``.  Everything is written as
products of thin matrices, so that ``K`` never multiplies an array of ``x``'s
size, and done block by block.

Thin products expand squares, ``(x - m)^2 = x^2 - 2 x m + m^2``, which cancels
where a mean is far from the origin in units of the deviation.  Therefore
points are centred where that is needed, and what is ill-conditioned all the
same (components far apart and narrow) is computed from differences.
"""
import functools
import math

import numpy

from mixnorm.compute.blocks import (
    Blocks, contract, cut, empty_like, expand, like, padded_rows, Prepared,
    squared_norms, Standardized, with_ones)
from mixnorm.compute.memory import scratch
from mixnorm.compute.parameters import Parameters
from mixnorm.compute.stack import take, working_dtype
from mixnorm.compute.threads import for_blocks

# Elements that a thread gathers at a time.
_GATHERED_ELEMENTS = 1 << 17

# E[z^2] - E[z]^2 is computed anew from the deviations where it is less than
# this many roundings of its terms.
_LOST_DIGITS = 1e5

# A sample, or distances, of more than this many bytes are not kept, but made
# anew in every pass.
_SAMPLE_BYTES = 1 << 23

# Up to so many bytes of points, their squares are kept: more would have to
# come from as far as it takes to compute them.
_PREPARED_BYTES = 1 << 22

# Points that tell roughly where the data lie.
_ORIENTATION_POINTS = 32


def orientation(x):
    """Finds out whether the points need centring, and where they lie.

    Args:
        x (numpy.ndarray): Stack ``(B, C, L)``.

    Returns:
        numpy.ndarray or None: A point ``(C,)`` amid the data; ``None`` if the
        origin serves as well, because it is within a few deviations.

    """
    if isinstance(x, Standardized):
        return None
    if isinstance(x, Prepared):
        return x.origin
    numbers = _scattered(x.shape[0] * x.shape[2])
    if len(numbers) == 0:
        return None
    few = take(x, numbers).astype(working_dtype(x.dtype))
    finite = numpy.isfinite(few)
    if not finite.all():
        # They shall spoil nothing but themselves.
        few[~finite] = 0
    # Nor shall points far from the others.
    few.sort(axis=0)
    low, median, high = (few[len(few) * i // 4] for i in (1, 2, 3))
    # At most some four deviations from the origin.
    if (abs(median) <= 3 * (high - low)).all():
        return None
    return median


@functools.lru_cache(maxsize=64)
def _scattered(n_points):
    """Returns numbers of a few points from all over, in no regular steps."""
    steps = numpy.arange(min(n_points, _ORIENTATION_POINTS))
    return (steps * ((5 ** .5 - 1) / 2) % 1 * n_points).astype(numpy.int64)


def _block_sums(z, squares, tau):
    """Returns a block's counts ``(K,)``, sums and sums of squares."""
    return (tau.sum(axis=-1).sum(axis=(0, 1), dtype=numpy.float64),
            *contract(tau, z, squares))


def _moments(blocks, sums, responsibilities, fallback_means):
    """Turns sums over blocks into a mixture.

    Args:
        blocks (Blocks): The points.
        sums (list): What :func:`_block_sums` returned for every block.
        responsibilities (callable): From a block and its points ``z`` to
            ``tau``, should variances have to be computed again.
        fallback_means (numpy.ndarray): ``(K, C)``, for components that no
            point belongs to; their weight and variance are 0.

    Returns:
        Parameters: Shares, means and variances.

    """
    counts, first, second = (sum(parts) for parts in zip(*sums))
    with numpy.errstate(all='ignore'):
        # Not "> 0": what is not a number must not pass for absent.
        present = (counts != 0)[:, None]
        divisor = numpy.where(present, counts[:, None], 1)
        mean = first / divisor
        variance = second / divisor - mean * mean
        tolerance = _LOST_DIGITS * numpy.finfo(blocks.dtype).eps
        if (variance < tolerance * mean * mean).any():
            mean = mean.astype(blocks.dtype)
            first, second = _deviations(blocks, responsibilities, mean)
            # Sums of large terms, as the mean is one, are rounded as well.
            error = first / divisor
            mean = mean + error
            variance = second / divisor - error * error
        if blocks.origin is not None:
            mean = mean + blocks.origin
        return Parameters(
            (counts / max(1, blocks.n_points)).astype(blocks.dtype),
            numpy.where(present, mean, fallback_means).astype(blocks.dtype),
            numpy.maximum(variance, 0).astype(blocks.dtype))


def _deviations(blocks, responsibilities, means):
    """Sums ``tau_ik (z_i - mean_k)`` and their squares: twice ``(K, C)``."""
    def work(block):
        z = blocks.load(block)
        tau = responsibilities(block, z)
        deviation = like(blocks.scratch(1), z)
        squares = like(blocks.scratch(3), z)
        totals = numpy.empty((2,) + means.shape)
        for k, mean in enumerate(means):
            numpy.subtract(z, mean[:, None], out=deviation)
            numpy.multiply(deviation, deviation, out=squares)
            totals[:, k] = [sums[0] for sums in contract(
                tau[..., k:k + 1, :], deviation, squares)]
        return totals

    return sum(for_blocks(work, blocks.blocks))


class _Density:

    """Log densities of mixtures as thin products.

    Args:
        weights (numpy.ndarray): ``(T, K)``.
        means (numpy.ndarray): ``(T, K, C)``.
        variances (numpy.ndarray): ``(T, K, C)``.
        origin (numpy.ndarray or None): What the points are relative to.
        dtype (numpy.dtype): Working dtype.

    """

    def __init__(self, weights, means, variances, origin, dtype):
        self._groups, n_dims = weights.shape, means.shape[2]
        means = means.reshape(-1, n_dims).astype(numpy.float64)
        if origin is not None:
            means = means - origin
        variances = variances.reshape(means.shape).astype(numpy.float64)
        weights = weights.ravel().astype(numpy.float64)
        # Absent components have whatever moments.
        present = (weights > 0)[:, None]
        means = numpy.where(present, means, 0)
        variances = numpy.where(present, variances, 1)
        with numpy.errstate(all='ignore'):
            precisions = 1 / variances
            constants = numpy.log(weights) - .5 * (
                n_dims * math.log(2 * math.pi)
                + numpy.log(variances).sum(axis=1))
            squares = (means * means * precisions).sum(axis=1)
            # The expansion's error is a few roundings of its largest term.
            narrow = ~(squares * numpy.finfo(dtype).eps < 4e-4)
        self._narrow = [
            (k, means[k, :, None].astype(dtype),
             padded_rows((-.5 * precisions[k, None]).astype(dtype)))
            for k in numpy.flatnonzero(narrow)]
        precisions[narrow] = means[narrow] = squares[narrow] = 0
        self._linear = padded_rows((means * precisions).astype(dtype))
        self._quadratic = padded_rows((-.5 * precisions).astype(dtype))
        self._constants = (constants - .5 * squares).astype(dtype)[
            :, None, None, None]

    def posterior(self, z, squares, buffer):
        """Computes eq. (31) for a block.

        Args:
            z (numpy.ndarray): Points ``(b, r, C, l)``.
            squares (numpy.ndarray): ``z^2``.
            buffer (numpy.ndarray): Scratch memory.

        Returns:
            tuple: Posterior ``(b, r, T * K, l)``, and a function that returns
            the log density ``(b, r, T, l)``.

        """
        joint = numpy.matmul(self._quadratic, squares)
        joint += numpy.matmul(self._linear, z)
        joint = joint[..., :len(self._constants), :]
        for k, mean, quadratic in self._narrow:
            deviation = numpy.subtract(z, mean, out=like(buffer, z))
            deviation *= deviation
            joint[..., k, :] = numpy.matmul(
                quadratic, deviation)[..., 0, :]
        # A component's points side by side.
        shape = [joint.shape[i] for i in (2, 0, 1, 3)]
        columns = numpy.empty(shape, joint.dtype)
        numpy.add(joint.transpose(2, 0, 1, 3), self._constants, out=columns)
        columns = columns.reshape((*self._groups, math.prod(shape[1:])))
        top = columns.max(axis=1, keepdims=True)
        far = top == -math.inf
        if far.any():
            # Beyond what the dtype can tell, components are alike.
            present = self._constants.reshape(
                self._groups + (1,)) > -math.inf
            columns = numpy.where(
                far, numpy.where(present, 0, -math.inf), columns)
            top = numpy.where(far, 0, top)
        columns -= top
        numpy.exp(columns, out=columns)
        total = columns.sum(axis=1, keepdims=True)
        columns /= total

        def log_density():
            return numpy.where(
                far, -math.inf, numpy.log(total) + top).reshape(
                [self._groups[0]] + shape[1:]).transpose(1, 2, 0, 3)

        return columns.reshape(shape).transpose(1, 2, 0, 3), log_density


def _squared_distances(z, norms, centers, buffer):
    """Computes ``|z_i - c_t|^2`` for a block: ``(b, r, T, l)``."""
    centers = centers.astype(z.dtype, copy=False)
    center_norms = (centers * centers).sum(axis=1)[:, None]
    distances = numpy.matmul(
        padded_rows(-2 * centers), z)[..., :len(centers), :]
    distances += center_norms
    distances += norms
    # What rounding leaves of the expansion where a distance is small.
    noise = 100 * numpy.finfo(z.dtype).eps * (norms + center_norms)
    if numpy.count_nonzero(distances < noise) > .05 * distances.size:
        difference = like(buffer, z)
        for t, center in enumerate(centers):
            numpy.subtract(z, center[:, None], out=difference)
            distances[..., t:t + 1, :] = squared_norms(difference)
    return numpy.maximum(distances, 0, out=distances)


def _gather(x, indices, origin):
    """Gathers points, in the working dtype, as a stack ``(1, C, m)``.

    It lies in the calling thread's memory for samples.  Returns it and, while
    a part of it is in the cache, its :func:`_power_sums` about an origin.

    """
    n_dims = x.shape[1]
    out = scratch(
        'sample', len(indices) * n_dims, working_dtype(x.dtype)).reshape(
            len(indices), n_dims)
    step = max(1, _GATHERED_ELEMENTS // x.shape[1])

    def work(start):
        part = out[start:start + step]
        part[...] = take(x, indices[start:start + step])
        if origin is not None:
            part = part - origin
        return _power_sums(part.T[None, None])

    sums = for_blocks(work, range(0, len(indices), step))
    return out.T[None], sums


def prepared(x, origin):
    """Keeps what every pass over points needs, if they are few.

    Args:
        x (numpy.ndarray): Stack ``(B, C, L)``.
        origin (numpy.ndarray or None): ``(C,)``, subtracted from them.

    Returns:
        Prepared or numpy.ndarray: What serves as the stack, until the
        calling thread prepares other points.

    """
    n_bytes = x.size * working_dtype(x.dtype).itemsize
    if n_bytes > _PREPARED_BYTES:
        return x
    return Prepared(x, origin)


def standardized_sample(x, indices):
    """Gathers points in units of deviations, from near the origin.

    Args:
        x (numpy.ndarray): Stack ``(B, C, L)``.
        indices (numpy.ndarray): Numbers ``(m,)`` of the points, ascending;
            ``None`` for all.

    Returns:
        tuple: The points, as a stack or what serves as one, and what was
        subtracted from them and what they were divided by, ``(C,)``.  The
        first is the mean, or 0 where :func:`orientation` finds that 0
        serves.  The second is the standard deviation, or 1 for a dimension
        without variation or whose variance the dtype could not hold.  The
        points serve until the calling thread asks for others.

    """
    dtype = working_dtype(x.dtype)
    n_points = x.shape[0] * x.shape[2] if indices is None else len(indices)
    small = n_points * x.shape[1] * dtype.itemsize <= _SAMPLE_BYTES
    origin = orientation(x)
    if indices is not None and small:
        x, sums = _gather(x, indices, origin)
    else:
        blocks = Blocks(x if indices is None else Standardized(
            x, indices, None, numpy.ones(x.shape[1], dtype)), 1, origin)
        sums = for_blocks(
            lambda block: _power_sums(blocks.load(block)), blocks.blocks)
    mean, scale = _mean_and_deviation(sums, n_points, origin, dtype)
    scale[~(scale > 1e4 * math.sqrt(numpy.finfo(dtype).tiny))] = 1
    location = None if origin is None else mean
    if small:
        sample = prepared(_standardize(x, location, scale), None)
    else:
        sample = Standardized(x, indices, location, scale)
    if location is None:
        location = numpy.zeros_like(scale)
    return sample, location, scale


def _standardize(x, location, scale):
    """Standardizes a stack into the calling thread's memory for samples."""
    z = like(scratch('sample', x.size, scale.dtype), x)
    with numpy.errstate(all='ignore'):
        if location is not None:
            x = numpy.subtract(x, location[:, None], out=z)
        return numpy.divide(x, scale[:, None], out=z)


def _power_sums(z):
    """Sums points ``(b, r, C, l)`` and their squares: twice ``(C,)``."""
    return (numpy.einsum('brcl->c', z).astype(numpy.float64),
            numpy.einsum('brcl,brcl->c', z, z).astype(numpy.float64))


def _mean_and_deviation(sums, n_points, origin, dtype):
    """Computes the mean and the standard deviation ``(C,)`` of all points.

    They are to scale by: what rounding leaves of them will do.

    Args:
        sums (list): What :func:`_power_sums` returned for every part.
        n_points (int): Number of points.
        origin (numpy.ndarray or None): ``(C,)``, what the sums are about.
        dtype (numpy.dtype): The working dtype.

    Returns:
        tuple of numpy.ndarray: Twice ``(C,)``.

    """
    mean, mean_square = (sum(parts) / n_points for parts in zip(*sums))
    with numpy.errstate(invalid='ignore'):
        deviation = numpy.sqrt(numpy.maximum(mean_square - mean * mean, 0))
    if origin is not None:
        mean = mean + origin
    return mean.astype(dtype), deviation.astype(dtype)


def seed(x, n_clusters, draws):
    """Chooses centres among the points by K-means++ with local trials.

    Args:
        x (numpy.ndarray, Standardized or Prepared): Stack ``(B, C, L)``.
        n_clusters (int): Number of centres ``K``.
        draws (numpy.ndarray): Uniform numbers in [0, 1), of shape
            ``(1 + (K - 1) * n_trials,)``.

    Returns:
        tuple: Centres ``(K, C)`` in the working dtype and the numbers
        ``(K,)`` of the points they are.

    """
    centers, indices, _ = _seed(x, n_clusters, draws)
    return centers, indices


def seeded_lloyd_step(x, n_clusters, draws):
    """Chooses centres by K-means++ and runs the first of Lloyd's iterations.

    Args:
        x (numpy.ndarray, Standardized or Prepared): Stack ``(B, C, L)``.
        n_clusters (int): Number of centres ``K``.
        draws (numpy.ndarray): See :func:`seed`.

    Returns:
        Parameters: See :func:`lloyd_step`.

    """
    centers, _, nearest = _seed(x, n_clusters, draws)
    return _lloyd_step(x, centers, nearest)


def _seed(x, n_clusters, draws):
    """Seeds as :func:`seed`; returns as well which centre is nearest.

    That is ``(B, 1, L)``, or ``None`` where distances were not kept.

    """
    origin = orientation(x)
    n_trials = (len(draws) - 1) // max(1, n_clusters - 1)
    trials = draws[1:].reshape(n_clusters - 1, n_trials)
    blocks = Blocks(x, max(1, n_trials), origin)
    n_points = blocks.n_points
    norms = numpy.empty((x.shape[0], 1, x.shape[2]), blocks.dtype)
    closest = numpy.full_like(norms, numpy.inf)

    def gather(indices):
        return (take(x, indices) if isinstance(x, numpy.ndarray)
                else x.take(indices)).astype(blocks.dtype, copy=False)

    def measure(indices, out, first=False):
        """Writes the distances that would remain with each of some points
        as a centre, ``(B, T, L)``; returns their sums by block."""
        centers = gather(indices)
        if origin is not None:
            centers = centers - origin

        def work(block):
            z = blocks.load(block)
            buffer = blocks.scratch(1)
            if first:
                cut(norms, block)[...] = blocks.norms(block, z)
            distances = _squared_distances(
                z, cut(norms, block), centers, buffer)
            if out is None:
                target = distances
            else:
                target = cut(out, block)
            numpy.minimum(distances, cut(closest, block), out=target)
            return target.sum(axis=-1).sum(axis=(0, 1), dtype=numpy.float64)

        return numpy.array(for_blocks(work, blocks.blocks))

    def draw(uniform, block_sums):
        """Draws points in proportion to their distance."""
        ends = numpy.cumsum(block_sums)
        targets = uniform * ends[-1]
        drawn = numpy.empty(len(targets), numpy.int64)
        # Rounding, or what is not a number, may point past an end.
        numbers = numpy.minimum(
            numpy.searchsorted(ends, targets), len(ends) - 1)
        for i in set(numbers.tolist()):
            b, s, _ = blocks.blocks[i]
            cumulative = numpy.cumsum(
                closest[b, 0, s].ravel(), dtype=numpy.float64)
            cumulative += ends[i] - block_sums[i]
            here = numbers == i
            places = numpy.minimum(
                numpy.searchsorted(cumulative, targets[here]),
                len(cumulative) - 1)
            length = s.stop - s.start
            drawn[here] = ((b.start + places // length) * x.shape[2]
                           + s.start + places % length)
        return drawn

    indices = numpy.empty(n_clusters, numpy.int64)
    indices[0] = min(int(draws[0] * n_points), n_points - 1)
    # All trials' distances, where they are few enough to be kept.
    kept = None
    if n_trials * closest.nbytes <= _SAMPLE_BYTES:
        kept = numpy.empty(
            (len(closest), n_trials, closest.shape[2]), closest.dtype)
    if n_clusters > 1:
        block_sums = measure(indices[:1], closest, first=True)[:, 0]
    nearest = None
    if kept is not None:
        nearest = numpy.zeros(closest.shape, numpy.int32)
    for k, uniform in enumerate(trials, 1):
        candidates = draw(uniform, block_sums)
        sums = measure(candidates, kept)
        best = sums.sum(axis=0).argmin()
        indices[k] = candidates[best]
        block_sums = sums[:, best]
        if kept is not None:
            remaining = kept[:, best:best + 1]
            nearest[remaining < closest] = k
            closest[...] = remaining
        elif k < len(trials):
            measure(indices[k:k + 1], closest)
    return gather(indices), indices, nearest


def lloyd_step(x, centers):
    """Runs one of Lloyd's iterations.

    Args:
        x (numpy.ndarray, Standardized or Prepared): Stack ``(B, C, L)``.
        centers (numpy.ndarray): ``(K, C)``.

    Returns:
        Parameters: Shares, means and variances of the clusters of the points
        nearest to each centre, the first of equals.  A centre without points
        stays, with weight and variance 0.

    """
    return _lloyd_step(x, centers, None)


def _lloyd_step(x, centers, nearest):
    """Runs one of Lloyd's iterations.

    ``nearest`` ``(B, 1, L)`` are the numbers of the nearest centres, ``None``
    if they are not known.

    """
    blocks = Blocks(x, len(centers), orientation(x))
    relative = centers if blocks.origin is None else centers - blocks.origin
    numbers = numpy.arange(len(centers))[:, None]

    def assign(block, z, buffer):
        if nearest is not None:
            found = cut(nearest, block)
        else:
            found = _squared_distances(
                z, blocks.norms(block, z), relative, buffer).argmin(
                    axis=-2)[..., None, :]
        return (found == numbers).astype(z.dtype)

    def work(block):
        z = blocks.load(block)
        tau = assign(block, z, blocks.scratch(1))
        return _block_sums(z, blocks.squares(block, z, 1), tau)

    def assign_again(block, z):
        return assign(block, z, blocks.scratch(2))

    return _moments(blocks, for_blocks(work, blocks.blocks), assign_again,
                    centers)


def em_step(x, parameters, reg_covar):
    """Runs one iteration of EM.

    Args:
        x (numpy.ndarray, Standardized or Prepared): Stack ``(B, C, L)``.
        parameters (Parameters): The mixture to start from.
        reg_covar (float): Added to variances.

    Returns:
        tuple: The new mixture, and the mean log density of the points under
        the one given.

    """
    new, log_density = _expectation(x, parameters, None)
    return (new._replace(variances=new.variances
                         + new.variances.dtype.type(reg_covar)), log_density)


def posterior_and_statistics(x, parameters):
    """Computes the posterior, eq. (31), and the moments under it, (35, 36).

    Args:
        x (numpy.ndarray): Stack ``(B, C, L)``.
        parameters (Parameters): The mixture.

    Returns:
        tuple: Posterior ``(B, K, L)``; and its mean, the means and the
        variances of the points under it.

    """
    tau = numpy.empty((x.shape[0], len(parameters.weights), x.shape[2]),
                      working_dtype(x.dtype))
    return tau, _expectation(x, parameters, tau)[0]


def _expectation(x, parameters, tau):
    """Computes moments under the posterior, which is written to ``tau``."""
    blocks = Blocks(x, len(parameters.weights), orientation(x))
    density = _Density(*(z[None] for z in parameters), blocks.origin,
                       blocks.dtype)

    def work(block):
        z = blocks.load(block)
        squares = blocks.squares(block, z, 1)
        block_tau, log_density = density.posterior(
            z, squares, blocks.scratch(2))
        if tau is not None:
            cut(tau, block)[...] = block_tau
            return _block_sums(z, squares, block_tau), 0
        return (_block_sums(z, squares, block_tau),
                log_density().sum(dtype=numpy.float64))

    def posterior_again(block, z):
        return density.posterior(
            z, blocks.squares(block, z, 1), blocks.scratch(2))[0]

    sums, log_density = zip(*for_blocks(work, blocks.blocks))
    return (_moments(blocks, sums, posterior_again, parameters.means),
            sum(log_density) / blocks.n_points)


def posterior(x, weights, means, variances):
    """Computes the posteriors of points under each of several mixtures.

    Args:
        x (numpy.ndarray): Stack ``(B, C, L)``.
        weights (numpy.ndarray): ``(T, K)``.
        means (numpy.ndarray): ``(T, K, C)``.
        variances (numpy.ndarray): ``(T, K, C)``.

    Returns:
        tuple: Posteriors ``(B, T * K, L)`` and log densities ``(T, B, L)``.

    """
    blocks = Blocks(x, weights.size, orientation(x))
    density = _Density(
        weights, means, variances, blocks.origin, blocks.dtype)
    tau = numpy.empty(
        (x.shape[0], weights.size, x.shape[2]), blocks.dtype)
    log_density = numpy.empty(
        (x.shape[0], len(weights), x.shape[2]), blocks.dtype)

    def work(block):
        z = blocks.load(block)
        cut(tau, block)[...], block_log_density = density.posterior(
            z, blocks.squares(block, z, 1), blocks.scratch(2))
        cut(log_density, block)[...] = block_log_density()

    for_blocks(work, blocks.blocks)
    return tau, log_density.swapaxes(0, 1)


def statistics(x, tau):
    """Computes the moments of points under a posterior, eqs. (35, 36).

    Args:
        x (numpy.ndarray, Standardized or Prepared): Stack ``(B, C, L)``.
        tau (numpy.ndarray): Posterior ``(B, K, L)`` in the working dtype.

    Returns:
        Parameters: The posterior's mean, the points' means and variances.

    """
    blocks = Blocks(x, tau.shape[1], orientation(x))

    def work(block):
        z = blocks.load(block)
        return _block_sums(
            z, blocks.squares(block, z, 1), cut(tau, block))

    return _moments(
        blocks, for_blocks(work, blocks.blocks),
        lambda block, z: cut(tau, block),
        numpy.zeros((1, x.shape[1]), blocks.dtype))


def affine(x, tau, slope, offset, origin, shift):
    """Computes ``(x - origin) * (tau slope) + tau offset + shift``.

    Args:
        x (numpy.ndarray): Stack ``(B, C, L)``.
        tau (numpy.ndarray): Coefficients ``(B, J, L)``.
        slope (numpy.ndarray): ``(J, C)``.
        offset (numpy.ndarray): ``(J, C)``.
        origin (numpy.ndarray or None): ``(C,)``.
        shift (numpy.ndarray or None): ``(C,)``.

    Returns:
        numpy.ndarray: ``(B, C, L)`` in ``x``'s dtype and order in memory.

    """
    blocks = Blocks(x, tau.shape[1] + 1, origin)
    y = empty_like(x, x.dtype)
    if shift is not None:
        offset = numpy.concatenate([offset, shift[None]])

    def work(block):
        z = blocks.load(block)
        part = cut(tau, block)
        product = expand(slope, part, like(blocks.scratch(1), z))
        product *= z
        numpy.add(product, expand(
            offset, part if shift is None else with_ones(part),
            like(blocks.scratch(2), z)), out=cut(y, block),
            casting='same_kind')

    for_blocks(work, blocks.blocks)
    return y


def gradient_sums(x, gy, tau, origin):
    """Computes what the gradients of means and variances are made of.

    Args:
        x (numpy.ndarray): Stack ``(B, C, L)``.
        gy (numpy.ndarray): Gradient of the output, ``(B, C, L)``.
        tau (numpy.ndarray): Coefficients ``(B, J, L)``.
        origin (numpy.ndarray or None): ``(C,)``.

    Returns:
        tuple: ``sum_i tau_ij gy_i`` and ``sum_i tau_ij gy_i (x_i - origin)``,
        ``(J, C)``, and ``sum_i gy_i``, ``(C,)``; float64.

    """
    points = Blocks(x, tau.shape[1] + 1, origin)
    upstream = Blocks(gy, tau.shape[1] + 1)

    def work(block):
        z = points.load(block)
        g = upstream.load(block, 1)
        part = cut(tau, block)
        sum_g, = contract(with_ones(part), g)
        sum_gx, = contract(
            part, numpy.multiply(g, z, out=like(points.scratch(2), g)))
        return sum_g, sum_gx

    sum_g, sum_gx = (
        sum(parts) for parts in zip(*for_blocks(work, points.blocks)))
    return sum_g[:-1], sum_gx, sum_g[-1]


def gradient_input(x, gy, tau, slope, quadratic, offset, origin):
    """Computes the gradient of the input.

    It is ``gy * (tau slope) + (x - origin) * (tau quadratic) + tau offset``.

    Args:
        x (numpy.ndarray): Stack ``(B, C, L)``.
        gy (numpy.ndarray): Gradient of the output, ``(B, C, L)``.
        tau (numpy.ndarray): Coefficients ``(B, J, L)``.
        slope (numpy.ndarray): ``(J, C)``.
        quadratic (numpy.ndarray or None): ``(J, C)``; ``None`` for 0, and
            then ``offset`` is 0 as well.
        offset (numpy.ndarray or None): ``(J, C)``.
        origin (numpy.ndarray or None): ``(C,)``.

    Returns:
        numpy.ndarray: ``(B, C, L)`` in ``x``'s dtype and order in memory.

    """
    points = Blocks(x, tau.shape[1], origin)
    gx = empty_like(x, x.dtype)

    def work(block):
        part, out = cut(tau, block), cut(gx, block)
        term = expand(slope, part, like(points.scratch(1), out))
        if quadratic is None:
            numpy.multiply(
                term, cut(gy, block), out=out, casting='same_kind')
            return
        term *= cut(gy, block)
        z = points.load(block)
        product = expand(quadratic, part, like(points.scratch(2), out))
        product *= z
        term += product
        numpy.add(term, expand(offset, part, product), out=out,
                  casting='same_kind')

    for_blocks(work, points.blocks)
    return gx


def count_not_finite(x):
    """Counts values that are not a number or infinite.

    Args:
        x (numpy.ndarray): Stack ``(B, C, L)``.

    Returns:
        int: Their number.

    """
    blocks = Blocks(x, 1)

    def work(block):
        part = cut(x, block)
        # Quicker than to look at each, and seldom in vain.
        if math.isfinite(numpy.einsum('brcl->', part)):
            return 0
        return part.size - numpy.count_nonzero(numpy.isfinite(part))

    return sum(for_blocks(work, blocks.blocks))


def finish(parameters, min_weight, location, scale):
    """Completes a fit to a standardized sample.

    Args:
        parameters (Parameters): The mixture.
        min_weight (float): Components of smaller weight are dropped: their
            weight becomes 0.  The heaviest is kept whatever it weighs.
        location (numpy.ndarray or None): ``(C,)``, what was subtracted.
        scale (numpy.ndarray or None): ``(C,)``, what was divided by.

    Returns:
        Parameters: The mixture in original units.

    """
    weights, means, variances = parameters
    location = 0 if location is None else location
    scale = 1 if scale is None else scale
    kept = numpy.where(
        weights >= min(weights.max(), min_weight), weights, 0)
    with numpy.errstate(invalid='ignore'):
        weights = kept / kept.sum()
    return Parameters(
        weights, means * scale + location, variances * scale * scale)
