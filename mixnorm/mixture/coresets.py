"""Coresets: few weighted points in place of many."""
import functools
import math

import numpy

from mixnorm.checks import check_integer, check_points
from mixnorm.mixture.blocks import (
    as_blocks, comes_in_blocks, device_of_points, recognize)
from mixnorm.mixture.randomness import random_numbers
from mixnorm.mixture.seeding import (
    block_totals, draw_by_distance, squared_distance_masses)
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
            that are not finite, or whose squares are not.

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
    X = recognize(X)
    with device_of_points(X):
        return _coreset(X, m, random_state)


def _coreset(X, m, random_state):
    if not comes_in_blocks(X):
        X = check_points(X)
    blocks = as_blocks(X)
    # About one of the points, not about 0, which may be far.
    center, _ = blocks.take(numpy.zeros(1, int))
    sums = blocks.sum(functools.partial(lloyd_statistics, centers=center), add)
    center = to_parameters(sums, center, 0).means
    totals = block_totals(blocks, center)
    n_points, total = blocks.n_points, sum(totals)
    if not math.isfinite(total):
        raise ValueError(f'X is too large for its dtype, {blocks.dtype}, '
                         'which cannot hold squared distances: scale X')
    # Where all points are one, there is no distance to draw by.
    a, b = (.5 / total, .5 / n_points) if total > 0 else (0., 1 / n_points)
    points = draw_by_distance(
        blocks, center, (a, b), totals, blocks.sizes,
        random_numbers(random_state, m))
    distances = squared_distance_masses(points.T[None], None, center)
    return points, 1 / (m * (a * distances + b))
