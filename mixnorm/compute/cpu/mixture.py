"""Lloyd's and EM's iterations, posteriors and the moments under them."""
import functools
import operator

import numpy

from mixnorm.compute.cpu.density import Density
from mixnorm.compute.cpu.points import as_points, block_view, divide
from mixnorm.compute.cpu.products import contract, squared_distances
from mixnorm.compute.parameters import Parameters
from mixnorm.compute.threads import for_blocks

# E[z^2] - E[z]^2 is computed anew from the deviations where it is less than
# this many roundings of its terms: of 7 digits 5 are kept, of 16 digits 10.
_LEAST_ROUNDINGS = {'f': 1e5, 'd': 1e10}


def lloyd_step(x, centers):
    """Runs one of Lloyd's iterations."""
    return assigned_lloyd_step(as_points(x), centers, None)


def assigned_lloyd_step(points, centers, nearest):
    """Runs one of Lloyd's iterations, where the assignment may be known.

    Args:
        points (Points): The points.
        centers (numpy.ndarray): ``(K, C)``.
        nearest (numpy.ndarray or None): Numbers of the nearest centres,
            ``(B, 1, L)``; ``None`` if they are to be found.

    Returns:
        Parameters: See :meth:`mixnorm.compute.contract.Mixture.lloyd_step`.

    """
    blocks = divide(points.shape, len(centers))
    relative = centers if points.origin is None else centers - points.origin
    numbers = numpy.arange(len(centers))[:, None]

    def assign(block, z, scratch):
        if nearest is not None:
            found = block_view(nearest, block)
        else:
            found = squared_distances(
                z, points.squared_norms(block, z), relative, scratch).argmin(
                    axis=-2)[..., None, :]
        return (found == numbers).astype(z.dtype)

    def work(block, scratch):
        z = points.load(block, scratch)
        tau = assign(block, z, scratch)
        return _block_sums(z, points.squares(block, z, scratch), tau)

    return _moments(points, blocks, for_blocks(work, blocks), assign, centers)


def em_step(x, parameters, reg_covar):
    """Runs one iteration of EM."""
    points = as_points(x)
    _, new, log_densities = _expectation(points, parameters, True)
    return (new._replace(variances=new.variances
                         + new.variances.dtype.type(reg_covar)),
            sum(log_densities) / points.n_points)


def posterior_and_statistics(x, parameters):
    """Computes the posterior, eq. (31), and the moments under it, (35, 36)."""
    return _expectation(as_points(x), parameters, False)[:2]


def _expectation(points, parameters, with_log_density):
    """Computes the posterior and the moments under it.

    Returns them and the sum of log densities of every block, 0 if they are
    not asked for.

    """
    n_batch, _, length = points.shape
    blocks = divide(points.shape, len(parameters.weights))
    density = Density(
        *(z[None] for z in parameters), points.origin, points.dtype)
    tau = numpy.empty(
        (n_batch, len(parameters.weights), length), points.dtype)

    def work(block, scratch):
        z = points.load(block, scratch)
        squares = points.squares(block, z, scratch)
        block_tau, log_density = density.posterior(z, squares, scratch)
        block_view(tau, block)[...] = block_tau
        return (_block_sums(z, squares, block_tau),
                log_density().sum(dtype=numpy.float64)
                if with_log_density else 0)

    sums, log_densities = zip(*for_blocks(work, blocks))
    moments = _moments(
        points, blocks, sums, lambda block, z, scratch: block_view(tau, block),
        parameters.means)
    return tau, moments, log_densities


def em_sums(x, parameters, sample_weight):
    """Sums what an iteration of EM is made of, about the means."""
    points = as_points(x)
    density = Density(
        *(z[None] for z in parameters), points.origin, points.dtype)

    def responsibilities(block, z, squares, scratch):
        tau, log_density = density.posterior(z, squares, scratch)
        return tau, log_density()

    return _sums_about(
        points, parameters.means, sample_weight, responsibilities)


