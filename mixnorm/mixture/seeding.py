"""Seedings of K-means: where its centres are at first.

Random numbers are drawn on the host, and turned into points by the cumulative
sum of what the points are drawn by, in their order.  How the points are
divided into blocks therefore changes nothing but rounding.
"""
import functools
import math

import numpy

from mixnorm import compute
from mixnorm.compute.layout import get_array_module
from mixnorm.mixture.blocks import ArrayBlocks
from mixnorm.mixture.kmeans import default_n_local_trials, seeding_draws
from mixnorm.mixture.randomness import random_numbers

SEEDINGS = 'k-means++', 'k-means||', 'afk-mc2'

# Rounds of K-means||, and candidates in a round for every centre: Bahmani et
# al., section 5.
_N_ROUNDS = 5
_OVERSAMPLING = 2

# Steps of each Markov chain: Bachem et al., section 5.
_CHAIN_LENGTH = 200


def seed(blocks, n_clusters, method, generator, n_local_trials=None):
    """Chooses initial centres for K-means among points.

    ``'k-means++'`` draws each centre with probability proportional to ``w_i
    d_i^2``, weight and squared distance from the nearest centre so far; the
    best of several trials is kept (Arthur & Vassilvitskii, 2007).

    ``'k-means||'`` draws ``2 K`` candidates so at a time, five times, gives
    each the weight of the points that it is nearest to, and chooses among
    them by K-means++ (Bahmani et al., *Scalable K-Means++*, 2012, algorithm
    2, with a fixed number of draws a round).  The points are gone through 12
    times, however many centres there are.

    ``'afk-mc2'`` runs a Markov chain for each centre whose limit is the
    distribution of K-means++.  It proposes points by ``q_i = w_i d_i^2 / (2
    sum_j w_j d_j^2) + w_i / (2 sum_j w_j)``, with the distances from the
    first centre (Bachem et al., *Fast and Provably Good Seedings for
    k-Means*, 2016, algorithm 1, chains of 200 steps).  As in K-means++, the
    best of several trials is kept: of several chains, the end that leaves the
    smallest ``sum_j w_j d_j^2``, estimated by all proposals.  The points are
    gone through 3 times; the work on proposals grows with ``(K * trials)^2``,
    so that hundreds of centres are better found by one trial, which is the
    paper's algorithm.  On 10,000 points of the mixture of Bahmani et al., ``K
    = 50`` and means of variance 100, the potential is 1.01 times that of
    K-means++ with several trials, and 1.08 times with one trial each; chains
    of 40 steps make it 1.13.

    Args:
        blocks (Blocks): The points.
        n_clusters (int): Number of centres ``K``.
        method (str): One of those above.
        generator (numpy.random.RandomState or numpy.random.Generator):
            Source of the random numbers.
        n_local_trials (int or None): Candidates per centre, in K-means||
            those of the K-means++ among what was drawn; ``2 + floor(ln K)``
            if ``None``.

    Returns:
        array: Centres ``(K, C)`` in the working dtype.

    """
    # What is not finite passes silently, as it does everywhere.
    with numpy.errstate(all='ignore'):
        if method == 'k-means||':
            return _kmeans_parallel(
                blocks, n_clusters, generator, n_local_trials)
        if method == 'afk-mc2':
            return _afk_mc2(blocks, n_clusters, generator, n_local_trials)
        draws = seeding_draws(n_clusters, n_local_trials, generator)
        if isinstance(blocks, ArrayBlocks) and not blocks.is_weighted:
            return compute.arithmetic(blocks.x).seeding.seed(
                blocks.x, n_clusters, draws)[0]
        return _kmeans_plusplus(blocks, n_clusters, draws)


