"""Queues of the last mini-batches, which serve inference.

A queue is never changed: what changes it returns another one.  A link that
replaces its queue at once shows every thread either the old or the new one.
"""
import typing

import numpy

from mixnorm.compute.carried import cast, push, Queue, unbiased
from mixnorm.compute.layout import get_array_module
from mixnorm.compute.parameters import are_finite, Parameters


class Entries(typing.NamedTuple):

    """Statistics that serve inference, the newest mini-batch's first.

    A component of weight 0 is absent, and its moments say nothing.

    Attributes:
        weights (array): ``lambda``, ``(t, K)`` for ``t`` entries.
        means (array): ``mu``, ``(t, K) + size``.
        variances (array): ``sigma^2``, ``(t, K) + size``.

    """

    weights: typing.Any
    means: typing.Any
    variances: typing.Any


class ParameterQueue:

    """Mixtures of the last mini-batches, eqs. (38) and (39).

    Args:
        factors (array): How much each entry counts, ``(T,)``; 0 while it is
            not there.
        weights (array): ``(T, K)``.
        means (array): ``(T, K) + size``.
        variances (array): ``(T, K) + size``.

    """

    names = 'queue_factors', 'queue_weights', 'queue_means', 'queue_variances'

    def __init__(self, factors, weights, means, variances):
        self._factors = factors
        self._weights = weights
        # Means and variances: arrays, or tuples of an array for each entry.
        self._moments = means, variances
        self._shares = None
        self._derived = {}

    @staticmethod
    def shapes(n_entries, n_components, size):
        """Returns the shapes of a queue's arrays.

        Args:
            n_entries (int): Number of entries ``T`` that it has room for.
            n_components (int): Number of components ``K``.
            size (tuple of ints): Shape of the channel dimensions.

        """
        moments = (n_entries, n_components) + size
        return (n_entries,), (n_entries, n_components), moments, moments

    @classmethod
    def empty(cls, xp, dtype, n_entries, n_components, size):
        """Makes a queue without entries; see :meth:`shapes`."""
        factors, weights, means, variances = cls.shapes(
            n_entries, n_components, size)
        return cls(xp.zeros(factors, dtype),
                   xp.full(weights, 1 / n_components, dtype),
                   xp.zeros(means, dtype), xp.ones(variances, dtype))

    @property
    def _arrays(self):
        means, variances = self._moments
        if isinstance(means, tuple):
            # Threads that meet here do the same.
            self._moments = means, variances = (
                self._stacked(means), self._stacked(variances))
        return self._factors, self._weights, means, variances

    def _stacked(self, entries):
        """Makes one array; components that entries lack are absent."""
        stacked = numpy.zeros(
            self._weights.shape + entries[0].shape[1:], self._weights.dtype)
        for row, entry in zip(stacked, entries):
            row[:len(entry)] = entry
        return stacked

    @property
    def arrays(self):
        """Arrays by name, as they are saved."""
        return dict(zip(self.names, self._arrays))

    @property
    def dtype(self):
        """Type of the entries."""
        return self._factors.dtype

    @property
    def parts(self):
        """The queue as :mod:`mixnorm.compute` takes it."""
        return Queue(self._factors, self._weights, *self._moments)

    def followed_by(self, parts, x, statistics):
        """Returns the queue after a mini-batch.

        Args:
            parts (Queue): What :mod:`mixnorm.compute` made of this queue's.
            x (array): Points of the mini-batch, of which nothing is kept.
            statistics (Parameters): Theirs, of which nothing is kept.

        Returns:
            ParameterQueue: The new queue.

        """
        return ParameterQueue(*parts)

    def push(self, mixture, decay):
        """Puts a mixture at the head, if it is finite.

        Args:
            mixture (Parameters): ``(K,)`` and ``(K, C)``; of fewer
                components, the others are absent.
            decay (float): How much less the earlier ones count from now on.

        Returns:
            ParameterQueue: The new queue.

        """
        return ParameterQueue(*push(self.parts, mixture, decay))

    def emptied(self):
        """Returns a queue without entries."""
        return ParameterQueue(
            self._factors * 0, self._weights, *self._moments)

    def of_one_component(self, mean, variance):
        """Returns a queue with one entry, all of it in one component.

        Args:
            mean (array): The component's mean, ``size``.
            variance (array): Its variance, ``size``.

        Returns:
            ParameterQueue: The new queue.

        """
        xp = get_array_module(mean)
        _, n_components = self._weights.shape
        weights = xp.zeros(n_components)
        weights[0] = 1
        means, variances = (
            xp.broadcast_to(z, (n_components,) + z.shape)
            for z in (mean, variance))
        return self.emptied().push(
            Parameters(weights, means, variances), 1)

    def fitted(self, fit):
        """Returns what has the mixtures that serve inference: itself."""
        return self

    def read(self):
        """Reads what is there, which waits for a GPU the first time.

        Returns:
            tuple: How much each entry counts, ``(t,)`` with the sum 1, and
            :class:`Entries`.

        """
        factors, *moments = self._arrays
        if self._shares is None:
            factors = factors[:int((factors > 0).sum())]
            self._shares = factors / factors.sum()
        return self._shares, Entries(*(
            z[:len(self._shares)] for z in moments))

    def derived(self, key, make):
        """Computes what follows from the queue, once.

        Args:
            key (hashable): What else it follows from.
            make (callable): Computes it.

        Returns:
            What ``make`` returned when it was first called with the key.

        """
        if key not in self._derived:
            self._derived[key] = make()
        return self._derived[key]

    def __getstate__(self):
        # Copies compute it themselves.
        return dict(vars(self), _shares=None, _derived={})


