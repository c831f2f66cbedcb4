"""What a fit needs of a mini-batch of which each worker has a share."""
import numpy

from mixnorm import compute
from mixnorm.compute.layout import get_array_module
from mixnorm.compute.parameters import Parameters
from mixnorm.mixture.randomness import sample_indices
from mixnorm.mixture.statistics import Statistics, to_parameters


def joined_sample(x, ratio, generator, joined):
    """Gathers the sample that one worker would draw from all points.

    Args:
        x (array or points): This worker's points, a stack ``(B, C, L)``.
        ratio (float): Share of all points to draw.
        generator (numpy.random.Generator): Source of the random numbers, in
            the same state on all workers.
        joined (mixnorm.workers.JoinedBatch): The mini-batch.

    Returns:
        array: Stack ``(1, C, m)`` in the working dtype, the same on all
        workers.

    """
    xp = get_array_module(x)
    n_here = x.shape[0] * x.shape[2]
    if ratio == 1:
        indices = numpy.arange(n_here)
    else:
        indices = sample_indices(
            joined.count_points(n_here), ratio, generator)
        indices = indices - n_here // joined.n_here * joined.first
        indices = indices[(0 <= indices) & (indices < n_here)]
    return joined.gather(compute.arithmetic(x).seeding.take(
        x, xp.asarray(indices))).T[None]


def joined_statistics(statistics, n_here, centers, joined):
    """Computes the moments of all workers' points under their posterior.

    Sums of deviations from the centres are added up, in float64: the
    centres, which all workers have in common, are near the means, so nothing
    cancels.

    Args:
        statistics (Parameters): Those of this worker's points.
        n_here (int): Number of this worker's points.
        centers (array): ``(K, C)``, the same on all workers.
        joined (mixnorm.workers.JoinedBatch): The mini-batch.

    Returns:
        Parameters: In the dtype of ``statistics``.

    """
    weights, means, variances = (
        z.astype(numpy.float64) for z in statistics)
    centers = centers.astype(numpy.float64)
    # What is not finite passes silently, as it does everywhere.
    with numpy.errstate(all='ignore'):
        counts = (weights * n_here)[:, None]
        shift = means - centers
        sums = joined.sum(counts[:, 0], counts * shift,
                          counts * (variances + shift * shift))
        return Parameters(*(
            z.astype(statistics.means.dtype) for z in to_parameters(
                Statistics(*sums, log_density=0.), centers, 0.)))
