import functools

import numpy

import chainer
from chainer import backend
from chainer import function_node
from chainer.utils import type_check

from mixnorm import compute
from mixnorm.checks import (
    check_activation, check_affine_types, check_delta_type, check_eps,
    check_input_types)
from mixnorm.compute.layout import stack, unstack, working_dtype
from mixnorm.functions.components import (
    centered, composed_affine_sum, inverse_deviations, inverse_or_zero,
    sum_of_components, transform)
from mixnorm.functions.gradient import Gradient


class MixtureNormalization(function_node.FunctionNode):

    """Node of :func:`mixture_normalization`.

    Args:
        eps (float): Added to variances.
        statistics (mixnorm.mixture.Parameters):
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
        arithmetic = compute.arithmetic(points)
        if self._statistics is None:
            self._statistics = arithmetic.mixture.statistics(
                points, tau)
        weights, means, variances = self._statistics
        self._origin = origin = arithmetic.transform.find_origin(points)
        self._means = means = centered(means, origin)
        self._inv_std = inv_std = inverse_deviations(
            weights, variances, self.eps)
        self._fisher = inverse_or_zero(xp, xp.sqrt(weights))[:, None]

        scale = gamma.astype(dtype, copy=False)
        shift = beta.astype(dtype, copy=False)
        slope = self._fisher * inv_std * scale
        offset = -slope * means
        if gamma.ndim == 2:
            offset += self._fisher * shift
            shift = None
        return unstack(arithmetic.transform.affine(
            points, tau, slope, offset, origin, shift), x.shape),

    def backward(self, indexes, grad_outputs):
        x, gamma, beta = self.get_retained_inputs()
        gy, = grad_outputs
        gx, ggamma, gbeta = Gradient(self._formula, self._composition).apply(
            (x, gamma, beta, gy))
        return gx, ggamma, gbeta, None

    def _formula(self, x, gamma, _, gy):
        xp = backend.get_array_module(x)
        dtype = working_dtype(x.dtype)
        points, upstream, tau = stack(x), stack(gy), stack(self._posterior)
        origin, inv_std = self._origin, self._inv_std
        arithmetic = compute.arithmetic(points)
        sum_g, sum_gx, total_g = arithmetic.transform.gradient_sums(
            points, upstream, tau, origin)
        # Sums of c_k gy and of c_k gy xhat_k, where c_k is the coefficient
        # tau_k / sqrt(lambda_k).
        sum_g = sum_g * self._fisher
        sum_gxhat = inv_std * (self._fisher * sum_gx - self._means * sum_g)

        # The gradients of mu_k and var_k, each times the derivative of the
        # statistic: hat tau_k, and 2 hat tau_k (x - mu_k).
        scale = gamma.astype(dtype, copy=False)
        inv_count = inverse_or_zero(
            xp, self._statistics.weights * (x.size // x.shape[1]))[:, None]
        quadratic = -scale * inv_std * inv_std * sum_gxhat * inv_count
        offset = (-scale * inv_std * sum_g * inv_count
                  - quadratic * self._means)
        gx = arithmetic.transform.gradient_input(
            points, upstream, tau, self._fisher * inv_std * scale,
            quadratic.astype(dtype), offset.astype(dtype), origin)

        if gamma.ndim == 1:
            ggamma, gbeta = sum_gxhat.sum(axis=0), total_g
        else:
            ggamma, gbeta = sum_gxhat, sum_g
        return (unstack(gx, x.shape), ggamma.astype(gamma.dtype),
                gbeta.astype(gamma.dtype))

    def _composition(self, x, gamma, beta):
        return composed_affine_sum(
            functools.partial(batch_sum, x, self._posterior, self.eps),
            x, gamma, beta)


def batch_sum(x, posterior, eps, form):
    """Sums over components, eqs. (34) to (36), in Chainer's functions.

    Args:
        x (chainer.Variable): ``(N, C, *S)``.
        posterior (array): ``(N, K, *S)`` in the working dtype.
        eps (float): Added to variances.
        form (callable): See
            :func:`mixnorm.functions.components.sum_of_components`.

    Returns:
        chainer.Variable: ``(N, C, *S)`` in the working dtype.

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
        x, coefficients, weighted_mean, variance, eps, form)


def mixture_normalization(x, gamma, beta, posterior, eps=2e-5,
                          activation=None, statistics=None, delta=None):
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
        statistics (mixnorm.mixture.Parameters):
            The batch's ``lambda`` ``(K,)``, ``mu`` and ``sigma^2``
            ``(K, C)`` under the posterior, from a caller that has computed
            them already; computed if ``None``.
        delta (:class:`~chainer.Variable` or array): If given, of ``gamma``'s
            shape and dtype, it weighs the Fisher vector of second order:
            ``delta (xhat_ik^2 - 1) / sqrt(2)`` is added to each component's
            scaled and shifted input, inside ``f``.  It takes memory ``K``
            times ``x``'s.

    Returns:
        ~chainer.Variable: Output of ``x``'s shape and dtype.

    Raises:
        chainer.utils.type_check.InvalidType: If shapes or dtypes do not fit.
        ValueError: If ``eps`` or ``activation`` is out of its range.

    Source: M. M. Kalayeh and M. Shah, *Training Faster by Separating Modes
    of Variation in Batch-normalized Models* (2018), eqs. (33) to (37), (40).

    .. seealso:: :class:`mixnorm.links.MixtureNormalization`

    .. admonition:: Example

        >>> import numpy as np
        >>> import mixnorm
        >>> x = np.array([[0.], [2.], [10.], [14.]])
        >>> posterior = np.array([[1., 0], [1, 0], [0, 1], [0, 1]])
        >>> y = mixnorm.functions.mixture_normalization(
        ...     x, np.ones(1), np.zeros(1), posterior, eps=0)
        >>> y.array.ravel().round(4).tolist()
        [-1.4142, 1.4142, -1.4142, 1.4142]

    """
    check_eps(eps)
    check_activation(activation)
    node = MixtureNormalization(eps, statistics)
    x, gamma, beta = map(chainer.as_variable, (x, gamma, beta))
    posterior = chainer.as_array(posterior)
    if delta is not None:
        delta = chainer.as_variable(delta)
        check_delta_type(delta.array, gamma.array)
    if activation is not None:
        check_input_types(node, x.array, gamma.array, beta.array, posterior)

    def sum_of(form):
        return batch_sum(x, posterior.astype(
            working_dtype(x.dtype), copy=False), eps, form)

    return transform(
        lambda: node.apply((x, gamma, beta, posterior))[0], sum_of,
        x, gamma, beta, activation, delta)