def lloyd_sums(x, centers, sample_weight):
    """Sums what one of Lloyd's iterations is made of, about the centres."""
    points = as_points(x)
    relative = centers if points.origin is None else centers - points.origin
    numbers = numpy.arange(len(centers))[:, None]

    def responsibilities(block, z, squares, scratch):
        distances = squared_distances(
            z, points.squared_norms(block, z), relative, scratch)
        nearest = distances.argmin(axis=-2)[..., None, :]
        return (nearest == numbers).astype(z.dtype), numpy.zeros(1)

    return _sums_about(points, centers, sample_weight, responsibilities)[:3]


def _sums_about(points, centers, sample_weight, responsibilities):
    """Sums points, their squares and log densities over all blocks.

    Args:
        points (Points): The points.
        centers (numpy.ndarray): ``(K, C)``, what deviations are taken from.
        sample_weight (numpy.ndarray or None): ``(B, L)``.
        responsibilities (callable): From a block, its points ``z``, their
            squares and scratch memory to ``tau`` and log densities.

    Returns:
        tuple: See :meth:`mixnorm.compute.contract.Mixture.em_sums`.

    """
    blocks = divide(points.shape, len(centers))
    centers = centers.astype(numpy.float64)
    if points.origin is not None:
        centers = centers - points.origin
    least = _LEAST_ROUNDINGS[points.dtype.char] * numpy.finfo(
        points.dtype).eps
    # Weights in a unit of their own, a power of 2: the points' dtype may not
    # hold them.
    unit = 1.
    if sample_weight is not None:
        _, exponent = numpy.frexp(sample_weight.max(initial=0))
        unit = numpy.ldexp(1., exponent - 1)

    def work(block, scratch):
        z = points.load(block, scratch)
        squares = points.squares(block, z, scratch)
        with scratch.step():
            tau, log_density = responsibilities(block, z, squares, scratch)
        if sample_weight is not None:
            weight = block_view(sample_weight[:, None], block) / unit
            tau = tau * weight.astype(points.dtype, copy=False)
            # What cannot be is allowed to points that do not count.
            log_density = numpy.where(weight > 0, log_density * weight, 0)
        counts, first, second = _block_sums(z, squares, tau)
        n = counts[:, None]
        mean = first / numpy.where(n > 0, n, 1)
        square = mean * first
        spread = second - square
        shift = mean - centers
        first, second = n * shift, spread + n * shift * shift
        if (spread < least * square).any():
            deviation = scratch.empty_like('deviation', z)
            for k in range(len(counts)):
                # About the block's own mean, where least is to be rounded.
                center = mean[k].astype(points.dtype)
                shift = center - centers[k]
                numpy.subtract(z, center[:, None], out=deviation)
                total = _weighted_sum(deviation, tau[:, :, k]).astype('d')
                first[k] = total + n[k] * shift
                deviation *= deviation
                second[k] = (
                    _weighted_sum(deviation, tau[:, :, k])
                    + shift * (2 * total + n[k] * shift))
        return (counts, first, second,
                log_density.sum(dtype=numpy.float64))

    return tuple(
        unit * sum(parts) for parts in zip(*for_blocks(work, blocks)))


def posterior(x, weights, means, variances):
    """Computes the posteriors of points under each of several mixtures."""
    points = as_points(x)
    blocks = divide(points.shape, weights.size)
    density = Density(weights, means, variances, points.origin, points.dtype)
    tau = numpy.empty(
        (x.shape[0], weights.size, x.shape[2]), points.dtype)
    log_density = numpy.empty(
        (x.shape[0], len(weights), x.shape[2]), points.dtype)

    def work(block, scratch):
        z = points.load(block, scratch)
        block_view(tau, block)[...], block_log_density = density.posterior(
            z, points.squares(block, z, scratch), scratch)
        block_view(log_density, block)[...] = block_log_density()

    for_blocks(work, blocks)
    return tau, log_density.swapaxes(0, 1)


def statistics(x, tau):
    """Computes the moments of points under a posterior, eqs. (35, 36)."""
    points = as_points(x)
    blocks = divide(points.shape, tau.shape[1])

    def work(block, scratch):
        z = points.load(block, scratch)
        return _block_sums(
            z, points.squares(block, z, scratch), block_view(tau, block))

    return _moments(
        points, blocks, for_blocks(work, blocks),
        lambda block, z, scratch: block_view(tau, block),
        numpy.zeros((tau.shape[1], x.shape[1]), points.dtype))


