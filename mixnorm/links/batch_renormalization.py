import functools
import math

import numpy

import chainer
from chainer import functions
from chainer import initializers
import chainer.links as L

from mixnorm.checks import (
    check_axis, check_dtype, check_eps, check_flag, check_initializer,
    check_real, check_size, naming_initializer)
from mixnorm.links import axes
from mixnorm.links.recomputation import Recomputation
from mixnorm.links.running_averages import RunningAverages
from mixnorm.links.sized_link import SizedLink


class BatchRenormalization(
        RunningAverages, SizedLink, L.BatchRenormalization):

    r"""Batch renormalization layer.

    Batch normalization, led towards the running averages:

    .. math::

        y &= \gamma \left( r \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + d
        \right) + \beta \\
        r &= \mathrm{clip}\left(\frac{\sqrt{\sigma^2 + \epsilon}}
        {\sqrt{\hat\sigma^2 + \epsilon}}, \frac{1}{r_{max}}, r_{max}\right),
        \quad
        d = \mathrm{clip}\left(\frac{\mu - \hat\mu}
        {\sqrt{\hat\sigma^2 + \epsilon}}, -d_{max}, d_{max}\right)

    where :math:`\mu, \sigma^2` are the mini-batch's mean and variance, and
    :math:`\hat\mu, \hat\sigma^2` the running averages before it.  ``r`` and
    ``d`` are constants: no gradient goes through them.

    It takes the place of :class:`chainer.links.BatchRenormalization`, and
    differs from it in these respects: gradients of gradients can be taken;
    it takes ``axis``, and with it leaves ``size`` to the first mini-batch, as
    :class:`chainer.links.BatchNormalization` does; it computes in the widest
    of the types of input, parameters and float32, so that activations of
    float16 do not overflow; averages that are not finite never enter the
    running averages; and ``initial_avg_mean`` and ``initial_avg_var`` have
    the effect they should have.

    Args:
        size (int, tuple of ints or None): Size or shape of the channel
            dimensions.  If ``None``, the first mini-batch decides, by
            ``axis``, which is needed then.
        rmax (float): Largest ``r``, at least 1.  With the defaults of 1 and
            0 it is batch normalization; the paper begins there and raises
            both, to 3 and 5, while it trains.  The attributes may be set at
            any time.
        dmax (float): Largest ``|d|``, at least 0.
        decay (float): Decay rate of the running averages, in [0, 1].
        eps (float): Added to variances.
        dtype (numpy.dtype): Type of the parameters; that of
            ``chainer.config.dtype`` if ``None`` (float32 for mixed16).  The
            running averages are float32 at least.
        use_gamma (bool): If ``True``, scale by the parameter gamma.
        use_beta (bool): If ``True``, shift by the parameter beta.
        initial_gamma: Initializer of gamma; 1 if ``None``.
        initial_beta: Initializer of beta; 0 if ``None``.
        initial_avg_mean: Initializer of the running mean; 0 if ``None``.
        initial_avg_var: Initializer of the running variance; 1 if ``None``.
        axis (int, tuple of ints or None): Axes along which statistics are
            taken, in ascending order.  ``None``: all axes but those of
            ``size`` after the first.

    Attributes:
        gamma (~chainer.Parameter): Scale, or ``None``.
        beta (~chainer.Parameter): Shift, or ``None``.
        avg_mean (array): Running average of means.
        avg_var (array): Running average of unbiased variances.
        N (int): Mini-batches averaged by fine-tuning.

    Raises:
        ValueError: If an argument is out of its range, or neither ``size``
            nor ``axis`` is given.

    Source: S. Ioffe, *Batch Renormalization: Towards Reducing Minibatch
    Dependence in Batch-Normalized Models* (2017), algorithm 1; running
    averages are those of batch normalization.

    .. admonition:: Example

        >>> import numpy as np
        >>> import mixnorm
        >>> norm = mixnorm.links.BatchRenormalization(16, rmax=3, dmax=5)
        >>> x = np.random.randn(8, 16, 4, 4).astype('f')
        >>> norm(x).shape
        (8, 16, 4, 4)

    """

    _size_shaped = 'gamma', 'beta', 'avg_mean', 'avg_var'

    def __init__(self, size=None, rmax=1, dmax=0, decay=.9, eps=2e-5,
                 dtype=None, use_gamma=True, use_beta=True,
                 initial_gamma=None, initial_beta=None,
                 initial_avg_mean=None, initial_avg_var=None, axis=None):
        check_real('rmax', rmax, 1, math.inf)
        check_real('dmax', dmax, 0, math.inf)
        check_real('decay', decay, 0, 1)
        check_eps(eps)
        dtype = check_dtype(dtype)
        check_flag('use_gamma', use_gamma)
        check_flag('use_beta', use_beta)
        for name, value in (
                ('gamma', initial_gamma), ('beta', initial_beta),
                ('avg_mean', initial_avg_mean), ('avg_var', initial_avg_var)):
            check_initializer(f'initial_{name}', value)
        size, axis = check_size(size), check_axis(axis)
        if size is None and axis is None:
            raise ValueError('size is None and axis is None: one of them must '
                             'be given')
        # Its own constructor gives the running averages' initializers in the
        # place of others.
        super(L.BatchRenormalization, self).__init__(
            size, decay, eps, dtype, use_gamma, use_beta, initial_gamma,
            initial_beta, axis, initial_avg_mean, initial_avg_var)
        self.rmax = rmax
        self.dmax = dmax
        # Of the last pass of training.
        self.r = None
        self.d = None
        self._recomputation = Recomputation()

    def _initialize_params(self, shape):
        # The constructor of batch normalization calls it.
        self._initialize(shape)

    def _initialize(self, size):
        averages = (('avg_mean', self._initial_avg_mean, 0),
                    ('avg_var', self._initial_avg_var, 1))
        for name, initializer, _ in averages:
            check_initializer(f'initial_{name}', initializer, size)
        super()._initialize(size)
        for name, initializer, default in averages:
            if getattr(self, name, None) is None:
                setattr(self, name, self._make_average(
                    name, default if initializer is None else initializer,
                    size))

    def _make_average(self, name, initializer, size):
        dtype = numpy.promote_types(self._highprec_dtype, numpy.float32)
        with naming_initializer(f'initial_{name}', initializer, size):
            return initializers.generate_array(
                initializers._get_initializer(initializer), size, self.xp,
                dtype, self.device)

    @property
    def printable_specs(self):
        yield 'size', self.size
        yield 'rmax', self.rmax
        yield 'dmax', self.dmax
        yield 'decay', self.decay
        yield 'eps', self.eps
        yield 'dtype', self._highprec_dtype
        yield 'use_gamma', self.gamma is not None
        yield 'use_beta', self.beta is not None
        yield 'axis', self.axis

    def forward(self, x, finetune=False):
        """Normalizes a mini-batch.

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
        x = chainer.as_variable(x)
        axes.check_type(x, self.size, self.axis)
        point_axes, channel_axes = axes.split_axes(
            x.ndim, self.size, self.axis)
        if self.size is None:
            self._initialize(tuple(x.shape[a] for a in channel_axes))
        dtype = functools.reduce(numpy.promote_types, (
            x.dtype, self._highprec_dtype, numpy.float32))
        y = self._normalize(
            _cast(x, dtype), *self._scale_and_shift(dtype), point_axes,
            finetune)
        return _cast(y, x.dtype)

    def _scale_and_shift(self, dtype):
        return tuple(
            make(self.size, dtype) if parameter is None
            else _cast(parameter, dtype)
            for parameter, make in (
                (self.gamma, self.xp.ones), (self.beta, self.xp.zeros)))

    def _normalize(self, x, gamma, beta, point_axes, finetune):
        """Normalizes a variable, all in its dtype."""
        mean, var = (z.astype(x.dtype) for z in self._read_averages(
            'avg_mean', 'avg_var'))
        if not chainer.config.train:
            return functions.fixed_batch_normalization(
                x, gamma, beta, mean, var, self.eps, point_axes)
        # A recomputation (F.forget) has what the first pass saw, and leaves
        # no trace.
        recomputing = chainer.config.in_recomputing
        if recomputing:
            r, d = self._recomputation.recall(x.array)
        else:
            r, d = self._corrections(x.array, mean, var, point_axes)
            self._recomputation.remember(x.array, (r, d))
            self.r, self.d = r, d
        y = functions.batch_normalization(
            x, gamma * r, beta + gamma * d, eps=self.eps,
            running_mean=mean, running_var=var, decay=self._decay(finetune),
            axis=point_axes)
        if not recomputing:
            self._take_averages(finetune, avg_mean=mean, avg_var=var)
        return y

    def _corrections(self, x, avg_mean, avg_var, point_axes):
        """Returns r and d for an array, under the running averages."""
        xp = self.xp
        deviation = xp.sqrt(x.var(axis=point_axes) + self.eps)
        running = xp.sqrt(avg_var + self.eps)
        r = xp.clip(deviation / running, 1 / self.rmax, self.rmax)
        d = xp.clip((x.mean(axis=point_axes) - avg_mean) / running,
                    -self.dmax, self.dmax)
        return r, d


def _cast(x, dtype):
    """Casts a variable if that changes it.

    Chainer's function would leave a node in the graph in any case, which
    Chainer's exporter to Caffe does not know.

    """
    return x if x.dtype == dtype else functions.cast(x, dtype)
