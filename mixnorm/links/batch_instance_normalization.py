import numpy

import chainer
from chainer import functions

from mixnorm.checks import check_real
from mixnorm.functions import batch_instance_normalization
from mixnorm.functions import fixed_batch_instance_normalization
from mixnorm.links.affine_normalization import AffineNormalization
from mixnorm.links.running_averages import RunningAverages, parse_finetune


class BatchInstanceNormalization(RunningAverages, AffineNormalization):

    r"""Batch-instance normalization layer.

    Each channel learns how much of batch normalization and how much of
    instance normalization it needs:

    .. math::

        y = \gamma \left( \rho \frac{x - \mu_c}{\sqrt{\sigma_c^2 + \epsilon}}
        + (1 - \rho) \frac{x - \mu_{nc}}{\sqrt{\sigma_{nc}^2 + \epsilon}}
        \right) + \beta

    see :func:`mixnorm.functions.batch_instance_normalization`.  In test mode
    (``chainer.config.train`` false), running averages take the place of the
    mini-batch's statistics, as in
    :class:`chainer.links.BatchNormalization`; the samples' are always their
    own.  Without positions, as in ``(N, C)``, instance normalization gives 0.

    :math:`\rho` is kept in [0, 1] as the authors do, by clipping the
    parameter after each update; here that is done at the beginning of the
    next forward pass.  The gradient is that of the clipped value and is not
    changed at the bounds, so that an update can lead away from them.

    Averages that are not finite make an output that is not finite, as in
    batch normalization, but never enter the running averages.

    Args:
        size (int, tuple of ints or None): Size or shape of the channel
            dimensions.  If ``None``, the first mini-batch decides.
        decay (float): Decay rate of the running averages, in [0, 1].
        eps (float): Added to variances.
        dtype (numpy.dtype): Type of the parameters; that of
            ``chainer.config.dtype`` if ``None`` (float32 for mixed16).  The
            running averages are float32 at least.
        use_gamma (bool): If ``True``, scale by the parameter gamma.
        use_beta (bool): If ``True``, shift by the parameter beta.
        initial_gamma: Initializer of gamma; 1 if ``None``.
        initial_beta: Initializer of beta; 0 if ``None``.
        initial_rho: Initializer of rho; 1, batch normalization, if ``None``.
        axis (int, tuple of ints or None): Axes of samples (the first) and of
            positions, in ascending order.  ``None``: all axes but those of
            ``size`` after the first.

    Attributes:
        gamma (~chainer.Parameter): Scale, or ``None``.
        beta (~chainer.Parameter): Shift, or ``None``.
        rho (~chainer.Parameter): Share of batch normalization.
        avg_mean (array): Running average of means.
        avg_var (array): Running average of unbiased variances.
        N (int): Mini-batches averaged by fine-tuning.

    Raises:
        ValueError: If an argument is out of its range.

    Source: H. Nam and H.-E. Kim, *Batch-Instance Normalization for Adaptively
    Style-Invariant Neural Networks* (2018), section 3.

    .. admonition:: Example

        >>> import numpy as np
        >>> import mixnorm
        >>> norm = mixnorm.links.BatchInstanceNormalization(16)
        >>> x = np.random.randn(8, 16, 4, 4).astype('f')
        >>> norm(x).shape
        (8, 16, 4, 4)
        >>> norm.rho.shape
        (16,)

    """

    _size_shaped = 'gamma', 'beta', 'rho', 'avg_mean', 'avg_var'

    def __init__(self, size=None, decay=.9, eps=2e-5, dtype=None,
                 use_gamma=True, use_beta=True, initial_gamma=None,
                 initial_beta=None, initial_rho=None, axis=None):
        super().__init__(
            size, eps, dtype, use_gamma, use_beta, initial_gamma,
            initial_beta, axis)
        check_real('decay', decay, 0, 1)
        self.decay = decay
        with self.init_scope():
            self.rho = self._make_parameter('rho', initial_rho, 1)
        self.N = 0
        self.avg_mean = None
        self.avg_var = None
        for name in ('N', 'avg_mean', 'avg_var'):
            self.register_persistent(name)
        if self.size is not None:
            self._initialize(self.size)

    def _initialize(self, size):
        super()._initialize(size)
        dtype = numpy.promote_types(self._highprec_dtype, numpy.float32)
        with chainer.using_device(self.device):
            if self.avg_mean is None:
                self.avg_mean = self.xp.zeros(size, dtype)
            if self.avg_var is None:
                self.avg_var = self.xp.ones(size, dtype)

    @property
    def printable_specs(self):
        for key, value in super().printable_specs:
            yield key, value
            if key == 'size':
                yield 'decay', self.decay

    def forward(self, x, **kwargs):
        """forward(self, x, finetune=False)

        Normalizes a mini-batch.

        Args:
            x (:class:`~chainer.Variable` or array): Input of a floating
                dtype.  By default ``(N,) + size + S``, where ``S`` is any
                spatial shape.
            finetune (bool): In training mode, ``True`` makes the running
                averages those of all mini-batches since
                :meth:`start_finetuning`, evenly.

        Returns:
            ~chainer.Variable: Output of ``x``'s shape and dtype.

        Raises:
            chainer.utils.type_check.InvalidType: If ``x`` does not fit.

        """
        finetune = parse_finetune(kwargs)
        points, restore = self._points(x)
        self.xp.clip(self.rho.array, 0, 1, out=self.rho.array)
        gamma, beta = self._scale_and_shift()
        inputs = points, gamma, beta, functions.reshape(self.rho, (-1,))
        mean, var = (z.flatten() for z in self._read_averages(
            'avg_mean', 'avg_var'))
        if not chainer.config.train:
            return restore(fixed_batch_instance_normalization(
                *inputs, mean, var, self.eps))
        # A recomputation (F.forget) leaves no trace.
        if chainer.config.in_recomputing:
            return restore(batch_instance_normalization(*inputs, self.eps))
        y = batch_instance_normalization(
            *inputs, self.eps, mean, var, self._decay(finetune))
        self._take_averages(finetune, avg_mean=mean, avg_var=var)
        return restore(y)
