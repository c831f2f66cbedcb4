import math

import chainer
from chainer import backend
from chainer import functions
from chainer.utils import type_check
import numpy

from mixnorm import compute
from mixnorm.checks import array_types, check_affine_types
from mixnorm.compute.columns import inverse_or_zero
from mixnorm.compute.layout import stack, working_dtype
from mixnorm.functions.normalization.mixture_transform import (
    standardize_by_posterior, transform)
from mixnorm.functions.normalization.point_mixture_transform import (
    PointMixtureTransform)
from mixnorm.workers import joined_sums, with_mean_gradient


class MixtureNormalization(PointMixtureTransform):

    """Node of :func:`mixture_normalization`.

    Args:
        posterior (array): See :func:`mixture_normalization`.
        eps (float): Added to variances.
        statistics (mixnorm.mixture.Parameters or None):
            See :func:`mixture_normalization`.
        rank (array or None): See :func:`mixture_normalization`.
        coefficients (mixnorm.compute.columns.Coefficients or None):
            See :func:`mixture_normalization`.
        joined (mixnorm.workers.JoinedBatch or None):
            See :func:`mixture_normalization`.

    """

    def __init__(self, posterior, eps=2e-5, statistics=None, rank=None,
                 coefficients=None, joined=None):
        super().__init__(eps)
        self._posterior = posterior
        self._statistics = statistics
        self._rank = rank
        self._coefficients = coefficients
        self._joined = joined

    def check_type_forward(self, in_types):
        type_check._argname(in_types, ('x', 'gamma', 'beta'))
        x_type, gamma_type, beta_type = in_types
        posterior, = array_types(posterior=self._posterior)
        type_check.expect(
            posterior.dtype.kind == 'f',
            posterior.ndim == x_type.ndim,
            posterior.shape[0] == x_type.shape[0],
            posterior.shape[2:] == x_type.shape[2:],
        )
        check_affine_types(
            x_type, gamma_type, beta_type,
            # Components that were dropped have a scale and a shift, too.
            posterior.shape[1] if self._rank is None else gamma_type.shape[0])

    def compute_coefficients(self, points, gamma, beta):
        tau = stack(self._posterior.astype(
            working_dtype(points.dtype), copy=False))
        arithmetic = compute.arithmetic(points)
        if self._statistics is None:
            self._statistics = arithmetic.mixture.statistics(points, tau)
        if self._coefficients is None:
            self._coefficients, _, _ = arithmetic.coefficients.of_batch(
                points, self._statistics, gamma, beta, self.eps)
        return tau, self._coefficients

    def compute_parameter_gradients(self, points, gamma, sums):
        batch_gradients = compute.arithmetic(
            points).coefficients.batch_gradients
        arguments = (points, self._statistics, gamma, self.eps, self._rank,
                     self._coefficients.origin)
        joined = self._joined
        if joined is None:
            return batch_gradients(*arguments, sums)
        found = batch_gradients(
            *arguments, self._join(sums),
            joined.count_points(points.shape[0] * points.shape[2]))
        return found._replace(
            gamma=found.gamma / joined.n_workers,
            beta=found.beta / joined.n_workers)

    def _join(self, sums):
        """Adds up the sums over the gradient of all workers' outputs."""
        sum_g, sum_gx, total_g = sums
        # Each worker has an origin of its own; the means are common to all.
        shift = self._statistics.means.astype(sum_gx.dtype)
        if self._coefficients.origin is not None:
            shift = shift - self._coefficients.origin
        sum_g, deviations, total_g = self._joined.sum(
            sum_g, sum_gx - shift * sum_g, total_g)
        return sum_g, deviations + shift * sum_g, total_g

    def by_number(self, *parameters):
        parameters = with_mean_gradient(self._joined, *parameters)
        if self._rank is None or parameters[0].ndim == 1:
            return parameters
        return [functions.get_item(p, self._rank) for p in parameters]

    def standardize(self, x):
        z = functions.cast(x, working_dtype(x.dtype))
        tau = self._posterior.astype(z.dtype, copy=False)
        axes = (0,) + tuple(range(2, x.ndim))
        if self._joined is not None:
            return _standardize_share(
                z, tau, axes, self.eps, self._statistics, self._joined)
        return (standardize_by_posterior(z, tau[:, k:k + 1], axes, self.eps)
                for k in range(tau.shape[1]))


def _standardize_share(z, tau, axes, eps, statistics, joined):
    """Standardizes by what belongs to each component on all workers.

    The mini-batch's moments are known.  Of deviations from its means, the
    mean is 0 and the mean square is the variance: only their gradients are
    added up, those of all components at once.

    Args:
        z (chainer.Variable): This worker's points, ``(N, C, *S)``.
        tau (array): Their posterior, ``(N, K, *S)``.
        axes (tuple of ints): Axes along which points lie.
        eps (float): Added to variances.
        statistics (mixnorm.mixture.Parameters): Those of all points.
        joined (mixnorm.workers.JoinedBatch): The mini-batch.

    Yields:
        tuple: See :func:`standardize_by_posterior`.

    """
    xp = backend.get_array_module(tau)
    n_points = joined.count_points(math.prod(tau.shape[a] for a in axes))
    weights = statistics.weights.astype(numpy.float64)[
        (None, slice(None)) + (None,) * (z.ndim - 2)]
    hat_tau = (tau * inverse_or_zero(
        xp, weights * n_points)).astype(tau.dtype)  # (36)
    coefficients = (tau * inverse_or_zero(
        xp, xp.sqrt(weights))).astype(tau.dtype)  # (34)
    spread = (1, -1) + (1,) * (z.ndim - 2)
    deviations = [z - mean.astype(z.dtype).reshape(spread)
                  for mean in statistics.means]

    def weighted_means(values):
        return functions.stack([
            functions.sum(v * hat_tau[:, k:k + 1], axis=axes)
            for k, v in enumerate(values)])

    means, squares = joined_sums(
        joined, weighted_means(deviations),
        weighted_means(d * d for d in deviations),
        known=(xp.zeros_like(statistics.means), statistics.variances))
    variances = squares - means * means
    # Where there is none, anything but 0.
    absent = (statistics.weights == 0)[:, None] | (variances.array + eps == 0)
    inv_std = (variances + absent.astype(z.dtype) + eps) ** -.5
    shift = means * inv_std
    for k, deviation in enumerate(deviations):
        yield (deviation * functions.reshape(inv_std[k], spread)
               - functions.reshape(shift[k], spread),
               coefficients[:, k:k + 1])  # (35)


