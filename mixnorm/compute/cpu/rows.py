"""Arithmetic on rows: what a sample holds of a channel, ``L`` values each."""
import numpy

from mixnorm.compute.layout import empty_like, working_dtype
from mixnorm.compute.threads import for_blocks

# Elements of a block: with its temporaries it stays in the cache.
_BLOCK_ELEMENTS = 1 << 18

# Values that are added up one after another. More would lose digits.
_SUMMED_ELEMENTS = 1 << 12


def means(x):
    """Computes the mean of each row."""
    mean = numpy.empty(x.shape[:2], working_dtype(x.dtype))

    def work(block, scratch):
        mean[block] = _means(x[block], scratch)

    for_blocks(work, _divide(x))
    return mean


def moments(x):
    """Computes the mean and the variance of each row."""
    mean = numpy.empty(x.shape[:2], working_dtype(x.dtype))
    variance = numpy.empty(x.shape[:2])

    def work(block, scratch):
        mean[block] = _means(x[block], scratch)
        z = _deviations(x[block], mean[block], scratch)
        squares = _sums(z, z)
        if not numpy.isfinite(squares).all():
            # They may be beyond the working dtype.
            z = z.astype(numpy.float64)
            squares = _sums(z, z)
        variance[block] = squares / z.shape[2]

    for_blocks(work, _divide(x))
    return mean, variance


def affine(x, center, slope, offset):
    """Computes ``(x - center) * slope + offset`` by rows."""
    y = empty_like(x, x.dtype)

    def work(block, scratch):
        z = _deviations(x[block], center[block], scratch)
        z *= slope[block][:, :, None]
        numpy.add(z, offset[block][:, :, None], out=y[block],
                  casting='same_kind')

    for_blocks(work, _divide(x))
    return y


def gradient_sums(x, gy, center):
    """Computes the gradients of :func:`affine`'s slope and offset."""
    slope, offset = numpy.empty((2,) + x.shape[:2])

    def work(block, scratch):
        z = _deviations(x[block], center[block], scratch)
        g = _widened(gy[block], scratch)
        slope[block] = _sums(z, g)
        offset[block] = _sums(g)

    for_blocks(work, _divide(x))
    return slope, offset


def gradient_input(x, gy, center, slope, quadratic, offset):
    """Computes ``gy * slope + (x - center) * quadratic + offset`` by rows."""
    gx = empty_like(x, x.dtype)

    def work(block, scratch):
        out = gx[block]
        g = numpy.multiply(
            gy[block], slope[block][:, :, None], out=scratch.empty_like(
                'gradient', out, working_dtype(x.dtype)))
        if quadratic is not None:
            z = _deviations(x[block], center[block], scratch)
            z *= quadratic[block][:, :, None]
            g += z
        numpy.add(g, offset[block][:, :, None], out=out,
                  casting='same_kind')

    for_blocks(work, _divide(x))
    return gx


def _divide(x):
    """Divides samples and channels into blocks."""
    n, c, length = x.shape
    n_rows = max(1, _BLOCK_ELEMENTS // max(1, length))
    c_step = max(1, min(c, n_rows))
    n_step = max(1, n_rows // max(1, c))
    return [(slice(i, min(n, i + n_step)), slice(j, min(c, j + c_step)))
            for i in range(0, n, n_step) for j in range(0, c, c_step)]


def _sums(*factors):
    """Sums the products of arrays ``(n, c, l)`` over ``l``, in float64."""
    formula = f"{','.join(['ncl'] * len(factors))}->nc"
    total = numpy.zeros(factors[0].shape[:2])
    for start in range(0, factors[0].shape[2], _SUMMED_ELEMENTS):
        total += numpy.einsum(formula, *(
            z[:, :, start:start + _SUMMED_ELEMENTS] for z in factors))
    return total


def _means(x, scratch):
    return _sums(_widened(x, scratch)) / x.shape[2]


def _widened(x, scratch):
    """Returns a block in the working dtype."""
    dtype = working_dtype(x.dtype)
    if x.dtype == dtype:
        return x
    z = scratch.empty_like('widened', x, dtype)
    numpy.copyto(z, x)
    return z


def _deviations(x, center, scratch):
    return numpy.subtract(x, center[:, :, None], out=scratch.empty_like(
        'deviations', x, working_dtype(x.dtype)))
