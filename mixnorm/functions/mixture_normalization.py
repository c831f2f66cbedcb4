import numpy

import chainer
from chainer import backend
from chainer import function_node
from chainer.utils import type_check

from mixnorm.functions.components import (
    affine_output, check_affine_types, check_input_types, Gradient,
    inverse_deviations, inverse_or_zero, sum_of_components, weighted_sums)
from mixnorm.mixture.expectation_maximization import batch_statistics
from mixnorm.mixture.stack import blocks, pivot, stack, unstack, working_dtype


class MixtureNormalization(function_node.FunctionNode):

    """Node of :func:`mixture_normalization`.

    Args:
        eps (float): Added to variances.
        statistics (mixnorm.mixture.expectation_maximization.Parameters):
            See :func:`mixture_normalization`.

    """

    def __init__(self, eps=2e-5, statistics=None):
        self.eps = eps
        self._statistics = statistics

    def check_type_forward(self, in_types):
        type_check._argname(in_types, ('x', 'gamma', 'beta', 'posterior'))
        x_type, gamma_type, beta_type, posterior_type = in_types
        type_check.expect(
            posterior_type.dtype.kind == 'f',
            posterior_type.ndim == x_type.ndim,
            posterior_type.shape[0] == x_type.shape[0],
            posterior_type.shape[2:] == x_type.shape[2:],
        )
        check_affine_types(x_type, gamma_type, beta_type,
                           posterior_type.shape[1])

    def forward(self, inputs):
        self.retain_inputs((0, 1, 2))
        x, gamma, beta, tau = inputs
        xp = backend.get_array_module(x)
        dtype = working_dtype(x.dtype)
        self._posterior = tau = tau.astype(dtype, copy=False)
        points, tau = stack(x), stack(tau)

        if self._statistics is None:
            self._statistics = batch_statistics(points, tau)
        weights, means, variances = self._statistics
        self._origin = origin = pivot(points)
        inv_std = inverse_deviations(weights, variances, self.eps)
        self._centered_means = means - origin
        self._fisher = inverse_or_zero(xp, xp.sqrt(weights))[:, None]
        self._inv_std = inv_std

        scale = gamma.astype(dtype, copy=False)
        shift = beta.astype(dtype, copy=False)
        slope = self._fisher * inv_std * scale
        offset = -slope * self._centered_means
        if gamma.ndim == 2:
            offset += self._fisher * shift
        y = xp.empty(points.shape, x.dtype)
        for b, s in blocks(points):
            block = affine_output(
                points[b, :, s] - origin[:, None], slope, offset,
                tau[b, :, s])
            if gamma.ndim == 1:
                block += shift[:, None]
            y[b, :, s] = block
        return unstack(y, x.shape),

    def backward(self, indexes, grad_outputs):
        x, gamma, beta = self.get_retained_inputs()
        gy, = grad_outputs
        gx, ggamma, gbeta = Gradient(self._formula, self._composition).apply(
            (x, gamma, beta, gy))
        return gx, ggamma, gbeta, None

    def _formula(self, x, gamma, gy):
        xp = backend.get_array_module(x)
        dtype = working_dtype(x.dtype)
        points, upstream = stack(x), stack(gy)
        tau = stack(self._posterior)
        origin, inv_std = self._origin[:, None], self._inv_std

        n_components, n_dims = inv_std.shape
        zeros = xp.zeros((n_components, n_dims), numpy.float64)
        sum_g, sum_gx = zeros, zeros.copy()
        total_g = xp.zeros((n_dims,), numpy.float64)
        for b, s in blocks(points):
            g = upstream[b, :, s].astype(dtype, copy=False)
            total_g += g.sum(axis=(0, 2), dtype=numpy.float64)
            sum_g += weighted_sums(g, tau[b, :, s])
            sum_gx += weighted_sums(
                g * (points[b, :, s] - origin), tau[b, :, s])
        # Sums of c_k gy and of c_k gy xhat_k, where c_k is the coefficient
        # tau_k / sqrt(lambda_k).
        sum_g *= self._fisher
        sum_gxhat = inv_std * (
            self._fisher * sum_gx - self._centered_means * sum_g)

        # The gradients of var_k and mu_k, each times the weight's derivative
        # with respect to the posterior: hat tau_k = tau_k / sum_j tau_k.
        scale = gamma.astype(dtype, copy=False)
        inv_count = inverse_or_zero(
            xp, self._statistics.weights * (points.size // n_dims))[:, None]
        gvar2 = -scale * inv_std * inv_std * sum_gxhat * inv_count
        gmu = -scale * inv_std * sum_g * inv_count
        slope = (self._fisher * inv_std * scale).astype(dtype, copy=False)
        quadratic = gvar2.astype(dtype)
        offset = (gmu - gvar2 * self._centered_means).astype(dtype)

        gx = xp.empty(points.shape, x.dtype)
        for b, s in blocks(points):
            block = affine_output(
                points[b, :, s] - origin, quadratic, offset, tau[b, :, s])
            g = xp.matmul(slope.T, tau[b, :, s])
            g *= upstream[b, :, s]
            block += g
            gx[b, :, s] = block

        if gamma.ndim == 1:
            ggamma, gbeta = sum_gxhat.sum(axis=0), total_g
        else:
            ggamma, gbeta = sum_gxhat, sum_g
        return (unstack(gx, x.shape), ggamma.astype(gamma.dtype),
                gbeta.astype(gamma.dtype))

    def _composition(self, x, gamma, beta):
        return composed_mixture_normalization(
            x, gamma, beta, self._posterior, self.eps, None)


def composed_mixture_normalization(x, gamma, beta, posterior, eps,
                                   activation):
    """Mixture normalization, eqs. (34) to (37) and (40) in Chainer's \
functions.

    Args:
        x (chainer.Variable): ``(N, C, *S)``.
        gamma (chainer.Variable): ``(C,)`` or ``(K, C)``.
        beta (chainer.Variable): As ``gamma``.
        posterior (array): ``(N, K, *S)`` in the working dtype.
        eps (float): Added to variances.
        activation (callable or None): ``f`` of (40).

    Returns:
        chainer.Variable: ``y``, ``(N, C, *S)``.

    """
    xp = backend.get_array_module(posterior)
    axes = (0,) + tuple(range(2, posterior.ndim))
    # One array (N, 1, *S) per component.
    tau = [posterior[:, k:k + 1] for k in range(posterior.shape[1])]
    counts = [t.sum(dtype=numpy.float64) for t in tau]
    hat_tau = [  # (36)
        (t * inverse_or_zero(xp, count)).astype(t.dtype)
        for t, count in zip(tau, counts)]
    n_points = tau[0].size
    coefficients = [  # (34)
        (t * inverse_or_zero(xp, xp.sqrt(count / n_points))).astype(t.dtype)
        for t, count in zip(tau, counts)]

    def weighted_mean(z, k):
        return chainer.functions.sum(
            z * chainer.functions.broadcast_to(hat_tau[k], z.shape),
            axis=axes, keepdims=True)

    def variance(squared_deviation, k):
        # That of an absent component is 1: with eps=0, anything but 0.
        mean = weighted_mean(squared_deviation, k)
        return mean + xp.broadcast_to(
            (counts[k] == 0).astype(mean.dtype), mean.shape)

    coefficients = [xp.broadcast_to(c, x.shape) for c in coefficients]
    return sum_of_components(
        x, gamma, beta, coefficients, weighted_mean, variance, eps,
        activation)


def mixture_normalization(x, gamma, beta, posterior, eps=2e-5,
                          activation=None, statistics=None):
    r"""Mixture normalization with the statistics of the batch.

    Each component of the mixture standardizes the points by the mean and the
    variance of its own share of them, and the results are added by posterior:

    .. math::

        \hat\tau_{ik} &= \tau_{ik} / \textstyle\sum_j \tau_{jk},
        \quad \lambda_k = \textstyle\frac1M \sum_i \tau_{ik} \\
        \mu_k &= \textstyle\sum_i \hat\tau_{ik} x_i, \quad
        \sigma_k^2 = \textstyle\sum_i \hat\tau_{ik} (x_i - \mu_k)^2 \\
        y_i &= \gamma \sum_k \frac{\tau_{ik}}{\sqrt{\lambda_k}}
        \frac{x_i - \mu_k}{\sqrt{\sigma_k^2 + \epsilon}} + \beta

    The points :math:`x_i` are the ``M`` channel vectors at all samples and
    positions.  The posterior is a constant: the gradient stops there, and
    flows through the means and the variances.  With one component this is
    batch normalization.  A component whose posterior is 0 everywhere adds
    nothing.

    Args:
        x (:class:`~chainer.Variable` or array): Input ``(N, C, *S)``,
            floating; ``S`` may be empty.
        gamma (:class:`~chainer.Variable` or array): Scale, floating.  Of
            shape ``(C,)`` it acts on the sum, as above; of shape ``(K, C)``
            on each component's standardized input, inside the sum.
        beta (:class:`~chainer.Variable` or array): Shift, of ``gamma``'s
            shape and dtype, which acts where ``gamma`` does.
        posterior (array): ``tau``, of shape ``(N, K, *S)``, floating; sums
            to 1 over ``K``.
        eps (float): Added to variances, in squared units of ``x``.
        activation (callable): If given, ``f`` in
            ``y_i = sum_k tau_ik / sqrt(lambda_k) f(gamma xhat_ik + beta)``,
            a function of variables such as :func:`chainer.functions.relu`.
            It takes memory ``K`` times ``x``'s.
        statistics (mixnorm.mixture.expectation_maximization.Parameters):
            The batch's ``lambda`` ``(K,)``, ``mu`` and ``sigma^2``
            ``(K, C)`` under the posterior, from a caller that has computed
            them already; computed if ``None``.

    Returns:
        ~chainer.Variable: Output of ``x``'s shape and dtype.

    Raises:
        chainer.utils.type_check.InvalidType: If shapes or dtypes do not fit.

    Source: M. M. Kalayeh and M. Shah, *Training Faster by Separating Modes
    of Variation in Batch-normalized Models* (2018), eqs. (34) to (37), (40).

    .. seealso:: :class:`mixnorm.links.MixtureNormalization`

    .. admonition:: Example

        >>> import numpy as np
        >>> import mixnorm
        >>> x = np.array([[0.], [2.], [10.], [14.]], 'f')
        >>> posterior = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], 'f')
        >>> y = mixnorm.functions.mixture_normalization(
        ...     x, np.ones(1, 'f'), np.zeros(1, 'f'), posterior, eps=0)
        >>> y.array.ravel().round(4).tolist()
        [-1.4142, 1.4142, -1.4142, 1.4142]

    """
    node = MixtureNormalization(eps, statistics)
    if activation is None:
        return node.apply((x, gamma, beta, posterior))[0]
    x, gamma, beta = map(chainer.as_variable, (x, gamma, beta))
    posterior = chainer.as_array(posterior)
    check_input_types(node, x.array, gamma.array, beta.array, posterior)
    return composed_mixture_normalization(
        x, gamma, beta, posterior.astype(working_dtype(x.dtype), copy=False),
        eps, activation)
