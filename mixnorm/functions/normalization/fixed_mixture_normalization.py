import math
import typing

import numpy

import chainer
from chainer import backend
from chainer import functions
from chainer.utils import type_check

from mixnorm import compute
from mixnorm.checks import array_types, check_affine_types, check_real
from mixnorm.compute.columns import (
    coefficients, Columns, gradients, inverse_deviations, inverse_or_zero)
from mixnorm.compute.layout import stack, unstack, working_dtype
from mixnorm.functions.normalization.mixture_transform import transform
from mixnorm.functions.normalization.point_mixture_transform import (
    PointMixtureTransform)


class FixedMixtureNormalization(PointMixtureTransform):

    """Node of :func:`fixed_mixture_normalization`.

    Its columns are the components of the first entry, then of the second and
    so on.

    Attributes:
        queue (tuple of arrays): Weights, means, variances and factors.
        reg_covar (float): See :func:`fixed_mixture_normalization`.

    """

    def __init__(self, weights, means, variances, factors, eps=2e-5,
                 reg_covar=1e-6, columns=None):
        super().__init__(eps)
        self.queue = weights, means, variances, factors
        self.reg_covar = reg_covar
        self._queue_columns = columns

    def check_type_forward(self, in_types):
        type_check._argname(in_types, ('x', 'gamma', 'beta'))
        x_type, gamma_type, beta_type = in_types
        weights, means, variances, factors = array_types(
            weights=self.queue[0], means=self.queue[1],
            variances=self.queue[2], factors=self.queue[3])
        type_check.expect(
            weights.ndim == 2,
            means.ndim == 3,
            means.shape[:2] == weights.shape,
            variances.shape == means.shape,
            factors.shape == weights.shape[:1],
        )
        type_check.expect(x_type.ndim >= 2)
        type_check.expect(means.shape[2] == x_type.shape[1])
        check_affine_types(x_type, gamma_type, beta_type, weights.shape[1])

    def compute_coefficients(self, points, gamma, beta):
        arithmetic = compute.arithmetic(points)
        *mixtures, self._columns = self._queue_in(working_dtype(points.dtype))
        tau, _ = arithmetic.mixture.posterior(points, *mixtures)
        return tau, coefficients(
            self._columns, gamma, beta,
            arithmetic.transform.find_origin(points))

    def compute_parameter_gradients(self, points, gamma, sums):
        return gradients(
            self._columns, gamma, self._coefficients.origin, sums)

    def _queue_in(self, dtype):
        """Returns what follows from the queue, in the working dtype."""
        if self._queue_columns is None:
            self._queue_columns = queue_columns(
                *self.queue, dtype, self.eps, self.reg_covar)
        return self._queue_columns

    def standardize(self, x):
        z = functions.cast(x, working_dtype(x.dtype))
        weights, means, variances, _ = self.queue
        tau = fixed_posterior(
            x, weights=weights, means=means, variances=variances,
            reg_covar=self.reg_covar)
        columns = self._queue_in(z.dtype).columns
        per_channel = (-1,) + (1,) * (x.ndim - 2)
        for j, (factor, mean, inv_std) in enumerate(zip(
                columns.factor, columns.mean, columns.inv_std)):
            deviation = z - mean.reshape(per_channel)
            yield (deviation * inv_std.reshape(per_channel),
                   tau[:, j:j + 1] * factor)


def fixed_posterior(x, weights, means, variances, reg_covar):
    """Computes the posteriors of an activation under the mixtures of a queue.

    It takes a variable, not its array, so that an exporter can trace what the
    posterior comes from.

    Args:
        x (chainer.Variable): ``(N, C, *S)``.
        weights (array): ``(T, K)``.
        means (array): ``(T, K, C)``.
        variances (array): ``(T, K, C)``.
        reg_covar (float): See :func:`regularized_variances`.

    Returns:
        array: ``(N, T * K, *S)`` in the working dtype.

    """
    return unstack(queue_posterior(
        stack(x.array), weights, means, variances, reg_covar), x.shape)


class QueueColumns(typing.NamedTuple):

    """What follows from a queue alone, in the working dtype.

    Attributes:
        weights (array): ``(T, K)``.
        means (array): ``(T, K, C)``.
        variances (array): Those of the posteriors, ``(T, K, C)``.
        columns (mixnorm.compute.columns.Columns): ``T * K`` columns.

    """

    weights: typing.Any
    means: typing.Any
    variances: typing.Any
    columns: Columns


def queue_columns(weights, means, variances, factors, dtype, eps, reg_covar):
    """Computes what :func:`fixed_mixture_normalization` needs of a queue.

    Args:
        weights (array): See :func:`fixed_mixture_normalization`.
        means (array): Likewise.
        variances (array): Likewise.
        factors (array): Likewise.
        dtype (numpy.dtype): Working dtype of the points.
        eps (float): Added to variances.
        reg_covar (float): See :func:`fixed_mixture_normalization`.

    Returns:
        QueueColumns: The same for all points.

    """
    xp = backend.get_array_module(weights)
    weights, means, variances, factors = (
        z.astype(dtype, copy=False)
        for z in (weights, means, variances, factors))
    shape = -1, means.shape[2]
    return QueueColumns(
        weights, means, regularized_variances(
            weights, means, variances, reg_covar),
        Columns(
            (factors[:, None] * inverse_or_zero(
                xp, xp.sqrt(weights))).reshape(-1, 1),
            means.reshape(shape),
            inverse_deviations(weights, variances, eps).reshape(shape), None))