def draw(blocks, masses, uniform, totals=None):
    """Draws points in proportion to their masses, with replacement.

    Args:
        blocks (Blocks): The points.
        masses (callable): From a block to ``(B * L,)``, float64.
        uniform (numpy.ndarray): Numbers ``(m,)`` in [0, 1).
        totals (list or None): The masses of the blocks, if they are known.

    Returns:
        array: Points ``(m, C)`` in the working dtype.

    """
    if totals is None:
        totals = blocks.map(functools.partial(_total, masses=masses))
    if len(totals) == 1:
        # Nothing has to be known on the host.
        return blocks.map(functools.partial(_draw_here, masses=masses), [
            blocks.xp.asarray(uniform) * totals[0]])[0]
    ends = numpy.cumsum([float(total) for total in totals])
    targets = uniform * ends[-1]
    # Rounding may point past the end.
    numbers = numpy.minimum(
        numpy.searchsorted(ends, targets, side='right'), len(ends) - 1)
    before = ends - [float(total) for total in totals]
    parts = blocks.map(functools.partial(_draw_here, masses=masses), [
        targets[numbers == i] - before[i] if (numbers == i).any() else None
        for i in range(len(ends))])
    drawn = blocks.xp.empty((len(uniform), blocks.n_dims), blocks.dtype)
    for i, part in enumerate(parts):
        if part is not None:
            drawn[blocks.xp.asarray(numpy.flatnonzero(numbers == i))] = part
    return drawn


def _total(x, sample_weight, masses):
    return masses(x, sample_weight).sum()


def _draw_here(x, sample_weight, targets, masses):
    """Draws points where the cumulative sum of masses passes the targets."""
    xp = get_array_module(x)
    ends = masses(x, sample_weight).cumsum()
    # Rounding may point past the last point that has any mass.
    last = xp.searchsorted(ends, ends[-1:])
    indices = xp.minimum(
        xp.searchsorted(ends, xp.asarray(targets), side='right'), last)
    return compute.arithmetic(x).seeding.take(x, indices)


def weight_masses(x, sample_weight):
    """Returns the weights of a block's points, ``(B * L,)``."""
    if sample_weight is None:
        return get_array_module(x).ones(
            x.shape[0] * x.shape[2], numpy.float64)
    return sample_weight.ravel()


def squared_distance_masses(x, sample_weight, centers):
    """Returns ``w_i d_i^2``, from the nearest centre, ``(B * L,)``."""
    _, distances = compute.arithmetic(x).seeding.nearest(x, centers)
    return distances * weight_masses(x, sample_weight)


def block_weights(blocks):
    """Returns how much the points of each block count."""
    if not blocks.is_weighted:
        return blocks.sizes
    return blocks.map(functools.partial(_total, masses=weight_masses))


def block_totals(blocks, center):
    """Returns ``sum_i w_i d_i^2`` of each block, floats.

    Args:
        blocks (Blocks): The points.
        center (array): What ``d_i`` is the distance from, ``(1, C)``.

    """
    return list(map(float, blocks.map(functools.partial(
        _total, masses=functools.partial(
            squared_distance_masses, centers=center)))))


def draw_by_distance(blocks, center, factors, totals, weights, uniform):
    """Draws points in proportion to ``w_i (a d_i^2 + b)``.

    Args:
        blocks (Blocks): The points.
        center (array): What ``d_i`` is the distance from, ``(1, C)``.
        factors (tuple of floats): ``a`` and ``b``.
        totals (list of floats): What :func:`block_totals` returned.
        weights (sequence): What :func:`block_weights` returned.
        uniform (numpy.ndarray): Numbers ``(m,)`` in [0, 1).

    Returns:
        array: Points ``(m, C)`` in the working dtype.

    """
    a, b = factors
    return draw(
        blocks, functools.partial(
            _distance_masses, center=center, factors=factors), uniform,
        [a * total + b * float(weight)
         for total, weight in zip(totals, weights)])


def _draw_first(blocks, uniform):
    """Draws a point ``(1, C)`` in proportion to the weights."""
    return draw(blocks, weight_masses, uniform, block_weights(blocks))


def _kmeans_plusplus(blocks, n_clusters, draws):
    """Seeds by K-means++ from the draws of :func:`seeding_draws`."""
    xp = blocks.xp
    trials = draws[1:].reshape(n_clusters - 1, -1) if n_clusters > 1 else ()
    centers = _draw_first(blocks, draws[:1])
    totals = None
    for uniform in trials:
        candidates = draw(
            blocks, functools.partial(squared_distance_masses,
                                      centers=centers), uniform, totals)
        sums = xp.stack(blocks.map(functools.partial(
            _potentials, centers=centers, candidates=candidates)))
        best = sums.sum(axis=0).argmin()
        centers = xp.concatenate([centers, candidates[best][None]])
        totals = list(sums[:, best])
    return centers