def _block_sums(z, squares, tau):
    """Returns a block's counts ``(K,)``, sums and sums of squares."""
    return (tau.sum(axis=-1).sum(axis=(0, 1), dtype=numpy.float64),
            *contract(tau, z, squares))


def _moments(points, blocks, sums, responsibilities, fallback_means):
    """Turns sums over blocks into a mixture.

    Args:
        points (Points): The points.
        blocks (list): Their blocks.
        sums (sequence): What :func:`_block_sums` returned for every block.
        responsibilities (callable): From a block, its points ``z`` and
            scratch memory to ``tau``, should variances have to be computed
            again.
        fallback_means (numpy.ndarray): ``(K, C)``, for components that no
            point belongs to; their weight and variance are 0.

    Returns:
        Parameters: Shares, means and variances.

    """
    counts, mean, variance = (
        functools.reduce(operator.add, parts) for parts in zip(*sums))
    # Not "> 0": what is not a number must not pass for absent.
    present = numpy.flatnonzero(counts != 0)
    if len(present) < len(counts):
        mean, variance = mean[present], variance[present]
    divisor = counts[present, None]
    with numpy.errstate(all='ignore'):
        mean /= divisor
        variance /= divisor
        square = mean * mean
        variance -= square
        square *= (_LEAST_ROUNDINGS[points.dtype.char]
                   * numpy.finfo(points.dtype).eps)
        if (variance < square).any():
            center = mean.astype(points.dtype)
            error, variance = _deviations(
                points, blocks, responsibilities, present, center)
            # Sums of large terms, as the mean is one, are rounded as well.
            error /= divisor
            mean = center + error
            error *= error
            variance /= divisor
            variance -= error
        finite = numpy.isfinite(variance)
        if not finite.all():
            # Of values whose squares the dtype cannot hold.
            variance[numpy.isfinite(mean) & ~finite] = numpy.inf
        if points.origin is not None:
            mean += points.origin
        numpy.maximum(variance, 0, out=variance)
        weights, mean, variance = (
            z.astype(points.dtype) for z in (
                counts / max(1, points.n_points), mean, variance))
    if len(present) == len(counts):
        return Parameters(weights, mean, variance)
    means = fallback_means.astype(points.dtype)
    means[present] = mean
    variances = numpy.zeros_like(means)
    variances[present] = variance
    return Parameters(weights, means, variances)


def _deviations(points, blocks, responsibilities, numbers, means):
    """Sums ``tau_ik (z_i - mean_k)``, and of the squares.

    Args:
        points (Points): The points.
        blocks (list): Their blocks.
        responsibilities (callable): See :func:`_moments`.
        numbers (numpy.ndarray): Numbers ``k`` of ``P`` components.
        means (numpy.ndarray): Their means, ``(P, C)``.

    Returns:
        numpy.ndarray: ``(2, P, C)``.

    """
    def work(block, scratch):
        z = points.load(block, scratch)
        with scratch.step():
            tau = responsibilities(block, z, scratch)
        deviation = scratch.empty_like('deviation', z)
        totals = numpy.empty((2,) + means.shape)
        for i, (k, mean) in enumerate(zip(numbers, means)):
            numpy.subtract(z, mean[:, None], out=deviation)
            totals[0, i] = _weighted_sum(deviation, tau[:, :, k])
            deviation *= deviation
            totals[1, i] = _weighted_sum(deviation, tau[:, :, k])
        return totals

    return functools.reduce(operator.add, for_blocks(work, blocks))


def _weighted_sum(z, tau):
    """Sums ``tau_i z_i`` over a block: ``(C,)``."""
    return numpy.einsum('brl,brcl->brc', tau, z).sum(axis=(0, 1))


def discard_and_rescale(parameters, min_weight, location, scale):
    """Drops light components, and returns to the units of the points."""
    weights, means, variances = parameters
    location = 0 if location is None else location
    scale = 1 if scale is None else scale
    kept = numpy.where(
        weights >= min(weights.max(), min_weight), weights, 0)
    with numpy.errstate(invalid='ignore'):
        weights = kept / kept.sum()
    return Parameters(
        weights, means * scale + location, variances * scale * scale)
