"""What the functions of mixture normalization share.

Each is a sum over columns ``j``: the components of a mixture, or those of
several mixtures one after another,

    y = sum_j c_j f(gamma_j xhat_j + beta_j),   xhat_j = (x - mu_j) / sigma_j,

with coefficients ``c_j`` by point, in proportion to the posterior ``tau_j``.
Without ``f`` it is computed in passes over blocks.  Everything else is
composed of Chainer's functions, with temporaries ``K`` times as large as
``x``: activations inside the sum, the second order of the Fisher vector, and
derivatives of second and higher order.
"""
import functools
import math
import operator

import numpy

import chainer
from chainer import backend
from chainer import functions

from mixnorm.checks import (
    check_activation, check_delta_type, check_eps, check_input_types)
from mixnorm.compute.columns import inverse_or_zero
from mixnorm.functions.normalization.gradient import NormalizationNode


class MixtureTransform(NormalizationNode):

    """Function of ``x`` ``(N, C, *S)``, gamma and beta that sums columns.

    A subclass has ``check_type_forward``, ``forward``, ``compute_gradients``
    and the method below.

    Args:
        eps (float): Added to variances.

    """

    def __init__(self, eps):
        self.eps = eps

    def standardize(self, x):
        """Standardizes the input by every column, in Chainer's functions.

        Args:
            x (chainer.Variable): ``(N, C, *S)``.

        Returns:
            iterable: ``(xhat_j, c_j)`` in the working dtype: a variable of
            ``x``'s shape, and an array that broadcasts to it.

        """
        raise NotImplementedError

    def by_number(self, *parameters):
        """Returns what of ``(K, C)`` belongs to which column, row by row.

        Args:
            parameters (chainer.Variables): ``(C,)`` or ``(K, C)``, each.

        Returns:
            sequence of chainer.Variables: ``(C,)``, or the rows in the
            columns' order.

        """
        return parameters

    def sum_columns(self, x, term):
        """Sums over columns in Chainer's functions.

        Args:
            x (chainer.Variable): ``(N, C, *S)``.
            term (callable): From ``xhat_j`` and ``j`` to what is summed.

        Returns:
            chainer.Variable: ``sum_j c_j term(xhat_j, j)`` in the working
            dtype.

        """
        return functools.reduce(operator.add, (
            term(xhat, j) * coefficient
            for j, (xhat, coefficient) in enumerate(self.standardize(x))))

    def compose(self, x, gamma, beta):
        gamma, beta = self.by_number(gamma, beta)
        if gamma.ndim == 2:
            y = self.sum_columns(
                x, lambda xhat, j: _affine(xhat, gamma, beta, j))
        else:
            y = _affine(
                self.sum_columns(x, lambda xhat, _: xhat), gamma, beta)
        return functions.cast(y, x.dtype)


def standardize_by_posterior(z, tau, axes, eps):
    """Standardizes by what belongs to a component, eqs. (34) to (36).

    Args:
        z (chainer.Variable): The points.
        tau (array): Their posterior of the component, which broadcasts to
            ``z``.
        axes (tuple of ints): Axes along which points lie.
        eps (float): Added to variances.

    Returns:
        tuple: The standardized points, a variable of ``z``'s shape, and their
        coefficients, an array of ``tau``'s.

    """
    xp = backend.get_array_module(tau)
    count = tau.sum(axis=axes, keepdims=True, dtype=numpy.float64)
    n_points = math.prod(tau.shape[axis] for axis in axes)
    hat_tau = (tau * inverse_or_zero(xp, count)).astype(tau.dtype)  # (36)
    coefficient = (tau * inverse_or_zero(  # (34)
        xp, xp.sqrt(count / n_points))).astype(tau.dtype)

    def weighted_mean(v):
        return functions.sum(v * hat_tau, axis=axes, keepdims=True)

    deviation = z - weighted_mean(z)
    variance = weighted_mean(deviation * deviation)
    # Where there is none, anything but 0.
    absent = (count == 0) | (variance.array + eps == 0)
    variance += absent.astype(variance.dtype)
    return deviation / functions.sqrt(variance + eps), coefficient  # (35)


def transform(node, x, gamma, beta, activation, delta):
    """Applies a node, or composes what it cannot compute.

    Args:
        node (MixtureTransform): The function, eqs. (34) to (39).
        x (chainer.Variable or array): ``(N, C, *S)``.
        gamma (chainer.Variable or array): ``(C,)`` or ``(K, C)``.
        beta (chainer.Variable or array): As ``gamma``.
        activation (callable or None): ``f`` of (40).
        delta (chainer.Variable, array or None): Weight of second order, as
            ``gamma``.

    Returns:
        chainer.Variable: ``y`` in ``x``'s dtype.

    """
    check_eps(node.eps)
    check_activation(activation)
    x, gamma, beta = map(chainer.as_variable, (x, gamma, beta))
    if delta is not None:
        delta = chainer.as_variable(delta)
        check_delta_type(delta.array, gamma.array)
    if activation is None:
        y, = node.apply((x, gamma, beta))
        if delta is None:
            return y
        delta, = node.by_number(delta)
        return y + functions.cast(node.sum_columns(
            x, lambda xhat, j: _second_order(xhat, delta, j)), x.dtype)
    check_input_types(node, x.array, gamma.array, beta.array)
    gamma, beta, *deltas = node.by_number(
        gamma, beta, *([] if delta is None else [delta]))

    def term(xhat, j):
        z = _affine(xhat, gamma, beta, j)
        if deltas:
            z = z + _second_order(xhat, deltas[0], j)
        return activation(z)

    return functions.cast(node.sum_columns(x, term), x.dtype)


def _affine(xhat, gamma, beta, j=0):
    """Scales and shifts a column, eq. (37)."""
    return _spread(gamma, xhat, j) * xhat + _spread(beta, xhat, j)


def _second_order(xhat, delta, j):
    """Weighs a column's Fisher vector of second order, eq. (33)."""
    return _spread(delta, xhat, j) * ((xhat * xhat - 1) * math.sqrt(.5))


def _spread(parameter, z, j):
    """Returns what acts on column ``j``, of component ``j % K``, for ``z``."""
    if parameter.ndim == 2:
        parameter = parameter[j % len(parameter)]
    return functions.reshape(
        functions.cast(parameter, z.dtype), (1, -1) + (1,) * (z.ndim - 2))
