"""Normalization whose coefficients follow from each row's moments.

A *row* is what a sample holds of a channel.  Mode normalization maps every
row by a function of its own,

    y = slope_nc (x - origin_nc) + intercept_nc,

where the origin is a constant near the data.  Slope and intercept are
functions of the rows' means and variances and of the parameters, all of them
small: the number of modes never multiplies an array of ``x``'s size.

These small functions are written once, in operations that arrays and
Chainer's variables have in common: on arrays they make the value, on variables
the derivatives of second and higher order.  Each returns its gradients as a
function beside the value: to have Chainer differentiate so many small
variables would make training a layer slower by a quarter.
"""
import math

import numpy

from chainer import functions

from mixnorm import compute
from mixnorm.compute.layout import working_dtype
from mixnorm.functions.normalization.gradient import NormalizationNode


class RowNormalization(NormalizationNode):

    """Maps every row by coefficients that a subclass computes.

    The first input is ``x``, of shape ``(N, C, *S)``; the others are
    parameters.  A subclass has ``check_type_forward`` and the methods below.

    """

    # Whether the coefficients depend on the rows' variances.
    needs_variances = True

    def compute_origin(self, means):
        """Chooses what ``x`` is measured from, near the modes' means.

        Args:
            means (array): The rows' means ``(N, C)``.

        Returns:
            array: A constant that broadcasts to ``(N, C)``, float64.

        """
        raise NotImplementedError

    def compute_coefficients(self, moments, parameters, origin):
        """Computes the coefficients.

        Args:
            moments (list): The rows' means ``(N, C)`` and, if
                ``needs_variances``, their variances ``(N, C)``.
            parameters (list): The other inputs.  These and the moments are
                arrays, or all of them variables; float64.
            origin (array): Of :meth:`compute_origin`.

        Returns:
            tuple: Slope and intercept, ``(N, C)``; and a function, only for
            arrays, from their gradients to lists of those of ``moments`` and
            of ``parameters``.

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
        self._center = center = moments[0]
        self._origin = self.compute_origin(center)
        slope, intercept, self._gradients = self.compute_coefficients(
            *([z.astype(numpy.float64, copy=False) for z in arrays]
              for arrays in (moments, parameters)), self._origin)
        offset = (center - self._origin) * slope + intercept
        self._slope, offset = (
            z.astype(center.dtype, copy=False) for z in (slope, offset))
        return arithmetic.rows.affine(
            rows, center, self._slope, offset).reshape(x.shape),

    def compute_gradients(self, x, *others):
        *parameters, gy = others
        rows, upstream = _rows(x), _rows(gy)
        arithmetic = compute.arithmetic(x)
        gslope, gintercept = arithmetic.rows.gradient_sums(
            rows, upstream, self._center)
        # From sums of gy (x - center) to those of gy (x - origin).
        gslope = gslope + gintercept * (self._center - self._origin)
        (gmeans, *gvariances), gparameters = self._gradients(
            gslope, gintercept)
        length, dtype = max(1, rows.shape[2]), self._center.dtype
        quadratic = None
        if self.needs_variances:
            quadratic = (gvariances[0] * (2 / length)).astype(
                dtype, copy=False)
        gx = arithmetic.rows.gradient_input(
            rows, upstream, self._center, self._slope, quadratic,
            (gmeans / length).astype(dtype, copy=False))
        return (gx.reshape(x.shape), *(
            g.astype(p.dtype, copy=False)
            for g, p in zip(gparameters, parameters)))

    def compose(self, x, *parameters):
        z = functions.cast(_rows(x), working_dtype(x.dtype))

        def spread(coefficient):
            return functions.broadcast_to(functions.cast(
                coefficient, z.dtype)[:, :, None], z.shape)

        moments = [functions.mean(z, axis=2)]
        if self.needs_variances:
            deviations = z - spread(moments[0])
            moments.append(functions.mean(deviations * deviations, axis=2))
        slope, intercept, _ = self.compute_coefficients(
            *([functions.cast(v, numpy.float64) for v in variables]
              for variables in (moments, parameters)), self._origin)
        offset = (self._center - self._origin) * slope + intercept
        y = (z - self._center[:, :, None]) * spread(slope) + spread(offset)
        return functions.cast(functions.reshape(y, x.shape), x.dtype)


def _rows(x):
    """Flattens the spatial axes of ``(N, C, *S)``."""
    return x.reshape(x.shape[:2] + (math.prod(x.shape[2:]),))
