"""Blocks of points in main memory, and thin products on them.

A block stays in the cache while all steps are done on it. Within a block the
points lie in runs, ``(b, r, C, l)``: matrix products work run by run, so that
each is small enough for one thread of BLAS.
"""
import math

import numpy

from mixnorm.compute.memory import output, scratch
from mixnorm.compute.stack import take, working_dtype

# Elements of a block: with its temporaries it stays in the cache. Less would
# not be worth waking another thread for.
_BLOCK_ELEMENTS = 1 << 19

# Multiplications of a matrix product that OpenBLAS leaves to one thread.
# Products on blocks stay below, or its threads and ours would wait for each
# other.
_PRODUCT_SIZE = 1 << 18


class Standardized:

    """Points of a stack, standardized when they are read.

    Args:
        x (numpy.ndarray): Stack ``(B, C, L)``.
        indices (numpy.ndarray or None): Numbers of the points; ``None`` for
            all.
        location (numpy.ndarray or None): ``(C,)``, subtracted.
        scale (numpy.ndarray): ``(C,)``, divided by.

    Attributes:
        shape (tuple): That of the stack it serves as.
        dtype (numpy.dtype): The working dtype.

    """

    def __init__(self, x, indices, location, scale):
        self._x = x
        self._indices = indices
        self._location = location
        self._scale = scale
        self.dtype = working_dtype(x.dtype)
        self.shape = x.shape if indices is None else (
            1, x.shape[1], len(indices))

    def read(self, b, s):
        """Returns the block ``[b, :, s]``."""
        if self._indices is not None:
            return self.take(s).T[None]
        return self._standardize(
            self._x[b, :, s].swapaxes(1, 2)).swapaxes(1, 2)

    def take(self, indices):
        """Gathers points ``(m, C)``, by their numbers or a slice of them."""
        if self._indices is not None:
            indices = self._indices[indices]
        return self._standardize(take(self._x, indices))

    def _standardize(self, points):
        if self._location is None:
            return points / self._scale
        points = points - self._location
        points /= self._scale
        return points


class Prepared:

    """Points with what every pass over them needs: centred, and squared.

    It lies in memory of the calling thread's, until the next one is made.

    Args:
        x (numpy.ndarray): Stack ``(B, C, L)``.
        origin (numpy.ndarray or None): ``(C,)``, subtracted.

    Attributes:
        shape (tuple): That of the stack it serves as.
        dtype (numpy.dtype): The working dtype.
        origin (numpy.ndarray or None): ``(C,)``.
        z (numpy.ndarray): The points relative to it, ``(B, C, L)``.
        squares (numpy.ndarray): ``z^2``.
        norms (numpy.ndarray): ``|z|^2``, ``(B, 1, L)``.

    """

    def __init__(self, x, origin):
        self._x = x
        self.shape = x.shape
        self.dtype = working_dtype(x.dtype)
        self.origin = origin
        # Values that are not finite pass silently, as in for_blocks.
        with numpy.errstate(all='ignore'):
            self.z = x.astype(self.dtype, copy=False)
            if origin is not None:
                self.z = numpy.subtract(self.z, origin[:, None], out=like(
                    scratch('centred', x.size, self.dtype), x))
            self.squares = numpy.multiply(self.z, self.z, out=like(
                scratch('squares', x.size, self.dtype), self.z))
            self.norms = numpy.einsum('bcl->bl', self.squares)[:, None]

    def take(self, indices):
        """Gathers points ``(m, C)`` by their numbers."""
        return take(self._x, indices)


