import math

import chainer
import numpy

from mixnorm import compute
from mixnorm.checks import (
    check_choice, check_communicator, check_flag, check_integer, check_real)
from mixnorm.compute.carried import Carried, unbiased
from mixnorm.compute.layout import stack, unstack, working_dtype
from mixnorm.compute.parameters import Parameters
from mixnorm.functions import fixed_mixture_normalization
from mixnorm.functions import mixture_normalization
from mixnorm.functions.normalization.fixed_mixture_normalization import (
    queue_columns)
from mixnorm.links.fitted_normalization import FittedNormalization
from mixnorm.links.queues import Entries, ParameterQueue, SampleQueue
from mixnorm.links.running_averages import parse_finetune
from mixnorm.links.sized_link import on_own_device
from mixnorm.links.warm_start import WarmStart
from mixnorm.mixture.fitting import (
    fit_activation, REG_COVAR, WARM_REG_COVAR)
from mixnorm.mixture.joined import joined_sample, joined_statistics
from mixnorm.mixture.seeding import SEEDINGS
from mixnorm.workers import Workers


class MixtureNormalization(FittedNormalization):

    """Mixture normalization layer.

    It takes the place of :class:`chainer.links.BatchNormalization`.  In
    training it fits a diagonal Gaussian mixture to the mini-batch's channel
    vectors and normalizes them by
    :func:`mixnorm.functions.mixture_normalization`: each component by its own
    mean and variance, added by posterior.  In test mode
    (``chainer.config.train`` false) it normalizes by the statistics of the
    last mini-batches.

    A fit draws a share of the points at random, seeds ``n_components``
    centres, runs ``n_iter`` iterations, the first half of them
    Lloyd's and the others EM's, and drops the components of small weight.
    It measures distances in units of each channel's standard deviation, so
    that scaling a channel changes nothing.  Components are ordered by their
    share of the mini-batch, the heaviest first.

    Seedings that are independent from mini-batch to mini-batch find other
    components each time, which acts as noise on the output.  With
    ``warm_start`` a fit goes on from the last mini-batch's.

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
            the paper finds 0.25 enough.
        min_weight (float): Components of smaller weight are dropped, in
            [0, 1).
        queue_size (int): Number ``T`` of mini-batches that serve inference,
            at least 1.
        queue_decay (float): ``rho`` in (0, 1]: a mini-batch counts ``rho``
            times as much as the one after it.
        inference (str): ``'parameters'`` to average the outputs under the
            last mini-batches' statistics; ``'samples'`` to keep the
            mini-batches themselves and normalize by one mixture fitted to
            all of them, which takes ``T`` mini-batches of memory and, on a
            GPU, waits for it at every mini-batch.
        activation (callable or None): Non-linearity inside the sum over
            components, a function of variables.  ``None``: it follows the
            layer, as usual.
        affine (str): Where gamma and beta act.  ``'shared'``: on the sum over
            components, as in batch normalization; with an activation, as
            ``'inside'``.  ``'inside'``: on each component's standardized
            input, so that beta counts ``sum_k tau_k / sqrt(lambda_k)`` times,
            as (37) can be read.
            ``'component'``: there, and each component has its own, of shape
            ``(K,) + size``.
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
        order (int): 2 adds the Fisher vector of second order,
            ``delta * sum_k tau_k / sqrt(2 lambda_k) (xhat_k^2 - 1)``,
            weighed by the parameter delta, which is 0 at first; it takes
            memory ``n_components`` times the input's.  With an activation it
            is added inside.  1: it is left out.
        kmeans_iter (int or None): How many of the ``n_iter`` iterations are
            Lloyd's, the others EM's; ``n_iter // 2`` if ``None``.
        n_init_trials (int or None): Candidates per centre in seeding, of
            which the best is kept; ``2 + floor(ln K)`` if ``None``.
        warm_start (bool): If ``True``, EM starts from the mixture of the last
            mini-batch, carried over in units of that mini-batch's channels,
            in place of seeding and K-means, and components keep their
            numbers.  The first mini-batch, and one after a component was
            dropped or held less than one point, is seeded as without.
        seeding (str): ``'k-means++'``, ``'k-means||'`` or ``'afk-mc2'``: see
            :func:`mixnorm.mixture.seeding.seed`.  On a GPU, the latter two
            wait for it at every mini-batch.
        communicator (chainermn.CommunicatorBase or None): If given, the
            mini-batches of all its workers are one, joined along the axis of
            samples in the order of ranks; shares may differ in size.  Every
            worker has to call the link.  In training, each has the outputs,
            the gradient of the input and the queue that one worker would
            have with the joined mini-batch; gamma and beta get the mean of
            the workers' gradients, as in ChainerMN's batch normalization.
            The sample of a fit is gathered, and the same fit made by every
            worker, with rank 0's seed.  A step of training takes 4
            collectives, 5 with an activation and 6 with second order, whose
            sums are in the gradient beside those of first; sums of more than
            16 KB take several.  ``inference='samples'`` is not to be had.

    Attributes:
        gamma (~chainer.Parameter): Scale, or ``None``.
        beta (~chainer.Parameter): Shift, or ``None``.
        delta (~chainer.Parameter): Weight of second order, of gamma's shape,
            or ``None``.

    Raises:
        ValueError: If an argument is out of its range.

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

    def __init__(self, size=None, n_components=3, n_iter=2, sample_ratio=.25,
                 min_weight=.01, queue_size=10, queue_decay=.9,
                 inference='parameters', activation=None,
                 affine='shared', seed=None, eps=2e-5, dtype=None,
                 use_gamma=True, use_beta=True,
                 initial_gamma=None, initial_beta=None, axis=None, order=1,
                 kmeans_iter=None, n_init_trials=None, warm_start=False,
                 seeding='k-means++', communicator=None):
        super().__init__(
            size, n_components, n_iter, sample_ratio, min_weight, activation,
            affine, seed, eps, dtype, use_gamma, use_beta, initial_gamma,
            initial_beta, axis, order, kmeans_iter, n_init_trials)
        check_integer('queue_size', queue_size, 1)
        check_real('queue_decay', queue_decay, 0, 1, closed_low=False)
        check_choice('inference', inference, ('parameters', 'samples'))
        check_flag('warm_start', warm_start)
        check_choice('seeding', seeding, SEEDINGS)
        if warm_start and inference == 'samples':
            raise ValueError(
                "warm_start is True: inference must be 'parameters' then, not "
                "'samples', whose mixture of all samples is seeded anew, so "
                'that its components would not be those of training')
        check_communicator('communicator', communicator)
        if communicator is not None and inference == 'samples':
            raise ValueError(
                "inference is 'samples': with a communicator it must be "
                "'parameters', as no worker has the samples of all")
        self._workers = None if communicator is None else Workers(communicator)
        self.queue_size = queue_size
        self.queue_decay = queue_decay
        self.inference = inference
        self.warm_start = warm_start
        self.seeding = seeding
        # There is none before the size is known.
        self._queue = None
        self._start = None
        if self.size is not None:
            self._initialize(self.size)

    def _initialize(self, size):
        super()._initialize(size)
        if self._queue is None:
            self._queue = self._make_queue(self._empty(
                ParameterQueue, self._n_entries))
        if self.warm_start and self._start is None:
            self._start = self._empty(WarmStart)

    @property
    def _fit_options(self):
        return dict(super()._fit_options, seeding=self.seeding)

    @property
    def _n_entries(self):
        """Number of mixtures that serve inference."""
        return self.queue_size if self.inference == 'parameters' else 1

    @property
    def _state_dtype(self):
        return numpy.promote_types(self._highprec_dtype, numpy.float32)

    def _empty(self, kind, *lengths):
        with chainer.using_device(self.device):
            return kind.empty(self.xp, self._state_dtype, *lengths,
                              self.n_components, self.size)

    def _make_queue(self, mixtures, samples=None, sample_counts=None):
        if self.inference == 'parameters':
            return mixtures
        return SampleQueue(self.queue_size, samples, sample_counts, mixtures)

    def _get_state(self):
        names = ParameterQueue.names + self._optional_state
        if self.inference == 'samples':
            names += SampleQueue.names
        state = dict.fromkeys(names)
        for part in self._queue, self._start:
            if part is not None:
                state.update(part.arrays)
        return state

    @property
    def _optional_state(self):
        return WarmStart.names if self.warm_start else ()

    def _set_state(self, state):
        # That of a link that has seen nothing has nothing in places.
        self._queue = self._start = None
        arrays = self._state_arrays(state, ParameterQueue.names)
        if arrays is not None:
            self._queue = self._make_queue(
                ParameterQueue(*arrays),
                *(state[name] for name in SampleQueue.names if name in state))
        if self.warm_start:
            arrays = self._state_arrays(state, WarmStart.names)
            if arrays is not None:
                self._start = WarmStart(*arrays)

    def _state_arrays(self, state, names):
        """Returns arrays of this link's dtype, ``None`` if one is missing."""
        arrays = [state[name] for name in names]
        if any(array is None for array in arrays):
            return None
        return [z.astype(self._state_dtype, copy=False) for z in arrays]

    def _shape(self, name, size):
        if name in SampleQueue.names:
            return None
        if name in ParameterQueue.names:
            return dict(zip(ParameterQueue.names, ParameterQueue.shapes(
                self._n_entries, self.n_components, size)))[name]
        if name in WarmStart.names:
            return dict(zip(WarmStart.names, WarmStart.shapes(
                self.n_components, size)))[name]
        return super()._shape(name, size)

    def _size_of(self, name, shape):
        if name in ParameterQueue.names:
            # Means and variances have two axes more.
            return shape[2:] or None
        if name in WarmStart.names:
            return shape[1:] or None
        return super()._size_of(name, shape)

    @property
    def printable_specs(self):
        for key, value in super().printable_specs:
            yield key, value
            if key == 'min_weight':
                yield 'queue_size', self.queue_size
                yield 'queue_decay', self.queue_decay
                yield 'inference', self.inference
                yield 'warm_start', self.warm_start
        if self._workers is not None:
            yield 'communicator', self._workers

    @property
    def communicator(self):
        """The workers' communicator, or ``None``."""
        return None if self._workers is None else self._workers.communicator

    @property
    @on_own_device
    def n_effective(self):
        """Number of components kept in the last training mini-batch, an int.

        ``None`` before the first mini-batch.  On a GPU, reading it waits.

        """
        return None if self._kept is None else int((self._kept > 0).sum())

    @property
    def reg_covar(self):
        """Least variance of a component in the posteriors of test mode, in
        units of the channel's variance."""
        return WARM_REG_COVAR if self.warm_start else REG_COVAR

    @property
    @on_own_device
    def queue(self):
        """The entries that serve inference, named ``weights``, ``means`` and
        ``variances``: ``(t, K)`` and twice ``(t, K) + size``, the newest
        mini-batch's first.

        With ``inference='samples'`` there is one, fitted when it is asked
        for.  On a GPU, reading it waits.

        """
        if self.size is None:
            return Entries(None, None, None)
        return self._fitted_queue().read()[1]

    def _fitted_queue(self):
        """Returns the queue, with the mixtures that serve inference."""
        # Read once: another thread may replace it.
        queue = self._queue
        fitted = queue.fitted(self._fit_samples)
        if fitted is not queue:
            self._queue = fitted
        return fitted

    @on_own_device
    def inference_moments(self):
        """Returns the mean and variance of all entries' mixtures together.

        Returns:
            tuple of arrays or None: ``size`` each, float64; ``None`` before
            the first mini-batch.

        """
        if self.size is None:
            return None
        factors, entries = self._fitted_queue().read()
        if len(factors) == 0:
            return None
        weights, means, variances = (
            z.astype(numpy.float64) for z in entries)
        weights = weights * factors.astype(numpy.float64)[:, None]
        weights = weights.reshape(weights.shape + (1,) * (means.ndim - 2))
        mean = (weights * means).sum(axis=(0, 1))
        square = (weights * (variances + means ** 2)).sum(axis=(0, 1))
        return mean, self.xp.maximum(square - mean * mean, 0)

    @on_own_device
    def set_inference_moments(self, mean, variance):
        """Fills the queue with one entry, all of it in one component.

        Args:
            mean (array): ``size``.
            variance (array): ``size``.

        """
        self._queue = self._queue.of_one_component(mean, variance)

    def forward(self, x, **kwargs):
        """forward(self, x, finetune=False)

        Normalizes a mini-batch.

        Args:
            x (:class:`~chainer.Variable` or array): Input of a floating
                dtype.  By default ``(N,) + size + S``, where ``S`` is any
                spatial shape.
            finetune (bool): In training mode, ``True`` queues the mini-batch
                without making the earlier ones count less, so that inference
                averages over them evenly.

        Returns:
            ~chainer.Variable: Output of ``x``'s shape and dtype.

        Raises:
            chainer.utils.type_check.InvalidType: If ``x`` does not fit.
            RuntimeError: In test mode, if no training mini-batch of finite
                statistics has been seen and none was loaded.
            ValueError: If ``chainer.config.debug`` is true and ``x`` holds
                values that are not finite.

        """
        finetune = parse_finetune(kwargs)
        joined = None
        if self._workers is not None and chainer.config.train:
            joined = self._join(
                x, self._workers, n_fits=self.n_fits, finetune=finetune)
            self.seed = joined.seed
        points, restore = self._points(x)
        if chainer.config.train:
            return restore(self._normalize_by_batch(points, finetune, joined))
        return restore(self._normalize_by_queue(points))

    def start_finetuning(self):
        """Empties the queue, so that it holds only what comes from now on."""
        if self._queue is not None:
            self._queue = self._queue.emptied()

    def _check_input(self, x):
        super()._check_input(x)
        # An input that cannot be normalized does not decide the size.
        if self._queue is None and not chainer.config.train:
            raise self._no_statistics()

    def _no_statistics(self):
        return RuntimeError(
            f'{self._title} has seen no training mini-batch of finite '
            'statistics, and no state was loaded: it cannot normalize in test '
            'mode (chainer.config.train is False)')

    def _normalize_by_batch(self, x, finetune, joined):
        stacked = stack(x.array)
        arithmetic = compute.arithmetic(stacked)
        points = arithmetic.sample.with_origin(stacked)
        number, start = self._state_of_fit(x.array, self._start)
        mixture = None if start is None else start.read()
        tau, statistics, kept = self._fit(
            points, (self.seed, number), mixture, joined)
        gamma, beta, delta = self._parameters()
        carried = Carried()
        if not chainer.config.in_recomputing:
            carried = Carried(
                self._queue.parts, 1 if finetune else self.queue_decay,
                None if start is None else start.parts)
        # A component's number has to mean something to its own gamma and
        # beta, and in the queue: where none comes from the last mini-batch,
        # it is by weight.
        coefficients, rank, carried = arithmetic.coefficients.of_batch(
            points, statistics, chainer.as_array(gamma),
            chainer.as_array(beta), self.eps, mixture is None, carried,
            None if joined is None else joined.count_points(
                stacked.shape[0] * stacked.shape[2]))
        y = mixture_normalization(
            x, gamma, beta, unstack(tau, x.shape), self.eps, self.activation,
            statistics, delta, rank, coefficients, joined)
        self._count_fit(x.array, start, kept)
        if not chainer.config.in_recomputing:
            if start is not None:
                self._start = WarmStart(*carried.start)
            self._queue = self._queue.followed_by(
                carried.queue, stacked, statistics)
        return y

    def _normalize_by_queue(self, x):
        queue = self._fitted_queue()
        factors, entries = queue.read()
        if len(factors) == 0:
            raise self._no_statistics()
        matrices = (len(factors), self.n_components, math.prod(self.size))
        gamma, beta, delta = self._parameters()
        arrays = (entries.weights, entries.means.reshape(matrices),
                  entries.variances.reshape(matrices), factors)
        options = working_dtype(x.dtype), self.eps, self.reg_covar
        return fixed_mixture_normalization(
            x, gamma, beta, *arrays, self.eps, self.activation, delta,
            self.reg_covar, queue.derived(
                options, lambda: queue_columns(*arrays, *options)))

    def _fit(self, x, seed, start=None, joined=None):
        """Fits a mixture; returns the points' posterior, their statistics
        under it, and the mixture's weights."""
        generator = numpy.random.default_rng(seed)
        options, sample = self._fit_options, x
        if joined is not None:
            sample = joined_sample(
                x, options['sample_ratio'], generator, joined)
            options['sample_ratio'] = 1
        parameters = fit_activation(sample, generator, start=start, **options)
        arithmetic = compute.arithmetic(x)
        tau, statistics = arithmetic.mixture.posterior_and_statistics(
            x, parameters)
        if joined is not None:
            statistics = joined_statistics(
                statistics, x.shape[0] * x.shape[2], parameters.means, joined)
        return tau, statistics, parameters.weights

    def _fit_samples(self, samples):
        """Fits the mixture of all samples ``(M, C)``."""
        # Not the draws of any mini-batch, and the same at every call.
        _, statistics, _ = self._fit(
            stack(samples), (self.seed, self.n_fits, 1))
        order = (-statistics.weights).argsort()
        return unbiased(
            Parameters(*(z[order] for z in statistics)), len(samples))
