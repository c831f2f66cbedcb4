"""Group normalization, and the standardization that it is made of."""
import functools

import numpy

import chainer
from chainer import functions

from mixnorm.functions.checks import check_channels
from mixnorm.mixture.validation import check_integer


def group_normalization(x, groups, gamma, beta, eps=1e-5):
    r"""Group normalization.

    .. math::

        y = \gamma \frac{x - \mu_{ng}}{\sqrt{\sigma_{ng}^2 + \epsilon}}
        + \beta

    where :math:`\mu_{ng}` and :math:`\sigma_{ng}^2` are mean and variance of
    the group of channels, of the sample, that the channel is in.  With one
    group it is layer normalization, with as many as channels instance
    normalization.

    It takes the place of :func:`chainer.functions.group_normalization`, whose
    gradients can be differentiated only with respect to all of its inputs at
    once, not ``x`` alone, as a gradient penalty needs it.  It computes in
    float32 at least.

    Args:
        x (:class:`~chainer.Variable` or array): Input ``(N, C, *S)`` of a
            floating dtype.
        groups (int): Number of groups, a divisor of ``C``.
        gamma (:class:`~chainer.Variable` or array): Scale, ``(C,)``.
        beta (:class:`~chainer.Variable` or array): Shift, ``(C,)``.
        eps (float): Added to variances.

    Returns:
        ~chainer.Variable: Output of ``x``'s shape and dtype.

    Raises:
        chainer.utils.type_check.InvalidType: If shapes or dtypes do not fit.
        ValueError: If ``groups`` is not a positive integer, or does not divide
            the number of channels.

    Source: Y. Wu and K. He, *Group Normalization* (2018), eqs. (1) to (7).

    .. admonition:: Example

        >>> import numpy as np
        >>> import mixnorm
        >>> x = np.random.randn(8, 6, 4, 4).astype('f')
        >>> gamma, beta = np.ones(6, 'f'), np.zeros(6, 'f')
        >>> mixnorm.functions.group_normalization(x, 3, gamma, beta).shape
        (8, 6, 4, 4)

    """
    x, gamma, beta = map(chainer.as_variable, (x, gamma, beta))
    check_channels(x, gamma=gamma, beta=beta)
    check_groups(groups, x.shape[1])
    in_dtype = x.dtype
    dtype = functools.reduce(
        numpy.promote_types, (x.dtype, gamma.dtype, numpy.float32))
    per_channel = (1, -1) + (1,) * (x.ndim - 2)
    gamma, beta = (functions.reshape(functions.cast(z, dtype), per_channel)
                   for z in (gamma, beta))
    y = gamma * standardize_groups(
        functions.cast(x, dtype), groups, eps) + beta
    return functions.cast(y, in_dtype)


def check_groups(groups, n_channels):
    """Raises ValueError unless ``groups`` divides the number of channels."""
    check_integer('groups', groups, 1)
    if n_channels % groups:
        raise ValueError('groups is {}: it must divide the number of '
                         'channels, which is {}'.format(groups, n_channels))


def standardize_groups(x, groups, eps):
    """Gives each group of channels of each sample zero mean, unit variance.

    Args:
        x (~chainer.Variable): Input ``(N, C, *S)``.
        groups (int): Number of groups, a divisor of ``C``.
        eps (float): Added to variances.

    Returns:
        ~chainer.Variable: Output of ``x``'s shape and dtype.

    """
    sets = functions.reshape(x, (1, len(x) * groups, -1))
    if sets.shape[2] == 1:
        # Batch normalization would warn of sets of one value each.
        return x - x
    ones = x.xp.ones(sets.shape[1], x.dtype)
    return functions.reshape(functions.batch_normalization(
        sets, ones, x.xp.zeros_like(ones), eps=eps, axis=(0, 2)), x.shape)
