import numpy

import chainer

from mixnorm.checks import check_eps
from mixnorm.functions.normalization.gates import (
    check_types_with_gates, SampleGated)
from mixnorm.functions.normalization.modes import (
    moments_of_modes, sum_over_modes)
from mixnorm.functions.normalization.row_normalization import RowNormalization
from mixnorm.workers import with_mean_gradient


class ModeNormalization(RowNormalization):

    """Node of :func:`mode_normalization`.

    Args:
        eps (float): Added to variances.
        joined (mixnorm.workers.JoinedBatch or None): The mini-batch that the
            input is this worker's share of, if it is.

    Attributes:
        statistics (tuple of arrays): After the forward pass,
            :math:`\\langle x \\rangle_k` and :math:`\\langle x^2 \\rangle_k`,
            ``(K, C)``, float64.

    """

    def __init__(self, eps=2e-5, joined=None):
        self.eps = eps
        self._joined = joined
        self.statistics = None

    def check_type_forward(self, in_types):
        check_types_with_gates(in_types, 1)

    def compute_origin(self, means):
        total = means.sum(axis=0, dtype=numpy.float64)
        if self._joined is None:
            return total / max(1, len(means))
        total, = self._joined.sum(total)
        return total / self._joined.n_samples

    def compute_coefficients(self, moments, parameters, origin):
        means, variances = moments
        gates, gamma, beta = parameters
        joined = self._joined
        if isinstance(gamma, chainer.Variable):
            gamma, beta = with_mean_gradient(joined, gamma, beta)
        mean, variance, moments_gradients = moments_of_modes(
            gates.T, means - origin, variances, joined)
        total = chainer.as_array(mean) + origin
        self.statistics = total, chainer.as_array(variance) + total * total
        slope, intercept, sum_gradients = sum_over_modes(
            gates, gamma, beta, mean, variance, self.eps)

        def gradients(gslope, gintercept):
            ggates, ggamma, gbeta, *gmoments = sum_gradients(
                gslope, gintercept)
            if joined is not None:
                ggamma, gbeta, *gmoments = joined.sum(
                    ggamma, gbeta, *gmoments)
                ggamma /= joined.n_workers
                gbeta /= joined.n_workers
            ggates_of_mode, *gmoments = moments_gradients(*gmoments)
            ggates += ggates_of_mode.T
            return gmoments, [ggates, ggamma, gbeta]

        return slope, intercept, gradients

    def compute_at_once(self, modes, moments, parameters):
        if self._joined is not None:
            # Its kernels sum over this worker's samples alone.
            return None
        *gating, gamma, beta = parameters
        found = modes.of_samples(*moments, gating, gamma, beta, self.eps)
        if found is not None:
            self.statistics = found.statistics
        return found


class GatedModeNormalization(SampleGated, ModeNormalization):

    """Mode normalization by gates that it computes itself."""


def mode_normalization(x, gates, gamma, beta, eps=2e-5):
    r"""Mode normalization with the statistics of the batch.

    Each mode standardizes the samples by the mean and the variance of its own
    share of them, and the results are added by gate:

    .. math::

        N_k &= \textstyle\sum_n g_{nk}, \quad
        \langle z \rangle_k =
        \textstyle\frac{1}{N_k} \sum_n g_{nk} z_n \\
        \mu_k &= \langle x \rangle_k, \quad
        \sigma_k^2 = \langle (x - \mu_k)^2 \rangle_k \\
        y_n &= \gamma \sum_k g_{nk}
        \frac{x_n - \mu_k}{\sqrt{\sigma_k^2 + \epsilon}} + \beta

    where the averages are over positions as well.  The gradient flows through
    the gates, too.  With one mode, or with gates that are the same for all
    samples, this is batch normalization.  A mode whose gates are all 0 adds
    nothing.

    Args:
        x (:class:`~chainer.Variable` or array): Input ``(N, C, *S)``,
            floating; ``S`` may be empty.
        gates (:class:`~chainer.Variable` or array): ``g``, of shape
            ``(N, K)``, floating; sums to 1 over ``K``.
        gamma (:class:`~chainer.Variable` or array): ``alpha`` of the paper,
            floating.  Of shape ``(C,)`` it acts on the sum, as above; of
            shape ``(K, C)`` on each mode's standardized input, inside the sum
            (the paper's footnote 3).
        beta (:class:`~chainer.Variable` or array): Shift, of ``gamma``'s
            shape and dtype, which acts where ``gamma`` does.
        eps (float): Added to variances, in squared units of ``x``.

    Returns:
        ~chainer.Variable: ``y``, of ``x``'s shape and dtype.

    Raises:
        chainer.utils.type_check.InvalidType: If shapes or dtypes do not fit.
        ValueError: If ``eps`` is negative or no finite number.

    Source: L. Deecke, I. Murray and H. Bilen, *Mode Normalization* (2019),
    eq. (2).

    .. seealso:: :class:`mixnorm.links.ModeNormalization`

    .. admonition:: Example

        >>> import numpy as np
        >>> from mixnorm.functions import mode_normalization
        >>> x = np.random.randn(8, 4, 5, 5).astype('f')
        >>> gates = np.full((8, 2), .5, 'f')
        >>> gamma, beta = np.ones(4, 'f'), np.zeros(4, 'f')
        >>> mode_normalization(x, gates, gamma, beta).shape
        (8, 4, 5, 5)

    """
    check_eps(eps)
    y, = ModeNormalization(eps).apply((x, gates, gamma, beta))
    return y