def mixture_normalization(x, gamma, beta, posterior, eps=2e-5,
                          activation=None, statistics=None, delta=None,
                          rank=None, coefficients=None, joined=None):
    r"""Mixture normalization with the statistics of the batch.

    Each component of the mixture standardizes the points by the mean and the
    variance of its own share of them, and the results are added by posterior:

    .. math::

        \hat\tau_{ik} &= \tau_{ik} / \textstyle\sum_j \tau_{jk},
        \quad \lambda_k = \textstyle\frac1M \sum_i \tau_{ik} \\
        \mu_k &= \textstyle\sum_i \hat\tau_{ik} x_i, \quad
        \sigma_k^2 = \textstyle\sum_i \hat\tau_{ik} (x_i - \mu_k)^2 \\
        y_i &= \gamma \sum_k \frac{\tau_{ik}}{\sqrt{\lambda_k}}
        \frac{x_i - \mu_k}{\sqrt{\sigma_k^2 + \epsilon}} + \beta

    The points :math:`x_i` are the ``M`` channel vectors at all samples and
    positions.  The posterior is a constant: the gradient stops there, and
    flows through the means and the variances.  With one component this is
    batch normalization.  A component whose posterior is 0 everywhere adds
    nothing.

    Args:
        x (:class:`~chainer.Variable` or array): Input ``(N, C, *S)``,
            floating; ``S`` may be empty.
        gamma (:class:`~chainer.Variable` or array): Scale, floating.  Of
            shape ``(C,)`` it acts on the sum, as above; of shape ``(K, C)``
            on each component's standardized input, inside the sum.
        beta (:class:`~chainer.Variable` or array): Shift, of ``gamma``'s
            shape and dtype, which acts where ``gamma`` does.
        posterior (array): ``tau``, of shape ``(N, K, *S)``, floating; sums
            to 1 over ``K``.
        eps (float): Added to variances, in squared units of ``x``.
        activation (callable): If given, ``f`` in
            ``y_i = sum_k tau_ik / sqrt(lambda_k) f(gamma xhat_ik + beta)``,
            a function of variables such as :func:`chainer.functions.relu`.
            It takes memory ``K`` times ``x``'s.
        statistics (mixnorm.mixture.Parameters):
            The batch's ``lambda`` ``(K,)``, ``mu`` and ``sigma^2``
            ``(K, C)`` under the posterior, from a caller that has computed
            them already; computed if ``None``.
        delta (:class:`~chainer.Variable` or array): If given, of ``gamma``'s
            shape and dtype, it weighs the Fisher vector of second order:
            ``delta (xhat_ik^2 - 1) / sqrt(2)`` is added to each component's
            scaled and shifted input, inside ``f``.  It takes memory ``K``
            times ``x``'s.
        rank (array): Which row of ``gamma``, ``beta`` and ``delta`` is each
            component's, integers ``(K,)``; the component's own number if
            ``None``.
        coefficients (mixnorm.compute.columns.Coefficients): What
            :meth:`mixnorm.compute.contract.Coefficients.of_batch` made of
            ``statistics``, ``gamma`` and ``beta``, from a caller that has it
            already.
        joined (mixnorm.workers.JoinedBatch): The mini-batch that ``x`` is
            this worker's share of.  ``statistics`` and ``coefficients`` are
            then those of the whole.

    Returns:
        ~chainer.Variable: Output of ``x``'s shape and dtype.

    Raises:
        chainer.utils.type_check.InvalidType: If shapes or dtypes do not fit.
        ValueError: If ``eps`` or ``activation`` is out of its range.

    Source: M. M. Kalayeh and M. Shah, *Training Faster by Separating Modes
    of Variation in Batch-normalized Models* (2018), eqs. (33) to (37), (40).

    .. seealso:: :class:`mixnorm.links.MixtureNormalization`

    .. admonition:: Example

        >>> import numpy as np
        >>> import mixnorm
        >>> x = np.array([[0.], [2.], [10.], [14.]])
        >>> posterior = np.array([[1., 0], [1, 0], [0, 1], [0, 1]])
        >>> y = mixnorm.functions.mixture_normalization(
        ...     x, np.ones(1), np.zeros(1), posterior, eps=0)
        >>> y.array.ravel().round(4).tolist()
        [-1.4142, 1.4142, -1.4142, 1.4142]

    """
    node = MixtureNormalization(
        chainer.as_array(posterior), eps, statistics, rank, coefficients,
        joined)
    return transform(node, x, gamma, beta, activation, delta)
