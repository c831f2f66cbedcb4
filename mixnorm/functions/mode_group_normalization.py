import numpy

from chainer import backend
from chainer import functions
from chainer.utils import type_check

from mixnorm.checks import check_affine_types
from mixnorm.functions.modes import (
    compose_shares, counts_of, softmax, softmax_gradient)
from mixnorm.functions.row_normalization import RowNormalization


class ModeGroupNormalization(RowNormalization):

    """Node of :func:`mode_group_normalization`."""

    def __init__(self, eps=2e-5):
        self.eps = eps

    def check_type_forward(self, in_types):
        type_check._argname(in_types, ('x', 'gates', 'gamma', 'beta'))
        x_type, gates_type, gamma_type, beta_type = in_types
        type_check.expect(
            gates_type.dtype.kind == 'f',
            gates_type.ndim == 3,
            gates_type.shape[:2] == x_type.shape[:2],
        )
        check_affine_types(x_type, gamma_type, beta_type, gates_type.shape[2])

    def compute_coefficients(self, means, variances, gates, gamma, beta):
        gates = backend.get_array_module(gates).ascontiguousarray(
            gates.transpose(0, 2, 1), dtype=numpy.float64)
        return self._compute_coefficients(
            means, variances, gates, gamma, beta)

    def _compute_coefficients(self, means, variances, gates, gamma, beta):
        """Does so from gates ``(N, K, C)``, float64."""
        # In float64: E[m^2] - E[m]^2 cancels where modes lie far apart.
        xp = backend.get_array_module(means)
        n_modes = gates.shape[1]
        self._m = m = means - means.mean(
            axis=1, keepdims=True, dtype=numpy.float64)
        self._square = m * m
        self._square += variances
        self._counts = counts_of(gates.sum(axis=2))
        self._share = gates / self._counts[:, :, None]
        self._mean = mean = _weighted(m, self._share)
        self._variance = xp.maximum(
            _weighted(self._square, self._share) - mean * mean, 0)
        self._inv_std = 1 / xp.sqrt(self._variance + self.eps)
        self._gamma = gamma = xp.broadcast_to(
            gamma, (n_modes, m.shape[1])).astype(numpy.float64)
        self._per_mode = beta.ndim == 2
        factor = self._inv_std / n_modes
        self._slope = slope = factor @ gamma
        offset = m * slope - (factor * mean) @ gamma
        return slope, offset + (beta.mean(axis=0) if self._per_mode else beta)

    def compute_gradients(self, gslope, goffset):
        gmeans, gvariances, ggates, ggamma, gbeta = self._compute_gradients(
            gslope, goffset)
        return (gmeans, gvariances, ggates.transpose(0, 2, 1), ggamma,
                gbeta)

    def _compute_gradients(self, gslope, goffset):
        """Does so with the gradient of gates ``(N, K, C)``."""
        mean, inv_std, share = self._mean, self._inv_std, self._share
        n_modes = share.shape[1]
        # Of the sum over positions of gy (x - origin).
        total = gslope + goffset * self._m
        sum_g = goffset @ self._gamma.T / n_modes
        sum_gx = total @ self._gamma.T / n_modes - mean * sum_g

        if self._per_mode:
            ggamma = (inv_std.T @ total - (inv_std * mean).T @ goffset)
            ggamma /= n_modes
            gbeta = backend.get_array_module(goffset).broadcast_to(
                goffset.sum(axis=0) / n_modes, ggamma.shape)
        else:
            ggamma = (
                total * inv_std.mean(axis=1, keepdims=True)
                - goffset * (inv_std * mean).mean(axis=1, keepdims=True)
            ).sum(axis=0)
            gbeta = goffset.sum(axis=0)

        gvariance = -.5 * inv_std ** 3 * sum_gx
        gmean = -inv_std * sum_g
        linear = gmean - 2 * gvariance * mean
        gvariances = _spread(gvariance, share)
        gmeans = _spread(linear, share) + 2 * self._m * gvariances
        constant = gvariance * (
            mean * mean - self._variance) - gmean * mean
        # Divided while they are small: (N, K).
        linear, gvariance, constant = (
            (z / self._counts)[:, :, None]
            for z in (linear, gvariance, constant))
        ggates = self._m[:, None] * linear
        ggates += self._square[:, None] * gvariance
        ggates += constant
        return gmeans, gvariances, ggates, ggamma, gbeta

    def compose_coefficients(self, center, means, variances, gates, gamma,
                             beta):
        n, c, n_modes = gates.shape
        origin = center.mean(axis=1, keepdims=True, dtype=numpy.float64)
        m = functions.cast(means, numpy.float64)
        m = m - functions.broadcast_to(origin, m.shape)
        square = functions.cast(variances, numpy.float64) + m * m
        gates, gamma, beta = (
            functions.cast(z, numpy.float64) for z in (gates, gamma, beta))
        share = compose_shares(gates, 1)

        def weighted(z):
            return functions.sum(share * functions.broadcast_to(
                functions.reshape(z, (n, c, 1)), share.shape), axis=1)

        mean = weighted(m)
        variance = functions.relu(weighted(square) - mean * mean)
        factor = 1 / functions.sqrt(variance + self.eps) / n_modes
        gamma = functions.broadcast_to(gamma, (n_modes, c))
        slope = functions.matmul(factor, gamma)
        offset = (center - origin) * slope - functions.matmul(
            factor * mean, gamma)
        if beta.ndim == 2:
            beta = functions.mean(beta, axis=0)
        return slope, offset + functions.broadcast_to(beta, offset.shape)


