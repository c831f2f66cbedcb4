"""What the functions of mode normalization share: gates, and eq. (2)."""
import numpy

from chainer import backend
from chainer import functions
from chainer.utils import type_check

from mixnorm.checks import check_affine_types


def softmax(xp, scores):
    """Computes the softmax over the second axis.

    Args:
        xp (module): NumPy or CuPy.
        scores (array): ``(N, K, ...)``.

    Returns:
        array: ``(N, K, ...)``.

    """
    exponentials = xp.exp(scores - scores.max(axis=1, keepdims=True))
    exponentials /= exponentials.sum(axis=1, keepdims=True)
    return exponentials


def softmax_gradient(gates, ggates):
    """Computes the gradient of softmax' scores.

    Args:
        gates (array): What it returned, ``(N, K, ...)``.
        ggates (array): Gradient of that.

    Returns:
        array: ``(N, K, ...)``.

    """
    return gates * (ggates - (gates * ggates).sum(axis=1, keepdims=True))


# What is divided by a smaller sum of gates can overflow.
_LEAST_COUNT = 1e-290


def counts_of(sums):
    """Computes what gates are divided by to be the shares in a mode.

    Args:
        sums (array): The modes' sums of gates, float64.

    Returns:
        array: The same, but 1 for a mode that has nothing, or so little that
        it cannot be divided by: its mean and variance are 0 then.

    """
    return backend.get_array_module(sums).where(
        sums < _LEAST_COUNT, 1, sums)


def compose_shares(gates, axis):
    """Divides gates by their sums, in Chainer's functions.

    Args:
        gates (chainer.Variable): The gates, float64.
        axis (int): Axis that is summed over.

    Returns:
        chainer.Variable: Gates divided by :func:`counts_of` their sums.

    """
    sums = gates.array.sum(axis=axis, keepdims=True)
    counts = counts_of(sums)
    # By constants first: derivatives divide by powers of the sums, which are
    # beyond float64 long before the sums are.
    gates = gates * (1 / counts)
    totals = functions.sum(gates, axis=axis, keepdims=True) + (
        counts != sums).astype(numpy.float64)
    return gates / functions.broadcast_to(totals, gates.shape)


class SampleGated:

    """Computes a node's gates of samples, ``g_n = softmax(W phi(x_n) + b)``.

    In place of gates the node has the inputs ``gate_W``, ``(K, C)``, and
    ``gate_b``, ``(K,)``.  ``phi`` averages over positions.  It stands before
    a :class:`~mixnorm.functions.row_normalization.RowNormalization` with the
    inputs ``(x, gates, gamma, beta)`` among the classes that a node is
    derived from.

    Attributes:
        gates (array): After the forward pass, ``(N, K)``, float64.

    """

    def check_type_forward(self, in_types):
        type_check._argname(
            in_types, ('x', 'gate_W', 'gate_b', 'gamma', 'beta'))
        x_type, W_type, b_type, gamma_type, beta_type = in_types
        type_check.expect(
            x_type.ndim >= 2,
            W_type.dtype.kind == 'f',
            W_type.ndim == 2,
        )
        type_check.expect(
            W_type.shape[1] == x_type.shape[1],
            b_type.dtype == W_type.dtype,
            b_type.ndim == 1,
        )
        type_check.expect(b_type.shape[0] == W_type.shape[0])
        check_affine_types(x_type, gamma_type, beta_type, W_type.shape[0])

    def compute_coefficients(self, means, *others):
        *variances, W, b, gamma, beta = others
        self._phi = means.astype(numpy.float64)
        self._W = W.astype(numpy.float64)
        self.gates = softmax(
            backend.get_array_module(means), self._phi @ self._W.T + b)
        return super().compute_coefficients(
            means, *variances, self.gates, gamma, beta)

    def compute_gradients(self, gslope, goffset):
        gmeans, *gvariances, ggates, ggamma, gbeta = (
            super().compute_gradients(gslope, goffset))
        scores = softmax_gradient(self.gates, ggates)
        return (gmeans + scores @ self._W, *gvariances,
                scores.T @ self._phi, scores.sum(axis=0), ggamma, gbeta)

    def compose_coefficients(self, center, means, *others):
        *variances, W, b, gamma, beta = others
        gates = functions.softmax(functions.linear(*(
            functions.cast(z, numpy.float64) for z in (means, W, b))))
        return super().compose_coefficients(
            center, means, *variances, gates, gamma, beta)


class ModeCoefficients:

    """What eq. (2) multiplies and adds, given the modes' moments.

    Args:
        xp (module): NumPy or CuPy.
        gates (array): ``(N, K)``.
        gamma (array): ``(C,)`` or ``(K, C)``.
        beta (array): As ``gamma``.
        center (array): What is subtracted from ``x``, ``(N, C)``, relative to
            what ``means`` are.
        means (array): The modes' ``(K, C)``, float64.
        variances (array): The modes' ``(K, C)``, float64.
        eps (float): Added to variances.

    Attributes:
        slope (array): ``(N, C)``.
        offset (array): ``(N, C)``.

    """

    def __init__(self, xp, gates, gamma, beta, center, means, variances, eps):
        self._gates = gates
        self._beta = beta
        self._center = center
        self._means = means
        self.inv_std = 1 / xp.sqrt(variances + eps)
        self.factor = gamma * self.inv_std
        self.slope = gates @ self.factor
        self.offset = center * self.slope
        self.offset -= gates @ (self.factor * means)
        self.offset += beta if beta.ndim == 1 else gates @ beta

    def gradients(self, gslope, goffset):
        """Computes gradients by those of slope and offset.

        Returns:
            tuple of arrays: Gradients of the gates, of gamma and of beta; and
            of the modes' standardized inputs and of their factors, summed
            over samples, ``(K, C)``, which the moments' gradients follow from.

        """
        # Of the sum over positions of gy (x - what means are relative to).
        total = gslope + goffset * self._center
        sum_g = self._gates.T @ goffset
        sum_gx = self._gates.T @ total - self._means * sum_g
        ggates = total @ self.factor.T - goffset @ (
            self.factor * self._means).T
        ggamma = self.inv_std * sum_gx
        if self._beta.ndim == 1:
            return (ggates, ggamma.sum(axis=0), goffset.sum(axis=0),
                    sum_g, sum_gx)
        return (ggates + goffset @ self._beta.T, ggamma, sum_g,
                sum_g, sum_gx)

    @staticmethod
    def compose(gates, gamma, beta, center, means, variances, eps):
        """Returns slope and offset in Chainer's functions."""
        gamma = functions.cast(gamma, numpy.float64)
        beta = functions.cast(beta, numpy.float64)
        factor = functions.broadcast_to(gamma, means.shape) / functions.sqrt(
            variances + eps)
        slope = functions.matmul(gates, factor)
        offset = center * slope - functions.matmul(gates, factor * means)
        if beta.ndim == 2:
            beta = functions.matmul(gates, beta)
        return slope, offset + functions.broadcast_to(beta, offset.shape)
