"""Moments of modes, and the sum over modes that samples belong to.

The functions take arrays or Chainer's variables, as
:mod:`mixnorm.functions.normalization.row_normalization` explains.
"""
import chainer
from chainer import backend
from chainer import functions

from mixnorm.workers import joined_sums

# What is divided by a smaller sum of gates can overflow.
_LEAST_COUNT = 1e-290


def moments_of_modes(gates, means, variances, joined=None):
    r"""Computes means and variances of the modes that parts belong to.

    .. math::

        \mu_k = \frac{\sum_m g_{km} \mu_m}{\sum_m g_{km}}, \quad
        \sigma_k^2 = \frac{\sum_m g_{km} (\mu_m^2 + \sigma_m^2)}
        {\sum_m g_{km}} - \mu_k^2

    A mode that has nothing, or so little that it cannot be divided by, has
    mean and variance 0.

    Args:
        gates (array or chainer.Variable): ``g``, ``(..., K, M)``, float64.
        means (array or chainer.Variable): The parts' means ``(..., M, D)``,
            in float64 and near 0, as the difference cancels.
        variances (array or chainer.Variable): Their variances.
        joined (mixnorm.workers.JoinedBatch or None): The mini-batch that the
            parts are this worker's share of, if they are.

    Returns:
        tuple: Means and variances ``(..., K, D)``; and a function from their
        gradients, summed over all workers, to those of the arguments.

    """
    xp = backend.get_array_module(gates)
    square = means * means + variances
    total, mean, mean_square = joined_sums(
        joined, gates @ xp.ones((gates.shape[-1], 1)), gates @ means,
        gates @ square)
    if joined is None:
        count = chainer.as_array(gates).sum(axis=-1, keepdims=True)
    else:
        count = chainer.as_array(total)
    absent = count < _LEAST_COUNT
    count = xp.where(absent, 1, count)
    # By constants first: derivatives divide by powers of the sum, which are
    # beyond float64 long before the sum is.
    scale = 1 / count
    total = total * scale + 1. * absent
    mean = mean * scale / total
    variance = _positive_part(mean_square * scale / total - mean * mean)

    def gradients(gmean, gvariance):
        linear = gmean - 2 * gvariance * mean
        constant = gvariance * (mean * mean - variance) - gmean * mean
        # Divided while they are small.
        linear, quadratic, constant = (
            z * scale for z in (linear, gvariance, constant))
        ggates = linear @ means.swapaxes(-1, -2)
        ggates += quadratic @ square.swapaxes(-1, -2)
        ggates += constant.sum(axis=-1, keepdims=True)
        gates_of_part = gates.swapaxes(-1, -2)
        gvariances = gates_of_part @ quadratic
        return (ggates, gates_of_part @ linear + 2 * means * gvariances,
                gvariances)

    return mean, variance, gradients


def _positive_part(z):
    if isinstance(z, chainer.Variable):
        return functions.relu(z)
    return backend.get_array_module(z).maximum(z, 0)


def sum_over_modes(gates, gamma, beta, mean, variance, eps):
    r"""Computes the coefficients of eq. (2), by sample and channel.

    .. math::

        \sum_k g_{nk} \left( \gamma_{kc} \frac{x - \mu_{kc}}
        {\sqrt{\sigma_{kc}^2 + \epsilon}} + \beta_{kc} \right)
        = slope_{nc} x + intercept_{nc}

    Args:
        gates (array or chainer.Variable): ``g``, ``(N, K)``.
        gamma (array or chainer.Variable): ``(K, C)``; or ``(C,)``, the same
            for all modes.
        beta (array or chainer.Variable): Likewise; ``(C,)`` is added to the
            sum.
        mean (array or chainer.Variable): The modes' means ``(K, C)``.
        variance (array or chainer.Variable): Their variances ``(K, C)``.
        eps (float): Added to variances.

    Returns:
        tuple: Slope and intercept, ``(N, C)``; and a function from their
        gradients to those of the arguments but ``eps``.

    """
    inv_std = 1 / (variance + eps) ** .5
    factor = gamma * inv_std
    shift = factor * mean
    slope = gates @ factor
    if beta.ndim == 1:
        intercept = beta - gates @ shift
    else:
        intercept = gates @ (beta - shift)

    def gradients(gslope, gintercept):
        gshift = -gates.T @ gintercept
        gfactor = gates.T @ gslope + gshift * mean
        ggates = gslope @ factor.T - gintercept @ shift.T
        ggamma = inv_std * gfactor
        if beta.ndim == 1:
            ggamma, gbeta = ggamma.sum(axis=0), gintercept.sum(axis=0)
        else:
            ggates += gintercept @ beta.T
            gbeta = -gshift
        return (ggates, ggamma, gbeta, factor * gshift,
                -.5 * factor * inv_std ** 2 * gfactor)

    return slope, intercept, gradients
