"""Fits to many sets of scalars at once, one mixture each."""
import functools
import operator

import numpy

from mixnorm.compute import sets
from mixnorm.compute.layout import get_array_module, working_dtype
from mixnorm.compute.parameters import Parameters
from mixnorm.mixture.kmeans import seeding_draws
from mixnorm.mixture.randomness import sample_indices

# Added to the variances of a standardized set.
_REG_COVAR = 1e-6

# A set may be small, and a part of it too few: at least so many points are
# drawn for each component, where there are.
_POINTS_PER_COMPONENT = 10


def fit_sets(x, generator, *, n_components, n_iter, kmeans_iter, n_init_trials,
             sample_ratio, min_weight):
    """Fits a mixture to every set: sample, seed, K-means, EM, discard.

    All sets share the draws, so that a set's mixture depends neither on the
    others nor on its place among them.  Distances and what is added to
    variances are in units of each set's standard deviation.  Nothing waits
    for a GPU; values that are not finite reach only their set's mixture.

    Args:
        x (array): ``(N, G, P)``: ``N * G`` sets of ``P`` points.
        generator (numpy.random.Generator): Source of the random numbers.
        n_components (int): Number of components ``K``.
        n_iter (int): Iterations of K-means and EM together.
        kmeans_iter (int): How many of them are Lloyd's.
        n_init_trials (int or None): Candidates per centre in K-means++;
            ``2 + floor(ln K)`` if ``None``.
        sample_ratio (float): Share of each set's points to use, but at least
            ten for each component, where there are so many.
        min_weight (float): Components of smaller weight are dropped: their
            weight becomes 0.

    Returns:
        Parameters: The mixtures, each ``(N, G, K)`` in the working dtype, the
        component of the lowest mean first, dropped ones last.

    """
    xp = get_array_module(x)
    n, g, n_points = x.shape
    fitted = Parameters(*(
        xp.empty((n, g, n_components), working_dtype(x.dtype))
        for _ in Parameters._fields))
    if x.size == 0:
        return fitted
    ratio = min(1, max(
        sample_ratio, _POINTS_PER_COMPONENT * n_components / n_points))
    indices = None
    if ratio < 1:
        indices = xp.asarray(sample_indices(n_points, ratio, generator))
    draws = seeding_draws(n_components, n_init_trials, generator)

    def work(block, scratch):
        z, location, scale, temporaries = sets.standardized_sample(
            x[block], indices, scratch)
        parameters = _start(z, temporaries, n_components, draws, kmeans_iter)
        for _ in range(n_iter - kmeans_iter):
            parameters = sets.em_step(
                z, temporaries, parameters, _REG_COVAR)
        found = _discard_and_rescale(
            parameters, min_weight, location, scale)
        for out, value in zip(fitted, found):
            out[block] = xp.moveaxis(value[..., 0], 0, -1)

    sets.for_sets(work, x, n_components * (
        n_points if indices is None else len(indices)))
    return fitted


def _start(z, temporaries, n_components, draws, n_iter):
    xp = get_array_module(z)
    centers = sets.seed(z, temporaries, n_components, draws)
    if n_iter == 0:
        # Equal weights, and the variances of all points.
        variance = temporaries.sum(z * z) / z.shape[2]
        return Parameters(
            xp.full_like(centers, 1 / n_components), centers,
            xp.zeros_like(centers) + variance + z.dtype.type(_REG_COVAR))
    for _ in range(n_iter):
        parameters = sets.lloyd_step(z, temporaries, centers)
        centers = parameters.means
    return parameters._replace(
        variances=parameters.variances + z.dtype.type(_REG_COVAR))


def _discard_and_rescale(parameters, min_weight, location, scale):
    """Drops what is light, sorts by mean, returns to original units."""
    xp = get_array_module(location)
    weights = parameters.weights
    weights = xp.where(
        weights >= xp.minimum(weights.max(axis=0), min_weight), weights, 0)
    # One after another, however many sets there are.
    weights = weights / functools.reduce(operator.add, weights)
    order = xp.argsort(
        xp.where(weights > 0, parameters.means, numpy.inf), axis=0,
        kind='stable')
    weights, means, variances = (
        xp.take_along_axis(z, order, 0)
        for z in (weights, parameters.means, parameters.variances))
    # Of values whose squares the dtype cannot hold the scale is infinite.
    return Parameters(
        weights, xp.where(xp.isinf(scale), 0, means * scale) + location,
        variances * scale * scale)
