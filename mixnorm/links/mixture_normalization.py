import math
import numbers
import typing

import numpy

import chainer
from chainer import functions
from chainer.utils import argument

from mixnorm import compute
from mixnorm.checks import (
    check_activation, check_axis, check_choice, check_dtype, check_eps,
    check_flag, check_integer, check_real, check_size)
from mixnorm.compute.layout import stack, unstack
from mixnorm.compute.parameters import are_finite, Parameters
from mixnorm.compute.sets import group_channels
from mixnorm.functions import fixed_mixture_normalization
from mixnorm.functions import group_mixture_normalization
from mixnorm.functions import mixture_normalization
from mixnorm.links.axes import channels_second, check_type, split_axes
from mixnorm.links.sized_link import SizedLink
from mixnorm.mixture.fitting import fit_activation
from mixnorm.mixture.set_fitting import fit_sets


class Queue(typing.NamedTuple):

    """Statistics that serve inference, the newest mini-batch's first.

    Attributes:
        weights (array): ``lambda``, ``(t, K)`` for ``t`` entries.
        means (array): ``mu``, ``(t, K) + size``.
        variances (array): ``sigma^2``, ``(t, K) + size``.

    """

    weights: typing.Any
    means: typing.Any
    variances: typing.Any


class MixtureNormalization(SizedLink):

    """Mixture normalization layer.

    It takes the place of :class:`chainer.links.BatchNormalization`.  In
    training it fits a diagonal Gaussian mixture to the mini-batch's channel
    vectors and normalizes them by
    :func:`mixnorm.functions.mixture_normalization`: each component by its own
    mean and variance, added by posterior.  In test mode
    (``chainer.config.train`` false) it normalizes by the statistics of the
    last mini-batches.

    A fit draws a share of the points at random, seeds ``n_components``
    centres by K-means++, runs ``n_iter // 2`` of Lloyd's iterations and
    ``n_iter - n_iter // 2`` of EM, and drops the components of small weight.
    It measures distances in units of each channel's standard deviation, so
    that scaling a channel changes nothing.  Components are ordered by their
    share of the mini-batch, the heaviest first.

    With ``over`` other than ``'batch'`` a mixture is fitted to every sample
    by itself, or to every group of its channels, by
    :func:`mixnorm.functions.group_mixture_normalization`: its points are
    the scalars there, its components are ordered by their means, the lowest
    first.  Test mode does the same as training then, with draws that are
    always the same: a sample's output depends neither on the others nor on
    how far training has come.  With one component this is
    :class:`chainer.links.GroupNormalization`.

    Inside :func:`chainer.functions.forget`, the recomputation repeats the
    draws of the link's latest pass: call the link no more than once there
    before the backward pass.

    A mini-batch that holds values that are not finite makes an output that is
    not finite, as in batch normalization, but never enters the queue.  If
    ``chainer.config.debug`` is true it is an error.

    Args:
        size (int, tuple of ints or None): Size or shape of the channel
            dimensions.  If ``None``, the first mini-batch decides.
        n_components (int): Number of components ``K``.
        n_iter (int): Iterations of a fit, K-means and EM together (the
            paper's "EM iter."), at least 1.
        sample_ratio (float): Share of the points that a fit draws, in (0, 1];
            the paper finds 0.25 enough.  Of a sample's own points it draws
            ten for each component at least.
        min_weight (float): Components of smaller weight are dropped, in
            [0, 1).
        queue_size (int): Number ``T`` of mini-batches that serve inference,
            at least 1.  It means nothing unless ``over`` is ``'batch'``.
        queue_decay (float): ``rho`` in (0, 1]: a mini-batch counts ``rho``
            times as much as the one after it.  It means nothing unless
            ``over`` is ``'batch'``.
        inference (str): ``'parameters'`` to average the outputs under the
            last mini-batches' statistics; ``'samples'`` to keep the
            mini-batches themselves and normalize by one mixture fitted to
            all of them, which takes ``T`` mini-batches of memory and, on a
            GPU, waits for it at every mini-batch.
        activation (callable or None): Non-linearity inside the sum over
            components, a function of variables.  ``None``: it follows the
            layer, as usual.
        component_affine (bool): If ``True``, gamma and beta have shape
            ``(K,) + size`` and act on each component.
        seed (int or None): Seed of the random numbers; drawn from
            ``numpy.random`` if ``None``.
        eps (float): Added to variances.
        dtype (numpy.dtype): Type of gamma and beta; that of
            ``chainer.config.dtype`` if ``None`` (float32 for mixed16).  The
            queue is float32, or float64 with it.
        use_gamma (bool): If ``True``, scale by the parameter gamma.
        use_beta (bool): If ``True``, shift by the parameter beta.
        initial_gamma: Initializer of gamma; 1 if ``None``.
        initial_beta: Initializer of beta; 0 if ``None``.
        axis (int, tuple of ints or None): Axes along which the points lie, in
            ascending order; the other axes are the channel dimensions.
            ``None``: all axes but those of ``size`` after the first.
            ``size`` may then be omitted, as in batch normalization.  The
            first of these axes is that of the samples.
        over (str or tuple): What a mixture is fitted to: ``'batch'``, the
            channel vectors of the mini-batch; ``'layer'``, all activations
            of a sample; ``'instance'``, those in one channel of a sample;
            ``('group', G)``, those in one of ``G`` groups of channels of a
            sample, where ``G`` divides the number of channels.
        order (int): 2 adds the Fisher vector of second order,
            ``delta * sum_k tau_k / sqrt(2 lambda_k) (xhat_k^2 - 1)``,
            weighed by the parameter delta, which is 0 at first; it takes
            memory ``n_components`` times the input's.  With an activation it
            is added inside.  1: it is left out.

    Attributes:
        gamma (~chainer.Parameter): Scale, or ``None``.
        beta (~chainer.Parameter): Shift, or ``None``.
        delta (~chainer.Parameter): Weight of second order, of gamma's shape,
            or ``None``.

    Raises:
        ValueError: If an argument is out of its range, or two of them do not
            go together.

    Source: M. M. Kalayeh and M. Shah, *Training Faster by Separating Modes
    of Variation in Batch-normalized Models* (2018), section 4.

    .. admonition:: Example

        >>> import numpy as np
        >>> import mixnorm
        >>> norm = mixnorm.links.MixtureNormalization(16, n_components=3)
        >>> x = np.random.randn(8, 16, 4, 4).astype('f')
        >>> norm(x).shape
        (8, 16, 4, 4)
        >>> norm.queue.means.shape
        (1, 3, 16)

    """

    gamma = None
    beta = None
    delta = None

    def __init__(self, size=None, n_components=3, n_iter=2, sample_ratio=.25,
                 min_weight=.01, queue_size=10, queue_decay=.9,
                 inference='parameters', activation=None,
                 component_affine=False, seed=None, eps=2e-5, dtype=None,
                 use_gamma=True, use_beta=True,
                 initial_gamma=None, initial_beta=None, axis=None,
                 over='batch', order=1):
        super().__init__()
        check_integer('n_components', n_components, 1)
        check_integer('n_iter', n_iter, 1)
        check_real('sample_ratio', sample_ratio, 0, 1, closed_low=False)
        check_real('min_weight', min_weight, 0, 1, closed_high=False)
        check_integer('queue_size', queue_size, 1)
        check_real('queue_decay', queue_decay, 0, 1, closed_low=False)
        check_choice('inference', inference, ('parameters', 'samples'))
        check_eps(eps)
        check_activation(activation)
        check_flag('component_affine', component_affine)
        check_flag('use_gamma', use_gamma)
        check_flag('use_beta', use_beta)
        self.over = _check_over(over)
        if self.over != 'batch' and inference == 'samples':
            raise ValueError(
                f"inference is 'samples' and over is {over!r}: only "
                "over='batch' keeps mini-batches for inference")
        if (not isinstance(order, numbers.Integral) or isinstance(order, bool)
                or order not in (1, 2)):
            raise ValueError(f'order is {order!r}: it must be 1 or 2')
        if seed is None:
            seed = int(numpy.random.randint(1 << 31))
        check_integer('seed', seed, 0)
        self.n_components = n_components
        self.n_iter = n_iter
        self.sample_ratio = sample_ratio
        self.min_weight = min_weight
        self.queue_size = queue_size
        self.queue_decay = queue_decay
        self.inference = inference
        self.activation = activation
        self.component_affine = component_affine
        self.order = order
        self.eps = eps
        self.axis = check_axis(axis)
        self.size = check_size(size)

        # The random numbers of a fit are a function of these two.
        self.seed = seed
        self.n_fits = 0
        self.register_persistent('seed')
        self.register_persistent('n_fits')

        self._highprec_dtype = check_dtype(dtype)
        with self.init_scope():
            if use_gamma:
                self.gamma = self._make_parameter('gamma', initial_gamma, 1)
            if use_beta:
                self.beta = self._make_parameter('beta', initial_beta, 0)
            if order == 2:
                self.delta = self._make_parameter('delta', None, 0)

        if self.over == 'batch':
            self._register_queue()
        self._n_effective = None
        if self.size is not None:
            self._initialize(self.size)

    def _register_queue(self):
        # How much an entry counts: 0 while it is not there.
        self.queue_factors = None
        self.queue_weights = None
        self.queue_means = None
        self.queue_variances = None
        for name in _QUEUE_NAMES:
            self.register_persistent(name)
        if self.inference == 'samples':
            # The mini-batches' points one after another, (points, channels),
            # the newest first, and how many points each of them had.  The
            # queue's one entry is the mixture fitted to all of them.
            self.samples = None
            self.sample_counts = None
            self.register_persistent('samples')
            self.register_persistent('sample_counts')

    def _initialize(self, size):
        super()._initialize(size)
        if self.over == 'batch' and any(
                getattr(self, name) is None for name in _QUEUE_NAMES):
            self._empty_queue()

    def _check_size(self, size):
        self._count_groups(size)

    def _count_groups(self, size):
        n_channels = math.prod(size)
        if isinstance(self.over, tuple):
            groups = self.over[1]
            if n_channels % groups != 0:
                raise ValueError(
                    f'over is {self.over!r}: the number of groups must divide '
                    f'the number of channels, {n_channels}')
            return groups
        return 1 if self.over == 'layer' else n_channels

    def _shape(self, name, size):
        if name in ('samples', 'sample_counts'):
            return None
        if name not in _QUEUE_NAMES:
            return (self.n_components,) + size if (
                self.component_affine) else size
        entries = self.queue_size if self.inference == 'parameters' else 1
        if name == 'queue_factors':
            return entries,
        if name == 'queue_weights':
            return entries, self.n_components
        return (entries, self.n_components) + size

    def _size_of(self, name, shape):
        if name in ('queue_means', 'queue_variances'):
            return shape[2:]
        if name in self._persistent:
            return None
        # A component's own has one more axis than the size, at least 1.
        return shape[len(shape) > 1:] if self.component_affine else shape

    def _empty_queue(self):
        dtype = numpy.promote_types(self._highprec_dtype, numpy.float32)
        factors, weights, means, variances = (
            self._shape(name, self.size) for name in _QUEUE_NAMES)
        with chainer.using_device(self.device):
            xp = self.device.xp
            self.queue_factors = xp.zeros(factors, dtype)
            self.queue_weights = xp.full(
                weights, 1 / self.n_components, dtype)
            self.queue_means = xp.zeros(means, dtype)
            self.queue_variances = xp.ones(variances, dtype)

    @property
    def printable_specs(self):
        yield 'size', self.size
        yield 'n_components', self.n_components
        yield 'n_iter', self.n_iter
        yield 'sample_ratio', self.sample_ratio
        yield 'min_weight', self.min_weight
        yield 'queue_size', self.queue_size
        yield 'queue_decay', self.queue_decay
        yield 'inference', self.inference
        yield 'activation', getattr(
            self.activation, '__name__', self.activation)
        yield 'component_affine', self.component_affine
        yield 'seed', self.seed
        yield 'eps', self.eps
        yield 'dtype', self._highprec_dtype
        yield 'use_gamma', self.gamma is not None
        yield 'use_beta', self.beta is not None
        yield 'axis', self.axis
        yield 'over', self.over
        yield 'order', self.order

    @property
    def n_effective(self):
        """Number of components kept in the last training mini-batch.

        An int; unless ``over`` is ``'batch'``, a float: the mean of all
        mixtures.  ``None`` before the first mini-batch.  On a GPU, reading it
        waits.

        """
        if self._n_effective is None:
            return None
        number = int if self.over == 'batch' else float
        return number(self._n_effective)

    @property
    def queue(self):
        """The entries that serve inference, as a :class:`Queue`.

        With ``inference='samples'`` it has one, fitted when it is asked for.
        ``None`` unless ``over`` is ``'batch'``: inference needs no queue
        then.  On a GPU, reading it waits.

        """
        if self.over != 'batch':
            return None
        if self.size is None:
            return Queue(None, None, None)
        n_entries = self._count_entries()
        return Queue(self.queue_weights[:n_entries],
                     self.queue_means[:n_entries],
                     self.queue_variances[:n_entries])

    def forward(self, x, **kwargs):
        """forward(self, x, finetune=False)

        Normalizes a mini-batch.

        Args:
            x (:class:`~chainer.Variable` or array): Input of a floating
                dtype.  By default ``(N,) + size + S``, where ``S`` is any
                spatial shape.
            finetune (bool): In training mode, ``True`` queues the mini-batch
                without making the earlier ones count less, so that inference
                averages over them evenly.  It means nothing unless ``over``
                is ``'batch'``.

        Returns:
            ~chainer.Variable: Output of ``x``'s shape and dtype.

        Raises:
            chainer.utils.type_check.InvalidType: If ``x`` does not fit.
            RuntimeError: In test mode, if no training mini-batch has been
                seen and none was loaded.
            ValueError: If ``chainer.config.debug`` is true and ``x`` holds
                values that are not finite, or if the size was not known yet
                and the groups of ``over`` do not divide it.

        """
        finetune, = argument.parse_kwargs(
            kwargs, ('finetune', False),
            test='test argument is not supported anymore. '
                 'Use chainer.using_config')
        x = chainer.as_variable(x)
        check_type(x, self.size, self.axis)
        if chainer.is_debug():
            self._check_finite(x.array)
        if self.size is None:
            _, channel_axes = split_axes(x.ndim, None, self.axis)
            self._initialize(tuple(x.shape[a] for a in channel_axes))
        points, restore = channels_second(x, self.size, self.axis)
        if self.over != 'batch':
            return restore(self._normalize_by_sets(points))
        if chainer.config.train:
            return restore(self._normalize_by_batch(points, finetune))
        return restore(self._normalize_by_queue(points))

    def start_finetuning(self):
        """Empties the queue, so that it holds only what comes from now on."""
        if self.size is not None and self.over == 'batch':
            self.queue_factors = self.queue_factors * 0
        if self.inference == 'samples':
            self.samples = None
            self.sample_counts = None

    def _check_finite(self, x):
        n_bad = int(compute.arithmetic(x).sample.count_not_finite(
            stack(x)))
        if n_bad:
            raise ValueError(
                f'the input of {self._title} holds {n_bad} of {x.size} values '
                'that are not finite')

    def _parameters(self):
        """Returns gamma, beta and delta as the functions take them.

        Of shape ``(C,)`` or ``(K, C)``; delta is ``None`` without second
        order.

        """
        shape = (math.prod(self.size),)
        if self.component_affine:
            shape = (self.n_components,) + shape
        with chainer.using_device(self.device):
            ones, zeros = (make(shape, self._highprec_dtype)
                           for make in (self.xp.ones, self.xp.zeros))
        return [
            constant if parameter is None
            else parameter if len(self.size) == 1
            else functions.reshape(parameter, shape)
            for parameter, constant in (
                (self.gamma, ones), (self.beta, zeros), (self.delta, None))]

    def _normalize_by_batch(self, x, finetune):
        # A recomputation (F.forget) repeats the draws of the pass before it
        # and leaves no trace.
        recomputing = chainer.config.in_recomputing
        tau, statistics, n_effective = self._fit(
            stack(x.array), (self.seed, self.n_fits - int(recomputing)))
        gamma, beta, delta = self._parameters()
        y = mixture_normalization(
            x, gamma, beta, unstack(tau, x.shape), self.eps,
            self.activation, statistics, delta)
        if not recomputing:
            self.n_fits += 1
            self._n_effective = n_effective
            if self.inference == 'parameters':
                self._push(statistics, 1 if finetune else self.queue_decay)
            else:
                self._push_samples(stack(x.array), statistics)
        return y

    def _normalize_by_sets(self, x):
        groups = self._count_groups(self.size)
        train = chainer.config.train
        recomputing = chainer.config.in_recomputing
        # In test mode the draws are always the same.
        number = self.n_fits - int(recomputing) if train else 0
        mixtures = fit_sets(
            group_channels(x.array, groups),
            numpy.random.default_rng((self.seed, number)),
            n_components=self.n_components, n_iter=self.n_iter,
            sample_ratio=self.sample_ratio, min_weight=self.min_weight)
        gamma, beta, delta = self._parameters()
        y = group_mixture_normalization(
            x, groups, gamma, beta, *mixtures, self.eps, self.activation,
            delta)
        if train and not recomputing:
            self.n_fits += 1
            self._n_effective = (mixtures.weights > 0).sum(axis=2).mean()
        return y

    def _normalize_by_queue(self, x):
        n_entries = self._count_entries()
        if n_entries == 0:
            raise RuntimeError(
                f'{self._title} has seen no training mini-batch, and no state '
                'was loaded: it cannot normalize in test mode '
                '(chainer.config.train is False)')
        factors = self.queue_factors[:n_entries]
        matrices = (n_entries, self.n_components, math.prod(self.size))
        gamma, beta, delta = self._parameters()
        return fixed_mixture_normalization(
            x, gamma, beta, self.queue_weights[:n_entries],
            self.queue_means[:n_entries].reshape(matrices),
            self.queue_variances[:n_entries].reshape(matrices),
            factors / factors.sum(), self.eps, self.activation, delta)

    def _count_entries(self):
        """Returns how many entries the queue has, brought up to date."""
        if self.inference == 'samples':
            self._fit_samples()
        return int((self.queue_factors > 0).sum())

    def _fit(self, x, seed):
        """Fits a mixture; returns the points' posterior, their statistics
        under it, and how many components were kept."""
        parameters = fit_activation(
            x, numpy.random.default_rng(seed),
            n_components=self.n_components, n_iter=self.n_iter,
            sample_ratio=self.sample_ratio, min_weight=self.min_weight)
        arithmetic = compute.arithmetic(x)
        tau, statistics = arithmetic.mixture.posterior_and_statistics(
            x, parameters)
        # A component's number has to mean something to its own gamma and
        # beta: the heaviest comes first.
        order = (-statistics.weights).argsort()
        return (tau[:, order], Parameters(*(z[order] for z in statistics)),
                (parameters.weights > 0).sum())

    def _push(self, statistics, decay):
        """Puts statistics at the head of the queue, if they are finite.

        The choice is made on the device: nothing waits for it.

        """
        xp = self.xp
        finite = are_finite(statistics)
        newest = (xp.ones((), self.queue_factors.dtype),) + statistics
        queue = {}
        for name, entry in zip(_QUEUE_NAMES, newest):
            old = getattr(self, name)
            kept = old[:-1]
            if name == 'queue_factors':
                kept = kept * decay
            entry = entry.astype(old.dtype, copy=False).reshape(old[:1].shape)
            queue[name] = xp.where(
                finite, xp.concatenate([entry, kept]), old)
        # Other threads may be testing: factors tell them what there is, and
        # come last.
        for name in reversed(_QUEUE_NAMES):
            setattr(self, name, queue[name])

    def _push_samples(self, x, statistics):
        """Puts a mini-batch at the head of the samples, if its statistics
        are finite."""
        xp = self.xp
        if not bool(are_finite(statistics)):
            return
        points = [x.transpose(0, 2, 1).reshape(-1, x.shape[1])]
        counts = [len(points[0])]
        if self.samples is not None:
            counts += self.sample_counts.tolist()[:self.queue_size - 1]
            points.append(self.samples[:sum(counts[1:])])
        # A copy in any case: the caller may use the array for other data.
        self.samples = xp.concatenate(points)
        self.sample_counts = xp.asarray(counts)
        # The mixture of the earlier ones is out of date.
        self.queue_factors = xp.zeros_like(self.queue_factors)

    def _fit_samples(self):
        """Fits the queue's entry to the samples, if it is out of date."""
        if self.samples is None or float(self.queue_factors[0]) > 0:
            return
        # Not the draws of any mini-batch, and the same at every call.
        _, statistics, _ = self._fit(
            stack(self.samples), (self.seed, self.n_fits, 1))
        self._push(statistics, 1)

    def copyparams(self, link, copy_persistent=True):
        """Copies parameters and state from another mixture normalization.

        Args:
            link (MixtureNormalization): Where to copy from.
            copy_persistent (bool): Whether to copy the state, too.

        Raises:
            ValueError: If the other link has another number of components,
                queue size or size, or a queue where this one has none.  This
                link then stays as it was.

        """
        if (copy_persistent and isinstance(link, MixtureNormalization)
                and (self.over == 'batch') != (link.over == 'batch')):
            raise ValueError(
                f'over is {link.over!r} where {self._title} needs '
                f'{self.over!r}: only mixtures over the batch have a queue')
        super().copyparams(link, copy_persistent)


_QUEUE_NAMES = (
    'queue_factors', 'queue_weights', 'queue_means', 'queue_variances')


def _check_over(over):
    if isinstance(over, str) and over in ('batch', 'layer', 'instance'):
        return over
    if isinstance(over, (tuple, list)) and len(over) == 2:
        name, groups = over
        if (isinstance(name, str) and name == 'group'
                and isinstance(groups, numbers.Integral)
                and not isinstance(groups, bool) and groups >= 1):
            return name, int(groups)
    raise ValueError(
        f"over is {over!r}: it must be 'batch', 'layer', 'instance' or "
        "('group', G) with a positive integer G")
