"""K-means: the seeding of Arthur & Vassilvitskii, and Lloyd's iterations."""
import math

import numpy

from mixnorm.mixture.randomness import random_numbers
from mixnorm.mixture.stack import (
    blocks, get_array_module, stack, take, working_dtype)
from mixnorm.mixture.validation import check_integer, check_points


def squared_distances(x, centers):
    """Computes the squared Euclidean distances of points to centres.

    Differences are squared, not expanded: ``|x|^2 - 2 x c + |c|^2`` would
    lose distances that are small beside ``|x|``.

    Args:
        x (array): Stack ``(B, C, L)``.
        centers (array): ``(T, C)``, any ``T``.

    Returns:
        array: ``(T, B, L)`` in the working dtype.

    """
    xp = get_array_module(x)
    dtype = working_dtype(x.dtype)
    out = xp.empty((len(centers), x.shape[0], x.shape[2]), dtype)
    for b, s in blocks(x):
        block = x[b, :, s].astype(dtype, copy=False)
        for t, center in enumerate(centers):
            difference = block - center[:, None]
            out[t, b, s] = xp.einsum(
                'bcl,bcl->bl', difference, difference)
    return out


def default_n_local_trials(n_clusters):
    """Returns ``2 + floor(ln n_clusters)``, as scikit-learn does."""
    return 2 + int(math.log(n_clusters))


def seed_centers(x, n_clusters, draws):
    """Chooses centres among the points by K-means++ with local trials.

    The first centre is a point drawn uniformly.  Each further centre is the
    best of several trials: a trial is drawn with probability proportional to
    the squared distance from the nearest centre so far, and the best is the
    one that leaves the smallest sum of those distances.

    No number comes back from the device: the random draws are given.

    Args:
        x (array): Stack ``(B, C, L)``.
        n_clusters (int): Number of centres ``K``.
        draws (numpy.ndarray): Uniform numbers in [0, 1), of shape
            ``(1 + (K - 1) * n_local_trials,)``.

    Returns:
        tuple of arrays: Centres ``(K, C)`` in the working dtype and the
        numbers ``(K,)`` of the points they are.

    """
    xp = get_array_module(x)
    dtype = working_dtype(x.dtype)
    n_points = x.shape[0] * x.shape[2]
    first = min(int(draws[0] * n_points), n_points - 1)
    trials = xp.asarray(draws[1:].reshape(n_clusters - 1, -1)
                        if n_clusters > 1 else numpy.empty((0, 1)))
    chosen = [xp.full((1,), first, dtype=numpy.int64)]
    centers = [take(x, chosen[0]).astype(dtype, copy=False)]
    if n_clusters > 1:
        closest = squared_distances(x, centers[0])[0]
    for uniform in trials:
        cumulative = xp.cumsum(closest.ravel(), dtype=numpy.float64)
        candidates = xp.searchsorted(cumulative, uniform * cumulative[-1])
        # Rounding, or a distance that is not a number, may point past the
        # end.
        candidates = xp.minimum(candidates, n_points - 1)
        points = take(x, candidates).astype(dtype, copy=False)
        remaining = xp.minimum(squared_distances(x, points), closest)
        best = remaining.sum(axis=(1, 2), dtype=numpy.float64).argmin()
        closest = xp.take(remaining, best, axis=0)
        chosen.append(xp.take(candidates, best).reshape(1))
        centers.append(xp.take(points, best, axis=0)[None])
    return xp.concatenate(centers), xp.concatenate(chosen)


def kmeans_plusplus(X, n_clusters, random_state=None, n_local_trials=None):
    """Chooses initial centres for K-means among the points.

    From the same integer ``random_state`` it chooses the same points as
    :func:`sklearn.cluster.kmeans_plusplus`.  Where there are fewer distinct
    points than centres, centres coincide.

    Args:
        X (array): Points ``(M, C)`` or ``(N, C, *S)``, NumPy or CuPy,
            floating.
        n_clusters (int): Number of centres ``K``, at least 1.
        random_state (None, int, numpy.random.RandomState or \
numpy.random.Generator): Source of the random numbers.
        n_local_trials (int): Candidates per centre; ``2 + floor(ln K)`` if
            ``None``.

    Returns:
        tuple of arrays: Centres ``(K, C)`` in ``X``'s dtype and their point
        numbers ``(K,)``, of the kind that ``X`` is.

    Raises:
        ValueError: If an argument is out of its range or ``X`` holds values
            that are not finite.

    Source: D. Arthur and S. Vassilvitskii, *k-means++: the advantages of
    careful seeding* (2007); the local trials are those of its section 5.

    """
    X = check_points(X)
    check_integer('n_clusters', n_clusters, 1)
    if n_local_trials is None:
        n_local_trials = default_n_local_trials(n_clusters)
    check_integer('n_local_trials', n_local_trials, 1)
    draws = random_numbers(
        random_state, 1 + (n_clusters - 1) * n_local_trials)
    x = stack(X)
    _, indices = seed_centers(x, n_clusters, draws)
    return take(x, indices), indices


def nearest_center(x, centers):
    """Assigns each point to its nearest centre, the first of equals.

    Args:
        x (array): Stack ``(B, C, L)``.
        centers (array): ``(K, C)``.

    Returns:
        array: One-hot assignment ``(B, K, L)`` in the working dtype.

    """
    xp = get_array_module(x)
    labels = squared_distances(x, centers).argmin(axis=0)
    indices = xp.arange(len(centers))[:, None]
    return (labels[:, None, :] == indices).astype(centers.dtype)