def _weighted(z, share):
    """Returns ``sum_c share_nkc z_nc``, ``(N, K)``."""
    return (share @ z[:, :, None])[:, :, 0]


def _spread(z, share):
    """Returns ``sum_k z_nk share_nkc``, ``(N, C)``."""
    return (z[:, None] @ share)[:, 0]


class GatedModeGroupNormalization(ModeGroupNormalization):

    """Node of :func:`gated_mode_group_normalization`.

    Attributes:
        gates (array): After the forward pass, ``(N, C, K)``, float64.

    """

    def check_type_forward(self, in_types):
        type_check._argname(
            in_types, ('x', 'gate_W', 'gate_b', 'gamma', 'beta'))
        x_type, W_type, b_type, gamma_type, beta_type = in_types
        type_check.expect(
            W_type.dtype.kind == 'f',
            W_type.ndim == 1,
            b_type.dtype == W_type.dtype,
            b_type.shape == W_type.shape,
        )
        check_affine_types(x_type, gamma_type, beta_type, W_type.shape[0])

    def compute_coefficients(self, means, variances, gate_W, gate_b, gamma,
                             beta):
        self._phi = means[:, None].astype(numpy.float64)
        self._gate_W = gate_W.astype(numpy.float64)
        scores = self._phi * self._gate_W[:, None]
        scores += gate_b[:, None]
        self._gates = softmax(backend.get_array_module(means), scores)
        self.gates = self._gates.transpose(0, 2, 1)
        return self._compute_coefficients(
            means, variances, self._gates, gamma, beta)

    def compute_gradients(self, gslope, goffset):
        gmeans, gvariances, ggates, ggamma, gbeta = self._compute_gradients(
            gslope, goffset)
        scores = softmax_gradient(self._gates, ggates)
        gmeans += self._gate_W @ scores
        gW = (scores * self._phi).sum(axis=2).sum(axis=0)
        gb = scores.sum(axis=2).sum(axis=0)
        return gmeans, gvariances, gW, gb, ggamma, gbeta

    def compose_coefficients(self, center, means, variances, gate_W, gate_b,
                             gamma, beta):
        shape = means.shape + gate_W.shape
        phi, W, b = (functions.broadcast_to(
            functions.cast(z, numpy.float64), shape) for z in (
                functions.expand_dims(means, 2), gate_W, gate_b))
        return super().compose_coefficients(
            center, means, variances, functions.softmax(phi * W + b, axis=2),
            gamma, beta)


def gated_mode_group_normalization(x, gate_W, gate_b, gamma, beta, eps=2e-5):
    r"""Mode group normalization with gates computed from x.

    The same as :func:`mode_group_normalization` with
    :math:`g_{nc} = \mathrm{softmax}(W \phi(x_{nc}) + b)`, where :math:`\phi`
    averages over positions.

    Args:
        x (:class:`~chainer.Variable` or array): Input ``(N, C, *S)``,
            floating; ``S`` may be empty.
        gate_W (:class:`~chainer.Variable` or array): ``W``, ``(K,)``,
            floating, the same for all channels.
        gate_b (:class:`~chainer.Variable` or array): ``b``, ``(K,)``, of
            ``gate_W``'s dtype.
        gamma (:class:`~chainer.Variable` or array): See
            :func:`mode_group_normalization`.
        beta (:class:`~chainer.Variable` or array): See
            :func:`mode_group_normalization`.
        eps (float): Added to variances, in squared units of ``x``.

    Returns:
        ~chainer.Variable: ``y``, of ``x``'s shape and dtype.

    Raises:
        chainer.utils.type_check.InvalidType: If shapes or dtypes do not fit.

    """
    y, = GatedModeGroupNormalization(eps).apply(
        (x, gate_W, gate_b, gamma, beta))
    return y


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
    y, = ModeGroupNormalization(eps).apply((x, gates, gamma, beta))
    return y
