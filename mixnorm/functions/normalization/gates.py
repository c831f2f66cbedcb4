"""Gates, given to a node or computed from its input."""
import chainer
from chainer import backend
from chainer import functions
from chainer.utils import type_check

from mixnorm.checks import check_affine_types


def check_types_with_gates(in_types, n_axes):
    """Checks the types of input, gates, scale and shift.

    Args:
        in_types: Types of ``x``, ``gates``, ``gamma`` and ``beta``.
        n_axes (int): Axes that gates share with ``x``: 1 for gates of samples
            ``(N, K)``, 2 for those of their channels ``(N, C, K)``.

    Raises:
        chainer.utils.type_check.InvalidType: If one of them does not fit.

    """
    type_check._argname(in_types, ('x', 'gates', 'gamma', 'beta'))
    x_type, gates_type, gamma_type, beta_type = in_types
    type_check.expect(
        gates_type.dtype.kind == 'f',
        gates_type.ndim == n_axes + 1,
        gates_type.shape[:n_axes] == x_type.shape[:n_axes],
    )
    check_affine_types(
        x_type, gamma_type, beta_type, gates_type.shape[n_axes])


class Gated:

    r"""Computes a node's gates, :math:`g = \mathrm{softmax}(W \phi(x) + b)`.

    It stands before a node with the inputs ``(x, gates, gamma, beta)`` among
    the classes that a node is derived from.  In place of ``gates`` the node
    has the inputs ``gate_W`` and ``gate_b``.  :math:`\phi` averages over
    positions.

    Attributes:
        gates (array): After the forward pass, the gates, float64.

    """

    def check_type_forward(self, in_types):
        type_check._argname(
            in_types, ('x', 'gate_W', 'gate_b', 'gamma', 'beta'))
        x_type, W_type, b_type, gamma_type, beta_type = in_types
        type_check.expect(
            x_type.ndim >= 2,
            W_type.dtype.kind == 'f',
            b_type.dtype == W_type.dtype,
            b_type.ndim == 1,
        )
        self._check_gate_W(x_type, W_type)
        type_check.expect(b_type.shape[0] == W_type.shape[0])
        check_affine_types(x_type, gamma_type, beta_type, W_type.shape[0])

    def compute_coefficients(self, moments, parameters, origin):
        gate_W, gate_b, *affine = parameters
        gates, gates_gradients = self._compute_gates(
            moments[0], gate_W, gate_b)
        self.gates = chainer.as_array(gates)
        slope, intercept, gradients = super().compute_coefficients(
            moments, [gates, *affine], origin)

        def all_gradients(gslope, gintercept):
            (gmeans, *gvariances), (ggates, *gaffine) = gradients(
                gslope, gintercept)
            gphi, gW, gb = gates_gradients(ggates)
            return [gmeans + gphi, *gvariances], [gW, gb, *gaffine]

        return slope, intercept, all_gradients

    def compute_at_once(self, modes, moments, parameters):
        found = super().compute_at_once(modes, moments, parameters)
        if found is not None:
            self.gates = found.gates
        return found


class SampleGated(Gated):

    """Computes gates of samples ``(N, K)``; ``gate_W`` is ``(K, C)``."""

    def _check_gate_W(self, x_type, W_type):
        type_check.expect(W_type.ndim == 2)
        type_check.expect(W_type.shape[1] == x_type.shape[1])

    def _compute_gates(self, means, W, b):
        gates = _softmax(means @ W.T + b)

        def gradients(ggates):
            gscores = _softmax_gradient(gates, ggates)
            return gscores @ W, gscores.T @ means, gscores.sum(axis=0)

        return gates, gradients


class ChannelGated(Gated):

    """Computes gates of channels ``(N, C, K)``; ``gate_W`` is ``(K,)``."""

    def _check_gate_W(self, x_type, W_type):
        type_check.expect(W_type.ndim == 1)

    def _compute_gates(self, means, W, b):
        # Channels last, which is quicker.
        scores = means[:, None] * W[:, None]
        scores += b[:, None]
        gates = _softmax(scores)

        def gradients(ggates):
            gscores = _softmax_gradient(gates, ggates.transpose(0, 2, 1))
            return (W @ gscores, (gscores * means[:, None]).sum(axis=(0, 2)),
                    gscores.sum(axis=(0, 2)))

        return gates.transpose(0, 2, 1), gradients


def _softmax(scores):
    """Computes the softmax over the second axis."""
    if isinstance(scores, chainer.Variable):
        return functions.softmax(scores)
    xp = backend.get_array_module(scores)
    exponentials = xp.exp(scores - scores.max(axis=1, keepdims=True))
    exponentials /= exponentials.sum(axis=1, keepdims=True)
    return exponentials


def _softmax_gradient(gates, ggates):
    """Computes the gradient of the scores by that of their softmax."""
    return gates * (ggates - (gates * ggates).sum(axis=1, keepdims=True))
