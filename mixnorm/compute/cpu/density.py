"""Log densities of diagonal Gaussian mixtures, and posteriors."""
import math

import numpy

from mixnorm.compute.cpu.products import product, padded_rows


class Density:

    """Log densities of mixtures as thin products.

    Args:
        weights (numpy.ndarray): ``(T, K)``.
        means (numpy.ndarray): ``(T, K, C)``.
        variances (numpy.ndarray): ``(T, K, C)``.
        origin (numpy.ndarray or None): What the points are relative to.
        dtype (numpy.dtype): Working dtype.

    """

    def __init__(self, weights, means, variances, origin, dtype):
        self._groups, n_dims = weights.shape, means.shape[2]
        means = means.reshape(-1, n_dims)
        variances = variances.reshape(means.shape)
        weights = weights.ravel().astype(numpy.float64)
        if origin is not None:
            means = means - origin
        # Absent components have whatever moments.
        present = (weights > 0)[:, None]
        if not present.all():
            means = numpy.where(present, means, 0)
            variances = numpy.where(present, variances, 1)
        # Where a component is infinitely wide, nothing depends on the point,
        # though its square may be infinite, too.
        wide = numpy.isinf(variances)
        self._greatest_square = (
            numpy.finfo(dtype).max if wide.any() else None)
        with numpy.errstate(all='ignore'):
            precisions = 1 / variances
            if self._greatest_square is not None:
                variances = numpy.where(wide, 1, variances)
            constants = numpy.log(weights) - .5 * (
                n_dims * math.log(2 * math.pi)
                + numpy.log(variances).sum(axis=1, dtype=numpy.float64))
            linear = means * precisions
            squares = (means * linear).sum(axis=1, dtype=numpy.float64)
            precisions *= -.5
            # The expansion's error is a few roundings of its largest term: at
            # most half of the digits.
            narrow = ~(squares < numpy.finfo(dtype).eps ** -.5)
        self._narrow = [
            (k, means[k, :, None].astype(dtype),
             padded_rows(precisions[k, None].astype(dtype)))
            for k in numpy.flatnonzero(narrow)]
        precisions[narrow] = linear[narrow] = squares[narrow] = 0
        self._linear = padded_rows(linear.astype(dtype))
        self._quadratic = padded_rows(precisions.astype(dtype))
        self._constants = (constants - .5 * squares).astype(dtype)[
            :, None, None, None]
        self._can_overflow = ~narrow & ~numpy.isnan(constants)

    def posterior(self, z, squares, scratch):
        """Computes eq. (31) for a block.

        Args:
            z (numpy.ndarray): Points ``(b, r, C, l)``.
            squares (numpy.ndarray): ``z^2``.
            scratch (Scratch): Memory.

        Returns:
            tuple: Posterior ``(b, r, T * K, l)``, and a function that returns
            the log density ``(b, r, T, l)``.

        """
        if self._greatest_square is not None:
            squares = numpy.minimum(squares, self._greatest_square)
        joint = product(self._quadratic, squares)
        joint += product(self._linear, z)
        joint = joint[..., :len(self._constants), :]
        if self._narrow:
            deviation = scratch.empty_like('deviation', z)
        for k, mean, quadratic in self._narrow:
            numpy.subtract(z, mean, out=deviation)
            deviation *= deviation
            if self._greatest_square is not None:
                numpy.minimum(deviation, self._greatest_square, out=deviation)
            joint[..., k, :] = numpy.matmul(
                quadratic, deviation)[..., 0, :]
        # A component's points side by side.
        shape = [joint.shape[i] for i in (2, 0, 1, 3)]
        columns = numpy.empty(shape, joint.dtype)
        numpy.add(joint.transpose(2, 0, 1, 3), self._constants, out=columns)
        columns = columns.reshape((*self._groups, math.prod(shape[1:])))
        top = columns.max(axis=1, keepdims=True)
        if numpy.isnan(top).any():
            # Of infinite terms of both signs the square is the greater one.
            beyond = numpy.isfinite(z).all(axis=-2).ravel() & (
                self._can_overflow.reshape(self._groups + (1,)))
            columns[numpy.isnan(columns) & beyond] = -math.inf
            top = columns.max(axis=1, keepdims=True)
        far = top == -math.inf
        if far.any():
            # Beyond what the dtype can tell, components are alike.
            present = self._constants.reshape(
                self._groups + (1,)) > -math.inf
            columns = numpy.where(
                far, numpy.where(present, 0, -math.inf), columns)
            top = numpy.where(far, 0, top)
        # What would be denormal is 0: to compute it takes several times as
        # long.
        least = top + columns.dtype.type(
            math.log(2 * numpy.finfo(columns.dtype).tiny))
        counts = columns >= least
        numpy.maximum(columns, least, out=columns)
        columns -= top
        numpy.exp(columns, out=columns)
        columns *= counts
        total = columns.sum(axis=1, keepdims=True)
        columns /= total

        def log_density():
            return numpy.where(
                far, -math.inf, numpy.log(total) + top).reshape(
                [self._groups[0]] + shape[1:]).transpose(1, 2, 0, 3)

        return columns.reshape(shape).transpose(1, 2, 0, 3), log_density
