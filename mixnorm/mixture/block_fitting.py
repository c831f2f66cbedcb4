"""A whole fit to points in blocks: sample, seed, K-means, EM, discard."""
import functools
import math
import typing

import numpy

from mixnorm import compute
from mixnorm.compute.parameters import Parameters
from mixnorm.mixture import statistics
from mixnorm.mixture.blocks import ArrayBlocks
from mixnorm.mixture.randomness import random_numbers, sample_indices
from mixnorm.mixture.seeding import seed, to_host, weight_masses

# So many points are put in an order of their own before a fit: it then
# depends neither on how they are ordered nor on whether a point comes twice
# or weighs as much.  More would take too long to sort.
_ORDERED_POINTS = 1 << 16


class Fit(typing.NamedTuple):

    """Outcome of a fit.

    Attributes:
        parameters (Parameters): The mixture.
        n_iter (int): Iterations of EM that were run.
        converged (bool): Whether the tolerance was reached.
        lower_bound (array): Mean log density of the points that were used,
            as of the last E-step; no axes.

    """

    parameters: Parameters
    n_iter: int
    converged: bool
    lower_bound: typing.Any


def chosen_points(blocks, sample_ratio, generator):
    """Chooses and arranges the points that a fit uses.

    Args:
        blocks (Blocks): All points.
        sample_ratio (float): Share of them to use, drawn at random.
        generator (numpy.random.RandomState or numpy.random.Generator):
            Source of the random numbers.

    Returns:
        Blocks: The points: one array if it is a sample, or few.

    """
    if sample_ratio < 1:
        chosen = sample_indices(blocks.n_points, sample_ratio, generator)
    elif blocks.n_points <= _ORDERED_POINTS:
        chosen = numpy.arange(blocks.n_points)
    else:
        return blocks
    points, weights = blocks.take(chosen)
    if len(points) <= _ORDERED_POINTS:
        # No two points have the same coordinate in such a direction.
        direction = blocks.xp.asarray(
            numpy.sin(1. + numpy.arange(blocks.n_dims)))
        # Unlike a product of matrices, it makes no copy in another dtype.
        order = blocks.xp.einsum('mc,c->m', points, direction).argsort()
        points = points[order]
        weights = None if weights is None else weights[order]
    return _array_blocks(points, weights)


def fit_mixture(blocks, generator, *, n_components, init, n_init_trials,
                kmeans_iter, max_iter, tol, reg_covar, min_weight, start,
                report=None):
    """Fits a diagonal Gaussian mixture.

    Values that are not finite make parameters that are not.  With ``tol=0``,
    without ``report``, and seeded by ``'k-means++'`` or ``'random'``, nothing
    waits for a GPU.

    Args:
        blocks (Blocks): The points.
        generator (numpy.random.RandomState or numpy.random.Generator):
            Source of the random numbers.
        n_components (int): Number of components ``K``.
        init (str): One of :data:`mixnorm.mixture.seeding.SEEDINGS`, or
            ``'random'``.
        n_init_trials (int or None): Candidates per centre in seeding.
        kmeans_iter (int): Number of Lloyd's iterations.
        max_iter (int): Most iterations of EM.
        tol (float): EM stops when the lower bound gains less.
        reg_covar (float): Added to variances.
        min_weight (float): Components of smaller weight are dropped.
        start (Parameters): Values to start EM from in place of those that
            K-means gives; ``None`` for those to be found.
        report (callable or None): Is told what was done, a line at a time.

    Returns:
        Fit: The mixture and how it was reached.

    """
    parameters = start
    if any(value is None for value in start):
        centers = start.means
        if centers is None:
            centers = _seed(
                blocks, generator, n_components, init, n_init_trials)
            if report is not None:
                report(f'seeded by {init}')
        found = _lloyd(blocks, centers, kmeans_iter, reg_covar, report)
        parameters = Parameters(*(
            other if value is None else value
            for value, other in zip(start, found)))
    previous = -math.inf
    converged = False
    for n_iter in range(1, max_iter + 1):
        sums = blocks.sum(functools.partial(
            statistics.em_statistics, parameters=parameters), statistics.add)
        parameters = statistics.to_parameters(
            sums, parameters.means, reg_covar)
        lower_bound = sums.log_density / blocks.total_weight
        if report is not None:
            report(f'EM, iteration {n_iter}: lower bound '
                   f'{float(lower_bound):.6f}')
        if tol > 0:
            converged = abs(float(lower_bound) - previous) < tol
            if converged:
                break
            previous = float(lower_bound)
    return Fit(
        compute.arithmetic(parameters.means).mixture.discard_and_rescale(
            parameters, min_weight, None, None),
        n_iter, converged, lower_bound)


def _seed(blocks, generator, n_components, init, n_init_trials):
    if init != 'random':
        return seed(blocks, n_components, init, generator, n_init_trials)
    keys = random_numbers(generator, blocks.n_points)
    if blocks.is_weighted:
        # Without replacement, in proportion to the weights: Efraimidis &
        # Spirakis, 2006.
        with numpy.errstate(divide='ignore'):
            keys = -numpy.log(1 - keys) / numpy.concatenate(
                list(map(to_host, blocks.map(weight_masses))))
    order = keys.argsort()
    # Fewer points than components: some are taken again.
    return blocks.take(numpy.resize(order[:n_components], n_components))[0]


def _lloyd(blocks, centers, n_iter, reg_covar, report):
    """Runs Lloyd's iterations; see :func:`mixnorm.mixture.fitting.lloyd`."""
    xp = blocks.xp
    if n_iter == 0:
        variances = _lloyd_step(blocks, centers[:1], reg_covar).variances
        return Parameters(
            xp.full((len(centers),), 1 / len(centers), centers.dtype),
            centers, xp.repeat(variances, len(centers), 0))
    for i in range(1, n_iter + 1):
        found = _lloyd_step(blocks, centers, reg_covar)
        centers = found.means
        if report is not None:
            report(f'K-means, iteration {i}')
    return found


def _lloyd_step(blocks, centers, reg_covar):
    sums = blocks.sum(functools.partial(
        statistics.lloyd_statistics, centers=centers), statistics.add)
    return statistics.to_parameters(sums, centers, reg_covar)


def _array_blocks(points, sample_weight):
    """Makes a block of points ``(M, C)`` and weights ``(M,)`` or ``None``."""
    x = points.T[None]
    return ArrayBlocks(
        compute.arithmetic(x).sample.precompute(x),
        None if sample_weight is None else sample_weight[None])