def _potentials(x, sample_weight, centers, candidates):
    """Sums ``w_i d_i^2`` with each of the candidates as one more centre."""
    xp = get_array_module(x)
    closest = squared_distance_masses(x, sample_weight, centers)
    return xp.stack([
        xp.minimum(closest, squared_distance_masses(
            x, sample_weight, candidate[None])).sum()
        for candidate in candidates])


def _kmeans_parallel(blocks, n_clusters, generator, n_local_trials):
    uniform = random_numbers(generator, 1)
    centers = _draw_first(blocks, uniform)
    for _ in range(_N_ROUNDS):
        uniform = random_numbers(generator, _OVERSAMPLING * n_clusters)
        drawn = draw(blocks, functools.partial(
            squared_distance_masses, centers=centers), uniform)
        centers = blocks.xp.concatenate([centers, drawn])
    weights = blocks.sum(functools.partial(_attracted, centers=centers))
    return _kmeans_plusplus(
        ArrayBlocks(centers.T[None], weights[None]), n_clusters,
        seeding_draws(n_clusters, n_local_trials, generator))


def _attracted(x, sample_weight, centers):
    """Sums the weights of the points nearest to each centre: ``(T,)``."""
    labels, _ = compute.arithmetic(x).seeding.nearest(x, centers)
    return get_array_module(x).bincount(
        labels, weight_masses(x, sample_weight), len(centers))


def _afk_mc2(blocks, n_clusters, generator, n_local_trials):
    if n_local_trials is None:
        n_local_trials = default_n_local_trials(n_clusters)
    weights = block_weights(blocks)
    first = draw(
        blocks, weight_masses, random_numbers(generator, 1), weights)
    if n_clusters == 1:
        return first
    shape = n_clusters - 1, n_local_trials, _CHAIN_LENGTH
    chains = numpy.arange(math.prod(shape)).reshape(shape)
    proposals, acceptances = random_numbers(
        generator, 2 * chains.size).reshape(2, -1)
    totals = block_totals(blocks, first)
    # Where all points are one, every proposal is as good.
    factors = .5 / (sum(totals) or 1.), .5 / float(blocks.total_weight)
    candidates = to_host(draw_by_distance(
        blocks, first, factors, totals, weights, proposals))
    centers = [to_host(first)[0]]
    closest = ((candidates - centers[0]) ** 2).sum(axis=1)
    # Weights are in the target as in the proposal.
    density = factors[0] * closest + factors[1]
    for trials in chains:
        ratios = closest / density
        ends = [chain[_last_state(ratios[chain], acceptances[chain])]
                for chain in trials]
        found = [numpy.minimum(
            closest, ((candidates - candidates[end]) ** 2).sum(axis=1))
            for end in ends]
        # The estimate of importance sampling, but for a factor.
        best = numpy.argmin([(z / density).sum() for z in found])
        closest = found[best]
        centers.append(candidates[ends[best]])
    return blocks.xp.asarray(numpy.stack(centers), dtype=blocks.dtype)


def _distance_masses(x, sample_weight, center, factors):
    a, b = factors
    return a * squared_distance_masses(
        x, sample_weight, center) + b * weight_masses(x, sample_weight)


def _last_state(ratios, uniform):
    """Runs a Metropolis-Hastings chain of independent proposals.

    Args:
        ratios (numpy.ndarray): Of target and proposal, of every proposal.
        uniform (numpy.ndarray): Numbers in [0, 1) to accept by.

    Returns:
        int: The number of the proposal that the chain ends at.

    """
    state = 0
    for i in range(1, len(ratios)):
        if uniform[i] * ratios[state] < ratios[i]:
            state = i
    return state


def to_host(z):
    """Copies an array to the host, as float64."""
    xp = get_array_module(z)
    return (z if xp is numpy else xp.asnumpy(z)).astype(numpy.float64)
