import numpy

import chainer

from mixnorm import compute
from mixnorm.checks import check_communicator, check_real
from mixnorm.functions.normalization.fixed_mode_normalization import (
    GatedFixedModeNormalization)
from mixnorm.functions.normalization.mode_normalization import (
    GatedModeNormalization)
from mixnorm.links.gated_normalization import GatedNormalization
from mixnorm.links.running_averages import RunningAverages, parse_finetune
from mixnorm.links.sized_link import on_own_device
from mixnorm.workers import Workers


class ModeNormalization(RunningAverages, GatedNormalization):

    r"""Mode normalization layer.

    It takes the place of :class:`chainer.links.BatchNormalization`.  Every
    sample belongs to ``K`` modes by gates that are learned, and each mode
    standardizes the samples by its own mean and variance:

    .. math::

        g_n &= \mathrm{softmax}(W \phi(x_n) + b) \\
        y_n &= \gamma \sum_k g_{nk}
        \frac{x_n - \mu_k}{\sqrt{\sigma_k^2 + \epsilon}} + \beta

    where :math:`\phi` averages over positions.  In training the statistics
    are the mini-batch's, see :func:`mixnorm.functions.mode_normalization`;
    in test mode (``chainer.config.train`` false) they follow from running
    averages of :math:`\langle x \rangle_k` and
    :math:`\langle x^2 \rangle_k`.

    Averages that are not finite make an output that is not finite, as in
    batch normalization, but never enter the running averages.

    Args:
        size (int, tuple of ints or None): Size or shape of the channel
            dimensions.  If ``None``, the first mini-batch decides.
        n_modes (int): Number of modes ``K``.
        decay (float): Decay rate of the running averages, in [0, 1]: the
            paper's ``lambda`` is ``1 - decay``.
        eps (float): Added to variances.
        dtype (numpy.dtype): Type of the parameters; that of
            ``chainer.config.dtype`` if ``None`` (float32 for mixed16).
        use_gamma (bool): If ``True``, scale by the parameter gamma.
        use_beta (bool): If ``True``, shift by the parameter beta.
        initial_gamma: Initializer of gamma; 1 if ``None``.
        initial_beta: Initializer of beta; 0 if ``None``.
        axis (int, tuple of ints or None): Axes along which statistics are
            taken, in ascending order: the first tells samples apart, the
            others are positions.  ``None``: all axes but those of ``size``
            after the first.
        mode_affine (bool): If ``True``, gamma and beta have shape
            ``(K,) + size`` and act on each mode (the paper's footnote 3).
        communicator (chainermn.CommunicatorBase or None): If given, the
            mini-batches of all its workers are one, joined along the axis of
            samples in the order of ranks; shares may differ in size.  Every
            worker has to call the link.  In training, each has the outputs,
            the gradient of the input and the running averages that one
            worker would have with the joined mini-batch; gamma and beta get
            the mean of the workers' gradients, as in ChainerMN's batch
            normalization.

    Attributes:
        gamma (~chainer.Parameter): Scale, or ``None``.
        beta (~chainer.Parameter): Shift, or ``None``.
        gate_W (~chainer.Parameter): ``W``, ``(K,) + size``, ``1 / K`` and a
            little noise at first.
        gate_b (~chainer.Parameter): ``b``, ``(K,)``, 0 at first.
        avg_mean (array): Running average of :math:`\langle x \rangle_k`,
            ``(K,) + size``, float64; 0 at first.
        avg_sqmean (array): That of :math:`\langle x^2 \rangle_k`; 1 at first.
        N (int): Mini-batches averaged by fine-tuning.
        gates (array): Gates ``(N, K)`` of the last batch.

    Raises:
        ValueError: If an argument is out of its range.

    Source: L. Deecke, I. Murray and H. Bilen, *Mode Normalization* (2019),
    section 3.

    .. admonition:: Example

        >>> import numpy as np
        >>> import mixnorm
        >>> norm = mixnorm.links.ModeNormalization(16, n_modes=2)
        >>> x = np.random.randn(8, 16, 4, 4).astype('f')
        >>> norm(x).shape
        (8, 16, 4, 4)
        >>> norm.gates.shape
        (8, 2)

    """

    def __init__(self, size=None, n_modes=2, decay=.9, eps=2e-5, dtype=None,
                 use_gamma=True, use_beta=True, initial_gamma=None,
                 initial_beta=None, axis=None, mode_affine=False,
                 communicator=None):
        super().__init__(
            size, n_modes, eps, dtype, use_gamma, use_beta, initial_gamma,
            initial_beta, axis, mode_affine)
        check_real('decay', decay, 0, 1)
        check_communicator('communicator', communicator)
        self._workers = None if communicator is None else Workers(communicator)
        self.decay = decay
        self.N = 0
        self.register_persistent('N')
        # In float64, as the variance is a difference of the two.
        self.avg_mean = None
        self.avg_sqmean = None
        self.register_persistent('avg_mean')
        self.register_persistent('avg_sqmean')
        if self.size is not None:
            self._initialize(self.size)

    def _gate_shape(self, size):
        return (self.n_modes,) + size

    def _shape(self, name, size):
        if name in ('avg_mean', 'avg_sqmean'):
            return (self.n_modes,) + size
        return super()._shape(name, size)

    def _initialize(self, size):
        super()._initialize(size)
        with chainer.using_device(self.device):
            shape = (self.n_modes,) + size
            if self.avg_mean is None:
                self.avg_mean = self.xp.zeros(shape, numpy.float64)
            if self.avg_sqmean is None:
                self.avg_sqmean = self.xp.ones(shape, numpy.float64)

    @on_own_device
    def inference_moments(self):
        """Returns the mean and variance of all modes together, evenly.

        Returns:
            tuple of arrays or None: ``size`` each, float64; ``None`` before
            the size is known.

        """
        if self.avg_mean is None:
            return None
        mean, square = (z.mean(axis=0) for z in self._read_averages(
            'avg_mean', 'avg_sqmean'))
        return mean, self.xp.maximum(square - mean * mean, 0)

    @on_own_device
    def set_inference_moments(self, mean, variance):
        """Gives all modes the same running averages.

        Args:
            mean (array): ``size``.
            variance (array): ``size``.

        """
        shape = self.avg_mean.shape
        self.avg_mean, self.avg_sqmean = (
            self.xp.broadcast_to(z, shape).astype(numpy.float64)
            for z in (mean, variance + mean * mean))

    @property
    def communicator(self):
        """The workers' communicator, or ``None``."""
        return None if self._workers is None else self._workers.communicator

    @property
    def printable_specs(self):
        for key, value in super().printable_specs:
            yield key, value
            if key == 'n_modes':
                yield 'decay', self.decay
        if self._workers is not None:
            yield 'communicator', self._workers

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
        joined = None
        if self._workers is not None and chainer.config.train:
            joined = self._join(
                x, self._workers, N=self.N, finetune=finetune)
        points, restore = self._points(x)
        averages = self._read_averages('avg_mean', 'avg_sqmean')
        if not chainer.config.train:
            return restore(self._apply(GatedFixedModeNormalization(
                *(z.reshape(self.n_modes, -1) for z in averages), self.eps),
                points))
        node = GatedModeNormalization(self.eps, joined)
        y = self._apply(node, points)
        # A recomputation (F.forget) leaves no trace.
        if not chainer.config.in_recomputing:
            modes = compute.arithmetic(points.array).modes
            (mean, sqmean), finite = modes.averages(
                averages, node.statistics, self._decay(finetune))
            self._set_averages(
                finetune, finite, avg_mean=mean, avg_sqmean=sqmean)
        return restore(y)
