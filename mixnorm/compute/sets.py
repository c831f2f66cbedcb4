"""Arithmetic on sets of scalars, each with a mixture of its own.

``x`` is ``(N, G, P)``: ``N * G`` sets of ``P`` points, NumPy's or CuPy's.  A
mixture of every set is ``weights``, ``means`` and ``variances`` of shape
``(N, G, K)``.

Work is done block by block: all steps on some sets before the next, so that
temporaries, of which several are ``K`` times as large as the sets, stay few
and in the cache.  Inside a block a component's parameters are *columns*,
``(K, n, g, 1)``, which broadcast with ``(K, n, g, P)``.
"""
import math
import typing

import numpy

from mixnorm.compute.layout import get_array_module, working_dtype
from mixnorm.compute.parameters import Parameters
from mixnorm.compute.scratch import Scratch
from mixnorm.compute.threads import for_blocks

# Elements of a temporary: in main memory all of them stay in the cache, on a
# GPU they stay small.
_CPU_BLOCK_ELEMENTS = 1 << 18
_GPU_BLOCK_ELEMENTS = 1 << 27

# Sets of fewer points lie side by side in a block: loops over so few cost
# more than what they do.  For those that a fit draws it is worth more, because
# seeding adds up along the points.
_FEW_POINTS = 40
_FEW_SAMPLED_POINTS = 100


