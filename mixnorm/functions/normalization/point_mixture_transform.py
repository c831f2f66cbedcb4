"""Mixture normalization of points, the channel vectors at all positions."""
import typing

from chainer import backend

from mixnorm import compute
from mixnorm.compute.layout import stack, unstack
from mixnorm.functions.normalization.mixture_transform import MixtureTransform


class Columns(typing.NamedTuple):

    """What is summed, in the working dtype.

    Attributes:
        tau (array): Posterior ``(B, J, L)``.
        factor (array): Of the coefficients ``c_j = factor_j tau_j``,
            ``(J, 1)``; 0 for an absent component.
        mean (array): ``mu_j``, ``(J, C)``.
        inv_std (array): ``1 / sigma_j``, ``(J, C)``.
        inv_count (array or None): ``1 / sum_i tau_ij``, ``(J, 1)``, if mean
            and deviation are those of the points under the posterior;
            ``None`` if they are constants.

    """

    tau: typing.Any
    factor: typing.Any
    mean: typing.Any
    inv_std: typing.Any
    inv_count: typing.Any


class PointMixtureTransform(MixtureTransform):

    """Sums columns over points: value and gradients by thin products.

    At each point the sum is affine in ``x``,

        y = x sum_j tau_j slope_j + sum_j tau_j offset_j,
        slope_j = factor_j gamma_j / sigma_j,
        offset_j = factor_j beta_j - slope_j mu_j.

    A subclass has ``check_type_forward``, ``standardize`` and the method
    below.

    """

    # What a caller has made of x to find the origin of.
    _points = None

    def compute_columns(self, points):
        """Computes what is summed.

        Args:
            points (array): Stack ``(B, C, L)``.

        Returns:
            Columns: With as many columns as components, or a multiple.

        """
        raise NotImplementedError

    def forward(self, inputs):
        self.retain_inputs((0, 1, 2))
        x, gamma, beta = inputs
        points = stack(x)
        arithmetic = compute.arithmetic(points)
        columns = self.compute_columns(points)
        self._origin = origin = arithmetic.transform.find_origin(
            points if self._points is None else self._points)
        self._points = None
        if origin is not None:
            columns = columns._replace(mean=columns.mean - origin)
        self._columns = columns
        self._scale, shift = self._by_column(gamma), self._by_column(beta)
        self._slope = columns.factor * columns.inv_std * self._scale
        offset = -self._slope * columns.mean
        if gamma.ndim == 2:
            offset += columns.factor * shift
            shift = None
        return _unstack_like(arithmetic.transform.affine(
            points, columns.tau, self._slope, offset, origin, shift), x),

    def _by_column(self, parameter):
        """Repeats ``(K, C)`` for every mixture; leaves ``(C,)``."""
        parameter = parameter.astype(self._columns.tau.dtype, copy=False)
        if parameter.ndim == 1:
            return parameter
        n_mixtures = len(self._columns.factor) // len(parameter)
        return backend.get_array_module(parameter).tile(
            parameter, (n_mixtures, 1))

    def compute_gradients(self, x, gamma, beta, gy):
        points, upstream = stack(x), stack(gy)
        arithmetic = compute.arithmetic(points)
        tau, factor, mean, inv_std, inv_count = self._columns
        sum_g, sum_gx, total_g = arithmetic.transform.gradient_sums(
            points, upstream, tau, self._origin)
        # Sums of c_j gy and of c_j gy xhat_j.
        sum_g = sum_g * factor
        sum_gxhat = inv_std * (factor * sum_gx - mean * sum_g)

        quadratic = offset = None
        if inv_count is not None:
            # The gradients of mu_j and sigma_j^2, each times the derivative
            # of the statistic: hat tau_j, and 2 hat tau_j (x - mu_j).
            quadratic = -self._scale * inv_std * inv_std * sum_gxhat * (
                inv_count)
            offset = (-self._scale * inv_std * sum_g * inv_count
                      - quadratic * mean)
            quadratic, offset = (
                z.astype(tau.dtype) for z in (quadratic, offset))
        gx = arithmetic.transform.gradient_input(
            points, upstream, tau, self._slope, quadratic, offset,
            self._origin)

        if gamma.ndim == 1:
            ggamma, gbeta = sum_gxhat.sum(axis=0), total_g
        else:
            ggamma, gbeta = (
                z.reshape((-1,) + gamma.shape).sum(axis=0)
                for z in (sum_gxhat, sum_g))
        return (_unstack_like(gx, x), ggamma.astype(gamma.dtype),
                gbeta.astype(gamma.dtype))


def _unstack_like(z, x):
    """Undoes ``stack(x)``, in ``x``'s order in memory if that is C's."""
    z = unstack(z, x.shape)
    return backend.get_array_module(z).ascontiguousarray(z) if (
        x.flags.c_contiguous) else z
