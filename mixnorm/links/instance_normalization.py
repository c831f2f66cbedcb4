from mixnorm.functions import group_normalization
from mixnorm.links.affine_normalization import AffineNormalization


class InstanceNormalization(AffineNormalization):

    r"""Instance normalization layer.

    Each channel of each sample is standardized by its own mean and variance
    over positions, then scaled and shifted by parameters:

    .. math::

        y = \gamma \frac{x - \mu_{nc}}{\sqrt{\sigma_{nc}^2 + \epsilon}}
        + \beta

    There are no running statistics: it works the same in training and in test
    mode.  Without positions, as in ``(N, C)``, each value is its own mean,
    and the output is :math:`\beta`.

    It is group normalization with as many groups as channels, which
    :class:`chainer.links.GroupNormalization` has to know when it is made; here
    they may be left to the first mini-batch.

    Args:
        size (int, tuple of ints or None): Size or shape of the channel
            dimensions.  If ``None``, the first mini-batch decides.
        eps (float): Added to variances.
        dtype (numpy.dtype): Type of the parameters; that of
            ``chainer.config.dtype`` if ``None`` (float32 for mixed16).
        use_gamma (bool): If ``True``, scale by the parameter gamma.
        use_beta (bool): If ``True``, shift by the parameter beta.
        initial_gamma: Initializer of gamma; 1 if ``None``.
        initial_beta: Initializer of beta; 0 if ``None``.
        axis (int, tuple of ints or None): Axes of samples (the first) and of
            positions, in ascending order.  ``None``: all axes but those of
            ``size`` after the first.

    Attributes:
        gamma (~chainer.Parameter): Scale, or ``None``.
        beta (~chainer.Parameter): Shift, or ``None``.

    Raises:
        ValueError: If an argument is out of its range.

    Source: D. Ulyanov, A. Vedaldi and V. Lempitsky, *Instance Normalization:
    The Missing Ingredient for Fast Stylization* (2016), eq. (2).

    .. admonition:: Example

        >>> import numpy as np
        >>> import mixnorm
        >>> norm = mixnorm.links.InstanceNormalization(16)
        >>> x = np.random.randn(8, 16, 4, 4).astype('f')
        >>> norm(x).shape
        (8, 16, 4, 4)

    """

    def __init__(self, size=None, eps=2e-5, dtype=None, use_gamma=True,
                 use_beta=True, initial_gamma=None, initial_beta=None,
                 axis=None):
        super().__init__(
            size, eps, dtype, use_gamma, use_beta, initial_gamma,
            initial_beta, axis)
        if self.size is not None:
            self._initialize(self.size)

    def forward(self, x):
        """Normalizes samples.

        Args:
            x (:class:`~chainer.Variable` or array): Input of a floating
                dtype.  By default ``(N,) + size + S``, where ``S`` is any
                spatial shape.

        Returns:
            ~chainer.Variable: Output of ``x``'s shape and dtype.

        Raises:
            chainer.utils.type_check.InvalidType: If ``x`` does not fit.

        """
        points, restore = self._points(x)
        return restore(group_normalization(
            points, points.shape[1], *self._scale_and_shift(), self.eps))
