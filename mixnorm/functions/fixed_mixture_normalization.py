import functools

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

# The mixture of a queue entry is regularized as a fit is: no component is
# narrower, in any channel, than this share of the channel's variance.
_RELATIVE_FLOOR = 1e-6


class FixedMixtureNormalization(function_node.FunctionNode):

    """Node of :func:`fixed_mixture_normalization`."""

    def __init__(self, weights, means, variances, factors, eps=2e-5):
        self.eps = eps
        self._queue = weights, means, variances
        self._factors = factors

    def check_type_forward(self, in_types):
        type_check._argname(in_types, ('x', 'gamma', 'beta'))
        x_type, gamma_type, beta_type = in_types
        weights, means, variances = (
            type_check.make_variable(
                type_check.TypeInfo(array.shape, array.dtype), name)
            for array, name in zip(
                self._queue, ('weights', 'means', 'variances')))
        factors = type_check.make_variable(
            type_check.TypeInfo(self._factors.shape, self._factors.dtype),
            'factors')
        type_check.expect(
            weights.ndim == 2,
            means.ndim == 3,
            means.shape[:2] == weights.shape,
            variances.shape == means.shape,
            factors.shape == weights.shape[:1],
        )
        type_check.expect(x_type.ndim >= 2)
        type_check.expect(means.shape[2] == x_type.shape[1])
        check_affine_types(x_type, gamma_type, beta_type, weights.shape[1])

    def forward(self, inputs):
        self.retain_inputs((0, 1, 2))
        x, gamma, beta = inputs
        xp = backend.get_array_module(x)
        dtype = working_dtype(x.dtype)
        points = stack(x)
        weights, means, variances = queue = [
            array.astype(dtype, copy=False) for array in self._queue]
        self._posterior = tau = queue_posterior(points, *queue)

        # The entries' components as columns of one thin product.
        factors = self._factors.astype(dtype, copy=False)[:, None]
        self._factor = (factors * inverse_or_zero(
            xp, xp.sqrt(weights))).reshape(-1, 1)
        arithmetic = compute.arithmetic(points)
        self._origin = origin = arithmetic.transform.find_origin(points)
        self._means = means = centered(
            means.reshape(-1, x.shape[1]), origin)
        self._inv_std = inv_std = inverse_deviations(
            weights, variances, self.eps).reshape(means.shape)

        shift = beta.astype(dtype, copy=False)
        self._slope = slope = self._factor * inv_std * self._per_column(
            gamma, dtype)
        offset = -slope * means
        if gamma.ndim == 2:
            offset += self._factor * self._per_column(beta, dtype)
            shift = None
        return unstack(arithmetic.transform.affine(
            points, tau, slope, offset, origin, shift), x.shape),

    def _per_column(self, parameter, dtype):
        """Repeats ``(K, C)`` for every entry; leaves ``(C,)``."""
        parameter = parameter.astype(dtype, copy=False)
        if parameter.ndim == 1:
            return parameter
        xp = backend.get_array_module(parameter)
        return xp.tile(parameter, (len(self._factors), 1))

    def backward(self, indexes, grad_outputs):
        x, gamma, beta = self.get_retained_inputs()
        gy, = grad_outputs
        return Gradient(self._formula, self._composition).apply(
            (x, gamma, beta, gy))

    def _formula(self, x, gamma, _, gy):
        points, upstream, tau = stack(x), stack(gy), self._posterior
        arithmetic = compute.arithmetic(points)
        sum_g, sum_gx, total_g = arithmetic.transform.gradient_sums(
            points, upstream, tau, self._origin)
        gx = arithmetic.transform.gradient_input(
            points, upstream, tau, self._slope, None, None, self._origin)
        sum_g = sum_g * self._factor
        ggamma = self._inv_std * (self._factor * sum_gx - self._means * sum_g)
        if gamma.ndim == 1:
            ggamma, gbeta = ggamma.sum(axis=0), total_g
        else:
            shape = (len(self._factors),) + gamma.shape
            ggamma = ggamma.reshape(shape).sum(axis=0)
            gbeta = sum_g.reshape(shape).sum(axis=0)
        return (unstack(gx, x.shape), ggamma.astype(gamma.dtype),
                gbeta.astype(gamma.dtype))

    def _composition(self, x, gamma, beta):
        return composed_affine_sum(
            functools.partial(
                queue_sum, x, unstack(self._posterior, x.shape),
                *self._queue, self._factors, self.eps),
            x, gamma, beta)


def queue_posterior(x, weights, means, variances):
    """Computes the posteriors of points under the mixtures of a queue.

    A mixture is regularized as a fit is: in no channel is a component
    narrower than a millionth of the channel's variance, and a channel that
    did not vary at all does not tell components apart.

    Args:
        x (array): Stack ``(B, C, L)``.
        weights (array): ``(T, K)``.
        means (array): ``(T, K, C)``.
        variances (array): ``(T, K, C)``.

    Returns:
        array: ``(B, T * K, L)``.

    """
    xp = backend.get_array_module(x)
    share = weights[..., None]
    deviation = means - (share * means).sum(axis=1, keepdims=True)
    total = (share * (variances + deviation ** 2)).sum(axis=1, keepdims=True)
    floor = xp.where(total > 0, _RELATIVE_FLOOR * total, 1)
    tau, _ = compute.arithmetic(x).mixture.posterior(
        x, weights, means,
        xp.maximum(variances, floor.astype(variances.dtype)))
    return tau


