"""Coresets: few weighted points in place of many."""
import functools

import numpy

from mixnorm.checks import check_integer, check_points
from mixnorm.mixture.blocks import (
    as_blocks, device_of_points, is_dask, is_iterable_of_blocks)
from mixnorm.mixture.randomness import random_numbers
from mixnorm.mixture.seeding import (
    draw, squared_distance_masses, weight_masses)
from mixnorm.mixture.statistics import add, lloyd_statistics, to_parameters


def coreset(X, m, random_state=None):
    """Draws a lightweight coreset: weighted points that stand for all points.

    A point is drawn with probability ``q(x) = 1 / (2 n) + d(x)^2 / (2 sum_j
    d(x_j)^2)``, where ``d`` is its distance from the mean of all ``n``
    points, and has the weight ``1 / (m q(x))``.  Whatever the centres, the
    weighted sum of squared distances is then an unbiased estimate of that of
    all points.  ``X`` is gone through five times.

    Args:
        X (array, dask.array.Array or iterable of arrays): Points ``(n, C)``
            or ``(N, C, *S)``, as
            :meth:`mixnorm.mixture.DiagonalGaussianMixture.fit` takes them.
        m (int): Number of points to draw, with replacement.
        random_state (None, int, numpy.random.RandomState or \
numpy.random.Generator): Source of the random numbers.

    Returns:
        tuple of arrays: Points ``(m, C)``, in ``X``'s dtype or float32 for
        float16, and weights ``(m,)``, float64, which ``fit`` takes as
        ``sample_weight``.

    Raises:
        ValueError: If an argument is out of its range or ``X`` holds values
            that are not finite.

    Source: O. Bachem, M. Lucic and A. Krause, *Scalable k-Means Clustering
    via Lightweight Coresets* (2018), algorithm 1.

    .. admonition:: Example

        >>> import numpy as np
        >>> from mixnorm.mixture import coreset, DiagonalGaussianMixture
        >>> X = np.random.RandomState(0).randn(10000, 3)
        >>> points, weights = coreset(X, 500, random_state=0)
        >>> gm = DiagonalGaussianMixture(2, random_state=0).fit(
        ...     points, sample_weight=weights)

    """
    check_integer('m', m, 1)
    with device_of_points(X):
        return _coreset(X, m, random_state)


def _coreset(X, m, random_state):
    if not (is_dask(X) or is_iterable_of_blocks(X)):
        X = check_points(X)
    blocks = as_blocks(X)
    # About one of the points, not about 0, which may be far.
    center = draw(blocks, weight_masses, numpy.zeros(1))
    sums = blocks.sum(functools.partial(lloyd_statistics, centers=center), add)
    center = to_parameters(sums, center, 0).means
    total = blocks.sum(functools.partial(_total, center=center))
    probability = functools.partial(
        _probability, center=center, total=total, n_points=blocks.n_points)
    points = draw(blocks, probability, random_numbers(random_state, m))
    weights = 1 / (m * probability(points.T[None], None))
    return points, weights


def _total(x, sample_weight, center):
    return squared_distance_masses(x, sample_weight, center).sum()


def _probability(x, sample_weight, center, total, n_points):
    """Computes ``q`` of a block's points, ``(B * L,)``."""
    distances = squared_distance_masses(x, sample_weight, center)
    # Where all points are one, there is no distance to draw by.
    return .5 / n_points + distances * (
        .5 / (total + (total == 0))) + (total == 0) * .5 / n_points
