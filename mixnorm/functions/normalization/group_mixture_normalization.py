import math

import chainer
from chainer import backend
from chainer import functions
from chainer.utils import type_check

from mixnorm.checks import array_types, check_affine_types, check_groups
from mixnorm.compute import sets
from mixnorm.compute.layout import working_dtype
from mixnorm.compute.parameters import Parameters
from mixnorm.functions.normalization.mixture_transform import (
    MixtureTransform, standardize_by_posterior, transform)


class GroupMixtureNormalization(MixtureTransform):

    """Node of :func:`group_mixture_normalization`."""

    def __init__(self, groups, weights, means, variances, eps=2e-5):
        super().__init__(eps)
        self.groups = groups
        self._mixture = Parameters(weights, means, variances)

    def check_type_forward(self, in_types):
        type_check._argname(in_types, ('x', 'gamma', 'beta'))
        x_type, gamma_type, beta_type = in_types
        weights, means, variances = array_types(**self._mixture._asdict())
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
        y, self._statistics = sets.normalize(
            sets.group_channels(x, self.groups), self._mixture_for(x),
            *(self._by_point(z, x) for z in (gamma, beta)), self.eps)
        return y.reshape(x.shape),

    def _mixture_for(self, x):
        """Returns the mixture in the working dtype."""
        return Parameters(*(
            z.astype(working_dtype(x.dtype), copy=False)
            for z in self._mixture))

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

    def compute_gradients(self, x, gamma, beta, gy):
        gx, ggamma, gbeta = sets.gradient(
            *(sets.group_channels(z, self.groups) for z in (x, gy)),
            self._mixture_for(x), self._statistics, self._by_point(gamma, x))
        return (gx.reshape(x.shape), self._by_channel(ggamma, x, gamma.dtype),
                self._by_channel(gbeta, x, gamma.dtype))

    def standardize(self, x):
        z = sets.group_channels(
            functions.cast(x, working_dtype(x.dtype)), self.groups)
        for tau in sets.posteriors(
                sets.group_channels(x.array, self.groups),
                self._mixture_for(x)):
            xhat, coefficient = standardize_by_posterior(
                z, tau, (2,), self.eps)
            yield xhat.reshape(x.shape), coefficient.reshape(x.shape)


def _length(x):
    """Returns the number of positions of ``(N, C, *S)``."""
    return math.prod(x.shape[2:])


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
        ValueError: If ``groups`` does not divide the number of channels, or
            ``eps`` or ``activation`` is out of its range.

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
    x = chainer.as_variable(x)
    if x.ndim > 1:
        check_groups(groups, x.shape[1])
    node = GroupMixtureNormalization(groups, *map(
        chainer.as_array, (weights, means, variances)), eps)
    return transform(node, x, gamma, beta, activation, delta)