class Blocks:

    """The blocks of a stack, loaded in the working dtype and centred.

    A block is ``(b, s, l)``: the points ``[b, :, s]``, cut into runs of
    ``l``.

    Args:
        x (numpy.ndarray, Standardized or Prepared): The points.
        n_columns (int): Columns ``J`` of the thin matrices.
        origin (numpy.ndarray or None): ``(C,)``, subtracted from them;
            that of prepared points.

    """

    def __init__(self, x, n_columns, origin=None):
        self._x = x
        self.dtype = working_dtype(x.dtype)
        self.origin = origin
        n_batch, n_dims, length = x.shape
        self.n_points = n_batch * length
        n_points = _BLOCK_ELEMENTS // max(1, n_dims)
        limit = _PRODUCT_SIZE // (max(1, n_dims) * _padded(n_columns))
        run = _run_length(length, limit)
        n_points = max(run, n_points)
        whole = length // run * run
        step = max(run, min(whole, n_points // run * run))
        # One empty block where there are no points.
        self.blocks = [
            (slice(b, min(b + max(1, n_points // step), n_batch)),
             slice(start, min(start + step, whole)), run)
            for b in range(0, max(1, n_batch), max(1, n_points // step))
            for start in range(0, max(1, whole), step)]
        if whole < length:
            run = length - whole
            self.blocks += [
                (slice(b, min(b + max(1, n_points // run), n_batch)),
                 slice(whole, length), run)
                for b in range(0, n_batch, max(1, n_points // run))]
        self._scratch_size = n_dims * max(
            (b.stop - b.start) * (s.stop - s.start)
            for b, s, _ in self.blocks)

    def scratch(self, number):
        """Returns memory that :func:`like` shapes into a temporary.

        Args:
            number (int): Tells a thread's temporaries apart.

        """
        return scratch(number, self._scratch_size, self.dtype)

    def load(self, block, number=0):
        """Returns the points of a block, perhaps in scratch memory."""
        if isinstance(self._x, Standardized):
            b, s, run = block
            part = _runs(self._x.read(b, s), run)
        elif isinstance(self._x, Prepared):
            return cut(self._x.z, block)
        else:
            part = cut(self._x, block)
        if self.origin is None and part.dtype == self.dtype:
            return part
        z = like(self.scratch(number), part)
        if self.origin is None:
            numpy.copyto(z, part)
        else:
            numpy.subtract(part, self.origin[:, None], out=z)
        return z

    def squares(self, block, z, number):
        """Returns ``z^2`` of a block's points, perhaps in scratch memory."""
        if isinstance(self._x, Prepared):
            return cut(self._x.squares, block)
        return numpy.multiply(z, z, out=like(self.scratch(number), z))

    def norms(self, block, z):
        """Returns ``|z|^2`` of a block's points, ``(b, r, 1, l)``."""
        if isinstance(self._x, Prepared):
            return cut(self._x.norms, block)
        return squared_norms(z)


def squared_norms(z):
    """Computes ``|z_i|^2`` for a block: ``(b, r, 1, l)``."""
    return numpy.einsum('brcl,brcl->brl', z, z)[:, :, None]


def _run_length(length, limit):
    """Returns the length of runs, at most ``limit``, that fits ``length``."""
    limit = max(1, min(length, limit))
    for run in range(limit, limit // 4, -1):
        if length % run == 0:
            return run
    return limit


def _runs(part, run):
    n_batch, n_rows, length = part.shape
    return part.reshape(
        n_batch, n_rows, length // run, run).swapaxes(1, 2)


def cut(array, block):
    """Views a block of an array ``(B, J, L)`` as ``(b, r, J, l)``.

    ``r`` are the runs of ``l`` points.

    """
    b, s, run = block
    return _runs(array[b, :, s], run)


def _is_point_major(z):
    """Whether a point's channels lie side by side in memory."""
    return z.shape[-2] > 1 and (
        z.strides[-2] < z.strides[-1]
        or z.shape[-1] == 1 and z.strides[-2] == z.itemsize)


def like(memory, z):
    """Shapes memory like ``z``, in the same order."""
    flat = memory[:z.size]
    if _is_point_major(z):
        shape = z.shape[:-2] + z.shape[:-3:-1]
        return flat.reshape(shape).swapaxes(-1, -2)
    return flat.reshape(z.shape)


def empty_like(x, dtype):
    """Makes an output like a stack, in the same order in memory."""
    return like(output(math.prod(x.shape), dtype), x)


def _padded(n_columns):
    """Returns the number of columns that BLAS multiplies fastest.

    Its kernels work on four columns at a time; what is left of fewer costs as
    much again.  A single column it would give to threads of its own, however
    short, which then stand in the way of ours.

    """
    return -(-n_columns // 4) * 4


def padded_rows(matrix):
    """Appends rows of zeros to ``(J, C)`` as :func:`_padded` says."""
    rows = numpy.zeros(
        (_padded(len(matrix)), matrix.shape[1]), matrix.dtype)
    rows[:len(matrix)] = matrix
    return rows


def expand(matrix, coefficients, out):
    """Computes ``out_c = sum_j matrix_jc coefficients_j`` at every point."""
    if len(matrix) == 1:
        # An outer product, which NumPy does not leave to BLAS.
        numpy.multiply(matrix[0][:, None], coefficients, out=out)
    elif _is_point_major(out):
        numpy.matmul(coefficients.swapaxes(-1, -2), matrix,
                     out=out.swapaxes(-1, -2))
    else:
        numpy.matmul(matrix.T, coefficients, out=out)
    return out


def contract(coefficients, *arrays):
    """Computes ``sum_i coefficients_ji z_ic`` over a block, ``(J, C)``.

    Args:
        coefficients (numpy.ndarray): ``(b, r, J, l)``.
        arrays (numpy.ndarray): ``z``, each ``(b, r, C, l)``.

    Returns:
        list of numpy.ndarray: Of each array the sums, float64.

    """
    *batch, n_columns, length = coefficients.shape
    rows = numpy.zeros(
        (*batch, _padded(n_columns), length), coefficients.dtype)
    rows[..., :n_columns, :] = coefficients
    if rows.shape[-2] == 4:
        # One step of BLAS' kernels is faster so, more are faster below.
        sums = [numpy.matmul(rows, z.swapaxes(-1, -2)).sum(axis=(0, 1))
                for z in arrays]
    else:
        rows = rows.swapaxes(-1, -2)
        sums = [numpy.matmul(z, rows).sum(axis=(0, 1)).T for z in arrays]
    return [z[:n_columns].astype(numpy.float64) for z in sums]


def with_ones(tau):
    """Appends a row of ones to ``(b, r, J, l)``: its sums are plain sums."""
    *batch, n_columns, length = tau.shape
    extended = numpy.ones((*batch, n_columns + 1, length), tau.dtype)
    extended[..., :-1, :] = tau
    return extended
