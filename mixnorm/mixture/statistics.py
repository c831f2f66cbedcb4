"""Sufficient statistics of a mixture's parameters.

What an iteration of K-means or EM needs to know of the points is a few sums.
Those of two sets of points under one mixture, or about the same centres, add
up to those of both: a fit can go through its points block by block, and on
several machines each may do so with its own points, if the sums are added up
among them after every iteration.

Sums are float64 and taken about the centres that all sets share, the means of
the mixture, not about 0: what cancels in ``E[x^2] - E[x]^2`` is only how far
the means have moved.
"""
import operator
import typing

import numpy

from mixnorm import compute
from mixnorm.compute.layout import get_array_module
from mixnorm.compute.parameters import Parameters


class Statistics(typing.NamedTuple):

    """Sums over points ``x_i`` of weight ``w_i``, NumPy or CuPy, float64.

    Attributes:
        counts (array): ``n_k = sum_i w_i tau_k(x_i)``, ``(K,)``.
        first (array): ``sum_i w_i tau_k(x_i) (x_i - m_k)``, ``(K, C)``.
        second (array): ``sum_i w_i tau_k(x_i) (x_i - m_k)^2``, ``(K, C)``.
        log_density (array): ``sum_i w_i log p(x_i)``, in nats; no axes.

    """

    counts: typing.Any
    first: typing.Any
    second: typing.Any
    log_density: typing.Any


def em_statistics(x, sample_weight, parameters):
    """Computes the statistics of points under a mixture.

    ``tau`` is the posterior, eq. (31), and ``m_k`` are the mixture's means.

    Args:
        x (array or points): Stack ``(B, C, L)``, see
            :mod:`mixnorm.compute.layout`.
        sample_weight (array or None): ``w``, ``(B, L)``; ``None`` for 1.
        parameters (Parameters): The mixture.

    Returns:
        Statistics: They.

    """
    return Statistics(*compute.arithmetic(x).mixture.em_sums(
        x, parameters, sample_weight))


def lloyd_statistics(x, sample_weight, centers):
    """Computes the statistics of clusters.

    ``tau_k`` is 1 for the points nearest to centre ``m_k`` and 0 for others;
    there is no log density.

    Args:
        x (array or points): Stack ``(B, C, L)``.
        sample_weight (array or None): ``w``, ``(B, L)``; ``None`` for 1.
        centers (array): ``m``, ``(K, C)`` in the working dtype.

    Returns:
        Statistics: They.

    """
    return Statistics(*compute.arithmetic(x).mixture.lloyd_sums(
        x, centers, sample_weight), 0.)


def add(a, b):
    """Adds the statistics of two sets of points.

    Args:
        a (Statistics): Of one set.
        b (Statistics): Of the other, under the same mixture.

    Returns:
        Statistics: Of both.

    """
    return Statistics(*map(operator.add, a, b))


def to_parameters(statistics, centers, reg_covar):
    """Computes the mixture that is most likely, given the statistics.

    It is ``lambda_k = n_k / sum_j n_j``, ``mu_k = m_k + f_k / n_k`` and
    ``s_k^2 = q_k / n_k - (f_k / n_k)^2 + reg_covar``, where ``f`` and ``q``
    are the first and the second moments.  A component that no point belongs
    to stays where it is, with ``reg_covar`` for variance.

    Args:
        statistics (Statistics): Of all points.
        centers (array): ``m``, ``(K, C)``, which they are about.
        reg_covar (float): Added to variances.

    Returns:
        Parameters: In the dtype of ``centers``.

    """
    xp = get_array_module(centers)
    counts = statistics.counts[:, None]
    # Not "> 0": what is not a number must not pass for absent.
    divisor = xp.where(counts != 0, counts, 1)
    with numpy.errstate(all='ignore'):
        shift = statistics.first / divisor
        variances = xp.maximum(
            statistics.second / divisor - shift * shift, 0)
        return Parameters(*(z.astype(centers.dtype, copy=False) for z in (
            statistics.counts / statistics.counts.sum(), centers + shift,
            variances + reg_covar)))
