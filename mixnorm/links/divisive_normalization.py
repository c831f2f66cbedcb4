import math

from mixnorm.checks import check_flag, check_real, check_window
from mixnorm.functions import divisive_normalization
from mixnorm.links.affine_normalization import AffineNormalization


class DivisiveNormalization(AffineNormalization):

    r"""Divisive normalization layer.

    Each activation is compared with what is active around it:

    .. math::

        v &= x - \langle x \rangle \\
        y &= \gamma \frac{v}{\sqrt{\rho^2 + \langle v^2 \rangle + \epsilon}}
        + \beta

    where :math:`\langle \cdot \rangle` is the mean over all channels and over
    the positions in a window; see
    :func:`mixnorm.functions.divisive_normalization`.  It works on each sample
    by itself, the same in training and in test mode.

    Args:
        size (int, tuple of ints or None): Size or shape of the channel
            dimensions.  If ``None``, the first mini-batch decides.
        window (int or tuple of ints): Width of the window along each spatial
            axis, or along all of them, in positions; odd.
        rho (float): Smoother, in the input's units, at least 0: activity
            below it is hardly amplified.
        learn_rho (bool): If ``True``, ``rho`` is a parameter that starts
            there.
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
        rho (float or ~chainer.Parameter): Smoother; a parameter of shape
            ``()`` if it is learned.  Its sign has no effect.

    Raises:
        ValueError: If an argument is out of its range.

    Source: M. Ren, R. Liao, R. Urtasun, F. H. Sinz and R. S. Zemel,
    *Normalizing the Normalizers* (2017), section 3.

    .. admonition:: Example

        >>> import numpy as np
        >>> import mixnorm
        >>> norm = mixnorm.links.DivisiveNormalization(16, window=3)
        >>> x = np.random.randn(8, 16, 4, 4).astype('f')
        >>> norm(x).shape
        (8, 16, 4, 4)

    """

    def __init__(self, size=None, window=5, rho=1., learn_rho=False, eps=2e-5,
                 dtype=None, use_gamma=True, use_beta=True,
                 initial_gamma=None, initial_beta=None, axis=None):
        super().__init__(
            size, eps, dtype, use_gamma, use_beta, initial_gamma,
            initial_beta, axis)
        check_real('rho', rho, 0, math.inf, closed_high=False)
        check_flag('learn_rho', learn_rho)
        self.window = check_window(window)
        self.rho = rho
        if learn_rho:
            with self.init_scope():
                self.rho = self._make_parameter('rho', rho, None)
        if self.size is not None:
            self._initialize(self.size)

    def _shape(self, name, size):
        return () if name == 'rho' else super()._shape(name, size)

    def _size_of(self, name, shape):
        return None if name == 'rho' else super()._size_of(name, shape)

    @property
    def printable_specs(self):
        for key, value in super().printable_specs:
            yield key, value
            if key == 'size':
                is_learned = 'rho' in self._params
                yield 'window', self.window
                if not is_learned:
                    yield 'rho', self.rho
                yield 'learn_rho', is_learned

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
            ValueError: If ``window`` is not of as many axes as ``x`` has.

        """
        points, restore = self._points(x)
        return restore(divisive_normalization(
            points, *self._scale_and_shift(), self.rho, self.window,
            self.eps))
