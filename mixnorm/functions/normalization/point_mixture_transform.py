"""Mixture normalization of points, the channel vectors at all positions."""
from chainer import backend

from mixnorm import compute
from mixnorm.compute.layout import stack, unstack
from mixnorm.functions.normalization.mixture_transform import MixtureTransform


class PointMixtureTransform(MixtureTransform):

    """Sums columns over points: value and gradients by thin products.

    At each point the sum is affine in ``x``; see
    :mod:`mixnorm.compute.columns`.  A subclass has ``check_type_forward``,
    ``standardize`` and the methods below.

    """

    def compute_coefficients(self, points, gamma, beta):
        """Computes what the output is affine by.

        Args:
            points (array): Stack ``(B, C, L)``.
            gamma (array): ``(C,)`` or ``(K, C)``.
            beta (array): Likewise.

        Returns:
            tuple: Posterior ``(B, J, L)`` in the working dtype, and
            :class:`mixnorm.compute.columns.Coefficients`.

        """
        raise NotImplementedError

    def compute_parameter_gradients(self, points, gamma, sums):
        """Computes what follows from the sums over the points.

        Args:
            points (array): Stack ``(B, C, L)``.
            gamma (array): ``(C,)`` or ``(K, C)``.
            sums (tuple of arrays): What
                :meth:`mixnorm.compute.contract.Transform.gradient_sums`
                returned with the coefficients' origin.

        Returns:
            mixnorm.compute.columns.Gradients: Of gamma's dtype.

        """
        raise NotImplementedError

    def forward(self, inputs):
        self.retain_inputs((0, 1, 2))
        x, gamma, beta = inputs
        points = stack(x)
        self._tau, self._coefficients = self.compute_coefficients(
            points, gamma, beta)
        return _unstack_like(compute.arithmetic(points).transform.affine(
            points, self._tau, *self._coefficients), x),

    def compute_gradients(self, x, gamma, beta, gy):
        points, upstream = stack(x), stack(gy)
        transform = compute.arithmetic(points).transform
        slope, _, origin, _ = self._coefficients
        found = self.compute_parameter_gradients(
            points, gamma, transform.gradient_sums(
                points, upstream, self._tau, origin))
        gx = transform.gradient_input(
            points, upstream, self._tau, slope, found.quadratic, found.offset,
            origin)
        return _unstack_like(gx, x), found.gamma, found.beta


def _unstack_like(z, x):
    """Undoes ``stack(x)``, in ``x``'s order in memory if that is C's."""
    z = unstack(z, x.shape)
    return backend.get_array_module(z).ascontiguousarray(z) if (
        x.flags.c_contiguous) else z
