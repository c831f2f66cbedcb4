"""Diagonal Gaussian mixtures: densities, posteriors, estimates.

Small functions from arrays to arrays.  ``x`` is a stack ``(B, C, L)`` (see
:mod:`mixnorm.mixture.stack`); a mixture is ``weights`` ``(K,)``, ``means``
and ``variances`` ``(K, C)`` in the working dtype.  A component of weight 0
is absent: it takes no part in the posterior.  Nothing here waits for a GPU.
"""
import math
import typing

import numpy

from mixnorm.mixture.kmeans import nearest_center
from mixnorm.mixture.stack import (
    blocks, get_array_module, pivot, working_dtype)


class Parameters(typing.NamedTuple):

    """Parameters of a diagonal Gaussian mixture.

    Attributes:
        weights (array): ``(K,)``, summing to 1.
        means (array): ``(K, C)``.
        variances (array): ``(K, C)``, positive.

    """

    weights: typing.Any
    means: typing.Any
    variances: typing.Any


def log_joint(block, parameters):
    """Computes ``log(lambda_k N(x; m_k, diag(s_k^2)))``, eq. (26) of \
Kalayeh & Shah.

    Args:
        block (array): Stack ``(B, C, L)`` in the working dtype.
        parameters (Parameters): The mixture.

    Returns:
        array: ``(B, K, L)``.

    """
    weights, means, variances = parameters
    xp = get_array_module(block)
    present = weights > 0
    log_weights = xp.where(
        present, xp.log(xp.where(present, weights, 1)), -numpy.inf)
    constants = log_weights - .5 * (
        means.shape[1] * math.log(2 * math.pi)
        + xp.log(variances).sum(axis=1))
    # Differences are taken before squaring: x^2 - 2 x m + m^2 cancels in
    # float32 where the mean exceeds the deviation.
    out = xp.empty(
        (block.shape[0], len(means), block.shape[2]), block.dtype)
    for k, (mean, variance) in enumerate(zip(means, variances)):
        difference = block - mean[:, None]
        difference *= difference
        xp.matmul(-.5 / variance, difference, out=out[:, k])
    out += constants[:, None].astype(out.dtype)
    return out


def posterior(x, parameters):
    """Computes the posterior of every point, eq. (31) of Kalayeh & Shah.

    Args:
        x (array): Stack ``(B, C, L)``.
        parameters (Parameters): The mixture.

    Returns:
        tuple of arrays: Posterior ``(B, K, L)`` and log density ``(B, L)``.

    """
    xp = get_array_module(x)
    dtype = working_dtype(x.dtype)
    n_components = len(parameters.weights)
    tau = xp.empty((x.shape[0], n_components, x.shape[2]), dtype)
    log_density = xp.empty((x.shape[0], x.shape[2]), dtype)
    for b, s in blocks(x):
        joint = log_joint(x[b, :, s].astype(dtype, copy=False), parameters)
        top = joint.max(axis=1)
        joint -= top[:, None]
        xp.exp(joint, out=joint)
        total = joint.sum(axis=1)
        joint /= total[:, None]
        tau[b, :, s] = joint
        log_density[b, s] = xp.log(total) + top
    return tau, log_density


