"""Normalization whose coefficients follow from each row's moments.

A *row* is what a sample holds of a channel.  Mode normalization maps every
row by a function of its own,

    y = slope_nc (x - center_nc) + offset_nc,

and the coefficients are functions of the rows' means and variances and of the
parameters, all of them small: the number of modes never multiplies an array of
``x``'s size.
"""
import math

from chainer import backend
from chainer import function_node
from chainer import functions

from mixnorm import compute
from mixnorm.compute.layout import working_dtype
from mixnorm.functions.gradient import Gradient


class RowNormalization(function_node.FunctionNode):

    """Maps every row by coefficients that a subclass computes.

    The first input is ``x``, of shape ``(N, C, *S)``; the others are
    parameters.  A subclass has ``check_type_forward`` and the methods below.

    """

    # Whether the coefficients depend on the rows' variances.
    needs_variances = True

    def compute_coefficients(self, means, variances, *parameters):
        """Computes the coefficients.

        Args:
            means (array): The rows' means ``(N, C)``, in the working dtype;
                they are the center, too.
            variances (array): Their variances ``(N, C)``; not there unless
                ``needs_variances``.
            parameters (array): The other inputs.

        Returns:
            tuple of arrays: Slope and offset, ``(N, C)``, of any floating
            dtype.

        """
        raise NotImplementedError

    def compute_gradients(self, gslope, goffset):
        """Computes gradients of the coefficients last computed.

        Args:
            gslope (array): Gradient of the slope, ``(N, C)``.
            goffset (array): Gradient of the offset, ``(N, C)``.

        Returns:
            tuple of arrays: Gradients of the rows' means, of their variances
            (if ``needs_variances``) and of the parameters, of any floating
            dtype.

        """
        raise NotImplementedError

    def compose_coefficients(self, center, means, variances, *parameters):
        """Computes the coefficients in Chainer's functions.

        They serve derivatives of second and higher order.

        Args:
            center (array): ``(N, C)``, a constant.
            means (chainer.Variable): The rows' means ``(N, C)``.
            variances (chainer.Variable): Their variances ``(N, C)``; not
                there unless ``needs_variances``.
            parameters (chainer.Variable): The other inputs.

        Returns:
            tuple of chainer.Variable: Slope and offset.

        """
        raise NotImplementedError

    def forward(self, inputs):
        self.retain_inputs(tuple(range(len(inputs))))
        x, *parameters = inputs
        rows = _rows(x)
        arithmetic = compute.arithmetic(x)
        if self.needs_variances:
            moments = arithmetic.rows.moments(rows)
        else:
            moments = arithmetic.rows.means(rows),
        self._center = moments[0]
        self._slope, offset = (
            z.astype(self._center.dtype, copy=False)
            for z in self.compute_coefficients(*moments, *parameters))
        return arithmetic.rows.affine(
            rows, self._center, self._slope, offset).reshape(x.shape),

    def backward(self, indexes, grad_outputs):
        return Gradient(self._formula, self._composition).apply(
            self.get_retained_inputs() + grad_outputs)

    def _formula(self, x, *others):
        *parameters, gy = others
        rows, upstream = _rows(x), _rows(gy)
        arithmetic = compute.arithmetic(x)
        gmeans, *gradients = self.compute_gradients(
            *arithmetic.rows.gradient_sums(rows, upstream, self._center))
        length, dtype = max(1, rows.shape[2]), self._center.dtype
        quadratic = None
        if self.needs_variances:
            quadratic = (gradients.pop(0) * (2 / length)).astype(
                dtype, copy=False)
        gx = arithmetic.rows.gradient_input(
            rows, upstream, self._center, self._slope, quadratic,
            (gmeans / length).astype(dtype, copy=False))
        return (gx.reshape(x.shape), *(
            g.astype(p.dtype, copy=False)
            for g, p in zip(gradients, parameters)))

    def _composition(self, x, *parameters):
        z = functions.cast(_rows(x), working_dtype(x.dtype))

        def spread(coefficient):
            return functions.broadcast_to(functions.reshape(
                functions.cast(coefficient, z.dtype),
                coefficient.shape + (1,)), z.shape)

        moments = [functions.mean(z, axis=2)]
        if self.needs_variances:
            deviations = z - spread(moments[0])
            moments.append(functions.mean(deviations * deviations, axis=2))
        slope, offset = self.compose_coefficients(
            self._center, *moments, *parameters)
        xp = backend.get_array_module(self._center)
        center = xp.broadcast_to(self._center[:, :, None], z.shape)
        y = (z - center) * spread(slope) + spread(offset)
        return functions.cast(functions.reshape(y, x.shape), x.dtype)


def _rows(x):
    """Flattens the spatial axes of ``(N, C, *S)``."""
    return x.reshape(x.shape[:2] + (math.prod(x.shape[2:]),))
