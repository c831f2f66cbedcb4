"""What the functions of mixture normalization share.

Every one of them is a sum over columns ``j`` (components, or components of
several mixtures) of posterior-weighted standardized inputs,

    y = sum_j c_j f(gamma_j (x - mu_j) / sigma_j + beta_j)

with coefficients ``c_j`` per point.  Without ``f`` it is computed by
arithmetic of its own, in passes over blocks; here is what composes it of
Chainer's functions, whatever is inside the sum and however often it is
differentiated, with temporaries ``K`` times as large as ``x``.
"""
import math

import chainer
from chainer.functions.array.broadcast import broadcast_to
from chainer.functions.array.cast import cast


def inverse_or_zero(xp, z):
    """Returns ``1 / z``, and 0 where ``z`` is 0: for absent components."""
    present = z != 0
    return xp.where(present, 1 / xp.where(present, z, 1), 0)


def inverse_deviations(weights, variances, eps):
    """Returns ``1 / sqrt(var + eps)``, and 1 for absent components.

    Args:
        weights (array): ``(...)``, 0 for absent components.
        variances (array): ``(..., C)``.
        eps (float): Added to variances.

    Returns:
        array: ``(..., C)``.

    """
    xp = chainer.backend.get_array_module(weights)
    return 1 / xp.sqrt(xp.where(
        weights[..., None] > 0, variances + variances.dtype.type(eps), 1))


def centered(means, origin):
    """Returns means relative to an origin, ``None`` for 0."""
    return means if origin is None else means - origin


def sum_of_components(x, coefficients, means, variances, eps, form):
    """Writes the sum over components out in Chainer's functions.

    It serves where thin products do not: with more than a scale and a shift
    inside the sum, and for derivatives of second and higher order.

    Args:
        x (chainer.Variable): ``(N, C, *S)``.
        coefficients (list of arrays): ``c_j``, each of ``x``'s shape, in the
            working dtype.
        means (callable): From ``x`` in the working dtype and ``j`` to
            ``mu_j``, a variable or array that broadcasts to ``x``.
        variances (callable): From ``(x - mu_j)^2`` and ``j`` to
            ``sigma_j^2``, likewise.
        eps (float): Added to variances.
        form (callable): From ``xhat_j`` and ``j`` to what is summed.

    Returns:
        chainer.Variable: ``sum_j c_j form(xhat_j)`` in the working dtype.

    """
    z = cast(x, coefficients[0].dtype)
    y = None
    for j, coefficient in enumerate(coefficients):
        deviation = z - broadcast_to(means(z, j), z.shape)
        variance = variances(deviation * deviation, j)
        xhat = deviation / broadcast_to(
            chainer.functions.sqrt(variance + eps), z.shape)
        term = form(xhat, j) * coefficient
        y = term if y is None else y + term
    return y


def affine(xhat, gamma, beta, j=0):
    """Scales and shifts, eq. (37).

    Args:
        xhat (chainer.Variable): ``(N, C, *S)``.
        gamma (chainer.Variable): ``(C,)`` or ``(K, C)``.
        beta (chainer.Variable): As ``gamma``.
        j (int): Column; its component is ``j % K``.

    Returns:
        chainer.Variable: As ``xhat``.

    """
    return _spread(gamma, xhat, j) * xhat + _spread(beta, xhat, j)


def second_order(xhat, delta, j=0):
    """Weighs a component's Fisher vector of second order, eq. (33).

    Args:
        xhat (chainer.Variable): ``(N, C, *S)``.
        delta (chainer.Variable): ``(C,)`` or ``(K, C)``.
        j (int): Column; its component is ``j % K``.

    Returns:
        chainer.Variable: As ``xhat``; for ``tau_k / sqrt(lambda_k)`` as the
        coefficient.

    """
    return _spread(delta, xhat, j) * ((xhat * xhat - 1) * math.sqrt(.5))


def _spread(parameter, z, j):
    if parameter.ndim == 2:
        parameter = parameter[j % len(parameter)]
    return broadcast_to(
        chainer.functions.reshape(
            cast(parameter, z.dtype), (1, -1) + (1,) * (z.ndim - 2)),
        z.shape)


def composed_affine_sum(sum_of, x, gamma, beta):
    """Composes the transform without an activation, eqs. (34) and (37).

    Args:
        sum_of (callable): From a form to the sum over components, as
            :func:`sum_of_components`.
        x (chainer.Variable): ``(N, C, *S)``.
        gamma (chainer.Variable): ``(C,)``, which acts on the sum, or
            ``(K, C)``, inside it.
        beta (chainer.Variable): As ``gamma``.

    Returns:
        chainer.Variable: ``y`` in ``x``'s dtype.

    """
    if gamma.ndim == 2:
        y = sum_of(lambda xhat, j: affine(xhat, gamma, beta, j))
    else:
        y = affine(sum_of(lambda xhat, j: xhat), gamma, beta)
    return cast(y, x.dtype)


def transform(affine_sum, sum_of, x, gamma, beta, activation, delta):
    """Applies the transform with whatever there is inside the sum.

    Args:
        affine_sum (callable): From nothing to the value without activation
            and second order, by thin products.
        sum_of (callable): From a form to the sum over components, as
            :func:`sum_of_components`.
        x (chainer.Variable): ``(N, C, *S)``.
        gamma (chainer.Variable): ``(C,)`` or ``(K, C)``.
        beta (chainer.Variable): As ``gamma``.
        activation (callable or None): ``f`` of (40).
        delta (chainer.Variable or None): Weight of second order, as
            ``gamma``.

    Returns:
        chainer.Variable: ``y`` in ``x``'s dtype.

    """
    if activation is None:
        y = affine_sum()
        if delta is None:
            return y
        return y + cast(sum_of(
            lambda xhat, j: second_order(xhat, delta, j)), x.dtype)

    def form(xhat, j):
        term = affine(xhat, gamma, beta, j)
        if delta is not None:
            term = term + second_order(xhat, delta, j)
        return activation(term)

    return cast(sum_of(form), x.dtype)