def group_channels(x, groups):
    """Views an activation as sets.

    Args:
        x (array): ``(N, C, *S)``; or a variable.
        groups (int): Number ``G`` of groups of channels, which divides ``C``.

    Returns:
        array: ``(N, G, P)``, where a set is what a sample has in a group.

    """
    n, c = x.shape[:2]
    return x.reshape(n, groups, c // groups * math.prod(x.shape[2:]))


def for_sets(work, x, n_elements):
    """Applies a function to blocks of sets, on a CPU shared among threads.

    Args:
        work (callable): Takes a block, an index into the first two axes, and
            a :class:`~mixnorm.compute.scratch.Scratch`.
        x (array): ``(N, G, P)``.
        n_elements (int): What a temporary needs for each set.

    Returns:
        list of tuples: Blocks and what the function returned, in an order
        that does not depend on the number of threads.

    """
    n, g = x.shape[:2]
    xp = get_array_module(x)
    on_cpu = xp is numpy
    n_sets = max(1, (_CPU_BLOCK_ELEMENTS if on_cpu else _GPU_BLOCK_ELEMENTS)
                 // max(1, n_elements))
    g_step = max(1, min(g, n_sets))
    n_step = max(1, n_sets // g_step)
    blocks = [(slice(i, min(n, i + n_step)), slice(j, min(g, j + g_step)))
              for i in range(0, n, n_step) for j in range(0, g, g_step)]
    if on_cpu:
        return list(zip(blocks, for_blocks(work, blocks)))
    results = []
    scratch = Scratch(xp)
    for block in blocks:
        with scratch.step():
            results.append((block, work(block, scratch)))
    return results


class Temporaries:

    """Temporaries for what is computed on some sets.

    Args:
        scratch (Scratch): Memory.
        shape (tuple of ints): ``(n, g, P)``.
        dtype (numpy.dtype): The working dtype.
        few (int): In main memory, sets of fewer points lie side by side.

    Attributes:
        sets_side_by_side (bool): Whether the points of a set, rather than
            the sets, lie far apart in memory.
        step (callable): See :meth:`mixnorm.compute.scratch.Scratch.step`.

    """

    def __init__(self, scratch, shape, dtype, few):
        self._scratch = scratch
        self._shape = shape
        self._dtype = dtype
        self.step = scratch.step
        # By the number of points alone: in which order a set's points are
        # added must not depend on the sets around it.
        self.sets_side_by_side = scratch.xp is numpy and shape[2] < few

    def empty(self, name, *leading):
        """Makes a temporary.

        Args:
            name (str): What it holds.
            leading (int): Axes before those of the sets.

        Returns:
            array: ``leading + (n, g, P)``.

        """
        if self.sets_side_by_side:
            shape = leading + self._shape[2:] + self._shape[:2]
            return numpy.moveaxis(
                self._scratch.empty(name, shape, self._dtype), -3, -1)
        return self._scratch.empty(name, leading + self._shape, self._dtype)

    def sum(self, z):
        """Adds up ``(..., P)`` to ``(..., 1)``.

        The order of the points is the same however many sets there are, which
        NumPy's own sum over an axis that is not the last in memory does not
        promise.

        """
        if not self.sets_side_by_side or z.shape[-1] == 0:
            return z.sum(axis=-1, keepdims=True)
        total = z[..., :1].copy()
        for i in range(1, z.shape[-1]):
            total += z[..., i:i + 1]
        return total

    def load(self, x, name):
        """Returns points ``(n, g, P)`` in the working dtype.

        Args:
            x (array): The points.
            name (str): Of the temporary that they may have to be copied to.

        """
        if x.dtype == self._dtype and not self.sets_side_by_side:
            return x
        z = self.empty(name)
        z[...] = x
        return z


def columns(parameters, block):
    """Takes a block out of arrays ``(N, G, K)``, as columns."""
    xp = get_array_module(*parameters)
    return type(parameters)(*(
        xp.ascontiguousarray(xp.moveaxis(z[block], -1, 0))[..., None]
        for z in parameters))


def standardized_sample(x, indices, scratch):
    """Gathers points of some sets, in units of each set's deviation.

    A set whose deviation vanishes is not scaled.

    Args:
        x (array): ``(n, g, P)``.
        indices (array or None): Numbers of the points; ``None`` for all.
        scratch (Scratch): Memory.

    Returns:
        tuple: Points ``(n, g, p)`` in the working dtype, a temporary;
        location and scale ``(n, g, 1)``, with which they are
        ``(x - location) / scale``; and their :class:`Temporaries`.

    """
    xp = get_array_module(x)
    if indices is not None:
        x = x.take(indices, axis=2)
    temporaries = Temporaries(
        scratch, x.shape, working_dtype(x.dtype), _FEW_SAMPLED_POINTS)
    z = temporaries.empty('points')
    # From a point of the set: what is constant has no deviation then, not
    # even a rounding's.
    z[...] = x
    first = z[..., :1].copy()
    z -= first
    mean = temporaries.sum(z) / z.shape[2]
    z -= mean
    with temporaries.step():
        square = temporaries.sum(
            xp.multiply(z, z, out=temporaries.empty('product')))
    scale = xp.sqrt(square / z.shape[2])
    floor = 1e4 * math.sqrt(numpy.finfo(z.dtype).tiny)
    scale = xp.where(scale > floor, scale, 1)
    z /= scale
    return z, first + mean, scale, temporaries


def seed(z, temporaries, n_clusters, draws):
    """Chooses centres among the points of each set by K-means++.

    Args:
        z (array): Points ``(n, g, P)`` in the working dtype.
        temporaries (Temporaries): Theirs.
        n_clusters (int): Number of centres ``K``.
        draws (numpy.ndarray): Uniform numbers in [0, 1), of shape
            ``(1 + (K - 1) * n_trials,)``, the same for all sets: what a set
            makes of them does not depend on where it stands.

    Returns:
        array: Centres ``(K, n, g, 1)``.

    """
    xp = get_array_module(z)
    n_points = z.shape[2]
    n_trials = (len(draws) - 1) // max(1, n_clusters - 1)
    trials = xp.asarray(draws[1:]).reshape(
        n_clusters - 1, n_trials, *[1] * z.ndim)
    first = min(int(draws[0] * n_points), n_points - 1)
    centers = [z[..., first:first + 1]]
    with temporaries.step():
        closest = xp.subtract(
            z, centers[0], out=temporaries.empty('closest'))
        closest *= closest
        if n_clusters > 1:
            distances = temporaries.empty('distances', n_trials)
        for uniform in trials:
            ends = _cumulative(closest, temporaries.sets_side_by_side)
            drawn = (ends < uniform * ends[..., -1:]).sum(
                axis=3, keepdims=True)
            candidates = xp.take_along_axis(z[None], drawn, 3)
            xp.subtract(z, candidates, out=distances)
            distances *= distances
            xp.minimum(distances, closest, out=distances)
            best = temporaries.sum(distances).argmin(axis=0)[None]
            centers.append(xp.take_along_axis(candidates, best, 0)[0])
            if len(centers) < n_clusters:
                distance = xp.subtract(z, centers[-1], out=distances[0])
                distance *= distance
                xp.minimum(distance, closest, out=closest)
    return xp.stack(centers)


def _cumulative(z, sets_side_by_side):
    """Adds up ``(n, g, P)`` along ``P``, in float64."""
    ends = z.astype(numpy.float64)
    if not sets_side_by_side:
        return ends.cumsum(axis=2)
    for i in range(1, z.shape[2]):
        ends[..., i] += ends[..., i - 1]
    return ends


def lloyd_step(z, temporaries, centers):
    """Runs one of Lloyd's iterations.

    Args:
        z (array): Points ``(n, g, P)`` in the working dtype.
        temporaries (Temporaries): Theirs.
        centers (array): ``(K, n, g, 1)``.

    Returns:
        Parameters: Shares, means and variances of the clusters of the points
        nearest to each centre, the lower of equals, as columns in ascending
        order of centres.  A centre without points stays, with weight and
        variance 0.

    """
    xp = get_array_module(z)
    centers = xp.sort(centers, axis=0)
    n_components = len(centers)
    with temporaries.step():
        tau = temporaries.empty('tau', n_components)
        # Scalars are nearest to the centre between whose middles they lie.
        above = z > (centers[:-1] + centers[1:]) / 2
        tau[0] = 1
        tau[1:] = above
        tau[:-1] -= above
        deviation = xp.subtract(
            z, centers, out=temporaries.empty('deviation', n_components))
        weights, mean, variance = moments(tau, deviation, temporaries)
    return Parameters(weights, centers + mean, variance)


def em_step(z, temporaries, parameters, reg_covar):
    """Runs one iteration of EM.

    Args:
        z (array): Points ``(n, g, P)`` in the working dtype.
        temporaries (Temporaries): Theirs.
        parameters (Parameters): The mixtures to start from, as columns.
        reg_covar (float): Added to variances.

    Returns:
        Parameters: The new mixtures, as columns.

    """
    with temporaries.step():
        tau, deviation, unit = posterior(z, temporaries, parameters)
        weights, mean, variance = moments(tau, deviation, temporaries)
    return Parameters(weights, parameters.means + unit * mean,
                      unit * unit * variance + z.dtype.type(reg_covar))


def posterior(z, temporaries, parameters):
    """Computes the posterior, eq. (31), of each set under its mixture.

    Args:
        z (array): Points ``(n, g, P)`` in the working dtype.
        temporaries (Temporaries): Theirs.
        parameters (Parameters): The mixtures, as columns.

    Returns:
        tuple: Posterior ``(K, n, g, P)``; the points' deviations from the
        components' means, ``(K, n, g, P)``, in units ``(K, n, g, 1)``.  The
        first two are the temporaries ``'tau'`` and ``'deviation'``.

    """
    xp = get_array_module(z)
    weights, means, variances = parameters
    # An infinitely wide component has no point that deviates from it.
    wide = xp.isinf(variances)
    # With the root of 2 a square is half the squared standardized deviation.
    unit = xp.sqrt(2 * xp.where((weights > 0) & ~wide, variances, 1))
    deviation = xp.subtract(
        z, means, out=temporaries.empty('deviation', len(means)))
    deviation *= xp.where(wide, 0, 1 / unit)
    tau = xp.multiply(
        deviation, deviation, out=temporaries.empty('tau', len(means)))
    xp.subtract(xp.log(weights / unit), tau, out=tau)
    with temporaries.step():
        most = tau.max(axis=0, out=temporaries.empty('total'))
        tau -= most
        xp.exp(tau, out=tau)
        total = tau.sum(axis=0, out=most)
        xp.divide(1, total, out=total)
        tau *= total
    return tau, deviation, unit


def moments(tau, deviation, temporaries):
    """Computes the moments of points under a posterior.

    Args:
        tau (array): Posterior ``(K, n, g, P)``.
        deviation (array): The points, from somewhere near the components'
            means: ``(K, n, g, P)``.
        temporaries (Temporaries): Theirs.

    Returns:
        tuple of arrays: Weights, means and variances as columns; 0 for a
        component without points.

    """
    xp = get_array_module(tau)
    count = temporaries.sum(tau)
    share = xp.where(count > 0, 1 / xp.where(count > 0, count, 1), 0)
    with temporaries.step():
        term = xp.multiply(
            tau, deviation, out=temporaries.empty('product', len(tau)))
        mean = temporaries.sum(term) * share
        term *= deviation
        square = temporaries.sum(term) * share
    return (count / tau.shape[3], mean, xp.maximum(square - mean * mean, 0))


class Statistics(typing.NamedTuple):

    """What standardizes sets under their mixtures, ``(N, G, K)`` each.

    With the deviations ``d`` that :func:`posterior` computes,
    ``xhat = (d - shift) * slope``.

    Attributes:
        fisher (array): ``1 / sqrt(lambda)``, 0 for an absent component.
        inv_std (array): ``1 / sqrt(sigma^2 + eps)``, 0 where there is no
            deviation at all.
        shift (array): The components' means.
        slope (array): The unit of deviations, times ``inv_std``.

    """

    fisher: typing.Any
    inv_std: typing.Any
    shift: typing.Any
    slope: typing.Any


def normalize(x, mixture, gamma, beta, eps):
    """Normalizes every set by its mixture, eqs. (34) to (37).

    Args:
        x (array): ``(N, G, P)``.
        mixture (Parameters): ``(N, G, K)`` each, in the working dtype.
        gamma (array): Scale by point, ``(G, P)``, or by component as well,
            ``(K, G, P)``.
        beta (array): Shift, of the same shape.
        eps (float): Added to variances.

    Returns:
        tuple: Output ``(N, G, P)`` of ``x``'s dtype, and
        :class:`Statistics`.

    """
    xp = get_array_module(x)
    y = xp.empty(x.shape, x.dtype)
    statistics = Statistics(*(
        xp.empty_like(mixture.weights) for _ in Statistics._fields))

    def work(block, scratch):
        z, temporaries = _load(x[block], scratch)
        parameters = columns(mixture, block)
        tau, deviation, unit = posterior(z, temporaries, parameters)
        n_components = len(tau)
        found = _statistics(tau, deviation, unit, eps, temporaries)
        for out, value in zip(statistics, found):
            out[block] = xp.moveaxis(value[..., 0], 0, -1)
        fisher, _, shift, slope = found
        deviation -= shift
        deviation *= slope * fisher
        scale, offset = gamma[..., block[1], :], beta[..., block[1], :]
        if gamma.ndim == 3:
            deviation *= scale[:, None]
            deviation += xp.multiply(
                offset[:, None], fisher,
                out=temporaries.empty('product', n_components))
        deviation *= tau
        out = deviation.sum(axis=0, out=temporaries.empty('total'))
        if gamma.ndim == 3:
            y[block] = out
            return
        out *= scale
        xp.add(out, offset, out=y[block])

    for_sets(work, x, x.shape[2] * mixture.weights.shape[2])
    return y, statistics


def _load(x, scratch):
    """Returns points ``(n, g, P)`` in the working dtype, and memory."""
    temporaries = Temporaries(
        scratch, x.shape, working_dtype(x.dtype), _FEW_POINTS)
    return temporaries.load(x, 'points'), temporaries


def _statistics(tau, deviation, unit, eps, temporaries):
    """Computes :class:`Statistics` of a block, as columns."""
    xp = get_array_module(tau)
    weights, mean, variance = moments(tau, deviation, temporaries)
    total = unit * unit * variance + unit.dtype.type(eps)
    inv_std = xp.where(total > 0, 1 / xp.sqrt(total), 0)
    fisher = xp.where(weights > 0, 1 / xp.sqrt(weights), 0)
    return Statistics(fisher, inv_std, mean, unit * inv_std)


def gradient(x, gy, mixture, statistics, gamma):
    """Computes the gradients of :func:`normalize`, the posterior held fixed.

    Args:
        x (array): ``(N, G, P)``.
        gy (array): Gradient of the output, ``(N, G, P)``.
        mixture (Parameters): ``(N, G, K)`` each.
        statistics (Statistics): Of :func:`normalize`.
        gamma (array): ``(G, P)`` or ``(K, G, P)``.

    Returns:
        tuple of arrays: Gradients of ``x``, and of ``gamma`` and ``beta``
        with all points' own, in float64.

    """
    xp = get_array_module(x)
    gx = xp.empty(x.shape, x.dtype)
    ggamma, gbeta = xp.zeros((2,) + gamma.shape)

    def work(block, scratch):
        z, temporaries = _load(x[block], scratch)
        n_components = mixture.weights.shape[2]
        tau, xhat, _ = posterior(z, temporaries, columns(mixture, block))
        fisher, inv_std, shift, slope = columns(statistics, block)
        xhat -= shift
        xhat *= slope
        tau *= fisher
        upstream = temporaries.load(gy[block], 'upstream')
        direct = xp.multiply(
            tau, upstream, out=temporaries.empty('direct', n_components))
        product = xp.multiply(
            direct, xhat, out=temporaries.empty('product', n_components))
        if gamma.ndim == 3:
            sums = product.sum(axis=1), direct.sum(axis=1)
            scale = gamma[:, None, block[1]]
        else:
            sums = product.sum(axis=(0, 1)), upstream.sum(axis=0)
            scale = gamma[block[1]]
        direct *= scale
        product *= scale

        # What reaches the components' means and variances, shared out by
        # hat tau = tau / (P lambda).
        share = inv_std * fisher / x.shape[2]
        xhat *= share * temporaries.sum(product)
        xhat += share * temporaries.sum(direct)
        xhat *= tau
        direct *= inv_std
        direct -= xhat
        gx[block] = direct.sum(axis=0, out=temporaries.empty('total'))
        return sums

    for block, sums in for_sets(
            work, x, x.shape[2] * mixture.weights.shape[2]):
        ggamma[..., block[1], :] += sums[0]
        gbeta[..., block[1], :] += sums[1]
    return gx, ggamma, gbeta


def posteriors(x, mixture):
    """Computes the posterior, eq. (31), of every set under its mixture.

    Args:
        x (array): ``(N, G, P)``.
        mixture (Parameters): ``(N, G, K)`` each, in the working dtype.

    Returns:
        array: ``(K, N, G, P)`` in the working dtype.

    """
    xp = get_array_module(x)
    n_components = mixture.weights.shape[2]
    tau = xp.empty((n_components,) + x.shape, working_dtype(x.dtype))

    def work(block, scratch):
        z, temporaries = _load(x[block], scratch)
        tau[(slice(None),) + block] = posterior(
            z, temporaries, columns(mixture, block))[0]

    for_sets(work, x, x.shape[2] * n_components)
    return tau