class SampleQueue:

    """The last mini-batches themselves, and one mixture fitted to them.

    It is the paper's other strategy: it takes the memory of ``T``
    mini-batches, and pushing waits for a GPU.

    Args:
        size (int): Number ``T`` of mini-batches.
        samples (array or None): Their points one after another,
            ``(points, C)``, the newest first; ``None`` for none.
        counts (array or None): How many points each of them has, ``(t,)``.
        mixture (ParameterQueue): One entry, the mixture fitted to all of
            them; none where that is out of date.

    """

    names = 'samples', 'sample_counts'

    def __init__(self, size, samples, counts, mixture):
        # Of a snapshot in which one of them is missing nothing can be used.
        self._samples, self._counts = (samples, counts) if (
            samples is not None and counts is not None) else (None, None)
        self._size = size
        self._mixture = mixture

    @property
    def arrays(self):
        """Arrays by name, as they are saved."""
        return dict(zip(self.names, (self._samples, self._counts)),
                    **self._mixture.arrays)

    # The kernels that queue mixtures have nothing to do.
    parts = None

    def followed_by(self, parts, x, statistics):
        """Puts a mini-batch at the head, if its mixture is finite.

        Args:
            parts (None): Without a meaning here.
            x (array): Stack ``(B, C, L)`` of its points, which are copied.
            statistics (Parameters): Theirs, of which nothing is kept.

        Returns:
            SampleQueue: The new queue.

        """
        mixture = unbiased(statistics, x.shape[0] * x.shape[2])
        if not bool(are_finite(cast(mixture, self._mixture.dtype))):
            return self
        xp = get_array_module(x)
        points = [x.transpose(0, 2, 1).reshape(-1, x.shape[1])]
        counts = [len(points[0])]
        if self._samples is not None:
            counts += self._counts.tolist()[:self._size - 1]
            points.append(self._samples[:sum(counts[1:])])
        # A copy in any case: the caller may use the array for other data.
        return SampleQueue(self._size, xp.concatenate(points),
                           xp.asarray(counts), self._mixture.emptied())

    def emptied(self):
        """Returns a queue without mini-batches."""
        return SampleQueue(self._size, None, None, self._mixture.emptied())

    def of_one_component(self, mean, variance):
        """See :meth:`ParameterQueue.of_one_component`."""
        return SampleQueue(self._size, None, None,
                           self._mixture.of_one_component(mean, variance))

    def fitted(self, fit):
        """Returns a queue whose mixture is up to date.

        Args:
            fit (callable): Takes points ``(M, C)`` and returns the mixture's
                statistics.

        Returns:
            SampleQueue: Itself, if it was.

        """
        factors, _ = self._mixture.read()
        if self._samples is None or len(factors) > 0:
            return self
        return SampleQueue(
            self._size, self._samples, self._counts,
            self._mixture.push(fit(self._samples), 1))

    def read(self):
        """Reads the mixture; see :meth:`ParameterQueue.read`."""
        return self._mixture.read()

    def derived(self, key, make):
        """See :meth:`ParameterQueue.derived`."""
        return self._mixture.derived(key, make)
