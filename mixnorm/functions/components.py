"""What the functions of mixture normalization share.

Every one of them is a sum over columns ``j`` (components, or components of
several mixtures) of posterior-weighted standardized inputs,

    y = sum_j c_j f(gamma_j (x - mu_j) / sigma_j + beta_j)

with coefficients ``c_j`` per point.  Without ``f`` the sum is two products of
thin matrices, ``y = x * (c A) + c B``: no temporary is ``K`` times as large
as ``x``.
"""
import chainer
from chainer import function_node
from chainer.functions.array.broadcast import broadcast_to
from chainer.functions.array.cast import cast
from chainer.utils import type_check


def check_affine_types(x_type, gamma_type, beta_type, n_components):
    """Checks the types of input, scale and shift.

    Args:
        x_type: Type of ``x``: floating, ``(N, C, *S)``.
        gamma_type: Type of ``gamma``: floating, ``(C,)`` or ``(K, C)``.
        beta_type: Type of ``beta``: as ``gamma``'s.
        n_components (int): ``K``.

    Raises:
        chainer.utils.type_check.InvalidType: If one of them does not fit.

    """
    type_check.expect(
        x_type.dtype.kind == 'f',
        x_type.ndim >= 2,
    )
    type_check.expect(
        gamma_type.dtype.kind == 'f',
        gamma_type.ndim >= 1,
        gamma_type.ndim <= 2,
        beta_type.dtype == gamma_type.dtype,
        beta_type.shape == gamma_type.shape,
    )
    # Counted from the front: Chainer's type expressions know no -1.
    ndim = type_check.eval(gamma_type.ndim)
    type_check.expect(gamma_type.shape[ndim - 1] == x_type.shape[1])
    if ndim == 2:
        type_check.expect(gamma_type.shape[0] == n_components)


def check_input_types(node, *inputs):
    """Checks arrays as ``node.apply`` would, for a value made without it.

    Args:
        node (chainer.FunctionNode): Whose types are meant.
        inputs (arrays): The node's inputs.

    Raises:
        chainer.utils.type_check.InvalidType: If one of them does not fit.

    """
    if chainer.config.type_check:
        with type_check.get_function_check_context(node):
            node.check_type_forward(
                type_check.get_types(inputs, 'in_types', False))


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


def sum_of_components(x, gamma, beta, coefficients, means, variances, eps,
                      activation):
    """Writes the sum over components out in Chainer's functions.

    It serves where thin products do not: with an activation inside the sum,
    and for derivatives of second and higher order.

    Args:
        x (chainer.Variable): ``(N, C, *S)``.
        gamma (chainer.Variable): ``(C,)`` or ``(K, C)``.
        beta (chainer.Variable): As ``gamma``.
        coefficients (list of arrays): ``c_j``, each ``(N, 1, *S)``, in the
            working dtype; column ``j`` is component ``j % K``.
        means (callable): From ``x`` in the working dtype and ``j`` to
            ``mu_j``, a variable or array ``(1, C, 1, ...)``.
        variances (callable): From ``(x - mu_j)^2`` and ``j`` to
            ``sigma_j^2``, likewise.
        eps (float): Added to variances.
        activation (callable or None): ``f``.

    Returns:
        chainer.Variable: ``y`` in ``x``'s dtype.

    """
    dtype = coefficients[0].dtype
    z = cast(x, dtype)
    per_component = gamma.ndim == 2

    def spread(parameter, k):
        parameter = parameter[k] if per_component else parameter
        shape = (1, -1) + (1,) * (x.ndim - 2)
        return broadcast_to(
            chainer.functions.reshape(cast(parameter, dtype), shape), x.shape)

    # (37): gamma and beta of shape (C,) act on the sum, unless an activation
    # needs them inside.
    inside = per_component or activation is not None
    y = None
    for j, coefficient in enumerate(coefficients):
        k = j % len(gamma) if per_component else 0
        deviation = z - broadcast_to(means(z, j), z.shape)
        variance = variances(deviation * deviation, j)
        term = deviation / broadcast_to(
            chainer.functions.sqrt(variance + eps), z.shape)
        if inside:
            term = spread(gamma, k) * term + spread(beta, k)
        if activation is not None:
            term = activation(term)
        term = term * coefficient
        y = term if y is None else y + term
    if not inside:
        y = spread(gamma, 0) * y + spread(beta, 0)
    return cast(y, x.dtype)


class Gradient(function_node.FunctionNode):

    """Gradient of a function by a formula; its own by Chainer's functions.

    Args:
        formula (callable): From arrays ``(x, gamma, gy)`` to arrays
            ``(gx, ggamma, gbeta)``.
        composition (callable): From variables ``(x, gamma, beta)`` to the
            function's value in Chainer's functions, which differentiate it
            as often as wanted.

    """

    def __init__(self, formula, composition):
        self._formula = formula
        self._composition = composition

    def forward(self, inputs):
        self.retain_inputs((0, 1, 2, 3))
        x, gamma, _, gy = inputs
        return self._formula(x, gamma, gy)

    def backward(self, indexes, grad_outputs):
        with chainer.force_backprop_mode():
            # Copies, so that no path leads from gy back to x: gy often
            # depends on it, which is not this function's derivative.
            x, gamma, beta, gy = map(
                chainer.functions.identity, self.get_retained_inputs())
            y = self._composition(x, gamma, beta)
            first = chainer.grad(
                [y], [x, gamma, beta], [gy], enable_double_backprop=True)
            pairs = [(g, gg) for g, gg in zip(first, grad_outputs)
                     if g is not None and gg is not None]
            if not pairs:
                return None, None, None, None
            outputs, grads = zip(*pairs)
            return tuple(chainer.grad(
                outputs, [x, gamma, beta, gy], grads,
                enable_double_backprop=chainer.config.enable_backprop))
