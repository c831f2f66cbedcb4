
import chainer.links as L

from mixnorm.checks import (
    check_channels, check_eps, check_groups, check_initializer, check_integer)
from mixnorm.functions import group_normalization
from mixnorm.links.sized_link import SizedLink


class GroupNormalization(SizedLink, L.GroupNormalization):

    r"""Group normalization layer.

    It is :class:`chainer.links.GroupNormalization`, but computes by
    :func:`mixnorm.functions.group_normalization`, so that its gradients can
    be differentiated, as a gradient penalty needs it, and activations of
    float16 do not overflow.

    Args:
        groups (int): Number of groups, a divisor of the number of channels: 1
            for layer normalization.
        size (int or None): Number of channels.  If ``None``, the first
            mini-batch decides.
        eps (float): Added to variances.
        initial_gamma: Initializer of gamma; 1 if ``None``.
        initial_beta: Initializer of beta; 0 if ``None``.

    Attributes:
        gamma (~chainer.Parameter): Scale.
        beta (~chainer.Parameter): Shift.

    Raises:
        ValueError: If ``groups`` does not divide ``size``, or an argument is
            out of its range.

    Source: Y. Wu and K. He, *Group Normalization* (2018).

    .. admonition:: Example

        >>> import numpy as np
        >>> import mixnorm
        >>> norm = mixnorm.links.GroupNormalization(4, 16)
        >>> x = np.random.randn(8, 16, 4, 4).astype('f')
        >>> norm(x).shape
        (8, 16, 4, 4)

    """

    def __init__(self, groups, size=None, eps=1e-5, initial_gamma=None,
                 initial_beta=None):
        check_integer('groups', groups, 1)
        check_eps(eps)
        check_initializer('initial_gamma', initial_gamma)
        check_initializer('initial_beta', initial_beta)
        super().__init__(
            groups, None, eps, initial_gamma, initial_beta)
        if size is not None:
            check_integer('size', size, 1)
            self._initialize((int(size),))

    def _check_size(self, size):
        if len(size) != 1:
            raise ValueError(f'size is {size!r}: group normalization takes '
                             'one axis of channels')
        check_groups(self.groups, size[0])

    @property
    def printable_specs(self):
        yield 'groups', self.groups
        yield 'size', None if self.size is None else self.size[0]
        yield 'eps', self.eps

    def forward(self, x):
        """Normalizes samples.

        Args:
            x (:class:`~chainer.Variable` or array): Input ``(N, C, *S)`` of a
                floating dtype.

        Returns:
            ~chainer.Variable: Output of ``x``'s shape and dtype.

        Raises:
            chainer.utils.type_check.InvalidType: If ``x`` does not fit.
            ValueError: If ``groups`` does not divide the number of channels.

        """
        if self.size is None:
            check_channels(x)
            self._initialize(x.shape[1:2])
        return group_normalization(
            x, self.groups, self.gamma, self.beta, self.eps)
