"""Batch normalization and instance normalization, weighed by channel."""
import functools

import numpy

import chainer
from chainer import functions

from mixnorm.checks import check_channels, check_eps
from mixnorm.functions.normalization.group_normalization import (
    group_normalization)


def batch_instance_normalization(x, gamma, beta, rho, eps=2e-5,
                                 running_mean=None, running_var=None,
                                 decay=.9):
    r"""Batch-instance normalization with the mini-batch's statistics.

    .. math::

        y = \gamma \left( \rho \frac{x - \mu_c}{\sqrt{\sigma_c^2 + \epsilon}}
        + (1 - \rho) \frac{x - \mu_{nc}}{\sqrt{\sigma_{nc}^2 + \epsilon}}
        \right) + \beta

    where :math:`\mu_c` and :math:`\sigma_c^2` are mean and variance over
    samples and positions, and :math:`\mu_{nc}` and :math:`\sigma_{nc}^2` over
    positions only.  It computes in float32 at least.

    Args:
        x (:class:`~chainer.Variable` or array): Input ``(N, C, *S)`` of a
            floating dtype.
        gamma (:class:`~chainer.Variable` or array): Scale, ``(C,)``.
        beta (:class:`~chainer.Variable` or array): Shift, ``(C,)``.
        rho (:class:`~chainer.Variable` or array): Share of batch
            normalization, ``(C,)``, meant to be in [0, 1].
        eps (float): Added to variances.
        running_mean (array or None): Running average of means ``(C,)``,
            updated in place.
        running_var (array or None): That of unbiased variances.
        decay (float): Decay rate of the running averages.

    Returns:
        ~chainer.Variable: Output of ``x``'s shape and dtype.

    Raises:
        chainer.utils.type_check.InvalidType: If shapes or dtypes do not fit.
        ValueError: If ``eps`` is negative or no finite number.

    Source: H. Nam and H.-E. Kim, *Batch-Instance Normalization for Adaptively
    Style-Invariant Neural Networks* (2018), eq. (3).

    .. admonition:: Example

        >>> import numpy as np
        >>> import mixnorm
        >>> x = np.random.randn(8, 3, 4, 4).astype('f')
        >>> gamma = rho = np.ones(3, 'f')
        >>> beta = np.zeros(3, 'f')
        >>> mixnorm.functions.batch_instance_normalization(
        ...     x, gamma, beta, rho).shape
        (8, 3, 4, 4)

    """
    return _weigh(x, gamma, beta, rho, eps, functools.partial(
        functions.batch_normalization, eps=eps, running_mean=running_mean,
        running_var=running_var, decay=decay))


def fixed_batch_instance_normalization(x, gamma, beta, rho, mean, var,
                                       eps=2e-5):
    """Batch-instance normalization with given statistics of the batch.

    See :func:`batch_instance_normalization`; the samples' statistics are
    their own here, too.

    Args:
        x (:class:`~chainer.Variable` or array): Input ``(N, C, *S)`` of a
            floating dtype.
        gamma (:class:`~chainer.Variable` or array): Scale, ``(C,)``.
        beta (:class:`~chainer.Variable` or array): Shift, ``(C,)``.
        rho (:class:`~chainer.Variable` or array): Share of batch
            normalization, ``(C,)``, meant to be in [0, 1].
        mean (:class:`~chainer.Variable` or array): Mean, ``(C,)``.
        var (:class:`~chainer.Variable` or array): Variance, ``(C,)``.
        eps (float): Added to variances.

    Returns:
        ~chainer.Variable: Output of ``x``'s shape and dtype.

    Raises:
        chainer.utils.type_check.InvalidType: If shapes or dtypes do not fit.
        ValueError: If ``eps`` is negative or no finite number.

    """
    mean, var = chainer.as_variable(mean), chainer.as_variable(var)
    check_channels(chainer.as_variable(x), mean=mean, var=var)

    def standardize(x, gamma, beta):
        return functions.fixed_batch_normalization(
            x, gamma, beta, functions.cast(mean, x.dtype),
            functions.cast(var, x.dtype), eps)

    return _weigh(x, gamma, beta, rho, eps, standardize)


def _weigh(x, gamma, beta, rho, eps, batch_normalization):
    x, gamma, beta, rho = map(chainer.as_variable, (x, gamma, beta, rho))
    check_channels(x, gamma=gamma, beta=beta, rho=rho)
    check_eps(eps)
    in_dtype = x.dtype
    dtype = functools.reduce(
        numpy.promote_types, (x.dtype, gamma.dtype, numpy.float32))
    x = functions.cast(x, dtype)
    gamma, beta, rho = (functions.cast(z, dtype) for z in (gamma, beta, rho))
    # Chainer's double gradients of batch normalization divide by the scale,
    # so that a share of 0 must not be put into it.
    ones = x.xp.ones(x.shape[1], dtype)
    # No samples have no statistics.
    batch = x if len(x) == 0 else batch_normalization(
        x, ones, x.xp.zeros_like(ones))
    share = functions.reshape(gamma * rho, (1, -1) + (1,) * (x.ndim - 2))
    y = share * batch + group_normalization(
        x, x.shape[1], gamma * (1 - rho), beta, eps)
    return functions.cast(y, in_dtype)
