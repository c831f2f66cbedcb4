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
variables would make training a layer slower by a quarter.  On a GPU, kernels
make the value and its gradients in few launches; see
:class:`mixnorm.compute.contract.Modes`.
"""
import math

import numpy

from chainer import functions

from mixnorm import compute
from mixnorm.compute.layout import working_dtype
from mixnorm.compute.row_coefficients import RowCoefficients
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

    def compute_at_once(self, modes, moments, parameters):
        """Computes the coefficients by kernels, where there are some.

        Args:
            modes (mixnorm.compute.contract.Modes): Arithmetic of the arrays.
            moments (sequence of arrays): As in :meth:`compute_coefficients`,
                as :meth:`mixnorm.compute.contract.Rows.moments` returns them.
            parameters (list of arrays): The other inputs.

        Returns:
            mixnorm.compute.row_coefficients.RowCoefficients or None: ``None``
            if the methods above have to do it.

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
        found = self.compute_at_once(arithmetic.modes, moments, parameters)
        if found is None:
            found = self._compute_in_steps(moments, parameters)
        self._slope, self._origin = found.slope, found.origin
        self._gradients = found.gradients
        return arithmetic.rows.affine(
            rows, self._center, found.slope, found.offset).reshape(x.shape),

    def _compute_in_steps(self, moments, parameters):
        center = moments[0]
        origin = self.compute_origin(center)
        slope, intercept, coefficient_gradients = self.compute_coefficients(
            *([z.astype(numpy.float64, copy=False) for z in arrays]
              for arrays in (moments, parameters)), origin)
        offset = (center - origin) * slope + intercept

        def gradients(sum_gx, sum_g, length):
            # From sums of gy (x - center) to those of gy (x - origin).
            gslope = sum_gx + sum_g * (center - origin)
            (gmeans, *gvariances), gparameters = coefficient_gradients(
                gslope, sum_g)
            quadratic = None
            if gvariances:
                quadratic = (gvariances[0] * (2 / length)).astype(
                    center.dtype, copy=False)
            return quadratic, (gmeans / length).astype(
                center.dtype, copy=False), gparameters

        return RowCoefficients(*(
            z.astype(center.dtype, copy=False) for z in (slope, offset)),
            origin, gradients)

    def compute_gradients(self, x, *others):
        *parameters, gy = others
        rows, upstream = _rows(x), _rows(gy)
        arithmetic = compute.arithmetic(x)
        quadratic, offset, gparameters = self._gradients(
            *arithmetic.rows.gradient_sums(rows, upstream, self._center),
            max(1, rows.shape[2]))
        gx = arithmetic.rows.gradient_input(
            rows, upstream, self._center, self._slope, quadratic, offset)
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