def queue_sum(x, posteriors, weights, means, variances, factors, eps, form):
    """Sums over the queue, eqs. (38) and (39), in Chainer's functions.

    Args:
        x (chainer.Variable): ``(N, C, *S)``.
        posteriors (array): ``(N, T * K, *S)`` in the working dtype.
        weights (array): ``(T, K)``.
        means (array): ``(T, K, C)``.
        variances (array): ``(T, K, C)``.
        factors (array): ``(T,)``.
        eps (float): Added to variances.
        form (callable): See
            :func:`mixnorm.functions.components.sum_of_components`.

    Returns:
        chainer.Variable: ``(N, C, *S)`` in the working dtype.

    """
    xp = backend.get_array_module(posteriors)
    dtype = posteriors.dtype
    scales = (factors[:, None] * inverse_or_zero(xp, xp.sqrt(weights)))
    coefficients = [
        xp.broadcast_to(posteriors[:, j:j + 1] * scale.astype(dtype), x.shape)
        for j, scale in enumerate(scales.ravel())]
    # One array (1, C, 1, ...) per column.
    columns = (-1, 1, x.shape[1]) + (1,) * (x.ndim - 2)
    # With eps=0, the deviation of an absent component is anything but 0.
    variances = xp.where(weights[..., None] > 0, variances, 1)
    means = means.astype(dtype, copy=False).reshape(columns)
    variances = variances.astype(dtype, copy=False).reshape(columns)
    return sum_of_components(
        x, coefficients, lambda _, j: means[j],
        lambda _, j: chainer.as_variable(variances[j]), eps, form)


def fixed_mixture_normalization(x, gamma, beta, weights, means, variances,
                                factors, eps=2e-5, activation=None,
                                delta=None):
    r"""Mixture normalization with the statistics of earlier batches.

    Each entry ``t`` of the queue is a mixture with its own posterior
    :math:`\tau^{(t)}`; the outputs under all of them are averaged:

    .. math::

        y_i = \gamma \sum_t w_t \sum_k
        \frac{\tau_{ik}^{(t)}}{\sqrt{\lambda_k^{(t)}}}
        \frac{x_i - \mu_k^{(t)}}{\sqrt{(\sigma_k^{(t)})^2 + \epsilon}}
        + \beta

    The posterior is a constant here, too: the gradient stops there.  With one
    entry of one component this is
    :func:`chainer.functions.fixed_batch_normalization`.

    Args:
        x (:class:`~chainer.Variable` or array): Input ``(N, C, *S)``,
            floating; ``S`` may be empty.
        gamma (:class:`~chainer.Variable` or array): Scale ``(C,)`` or
            ``(K, C)``; see :func:`mixture_normalization`.
        beta (:class:`~chainer.Variable` or array): Shift, of ``gamma``'s
            shape and dtype.
        weights (array): ``lambda`` of the ``T`` entries, ``(T, K)``; a
            component of weight 0 is absent.
        means (array): ``mu``, ``(T, K, C)``.
        variances (array): ``sigma^2``, ``(T, K, C)``.
        factors (array): ``w``, ``(T,)``, summing to 1.
        eps (float): Added to variances, in squared units of ``x``.
        activation (callable): See :func:`mixture_normalization`.
        delta (:class:`~chainer.Variable` or array): Weight of second order,
            ``(C,)`` or ``(K, C)``; see :func:`mixture_normalization`.

    Returns:
        ~chainer.Variable: Output of ``x``'s shape and dtype.

    Raises:
        chainer.utils.type_check.InvalidType: If shapes or dtypes do not fit.
        ValueError: If ``eps`` or ``activation`` is out of its range.

    Source: M. M. Kalayeh and M. Shah, *Training Faster by Separating Modes
    of Variation in Batch-normalized Models* (2018), eqs. (33), (38), (39).

    .. seealso:: :class:`mixnorm.links.MixtureNormalization`

    """
    check_eps(eps)
    check_activation(activation)
    *queue, factors = map(
        chainer.as_array, (weights, means, variances, factors))
    node = FixedMixtureNormalization(*queue, factors, eps)
    x, gamma, beta = map(chainer.as_variable, (x, gamma, beta))
    if delta is not None:
        delta = chainer.as_variable(delta)
        check_delta_type(delta.array, gamma.array)
    if activation is not None:
        check_input_types(node, x.array, gamma.array, beta.array)

    def sum_of(form):
        dtype = working_dtype(x.dtype)
        posteriors = unstack(
            queue_posterior(stack(x.array), *(
                array.astype(dtype, copy=False) for array in queue)), x.shape)
        return queue_sum(x, posteriors, *queue, factors, eps, form)

    return transform(
        lambda: node.apply((x, gamma, beta))[0], sum_of,
        x, gamma, beta, activation, delta)