def estimate(x, responsibilities, origin, fallback_means):
    """Estimates a mixture from the points' responsibilities.

    Weights are their means, means and variances the points' moments weighted
    by them.  Sums are accumulated in float64, of deviations from ``origin``
    for the means and from the means for the variances.

    Args:
        x (array): Stack ``(B, C, L)``.
        responsibilities (array): ``(B, K, L)``.
        origin (array): A point ``(C,)`` amid the data.
        fallback_means (array): ``(K, C)`` or ``(1, C)``, for components that
            no point belongs to; their weight and variance are 0.

    Returns:
        Parameters: The estimates, variances as they are (perhaps 0).

    """
    xp = get_array_module(x)
    dtype = responsibilities.dtype
    counts = responsibilities.sum(axis=(0, 2), dtype=numpy.float64)
    present = counts > 0
    inverse_counts = xp.where(present, 1 / xp.where(present, counts, 1), 0)
    n_components, n_dims = len(counts), x.shape[1]

    first = xp.zeros((n_components, n_dims), numpy.float64)
    for b, s in blocks(x):
        deviation = x[b, :, s] - origin[:, None]
        first += xp.matmul(
            responsibilities[b, :, s], deviation.transpose(0, 2, 1)).sum(
                axis=0, dtype=numpy.float64)
    means = (origin + first * inverse_counts[:, None]).astype(dtype)
    means = xp.where(present[:, None], means, fallback_means)

    second = xp.zeros((n_components, n_dims), numpy.float64)
    for b, s in blocks(x):
        block = x[b, :, s]
        for k, mean in enumerate(means):
            deviation = block - mean[:, None]
            deviation *= deviation
            second[k] += xp.matmul(
                deviation, responsibilities[b, k, s][..., None]).sum(
                    axis=(0, 2), dtype=numpy.float64)
    variances = (second * inverse_counts[:, None]).astype(dtype)
    n_points = x.shape[0] * x.shape[2]
    return Parameters((counts / n_points).astype(dtype), means, variances)


def batch_statistics(x, tau):
    """Computes what the transform needs, eqs. (35) and (36).

    Args:
        x (array): Stack ``(B, C, L)``.
        tau (array): Posterior ``(B, K, L)`` in the working dtype.

    Returns:
        Parameters: ``lambda_k``, the mean of the posterior; ``mu_k`` and
        ``var_k``, the moments of the points under it (``var_k`` perhaps 0).

    """
    origin = pivot(x)
    return estimate(x, tau, origin, origin[None])


def lloyd(x, centers, n_iter, reg_covar):
    """Runs Lloyd's iterations and describes the clusters as a mixture.

    An iteration assigns each point to its nearest centre and moves each
    centre to the mean of its points; a centre without points stays.

    Args:
        x (array): Stack ``(B, C, L)``.
        centers (array): ``(K, C)`` in the working dtype.
        n_iter (int): Number of iterations.
        reg_covar (float): Added to variances.

    Returns:
        Parameters: Weights, means and variances of the last iteration's
        clusters.  With ``n_iter=0``, the centres with equal weights and the
        variances of all points.

    """
    xp = get_array_module(x)
    origin = pivot(x)
    if n_iter == 0:
        everything = xp.ones((x.shape[0], 1, x.shape[2]), centers.dtype)
        _, _, variances = estimate(x, everything, origin, centers[:1])
        return Parameters(
            xp.full((len(centers),), 1 / len(centers), centers.dtype),
            centers, xp.repeat(variances, len(centers), 0) + reg_covar)
    for _ in range(n_iter):
        parameters = estimate(x, nearest_center(x, centers), origin, centers)
        centers = parameters.means
    return parameters._replace(variances=parameters.variances + reg_covar)


def expectation_maximization_step(x, parameters, reg_covar, origin):
    """Runs one iteration of EM.

    Args:
        x (array): Stack ``(B, C, L)``.
        parameters (Parameters): The mixture to start from.
        reg_covar (float): Added to variances.
        origin (array): A point ``(C,)`` amid the data.

    Returns:
        tuple: The new mixture, and the mean log density of the points under
        the one given (an array without axes).

    """
    tau, log_density = posterior(x, parameters)
    new = estimate(x, tau, origin, parameters.means)
    return (new._replace(variances=new.variances + reg_covar),
            log_density.mean(dtype=numpy.float64))


def discard(parameters, min_weight):
    """Drops components of small weight, section 4 of Kalayeh & Shah.

    Their weights become 0, so that their points go to the components that
    remain.  The heaviest is kept whatever it weighs.

    Args:
        parameters (Parameters): The mixture.
        min_weight (float): Components of smaller weight are dropped.

    Returns:
        Parameters: The mixture without them, weights summing to 1.

    """
    weights = parameters.weights
    xp = get_array_module(weights)
    kept = xp.where(
        weights >= xp.minimum(weights.max(), min_weight), weights, 0)
    return parameters._replace(weights=kept / kept.sum())
