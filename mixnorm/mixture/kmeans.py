"""The seeding of K-means by Arthur & Vassilvitskii."""
import math

from mixnorm import compute
from mixnorm.checks import check_integer, check_points
from mixnorm.compute.layout import device_of, stack, take
from mixnorm.mixture.randomness import random_numbers


def default_n_local_trials(n_clusters):
    """Returns ``2 + floor(ln n_clusters)``, as scikit-learn does."""
    return 2 + int(math.log(n_clusters))


def seeding_draws(n_clusters, n_local_trials, random_state):
    """Draws what K-means++ with local trials chooses centres by.

    The first centre is a point drawn uniformly.  Each further centre is the
    best of several trials: a trial is drawn with probability proportional to
    the squared distance from the nearest centre so far, and the best is the
    one that leaves the smallest sum of those distances.

    Args:
        n_clusters (int): Number of centres ``K``.
        n_local_trials (int or None): Candidates per centre;
            ``2 + floor(ln K)`` if ``None``.
        random_state: Source of the random numbers, all of which are drawn
            before a GPU begins.

    Returns:
        numpy.ndarray: ``(1 + (K - 1) * n_local_trials,)`` uniform numbers in
        [0, 1), as
        :meth:`mixnorm.compute.contract.Seeding.seed` takes them.

    """
    if n_local_trials is None:
        n_local_trials = default_n_local_trials(n_clusters)
    return random_numbers(
        random_state, 1 + (n_clusters - 1) * n_local_trials)


def kmeans_plusplus(X, n_clusters, random_state=None, n_local_trials=None):
    """Chooses initial centres for K-means among the points.

    From the same integer ``random_state`` it chooses the same points as
    :func:`sklearn.cluster.kmeans_plusplus`.  Where there are fewer distinct
    points than centres, centres coincide.

    Args:
        X (array): Points ``(M, C)`` or ``(N, C, *S)``, NumPy or CuPy, real.
        n_clusters (int): Number of centres ``K``, at least 1.
        random_state (None, int, numpy.random.RandomState or \
numpy.random.Generator): Source of the random numbers.
        n_local_trials (int): Candidates per centre; ``2 + floor(ln K)`` if
            ``None``.

    Returns:
        tuple of arrays: Centres ``(K, C)``, in ``X``'s dtype if that is
        float16, float32 or float64, otherwise float64; and their point
        numbers ``(K,)``.  Both are of the kind that ``X`` is.

    Raises:
        ValueError: If an argument is out of its range or ``X`` holds values
            that are not finite.

    Source: D. Arthur and S. Vassilvitskii, *k-means++: the advantages of
    careful seeding* (2007); the local trials are those of its section 5.

    """
    check_integer('n_clusters', n_clusters, 1)
    if n_local_trials is not None:
        check_integer('n_local_trials', n_local_trials, 1)
    with device_of(X):
        x = stack(check_points(X))
        _, indices = compute.arithmetic(x).seeding.seed(
            x, n_clusters, seeding_draws(
                n_clusters, n_local_trials, random_state))
        return take(x, indices), indices
