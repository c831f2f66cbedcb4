"""Coefficients of a sum over columns: arithmetic on ``(J, C)``, not on points.

A *column* is a component of a mixture, or of one of several mixtures one
after another.  With its posterior ``tau_j``, at each point

    y = sum_j factor_j tau_j (gamma_j (x - mu_j) / sigma_j + beta_j)

is affine in ``x``.  The functions take NumPy's arrays and CuPy's.  For the
statistics of a mini-batch on a GPU, kernels do the same in one launch; see
:class:`mixnorm.compute.contract.Coefficients`.
"""
import typing

from mixnorm.compute.layout import get_array_module


class Columns(typing.NamedTuple):

    """What is summed, in the working dtype.

    Attributes:
        factor (array): ``factor_j``, ``(J, 1)``; 0 for an absent component.
        mean (array): ``mu_j``, ``(J, C)``.
        inv_std (array): ``1 / sigma_j``, ``(J, C)``.
        inv_count (array or None): ``1 / sum_i tau_ij``, ``(J, 1)``, if mean
            and deviation are those of the points under the posterior;
            ``None`` if they are constants.

    """

    factor: typing.Any
    mean: typing.Any
    inv_std: typing.Any
    inv_count: typing.Any


class Coefficients(typing.NamedTuple):

    """The last four arguments of ``affine``, in its order.

    See :meth:`mixnorm.compute.contract.Transform.affine`.

    Attributes:
        slope (array): ``(J, C)``.
        offset (array): ``(J, C)``.
        origin (array or None): ``(C,)``, what offsets are relative to.
        shift (array or None): ``(C,)``.

    """

    slope: typing.Any
    offset: typing.Any
    origin: typing.Any
    shift: typing.Any


class Gradients(typing.NamedTuple):

    """What follows from the sums over the gradient of the output.

    Attributes:
        quadratic (array or None): ``(J, C)``, for ``gradient_input``.
        offset (array or None): ``(J, C)``, likewise.
        gamma (array): Gradient of gamma, of its shape.
        beta (array): Gradient of beta, of its shape.

    """

    quadratic: typing.Any
    offset: typing.Any
    gamma: typing.Any
    beta: typing.Any


def batch_columns(statistics, n_points, eps):
    """Returns the columns of a mini-batch under its posterior, (34) to (36).

    Args:
        statistics (Parameters): ``lambda`` ``(K,)``, ``mu`` and ``sigma^2``
            ``(K, C)``.
        n_points (int): Number of points.
        eps (float): Added to variances.

    Returns:
        Columns: One for each component.

    """
    weights, means, variances = statistics
    xp = get_array_module(weights)
    return Columns(
        inverse_or_zero(xp, xp.sqrt(weights))[:, None], means,
        inverse_deviations(weights, variances, eps),
        inverse_or_zero(xp, weights * n_points)[:, None])


def coefficients(columns, gamma, beta, origin):
    """Computes the coefficients of a point.

    Args:
        columns (Columns): What is summed.
        gamma (array): Scale, ``(C,)`` or ``(K, C)``, where ``K`` divides
            ``J``.
        beta (array): Shift, likewise.
        origin (array or None): ``(C,)``.

    Returns:
        Coefficients: Those of ``x - origin``.

    """
    factor, inv_std = columns.factor, columns.inv_std
    mean = _from_origin(columns, origin)
    slope = factor * inv_std * _by_column(gamma, columns)
    offset = -slope * mean
    shift = _by_column(beta, columns)
    if beta.ndim == 2:
        offset += factor * shift
        shift = None
    return Coefficients(slope, offset, origin, shift)


def gradients(columns, gamma, origin, sums):
    """Computes gradients, and the coefficients of that of the input.

    Args:
        columns (Columns): What was summed.
        gamma (array): Scale, as in :func:`coefficients`.
        origin (array or None): ``(C,)``, what the sums are relative to.
        sums (tuple of arrays): See
            :meth:`mixnorm.compute.contract.Transform.gradient_sums`.

    Returns:
        Gradients: Without ``quadratic`` and ``offset`` if mean and deviation
        are constants.

    """
    factor, _, inv_std, inv_count = columns
    mean = _from_origin(columns, origin)
    sum_g, sum_gx, total_g = sums
    # Sums of factor_j tau_j gy and of factor_j tau_j gy xhat_j.
    sum_g = sum_g * factor
    sum_gxhat = inv_std * (factor * sum_gx - mean * sum_g)
    quadratic = offset = None
    if inv_count is not None:
        # The gradients of mu_j and sigma_j^2, each times the derivative of
        # the statistic: hat tau_j, and 2 hat tau_j (x - mu_j).
        scale = _by_column(gamma, columns)
        quadratic = -scale * inv_std * inv_std * sum_gxhat * inv_count
        offset = -scale * inv_std * sum_g * inv_count - quadratic * mean
        quadratic, offset = (
            z.astype(inv_std.dtype) for z in (quadratic, offset))
    if gamma.ndim == 1:
        ggamma, gbeta = sum_gxhat.sum(axis=0), total_g
    else:
        ggamma, gbeta = (
            z.reshape((-1,) + gamma.shape).sum(axis=0)
            for z in (sum_gxhat, sum_g))
    return Gradients(quadratic, offset, *(
        z.astype(gamma.dtype) for z in (ggamma, gbeta)))


def inverse_deviations(weights, variances, eps):
    """Returns ``1 / sqrt(var + eps)``, and 1 for absent components.

    Args:
        weights (array): ``(...)``, 0 for absent components.
        variances (array): ``(..., C)``.
        eps (float): Added to variances.

    Returns:
        array: ``(..., C)``.

    """
    xp = get_array_module(weights)
    return 1 / xp.sqrt(xp.where(
        weights[..., None] > 0, variances + variances.dtype.type(eps), 1))


def inverse_or_zero(xp, z):
    """Returns ``1 / z``, and 0 where ``z`` is 0: for absent components."""
    present = z != 0
    return xp.where(present, 1 / xp.where(present, z, 1), 0)


def _from_origin(columns, origin):
    return columns.mean if origin is None else columns.mean - origin


def _by_column(parameter, columns):
    """Repeats ``(K, C)`` for every mixture; leaves ``(C,)``."""
    parameter = parameter.astype(columns.mean.dtype, copy=False)
    if parameter.ndim == 1:
        return parameter
    return get_array_module(parameter).tile(
        parameter, (len(columns.factor) // len(parameter), 1))
