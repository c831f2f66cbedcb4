import functools
import math

import numpy

import chainer
from chainer import backend
from chainer import function_node
from chainer import functions
from chainer.utils import type_check

from mixnorm.checks import (
    check_activation, check_affine_types, check_delta_type, check_eps,
    check_groups, check_input_types)
from mixnorm.compute import sets
from mixnorm.compute.layout import working_dtype
from mixnorm.compute.parameters import Parameters
from mixnorm.functions.components import (
    composed_affine_sum, inverse_or_zero, sum_of_components, transform)
from mixnorm.functions.gradient import Gradient


class GroupMixtureNormalization(function_node.FunctionNode):

    """Node of :func:`group_mixture_normalization`."""

    def __init__(self, groups, weights, means, variances, eps=2e-5):
        self.groups = groups
        self.eps = eps
        self._mixture = Parameters(weights, means, variances)

    def check_type_forward(self, in_types):
        type_check._argname(in_types, ('x', 'gamma', 'beta'))
        x_type, gamma_type, beta_type = in_types
        weights, means, variances = (
            type_check.make_variable(
                type_check.TypeInfo(array.shape, array.dtype), name)
            for name, array in self._mixture._asdict().items())
        type_check.expect(
            x_type.ndim >= 2,
            weights.ndim == 3,
            weights.shape[0] == x_type.shape[0],
            weights.shape[1] == self.groups,
            means.shape == weights.shape,
            variances.shape == weights.shape,
        )
        check_affine_types(x_type, gamma_type, beta_type, weights.shape[2])

    def forward(self, inputs):
        self.retain_inputs((0, 1, 2))
        x, gamma, beta = inputs
        dtype = working_dtype(x.dtype)
        self._mixture = Parameters(*(
            z.astype(dtype, copy=False) for z in self._mixture))
        y, self._statistics = sets.normalize(
            sets.group_channels(x, self.groups), self._mixture,
            *(self._by_point(z, x) for z in (gamma, beta)), self.eps)
        return y.reshape(x.shape),

    def _by_point(self, parameter, x):
        """Repeats ``(..., C)`` for all points, ``(..., G, P)``."""
        xp = backend.get_array_module(parameter)
        repeated = xp.repeat(
            parameter.astype(working_dtype(x.dtype), copy=False),
            _length(x), axis=-1)
        return repeated.reshape(parameter.shape[:-1] + (self.groups, -1))

    def _by_channel(self, sums, x, dtype):
        """Adds up ``(..., G, P)`` to ``(..., C)``."""
        return sums.reshape(
            sums.shape[:-2] + (x.shape[1], _length(x))
        ).sum(axis=-1).astype(dtype)

    def backward(self, indexes, grad_outputs):
        return Gradient(self._formula, self._composition).apply(
            self.get_retained_inputs() + grad_outputs)

    def _formula(self, x, gamma, _, gy):
        gx, ggamma, gbeta = sets.gradient(
            *(sets.group_channels(z, self.groups) for z in (x, gy)),
            self._mixture, self._statistics, self._by_point(gamma, x))
        return (gx.reshape(x.shape), self._by_channel(ggamma, x, gamma.dtype),
                self._by_channel(gbeta, x, gamma.dtype))

    def _composition(self, x, gamma, beta):
        return composed_affine_sum(
            functools.partial(
                group_sum, x, self.groups, self._mixture, self.eps),
            x, gamma, beta)


def _length(x):
    """Returns the number of positions of ``(N, C, *S)``."""
    return math.prod(x.shape[2:])


def group_sum(x, groups, mixture, eps, form):
    """Sums over components, eqs. (34) to (36), in Chainer's functions.

    Args:
        x (chainer.Variable): ``(N, C, *S)``.
        groups (int): ``G``.
        mixture (Parameters): ``(N, G, K)`` each, in the working dtype.
        eps (float): Added to variances.
        form (callable): See
            :func:`mixnorm.functions.components.sum_of_components`.

    Returns:
        chainer.Variable: ``(N, C, *S)`` in the working dtype.

    """
    posteriors = sets.posteriors(sets.group_channels(x.array, groups), mixture)
    xp = backend.get_array_module(posteriors)
    counts = posteriors.sum(axis=3, keepdims=True, dtype=numpy.float64)
    hat_tau = (posteriors * inverse_or_zero(xp, counts)).astype(  # (36)
        posteriors.dtype)
    coefficients = (posteriors * inverse_or_zero(
        xp, xp.sqrt(counts / posteriors.shape[3]))).astype(posteriors.dtype)

    def weighted_mean(z, k):
        mean = functions.sum(
            sets.group_channels(z, groups) * hat_tau[k], axis=2,
            keepdims=True)
        return functions.reshape(
            functions.broadcast_to(mean, posteriors.shape[1:]), z.shape)

    def variance(squared_deviation, k):
        mean = weighted_mean(squared_deviation, k)
        # Where nothing deviates, with eps=0, anything but 0.
        return mean + (mean.array + eps == 0).astype(mean.dtype)

    return sum_of_components(
        x, [c.reshape(x.shape) for c in coefficients], weighted_mean,
        variance, eps, form)


