"""Divisive normalization by the activity around each position."""
import functools
import numbers

import numpy

import chainer
from chainer import functions
from chainer.utils import type_check

from mixnorm.checks import check_channels, check_eps, check_window


def divisive_normalization(x, gamma, beta, rho=1., window=5, eps=2e-5):
    r"""Divisive normalization.

    .. math::

        v &= x - \langle x \rangle \\
        y &= \gamma \frac{v}{\sqrt{\rho^2 + \langle v^2 \rangle + \epsilon}}
        + \beta

    where :math:`\langle \cdot \rangle` is, at each position of a sample, the
    mean over all channels and over the positions in a window around it.  At
    the borders it is the mean over that part of the window that lies within
    the map.  Without positions, as in ``(N, C)``, it is layer normalization
    smoothed by :math:`\rho`.  It computes in float32 at least.

    Args:
        x (:class:`~chainer.Variable` or array): Input ``(N, C, *S)`` of a
            floating dtype.
        gamma (:class:`~chainer.Variable` or array): Scale, ``(C,)``.
        beta (:class:`~chainer.Variable` or array): Shift, ``(C,)``.
        rho (float or :class:`~chainer.Variable`): Smoother, in ``x``'s units:
            a number, or a variable of one element.
        window (int or tuple of ints): Width of the window along each spatial
            axis, or along all of them, in positions; odd.
        eps (float): Added to variances, for a ``rho`` of 0.

    Returns:
        ~chainer.Variable: Output of ``x``'s shape and dtype.

    Raises:
        chainer.utils.type_check.InvalidType: If shapes or dtypes do not fit.
        ValueError: If ``window`` is even, not positive, or not of as many
            axes as ``x`` has, or ``eps`` is negative or no finite number.

    Source: M. Ren, R. Liao, R. Urtasun, F. H. Sinz and R. S. Zemel,
    *Normalizing the Normalizers* (2017), section 3, with summation and
    suppression field of one size.

    .. admonition:: Example

        >>> import numpy as np
        >>> import mixnorm
        >>> x = np.random.randn(8, 3, 4, 4).astype('f')
        >>> gamma, beta = np.ones(3, 'f'), np.zeros(3, 'f')
        >>> mixnorm.functions.divisive_normalization(
        ...     x, gamma, beta, window=3).shape
        (8, 3, 4, 4)

    """
    x, gamma, beta = map(chainer.as_variable, (x, gamma, beta))
    check_channels(x, gamma=gamma, beta=beta)
    check_eps(eps)
    window = _widths(check_window(window), x.ndim - 2)
    in_dtype = x.dtype
    dtype = numpy.promote_types(
        numpy.promote_types(x.dtype, gamma.dtype), numpy.float32)
    x = functions.cast(x, dtype)
    per_channel = (1, -1) + (1,) * (x.ndim - 2)
    gamma, beta = (functions.reshape(functions.cast(z, dtype), per_channel)
                   for z in (gamma, beta))
    v = x - _local_mean(x, window)
    square = _local_mean(v * v, window) + eps
    if isinstance(rho, numbers.Real):
        square += rho * rho
    else:
        rho = chainer.as_variable(rho)
        type_check.expect(type_check.make_variable(rho.size, 'rho.size') == 1)
        rho = functions.reshape(functions.cast(rho, dtype), (1,) * x.ndim)
        square += rho * rho
    y = gamma * (v / functions.sqrt(square)) + beta
    return functions.cast(y, in_dtype)


def _widths(window, n_axes):
    """Returns the widths of a window along each of so many axes."""
    if not isinstance(window, tuple):
        return (int(window),) * n_axes
    if len(window) != n_axes:
        raise ValueError(f'window is {window!r}: the input has {n_axes} '
                         'spatial axes')
    return tuple(map(int, window))


def _local_mean(x, window):
    """Means over channels and windows, ``(N, 1, *S)``."""
    mean = functions.mean(x, axis=1, keepdims=True)
    # Chainer does not pool no samples.
    if not window or len(x) == 0:
        return mean
    # Of the whole window, with zeros beyond the map, corrected by the share
    # of it that lies within.  (With ``pad_value=None``, the gradient of
    # Chainer's pooling overwrites what it is given.)
    pool = functools.partial(
        functions.average_pooling_nd, ksize=window, stride=1,
        pad=tuple(w // 2 for w in window))
    share = pool(x.xp.ones((1, 1) + x.shape[2:], x.dtype)).array
    return pool(mean) * (1 / share)
