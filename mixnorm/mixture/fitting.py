"""A whole fit: sample, seed, K-means, EM, discard."""
import math
import typing

import numpy

from mixnorm.mixture.expectation_maximization import (
    discard, expectation_maximization_step, lloyd, Parameters)
from mixnorm.mixture.kmeans import default_n_local_trials, seed_centers
from mixnorm.mixture.randomness import random_numbers, sample_indices
from mixnorm.mixture.stack import (
    get_array_module, pivot, stack, take, working_dtype)


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


def fit_mixture(x, generator, *, n_components, kmeans_iter, max_iter,
                sample_ratio, min_weight, reg_covar=1e-6, tol=0,
                init='k-means++', n_init_trials=None,
                start=Parameters(None, None, None), standardize=False):
    """Fits a diagonal Gaussian mixture, section 1.1's steps in their order.

    With ``tol=0`` nothing waits for a GPU, whatever the points are; values
    that are not finite make parameters that are not.

    Args:
        x (array): Stack ``(B, C, L)``.
        generator (numpy.random.RandomState or numpy.random.Generator):
            Source of the random numbers.
        n_components (int): Number of components ``K``.
        kmeans_iter (int): Number of Lloyd's iterations.
        max_iter (int): Most iterations of EM.
        sample_ratio (float): Share of the points to use.
        min_weight (float): Components of smaller weight are dropped.
        reg_covar (float): Added to variances.
        tol (float): EM stops when the lower bound gains less.
        init (str): ``'k-means++'`` or ``'random'``.
        n_init_trials (int): Candidates per centre in K-means++.
        start (Parameters): Values to start EM from in place of those that
            K-means gives; ``None`` for those to be found.
        standardize (bool): If ``True``, distances and ``reg_covar`` are in
            units of each dimension's standard deviation, so that the fit
            follows when a dimension is scaled.  The parameters are in ``x``'s
            own units all the same.

    Returns:
        Fit: The mixture and how it was reached.

    """
    xp = get_array_module(x)
    if sample_ratio < 1:
        indices = sample_indices(
            x.shape[0] * x.shape[2], sample_ratio, generator)
        x = stack(take(x, xp.asarray(indices)))
    if standardize:
        x, location, scale = _standardize(x)

    parameters = _start(x, generator, n_components, kmeans_iter, reg_covar,
                        init, n_init_trials, start)
    origin = pivot(x)
    previous = -math.inf
    converged = False
    for n_iter in range(1, max_iter + 1):
        parameters, lower_bound = expectation_maximization_step(
            x, parameters, reg_covar, origin)
        if tol > 0:
            converged = abs(float(lower_bound) - previous) < tol
            if converged:
                break
            previous = float(lower_bound)
    parameters = discard(parameters, min_weight)
    if standardize:
        parameters = Parameters(
            parameters.weights, parameters.means * scale + location,
            parameters.variances * scale * scale)
    return Fit(parameters, n_iter, converged, lower_bound)


def _standardize(x):
    xp = get_array_module(x)
    dtype = working_dtype(x.dtype)
    x = x.astype(dtype, copy=False)
    location = x.mean(axis=(0, 2), dtype=numpy.float64).astype(dtype)
    x = x - location[:, None]
    scale = xp.sqrt(
        xp.square(x).mean(axis=(0, 2), dtype=numpy.float64)).astype(dtype)
    # A dimension without variation stays as it is; so does one whose
    # variance the dtype could not hold.
    scale = xp.where(scale > 1e4 * math.sqrt(numpy.finfo(dtype).tiny),
                     scale, xp.ones_like(scale))
    x /= scale[:, None]
    return x, location, scale


def _start(x, generator, n_components, kmeans_iter, reg_covar, init,
           n_init_trials, start):
    if all(value is not None for value in start):
        return start
    dtype = working_dtype(x.dtype)
    if start.means is not None:
        centers = start.means
    elif init == 'random':
        n_points = x.shape[0] * x.shape[2]
        order = random_numbers(generator, n_points).argsort()
        # Fewer points than components: some are taken again.
        indices = numpy.resize(order[:n_components], n_components)
        centers = take(x, get_array_module(x).asarray(indices)).astype(
            dtype, copy=False)
    else:
        n_trials = n_init_trials or default_n_local_trials(n_components)
        centers, _ = seed_centers(
            x, n_components,
            random_numbers(generator, 1 + (n_components - 1) * n_trials))
    found = lloyd(x, centers, kmeans_iter, reg_covar)
    return Parameters(*(
        other if value is None else value
        for value, other in zip(start, found)))
