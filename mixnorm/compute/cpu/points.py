"""Points in main memory, read block by block.

A block is ``(b, s, l)``: the points ``[b, :, s]``, which lie in runs of
``l``, as ``(b, r, C, l)``.  Matrix products work run by run, so that each is
small enough for one thread of BLAS.
"""
import functools

import numpy

from mixnorm.compute.cpu.products import (
    padded, PRODUCT_SIZE, squared_norms)
from mixnorm.compute.layout import empty_like, take, working_dtype

# Elements of a block: with its temporaries it stays in the cache. Less would
# not be worth waking another thread for.
_BLOCK_ELEMENTS = 1 << 19

# Points of a run, where there are so many: of fewer a product is no product.
_LEAST_RUN = 16

# Points that tell roughly where the data lie.
_ORIGIN_POINTS = 32


def find_origin(x):
    """Finds a point amid the data; ``None`` if the origin serves as well."""
    numbers = _scattered(x.shape[0] * x.shape[2])
    if len(numbers) == 0:
        return None
    few = take(x, numbers).astype(working_dtype(x.dtype))
    finite = numpy.isfinite(few)
    if not finite.all():
        # As any others, they are left out by the median.
        few[~finite] = 0
    few.sort(axis=0)
    low, median, high = (few[len(few) * i // 4] for i in (1, 2, 3))
    with numpy.errstate(over='ignore'):
        # At most some four deviations from the origin.
        if (abs(median) <= 3 * (high - low)).all():
            return None
    return median


@functools.lru_cache(maxsize=64)
def _scattered(n_points):
    """Returns numbers of a few points from all over, in no regular steps."""
    steps = numpy.arange(min(n_points, _ORIGIN_POINTS))
    return (steps * ((5 ** .5 - 1) / 2) % 1 * n_points).astype(numpy.int64)


def divide(shape, n_columns):
    """Divides points into blocks.

    Args:
        shape (tuple of ints): ``(B, C, L)``.
        n_columns (int): Columns ``J`` of the thin matrices that the points
            are multiplied by.

    Returns:
        list of tuples: The blocks; an empty one where there are no points.

    """
    n_batch, n_dims, length = shape
    # Temporaries have a row for each channel, or for each column.
    n_points = _BLOCK_ELEMENTS // max(n_dims, padded(n_columns))
    # Of more than a few channels too many for that, BLAS takes the threads.
    limit = max(_LEAST_RUN, PRODUCT_SIZE // (
        max(1, n_dims) * padded(n_columns)))
    run = _run_length(length, limit)
    n_points = max(run, n_points)
    whole = length // run * run
    step = max(run, min(whole, n_points // run * run))
    blocks = [
        (slice(b, min(b + max(1, n_points // step), n_batch)),
         slice(start, min(start + step, whole)), run)
        for b in range(0, max(1, n_batch), max(1, n_points // step))
        for start in range(0, max(1, whole), step)]
    if whole < length:
        run = length - whole
        blocks += [
            (slice(b, min(b + max(1, n_points // run), n_batch)),
             slice(whole, length), run)
            for b in range(0, n_batch, max(1, n_points // run))]
    return blocks


@functools.lru_cache(maxsize=64)
def _run_length(length, limit):
    """Returns the length of runs, at most ``limit``, that fits ``length``."""
    limit = max(1, min(length, limit))
    for run in range(limit, limit // 4, -1):
        if length % run == 0:
            return run
    return limit


def block_view(array, block):
    """Views a block of an array ``(B, J, L)`` as ``(b, r, J, l)``."""
    b, s, run = block
    return _in_runs(array[b, :, s], run)


def _in_runs(part, run):
    n_batch, n_rows, length = part.shape
    return part.reshape(
        n_batch, n_rows, length // run, run).swapaxes(1, 2)


class Points:

    """Points of a stack as they are.

    Args:
        x (numpy.ndarray): Stack ``(B, C, L)``.
        origin (numpy.ndarray or None): ``(C,)``, subtracted when they are
            read.

    Attributes:
        x (numpy.ndarray): The stack.
        shape (tuple of ints): ``(B, C, L)``.
        dtype (numpy.dtype): The working dtype.
        origin (numpy.ndarray or None): ``(C,)``.
        n_points (int): ``B * L``.

    """

    def __init__(self, x, origin):
        self.x = x
        self.shape = x.shape
        self.dtype = working_dtype(x.dtype)
        self.origin = origin

    @property
    def n_points(self):
        return self.shape[0] * self.shape[2]

    def load(self, block, scratch, name='points'):
        """Reads a block.

        Args:
            block (tuple): One of those of :func:`divide`.
            scratch (Scratch): Memory.
            name (str): Of the temporary that may hold them.

        Returns:
            numpy.ndarray: Points relative to the origin, ``(b, r, C, l)``.

        """
        part = block_view(self.x, block)
        if self.origin is None and part.dtype == self.dtype:
            return part
        z = scratch.empty_like(name, part, self.dtype)
        if self.origin is None:
            numpy.copyto(z, part)
        else:
            numpy.subtract(part, self.origin[:, None], out=z)
        return z

    def squares(self, block, z, scratch):
        """Returns ``z^2`` of a block's points ``z``, ``(b, r, C, l)``."""
        return numpy.multiply(z, z, out=scratch.empty_like('squares', z))

    def squared_norms(self, block, z):
        """Returns ``|z|^2`` of a block's points ``z``, ``(b, r, 1, l)``."""
        return squared_norms(z)

    def take(self, indices):
        """Gathers points ``(m, C)`` by their numbers, not centred."""
        return take(self.x, indices).astype(self.dtype, copy=False)


class SquaredPoints(Points):

    """Points of a stack, centred and squared once for all passes.

    Args:
        x (numpy.ndarray): Stack ``(B, C, L)``.
        origin (numpy.ndarray or None): ``(C,)``, subtracted from them.

    """

    def __init__(self, x, origin):
        super().__init__(x, origin)
        # Values that are not finite pass silently, as in for_blocks.
        with numpy.errstate(all='ignore'):
            self._z = x.astype(self.dtype, copy=False)
            if origin is not None:
                self._z = numpy.subtract(
                    self._z, origin[:, None], out=empty_like(x, self.dtype))
            self._squares = numpy.multiply(
                self._z, self._z, out=empty_like(self._z, self.dtype))
            self._norms = numpy.einsum('bcl->bl', self._squares)[:, None]

    def load(self, block, scratch, name='points'):
        return block_view(self._z, block)

    def squares(self, block, z, scratch):
        return block_view(self._squares, block)

    def squared_norms(self, block, z):
        return block_view(self._norms, block)


class StandardizedPoints(Points):

    """Points of a stack, or some of them, standardized when they are read.

    Args:
        x (numpy.ndarray): Stack ``(B, C, L)``.
        indices (numpy.ndarray or None): Numbers of the points; ``None`` for
            all.
        location (numpy.ndarray or None): ``(C,)``, subtracted.
        scale (numpy.ndarray or None): ``(C,)``, divided by.

    """

    def __init__(self, x, indices, location, scale):
        super().__init__(x, None)
        if indices is not None:
            self.shape = 1, x.shape[1], len(indices)
        self._indices = indices
        self._location = location
        self._scale = scale

    def load(self, block, scratch, name='points'):
        b, s, run = block
        if self._indices is None:
            part = self._standardize(
                self.x[b, :, s].swapaxes(1, 2)).swapaxes(1, 2)
        else:
            part = self.take(s).T[None]
        return _in_runs(part, run)

    def take(self, indices):
        """Gathers points ``(m, C)``, by their numbers or a slice of them."""
        if self._indices is not None:
            indices = self._indices[indices]
        return self._standardize(take(self.x, indices))

    def _standardize(self, points):
        points = points.astype(self.dtype, copy=False)
        if self._location is not None:
            points = points - self._location
        if self._scale is not None:
            points = points / self._scale
        return points


def as_points(x):
    """Returns points of a stack, centred where they need it.

    Args:
        x (numpy.ndarray or Points): Stack ``(B, C, L)``; points stay as they
            are.

    Returns:
        Points: They.

    """
    return x if isinstance(x, Points) else Points(x, find_origin(x))
