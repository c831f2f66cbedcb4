"""Gathering of a sample of points, its standardization, and its check."""
import math

import numpy

from mixnorm.compute.cpu.points import (
    as_points, block_view, divide, find_origin, Points, SquaredPoints,
    StandardizedPoints)
from mixnorm.compute.layout import empty_like, take, working_dtype
from mixnorm.compute.threads import for_blocks

# Elements that a thread gathers at a time.
_GATHERED_ELEMENTS = 1 << 17

# A sample of more than this many bytes is not kept, but made anew in every
# pass.
_SAMPLE_BYTES = 1 << 23

# Up to so many bytes of points, their squares are kept: more would have to
# come from as far as it takes to compute them.
_SQUARED_BYTES = 1 << 22


def count_not_finite(x):
    """Counts values that are not a number or infinite."""
    def work(block, _):
        part = block_view(x, block)
        # Quicker than to look at each, and seldom in vain.
        if math.isfinite(numpy.einsum('brcl->', part)):
            return 0
        return part.size - numpy.count_nonzero(numpy.isfinite(part))

    return sum(for_blocks(work, divide(x.shape, 1)))


def with_origin(x):
    """Finds the origin once for all passes over the points."""
    return as_points(x)


def precompute(x):
    """Centres and squares the points once, if they are few."""
    return SquaredPoints(x, find_origin(x)) if _are_few(x) else as_points(x)


def _are_few(x):
    return x.size * working_dtype(x.dtype).itemsize <= _SQUARED_BYTES


def standardized_sample(x, indices):
    """Gathers points in units of deviations.

    Their mean is subtracted only where :func:`find_origin` finds it far from
    the origin.  A large sample is standardized whenever it is read.

    """
    points = as_points(x)
    x, dtype, origin = points.x, points.dtype, points.origin
    n_points = points.n_points if indices is None else len(indices)
    small = n_points * x.shape[1] * dtype.itemsize <= _SAMPLE_BYTES
    z = None
    if indices is not None and small:
        x, sums = _gather(x, indices, origin)
        z = x
        points = Points(x, origin)
    else:
        if indices is not None:
            points = StandardizedPoints(x, indices, origin, None)
        sums = _sums_of(points, dtype)
    mean, scale = _mean_and_deviation(sums, n_points, origin, dtype)
    if not numpy.isfinite(scale).all():
        # Of squares that the dtype cannot hold.
        mean, scale = _mean_and_deviation(
            _sums_of(points, numpy.float64), n_points, origin, dtype)
    scale[~(scale > 1e4 * math.sqrt(numpy.finfo(dtype).tiny))] = 1
    location = None if origin is None else mean
    if small:
        z = _standardize(x, location, scale, z)
        sample = SquaredPoints(z, None) if _are_few(z) else as_points(z)
    else:
        sample = StandardizedPoints(x, indices, location, scale)
    if location is None:
        with numpy.errstate(all='ignore'):
            return sample, numpy.zeros_like(scale), scale, mean / scale
    return sample, location, scale, None


def _gather(x, indices, origin):
    """Gathers points, in the working dtype, as a stack ``(1, C, m)``.

    Returns it and, while a part of it is in the cache, its
    :func:`_power_sums` about an origin.

    """
    n_dims = x.shape[1]
    out = numpy.empty((len(indices), n_dims), working_dtype(x.dtype))
    step = max(1, _GATHERED_ELEMENTS // n_dims)

    def work(start, _):
        part = out[start:start + step]
        part[...] = take(x, indices[start:start + step])
        if origin is not None:
            part = part - origin
        return _power_sums(part.T[None, None])

    sums = for_blocks(work, range(0, len(indices), step))
    return out.T[None], sums


def _standardize(x, location, scale, out):
    """Standardizes a stack, into ``out`` if it is given."""
    z = empty_like(x, scale.dtype) if out is None else out
    with numpy.errstate(all='ignore'):
        if location is not None:
            x = numpy.subtract(x, location[:, None], out=z)
        return numpy.divide(x, scale[:, None], out=z)


def _sums_of(points, dtype):
    """Returns the :func:`_power_sums` of every block, in a dtype."""
    return for_blocks(
        lambda block, scratch: _power_sums(
            points.load(block, scratch).astype(dtype, copy=False)),
        divide(points.shape, 1))


def _power_sums(z):
    """Sums points ``(b, r, C, l)`` and their squares: twice ``(C,)``."""
    return (numpy.einsum('brcl->c', z).astype(numpy.float64),
            numpy.einsum('brcl,brcl->c', z, z).astype(numpy.float64))


def _mean_and_deviation(sums, n_points, origin, dtype):
    """Computes the mean and the standard deviation ``(C,)`` of all points.

    They are to scale by: what rounding leaves of them will do.

    Args:
        sums (list): What :func:`_power_sums` returned for every part.
        n_points (int): Number of points.
        origin (numpy.ndarray or None): ``(C,)``, what the sums are about.
        dtype (numpy.dtype): The working dtype.

    Returns:
        tuple of numpy.ndarray: Twice ``(C,)``.

    """
    mean, mean_square = (sum(parts) / n_points for parts in zip(*sums))
    with numpy.errstate(invalid='ignore'):
        deviation = numpy.sqrt(numpy.maximum(mean_square - mean * mean, 0))
    if origin is not None:
        mean = mean + origin
    return mean.astype(dtype), deviation.astype(dtype)
