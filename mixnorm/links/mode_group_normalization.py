from mixnorm.functions.normalization.mode_group_normalization import (
    GatedModeGroupNormalization)
from mixnorm.links.gated_normalization import GatedNormalization


class ModeGroupNormalization(GatedNormalization):

    r"""Mode group normalization layer.

    It takes the place of :class:`chainer.links.GroupNormalization`.  Every
    channel of a sample belongs to ``K`` modes by gates that are learned, and
    the sample is standardized by each mode's mean and variance:

    .. math::

        g_c &= \mathrm{softmax}(W \phi(x_c) + b) \\
        y &= \frac{\gamma}{K} \sum_k
        \frac{x - \mu_k}{\sqrt{\sigma_k^2 + \epsilon}} + \beta

    where :math:`\phi` averages over positions; see
    :func:`mixnorm.functions.mode_group_normalization`.  It works on each
    sample by itself, the same in training and in test mode.

    It departs from the letter of the paper in one place.  The paper averages
    over positions first, and takes :math:`\sigma_k^2` from the channels'
    means alone; here it includes the variance over positions, as the variance
    of group normalization does.  Without that, one mode would not be layer
    normalization, and a sample whose channels have one mean would be divided
    by :math:`\sqrt\epsilon`.  Without positions both are the same.

    All modes count alike, also one that a single channel of a sample has to
    itself.  Without positions, as in ``(N, C)``, the variance of that one is
    0, and every channel's distance from its mean is divided by
    :math:`\sqrt\epsilon`: of inputs of large magnitude, the output of eq. (5)
    itself can be beyond float16 then.

    Args:
        size (int, tuple of ints or None): Size or shape of the channel
            dimensions.  If ``None``, the first mini-batch decides.
        n_modes (int): Number of modes ``K``.
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
        mode_affine (bool): If ``True``, gamma and beta have shape
            ``(K,) + size`` and act on each mode.

    Attributes:
        gamma (~chainer.Parameter): Scale, or ``None``.
        beta (~chainer.Parameter): Shift, or ``None``.
        gate_W (~chainer.Parameter): ``W``, ``(K,)``, ``1 / K`` and a little
            noise at first; the same for all channels.
        gate_b (~chainer.Parameter): ``b``, ``(K,)``, 0 at first.
        gates (array): Gates ``(N, C, K)`` of the last batch.

    Raises:
        ValueError: If an argument is out of its range.

    Source: L. Deecke, I. Murray and H. Bilen, *Mode Normalization* (2019),
    eq. (5).

    .. admonition:: Example

        >>> import numpy as np
        >>> import mixnorm
        >>> norm = mixnorm.links.ModeGroupNormalization(16, n_modes=2)
        >>> x = np.random.randn(8, 16, 4, 4).astype('f')
        >>> norm(x).shape
        (8, 16, 4, 4)
        >>> norm.gates.shape
        (8, 16, 2)

    """

    def __init__(self, size=None, n_modes=2, eps=2e-5, dtype=None,
                 use_gamma=True, use_beta=True, initial_gamma=None,
                 initial_beta=None, axis=None, mode_affine=False):
        super().__init__(
            size, n_modes, eps, dtype, use_gamma, use_beta, initial_gamma,
            initial_beta, axis, mode_affine)
        if self.size is not None:
            self._initialize(self.size)

    def _gate_shape(self, size):
        return self.n_modes,

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
        return restore(self._apply(
            GatedModeGroupNormalization(self.eps), points))