def queue_posterior(x, weights, means, variances, reg_covar):
    """Computes the posteriors of points under the mixtures of a queue.

    Args:
        x (array): Stack ``(B, C, L)``.
        weights (array): ``(T, K)``.
        means (array): ``(T, K, C)``.
        variances (array): ``(T, K, C)``.
        reg_covar (float): See :func:`regularized_variances`.

    Returns:
        array: ``(B, T * K, L)``.

    """
    weights, means, variances = (
        z.astype(working_dtype(x.dtype), copy=False)
        for z in (weights, means, variances))
    tau, _ = compute.arithmetic(x).mixture.posterior(
        x, weights, means, regularized_variances(
            weights, means, variances, reg_covar))
    return tau


def regularized_variances(weights, means, variances, reg_covar):
    """Returns the variances that the mixtures of a queue have in posteriors.

    A mixture is regularized, as a fit is.  A channel that did not vary, or
    whose least variance the dtype cannot invert, or whose variance it cannot
    hold, does not tell components apart: its variances are infinite.

    Args:
        weights (array): ``(T, K)``.
        means (array): ``(T, K, C)``.
        variances (array): ``(T, K, C)``.
        reg_covar (float): Least variance of a component, in units of the
            channel's variance.

    Returns:
        array: ``(T, K, C)``.

    """
    xp = backend.get_array_module(weights)
    share = weights[..., None]
    deviation = means - (share * means).sum(axis=1, keepdims=True)
    total = (share * (variances + deviation ** 2)).sum(axis=1, keepdims=True)
    least = reg_covar * total
    tells = (least >= numpy.finfo(variances.dtype).tiny) & xp.isfinite(total)
    return xp.where(tells, xp.maximum(variances, least), numpy.inf).astype(
        variances.dtype, copy=False)


def fixed_mixture_normalization(x, gamma, beta, weights, means, variances,
                                factors, eps=2e-5, activation=None,
                                delta=None, reg_covar=1e-6, columns=None):
    r"""Mixture normalization with the statistics of earlier batches.

    Each entry ``t`` of the queue is a mixture with its own posterior
    :math:`\tau^{(t)}`; the outputs under all of them are averaged:

    .. math::

        y_i = \gamma \sum_t w_t \sum_k
        \frac{\tau_{ik}^{(t)}}{\sqrt{\lambda_k^{(t)}}}
        \frac{x_i - \mu_k^{(t)}}{\sqrt{(\sigma_k^{(t)})^2 + \epsilon}}
        + \beta

    The posterior is a constant here, too: the gradient stops there.  With one
    entry of one component this is
    :func:`chainer.functions.fixed_batch_normalization`.

    Args:
        x (:class:`~chainer.Variable` or array): Input ``(N, C, *S)``,
            floating; ``S`` may be empty.
        gamma (:class:`~chainer.Variable` or array): Scale ``(C,)`` or
            ``(K, C)``; see :func:`mixture_normalization`.
        beta (:class:`~chainer.Variable` or array): Shift, of ``gamma``'s
            shape and dtype.
        weights (array): ``lambda`` of the ``T`` entries, ``(T, K)``; a
            component of weight 0 is absent.
        means (array): ``mu``, ``(T, K, C)``.
        variances (array): ``sigma^2``, ``(T, K, C)``.
        factors (array): ``w``, ``(T,)``, summing to 1.
        eps (float): Added to variances, in squared units of ``x``.
        activation (callable): See :func:`mixture_normalization`.
        delta (:class:`~chainer.Variable` or array): Weight of second order,
            ``(C,)`` or ``(K, C)``; see :func:`mixture_normalization`.
        reg_covar (float): Least variance that a component has in a
            posterior, in units of the channel's variance under the entry;
            positive.
        columns (QueueColumns): What :func:`queue_columns` made of the queue
            for ``x``'s working dtype, from a caller that has it already.

    Returns:
        ~chainer.Variable: Output of ``x``'s shape and dtype.

    Raises:
        chainer.utils.type_check.InvalidType: If shapes or dtypes do not fit.
        ValueError: If ``eps``, ``activation`` or ``reg_covar`` is out of its
            range.

    Source: M. M. Kalayeh and M. Shah, *Training Faster by Separating Modes
    of Variation in Batch-normalized Models* (2018), eqs. (33), (38), (39).

    .. seealso:: :class:`mixnorm.links.MixtureNormalization`

    """
    check_real('reg_covar', reg_covar, 0, math.inf, closed_low=False,
               closed_high=False)
    node = FixedMixtureNormalization(*map(
        chainer.as_array, (weights, means, variances, factors)), eps,
        reg_covar, columns)
    return transform(node, x, gamma, beta, activation, delta)
