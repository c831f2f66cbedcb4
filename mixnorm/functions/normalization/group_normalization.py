"""Group normalization that can be differentiated twice."""
import functools

import numpy

import chainer
from chainer import function_node
from chainer import functions

from mixnorm.checks import check_channels, check_eps, check_groups


def group_normalization(x, groups, gamma, beta, eps=1e-5):
    r"""Group normalization.

    .. math::

        y = \gamma \frac{x - \mu_{ng}}{\sqrt{\sigma_{ng}^2 + \epsilon}}
        + \beta

    where :math:`\mu_{ng}` and :math:`\sigma_{ng}^2` are mean and variance of
    the group of channels, of the sample, that the channel is in.  With one
    group it is layer normalization, with as many as channels instance
    normalization.

    It is :func:`chainer.functions.group_normalization`, but for two things.
    The gradient with respect to ``x`` alone can be differentiated, as a
    gradient penalty needs it, not only all gradients at once.  And it computes
    in float32 at least, also if gamma and beta are float16.

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
            the number of channels, or ``eps`` is negative or no finite number.

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
    check_eps(eps)
    check_groups(groups, x.shape[1])
    # Chainer computes in the wider of the types of x and gamma, which it also
    # gives to the gradient of gamma.
    dtype = functools.reduce(
        numpy.promote_types, (x.dtype, gamma.dtype, numpy.float32))
    gamma, beta = functions.cast(gamma, dtype), functions.cast(beta, dtype)
    if len(x) == 0:
        # Chainer's would ask how long a group of no samples is.
        per_channel = (1, -1) + (1,) * (x.ndim - 2)
        return functions.cast(
            functions.cast(x, dtype) * functions.reshape(gamma, per_channel)
            + functions.reshape(beta, per_channel), x.dtype)
    x, gamma, beta = _ZerosForMissingGradients().apply((x, gamma, beta))
    return functions.group_normalization(x, int(groups), gamma, beta, eps)


class _ZerosForMissingGradients(function_node.FunctionNode):

    """Identity that passes on zeros for gradients that are not there.

    Differentiating Chainer's gradient of group normalization takes gradients
    of all that it gave.  With this in front of it, all that it gave comes
    through here, and so does whatever is differentiated.

    """

    def forward(self, inputs):
        self._types = [(z.shape, z.dtype) for z in inputs]
        return inputs

    def backward(self, indexes, grad_outputs):
        xp = next(g.xp for g in grad_outputs if g is not None)
        gradients = _ZerosForMissingGradients().apply([
            xp.zeros(shape, dtype) if g is None else g
            for g, (shape, dtype) in zip(grad_outputs, self._types)])
        return [gradients[i] for i in indexes]