def group_mixture_normalization(x, groups, gamma, beta, weights, means,
                                variances, eps=2e-5, activation=None,
                                delta=None):
    r"""Mixture normalization of each sample by itself, in groups of channels.

    The activations of one sample in one group of channels are a set of
    scalars, which has a mixture of its own.  Each component standardizes
    them by the mean and the variance of its own share of the set:

    .. math::

        \tau_{ik} &= \lambda_k \mathcal N(x_i; m_k, s_k^2) /
        \textstyle\sum_j \lambda_j \mathcal N(x_i; m_j, s_j^2), \quad
        \hat\tau_{ik} = \tau_{ik} / \textstyle\sum_j \tau_{jk} \\
        \mu_k &= \textstyle\sum_i \hat\tau_{ik} x_i, \quad
        \sigma_k^2 = \textstyle\sum_i \hat\tau_{ik} (x_i - \mu_k)^2, \quad
        \bar\tau_k = \textstyle\frac1P \sum_i \tau_{ik} \\
        y_i &= \gamma_c \sum_k \frac{\tau_{ik}}{\sqrt{\bar\tau_k}}
        \frac{x_i - \mu_k}{\sqrt{\sigma_k^2 + \epsilon}} + \beta_c

    where ``i`` runs over the ``P`` points of a set and ``c`` is the channel
    of point ``i``.  The posterior is a constant: the gradient stops there,
    and flows through the means and the variances.  With one component this
    is :func:`chainer.functions.group_normalization`, with one group layer
    normalization, with as many groups as channels instance normalization.

    Args:
        x (:class:`~chainer.Variable` or array): Input ``(N, C, *S)``,
            floating; ``S`` may be empty.
        groups (int): Number ``G`` of groups, which divides ``C``.
        gamma (:class:`~chainer.Variable` or array): Scale ``(C,)``, floating,
            which acts on the sum, as above; or ``(K, C)``, which acts on each
            component's standardized input, inside the sum.
        beta (:class:`~chainer.Variable` or array): Shift, of ``gamma``'s
            shape and dtype, which acts where ``gamma`` does.
        weights (array): ``lambda`` of the sets' mixtures, ``(N, G, K)``; a
            component of weight 0 is absent.
        means (array): ``m``, ``(N, G, K)``.
        variances (array): ``s^2``, ``(N, G, K)``, positive.
        eps (float): Added to variances, in squared units of ``x``.
        activation (callable): If given, ``f`` in ``y_i = sum_k tau_ik /
            sqrt(mean of tau_k) f(gamma xhat_ik + beta)``, a function of
            variables.  It takes memory ``K`` times ``x``'s.
        delta (:class:`~chainer.Variable` or array): Weight of second order,
            of ``gamma``'s shape and dtype; see
            :func:`mixture_normalization`.

    Returns:
        ~chainer.Variable: Output of ``x``'s shape and dtype.

    Raises:
        chainer.utils.type_check.InvalidType: If shapes or dtypes do not fit.
        ValueError: If ``groups`` does not divide the number of channels.

    Source: M. M. Kalayeh and M. Shah, *Training Faster by Separating Modes
    of Variation in Batch-normalized Models* (2018), eqs. (31) to (37), (40),
    for the sets of layer, instance and group normalization.

    .. seealso:: :class:`mixnorm.links.MixtureNormalization`

    .. admonition:: Example

        >>> import numpy as np
        >>> import mixnorm
        >>> x = np.array([[0., 2., 10., 14.], [1., 3., 5., 9.]])
        >>> weights = np.full((2, 1, 2), .5)
        >>> means = np.array([[[1., 12.]], [[2., 7.]]])
        >>> y = mixnorm.functions.group_mixture_normalization(
        ...     x, 1, np.ones(4), np.zeros(4), weights, means,
        ...     np.full((2, 1, 2), .01), eps=0)
        >>> y.array.round(4)[0].tolist()
        [-1.4142, 1.4142, -1.4142, 1.4142]

    """
    x, gamma, beta = map(chainer.as_variable, (x, gamma, beta))
    mixture = [chainer.as_array(z) for z in (weights, means, variances)]
    check_eps(eps)
    check_activation(activation)
    if x.ndim > 1:
        check_groups(groups, x.shape[1])
    node = GroupMixtureNormalization(groups, *mixture, eps)
    if delta is not None:
        delta = chainer.as_variable(delta)
        check_delta_type(delta.array, gamma.array)
    if activation is not None:
        check_input_types(node, x.array, gamma.array, beta.array)

    def sum_of(form):
        return group_sum(x, groups, Parameters(*(
            z.astype(working_dtype(x.dtype), copy=False) for z in mixture)),
            eps, form)

    return transform(
        lambda: node.apply((x, gamma, beta))[0], sum_of,
        x, gamma, beta, activation, delta)
