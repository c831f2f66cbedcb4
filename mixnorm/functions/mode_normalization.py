import numpy

from chainer import backend
from chainer import functions
from chainer.utils import type_check

from mixnorm.checks import check_affine_types
from mixnorm.functions.modes import (
    compose_shares, counts_of, ModeCoefficients, SampleGated)
from mixnorm.functions.row_normalization import RowNormalization


class ModeNormalization(RowNormalization):

    """Node of :func:`mode_normalization`.

    Attributes:
        statistics (tuple of arrays): After the forward pass,
            :math:`\\langle x \\rangle_k` and :math:`\\langle x^2 \\rangle_k`,
            ``(K, C)``, float64.

    """

    def __init__(self, eps=2e-5):
        self.eps = eps
        self.statistics = None

    def check_type_forward(self, in_types):
        type_check._argname(in_types, ('x', 'gates', 'gamma', 'beta'))
        x_type, gates_type, gamma_type, beta_type = in_types
        type_check.expect(
            gates_type.dtype.kind == 'f',
            gates_type.ndim == 2,
            gates_type.shape[0] == x_type.shape[0],
        )
        check_affine_types(x_type, gamma_type, beta_type, gates_type.shape[1])

    def compute_coefficients(self, means, variances, gates, gamma, beta):
        xp = backend.get_array_module(means)
        # In float64: E[m^2] - E[m]^2 cancels where modes lie far apart.
        # And from near the channels' means, which costs nothing and helps.
        origin = _mean_over_samples(means)
        self._m = m = means - origin
        self._square = m * m
        self._square += variances
        gates = gates.astype(numpy.float64, copy=False)
        self._counts = counts_of(gates.sum(axis=0))
        self._share = gates / self._counts
        self._mean = mean = self._share.T @ m
        self._variance = variance = xp.maximum(
            self._share.T @ self._square - mean * mean, 0)
        total = mean + origin
        self.statistics = total, variance + total * total
        self._coefficients = ModeCoefficients(
            xp, gates, gamma, beta, m, mean, variance, self.eps)
        return self._coefficients.slope, self._coefficients.offset

    def compute_gradients(self, gslope, goffset):
        coefficients, mean = self._coefficients, self._mean
        ggates, ggamma, gbeta, sum_g, sum_gx = coefficients.gradients(
            gslope, goffset)
        # Of the modes' variances and means.
        gvariance = -.5 * coefficients.factor * coefficients.inv_std ** 2 * (
            sum_gx)
        gmean = -coefficients.factor * sum_g
        linear = gmean - 2 * gvariance * mean
        gvariances = self._share @ gvariance
        gmeans = 2 * self._m * gvariances
        gmeans += self._share @ linear
        ggates += (
            self._m @ linear.T + self._square @ gvariance.T
            + (gvariance * (mean * mean - self._variance)
               - gmean * mean).sum(axis=1)) / self._counts
        return gmeans, gvariances, ggates, ggamma, gbeta

    def compose_coefficients(self, center, means, variances, gates, gamma,
                             beta):
        origin = _mean_over_samples(center)
        m = functions.cast(means, numpy.float64)
        m = m - functions.broadcast_to(origin, m.shape)
        square = functions.cast(variances, numpy.float64) + m * m
        gates = functions.cast(gates, numpy.float64)
        share = compose_shares(gates, 0)
        mean = functions.matmul(share, m, transa=True)
        variance = functions.relu(
            functions.matmul(share, square, transa=True) - mean * mean)
        return ModeCoefficients.compose(
            gates, gamma, beta, center - origin, mean, variance, self.eps)


def _mean_over_samples(means):
    return means.sum(axis=0, dtype=numpy.float64) / max(1, len(means))


class GatedModeNormalization(SampleGated, ModeNormalization):

    """Node of :func:`gated_mode_normalization`."""


def gated_mode_normalization(x, gate_W, gate_b, gamma, beta, eps=2e-5):
    r"""Mode normalization with gates that are an affine map's softmax.

    The same as :func:`mode_normalization` with
    :math:`g_n = \mathrm{softmax}(W \phi(x_n) + b)`, where :math:`\phi`
    averages over positions; but ``x`` is read and its gradient written once
    for both.

    Args:
        x (:class:`~chainer.Variable` or array): Input ``(N, C, *S)``,
            floating; ``S`` may be empty.
        gate_W (:class:`~chainer.Variable` or array): ``W``, ``(K, C)``,
            floating.
        gate_b (:class:`~chainer.Variable` or array): ``b``, ``(K,)``, of
            ``gate_W``'s dtype.
        gamma (:class:`~chainer.Variable` or array): See
            :func:`mode_normalization`.
        beta (:class:`~chainer.Variable` or array): See
            :func:`mode_normalization`.
        eps (float): Added to variances, in squared units of ``x``.

    Returns:
        ~chainer.Variable: ``y``, of ``x``'s shape and dtype.

    Raises:
        chainer.utils.type_check.InvalidType: If shapes or dtypes do not fit.

    Source: L. Deecke, I. Murray and H. Bilen, *Mode Normalization* (2019),
    section 3.

    """
    y, = GatedModeNormalization(eps).apply((x, gate_W, gate_b, gamma, beta))
    return y


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
    y, = ModeNormalization(eps).apply((x, gates, gamma, beta))
    return y
