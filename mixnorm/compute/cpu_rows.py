"""Arithmetic on rows in main memory: blocked, threaded NumPy.

A *row* is what a sample holds of a channel: ``x`` is ``(N, C, L)`` and has
``N * C`` rows of ``L`` values.
"""
import numpy

from mixnorm.compute.blocks import empty_like, like
from mixnorm.compute.memory import scratch
from mixnorm.compute.stack import working_dtype
from mixnorm.compute.threads import for_blocks

# Elements of a block: with its temporaries it stays in the cache.
_BLOCK_ELEMENTS = 1 << 18

# Values that are added up one after another. More would lose digits.
_SUMMED_ELEMENTS = 1 << 12


def _blocks(x):
    n, c, length = x.shape
    n_rows = max(1, _BLOCK_ELEMENTS // max(1, length))
    c_step = max(1, min(c, n_rows))
    n_step = max(1, n_rows // max(1, c))
    return [(slice(i, min(n, i + n_step)), slice(j, min(c, j + c_step)))
            for i in range(0, n, n_step) for j in range(0, c, c_step)]


def _temporary(number, x):
    """Returns scratch memory in the form and order of a block."""
    return like(scratch(number, x.size, working_dtype(x.dtype)), x)


def _sums(*factors):
    """Sums the products of arrays ``(n, c, l)`` over ``l``, in float64."""
    formula = f"{','.join(['ncl'] * len(factors))}->nc"
    total = numpy.zeros(factors[0].shape[:2])
    for start in range(0, factors[0].shape[2], _SUMMED_ELEMENTS):
        total += numpy.einsum(formula, *(
            z[:, :, start:start + _SUMMED_ELEMENTS] for z in factors))
    return total


def means(x):
    """Computes the mean of each row.

    Args:
        x (numpy.ndarray): ``(N, C, L)``.

    Returns:
        numpy.ndarray: ``(N, C)``, in the working dtype.

    """
    out = numpy.empty(x.shape[:2], working_dtype(x.dtype))
    for_blocks(lambda block: _means(x[block], out[block]), _blocks(x))
    return out


def _means(z, out):
    out[...] = _sums(_widened(0, z)) / z.shape[2]


def _widened(number, x):
    """Returns a block in the working dtype."""
    if x.dtype == working_dtype(x.dtype):
        return x
    z = _temporary(number, x)
    numpy.copyto(z, x)
    return z


def moments(x):
    """Computes the mean and the variance of each row.

    Args:
        x (numpy.ndarray): ``(N, C, L)``.

    Returns:
        tuple of numpy.ndarray: Means ``(N, C)``, in the working dtype, and
        variances ``(N, C)``, float64.

    """
    mean = numpy.empty(x.shape[:2], working_dtype(x.dtype))
    variance = numpy.empty(x.shape[:2])

    def work(block):
        _means(x[block], mean[block])
        z = _deviations(x[block], mean[block])
        variance[block] = _sums(z, z) / z.shape[2]

    for_blocks(work, _blocks(x))
    return mean, variance


def _deviations(x, center):
    return numpy.subtract(x, center[:, :, None], out=_temporary(0, x))


def affine(x, center, slope, offset):
    """Computes ``(x - center) * slope + offset`` by rows.

    Args:
        x (numpy.ndarray): ``(N, C, L)``.
        center (numpy.ndarray): ``(N, C)``, in the working dtype.
        slope (numpy.ndarray): Likewise.
        offset (numpy.ndarray): Likewise.

    Returns:
        numpy.ndarray: ``(N, C, L)`` in ``x``'s dtype and order in memory.

    """
    y = empty_like(x, x.dtype)

    def work(block):
        z = _deviations(x[block], center[block])
        z *= slope[block][:, :, None]
        numpy.add(z, offset[block][:, :, None], out=y[block],
                  casting='same_kind')

    for_blocks(work, _blocks(x))
    return y


def gradient_sums(x, gy, center):
    """Computes the gradients of :func:`affine`'s slope and offset.

    Args:
        x (numpy.ndarray): ``(N, C, L)``.
        gy (numpy.ndarray): Gradient of the output, ``(N, C, L)``.
        center (numpy.ndarray): ``(N, C)``, in the working dtype.

    Returns:
        tuple of numpy.ndarray: Of each row, the sums of
        ``gy * (x - center)`` and of ``gy``: ``(N, C)``, float64.

    """
    slope, offset = numpy.empty((2,) + x.shape[:2])

    def work(block):
        z = _deviations(x[block], center[block])
        g = _widened(1, gy[block])
        slope[block] = _sums(z, g)
        offset[block] = _sums(g)

    for_blocks(work, _blocks(x))
    return slope, offset


def gradient_input(x, gy, center, slope, quadratic, offset):
    """Computes ``gy * slope + (x - center) * quadratic + offset`` by rows.

    Args:
        x (numpy.ndarray): ``(N, C, L)``.
        gy (numpy.ndarray): Gradient of the output, ``(N, C, L)``.
        center (numpy.ndarray): ``(N, C)``, in the working dtype.
        slope (numpy.ndarray): Likewise.
        quadratic (numpy.ndarray or None): Likewise; ``None`` for 0.
        offset (numpy.ndarray): Likewise.

    Returns:
        numpy.ndarray: ``(N, C, L)`` in ``x``'s dtype and order in memory.

    """
    gx = empty_like(x, x.dtype)

    def work(block):
        g = numpy.multiply(gy[block], slope[block][:, :, None],
                           out=_temporary(1, gx[block]))
        if quadratic is not None:
            z = _deviations(x[block], center[block])
            z *= quadratic[block][:, :, None]
            g += z
        numpy.add(g, offset[block][:, :, None], out=gx[block],
                  casting='same_kind')

    for_blocks(work, _blocks(x))
    return gx
