import numpy

from chainer import backend

from mixnorm.checks import check_eps
from mixnorm.functions.normalization.gates import (
    ChannelGated, check_types_with_gates)
from mixnorm.functions.normalization.modes import moments_of_modes
from mixnorm.functions.normalization.row_normalization import RowNormalization


class ModeGroupNormalization(RowNormalization):

    """Node of :func:`mode_group_normalization`."""

    def __init__(self, eps=2e-5):
        self.eps = eps

    def check_type_forward(self, in_types):
        check_types_with_gates(in_types, 2)

    def compute_origin(self, means):
        return means.mean(axis=1, keepdims=True, dtype=numpy.float64)

    def compute_coefficients(self, moments, parameters, origin):
        means, variances = moments
        gates, gamma, beta = parameters
        mean, variance, moments_gradients = moments_of_modes(
            gates.transpose(0, 2, 1), (means - origin)[:, :, None],
            variances[:, :, None])
        slope, intercept, mean_gradients = _mean_over_modes(
            gamma, beta, mean[:, :, 0], variance[:, :, 0], self.eps)

        def gradients(gslope, gintercept):
            ggamma, gbeta, *gmoments = mean_gradients(gslope, gintercept)
            ggates, *gmoments = moments_gradients(*(
                g[:, :, None] for g in gmoments))
            return ([g[:, :, 0] for g in gmoments],
                    [ggates.transpose(0, 2, 1), ggamma, gbeta])

        return slope, intercept, gradients

    def compute_at_once(self, modes, moments, parameters):
        *gating, gamma, beta = parameters
        return modes.of_channels(*moments, gating, gamma, beta, self.eps)


def _mean_over_modes(gamma, beta, mean, variance, eps):
    r"""Computes the coefficients of eq. (5), by sample and channel.

    .. math::

        \frac1K \sum_k \left( \gamma_{kc} \frac{x - \mu_{nk}}
        {\sqrt{\sigma_{nk}^2 + \epsilon}} + \beta_{kc} \right)
        = slope_{nc} x + intercept_{nc}

    Args:
        gamma (array or chainer.Variable): ``(K, C)``; or ``(C,)``, the same
            for all modes.
        beta (array or chainer.Variable): Likewise.
        mean (array or chainer.Variable): The modes' means ``(N, K)``.
        variance (array or chainer.Variable): Their variances ``(N, K)``.
        eps (float): Added to variances.

    Returns:
        tuple: Slope and intercept, ``(N, C)``; and a function from their
        gradients to those of the arguments but ``eps``.

    """
    xp = backend.get_array_module(gamma)
    n_modes = mean.shape[1]
    inv_std = 1 / (variance + eps) ** .5
    factor = inv_std / n_modes
    shift = factor * mean
    gamma_of_mode, beta_of_mode = (
        z * xp.ones((n_modes, 1)) for z in (gamma, beta))
    slope = factor @ gamma_of_mode
    average = xp.full((1, n_modes), 1 / n_modes)
    intercept = average @ beta_of_mode - shift @ gamma_of_mode

    def gradients(gslope, gintercept):
        gshift = -gintercept @ gamma_of_mode.T
        gfactor = gslope @ gamma_of_mode.T + gshift * mean
        ggamma = factor.T @ gslope - shift.T @ gintercept
        gbeta = average.T @ gintercept.sum(axis=0, keepdims=True)
        if gamma.ndim == 1:
            ggamma, gbeta = ggamma.sum(axis=0), gbeta.sum(axis=0)
        return (ggamma, gbeta, factor * gshift,
                -.5 * factor * inv_std ** 2 * gfactor)

    return slope, intercept, gradients


class GatedModeGroupNormalization(ChannelGated, ModeGroupNormalization):

    """Mode group normalization by gates that it computes itself."""


def mode_group_normalization(x, gates, gamma, beta, eps=2e-5):
    r"""Mode group normalization.

    Every sample's channels belong to modes, and the sample is standardized
    by the mean and the variance of each:

    .. math::

        C_k &= \textstyle\sum_c g_{ck}, \quad
        \mu_k = \textstyle\frac{1}{C_k} \sum_c g_{ck} \overline{x_c}, \quad
        \sigma_k^2 = \textstyle\frac{1}{C_k} \sum_c g_{ck}
        \overline{(x_c - \mu_k)^2} \\
        y &= \frac{\gamma}{K} \sum_k
        \frac{x - \mu_k}{\sqrt{\sigma_k^2 + \epsilon}} + \beta

    where the bar averages over positions.  The gradient flows through the
    gates, too.  With one mode this is group normalization with one group.

    Args:
        x (:class:`~chainer.Variable` or array): Input ``(N, C, *S)``,
            floating; ``S`` may be empty.
        gates (:class:`~chainer.Variable` or array): ``g``, of shape
            ``(N, C, K)``, floating; sums to 1 over ``K``.
        gamma (:class:`~chainer.Variable` or array): ``alpha`` of the paper,
            floating.  Of shape ``(C,)`` it acts on the sum, as above; of
            shape ``(K, C)`` on each mode's standardized input, inside the
            sum.
        beta (:class:`~chainer.Variable` or array): Shift, of ``gamma``'s
            shape and dtype, which acts where ``gamma`` does.
        eps (float): Added to variances, in squared units of ``x``.

    Returns:
        ~chainer.Variable: ``y``, of ``x``'s shape and dtype.

    Raises:
        chainer.utils.type_check.InvalidType: If shapes or dtypes do not fit.
        ValueError: If ``eps`` is negative or no finite number.

    Source: L. Deecke, I. Murray and H. Bilen, *Mode Normalization* (2019),
    eq. (5).

    .. seealso:: :class:`mixnorm.links.ModeGroupNormalization`

    .. admonition:: Example

        >>> import numpy as np
        >>> from mixnorm.functions import mode_group_normalization
        >>> x = np.random.randn(8, 4, 5, 5).astype('f')
        >>> gates = np.full((8, 4, 2), .5, 'f')
        >>> gamma, beta = np.ones(4, 'f'), np.zeros(4, 'f')
        >>> mode_group_normalization(x, gates, gamma, beta).shape
        (8, 4, 5, 5)

    """
    check_eps(eps)
    y, = ModeGroupNormalization(eps).apply((x, gates, gamma, beta))
    return y
