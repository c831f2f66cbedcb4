"""One mini-batch of many workers, over a communicator of ChainerMN.

Each worker has a share of the mini-batch.  The shares are joined along the
axis of samples, in the order of the workers' ranks.
"""
import math
import operator

import chainer
from chainer import function_node
import numpy

from mixnorm.compute.layout import get_array_module

# Longer sums are sent in several messages.
_MESSAGE_BYTES = 1 << 14


class Workers:

    """The workers that a link shares its mini-batches with.

    Args:
        communicator (chainermn.CommunicatorBase): What they communicate by.

    """

    def __init__(self, communicator):
        self.communicator = communicator

    def __str__(self):
        return (f'{type(self.communicator).__name__} of size '
                f'{self.communicator.size}')

    def __deepcopy__(self, memo):
        # MPI's communicators cannot be copied: a link's copy has the same.
        return self

    def join(self, title, settings, x, axis, error=None):
        """Finds what share of the joined mini-batch each worker has.

        Every worker has to call it.  Where it raises an error, it does on
        all of them.

        Args:
            title (str): What to call the link in an error.
            settings (dict): What has to be the same on all workers.
            x (array): This worker's share, whatever it is if there is an
                error.
            axis (int): That of the samples.
            error (Exception or None): What this worker cannot go on for.

        Returns:
            JoinedBatch: The mini-batch.

        Raises:
            Exception: That which was given.
            ValueError: If another worker cannot go on; if settings, shapes or
                dtypes differ; or if a share is empty.

        """
        n_samples = 0
        seed = settings.pop('seed', None)
        if error is None:
            shape = list(x.shape)
            n_samples = shape.pop(axis)
            settings.update({'dtype of the input': x.dtype,
                             'shape of a sample': tuple(shape)})
        # Lists are added up by their concatenation.
        shares = sorted(self.communicator.allreduce_obj([
            (self.communicator.rank, n_samples, seed, error and str(error), {
                key: str(value) for key, value in settings.items()})]),
            key=operator.itemgetter(0))
        if error is not None:
            raise error
        _, _, seed, _, first = shares[0]
        for rank, n, _, problem, theirs in shares:
            if problem is not None:
                raise ValueError(f'{title} cannot go on, as on rank {rank}: '
                                 f'{problem}')
            for key, value in first.items():
                if theirs.get(key) != value:
                    raise ValueError(
                        f'the workers of {title} differ: {key} is {value} on '
                        f'rank 0 and {theirs.get(key)} on rank {rank}')
            if n == 0:
                raise ValueError(
                    f'the share of rank {rank} of the mini-batch of {title} '
                    'is empty: every worker needs a sample at least')
        return JoinedBatch(
            self.communicator, [n for _, n, *_ in shares], seed)


class JoinedBatch:

    """A mini-batch of which each worker has a share.

    Args:
        communicator (chainermn.CommunicatorBase): The workers'.
        sizes (list of int): Number of samples of each.
        seed (int or None): Seed of the random numbers of all of them.

    Attributes:
        n_workers (int): Number of workers.
        n_samples (int): Number of samples of all workers.
        n_here (int): Number of this worker's.
        first (int): Number of this worker's first sample among all.
        seed (int or None): As above.

    """

    def __init__(self, communicator, sizes, seed=None):
        self._communicator = communicator
        self.n_workers = communicator.size
        self.n_samples = sum(sizes)
        self.n_here = sizes[communicator.rank]
        self.first = sum(sizes[:communicator.rank])
        self.seed = seed

    def count_points(self, n_points):
        """Counts all points; this worker has ``n_points`` of them."""
        return n_points // self.n_here * self.n_samples

    def sum(self, *arrays):
        """Adds up arrays over the workers.

        Args:
            arrays (arrays): Those of this worker; the others' have the same
                shapes.

        Returns:
            list of arrays: The sums, float64.

        """
        xp = get_array_module(*arrays)
        message = xp.concatenate([
            z.astype(numpy.float64, copy=False).ravel() for z in arrays])
        if xp is not numpy:
            # MPI reads what a GPU has to have written.
            xp.cuda.get_current_stream().synchronize()
        n_parts = max(1, -(-message.nbytes // _MESSAGE_BYTES))
        total = xp.concatenate([
            self._communicator.allreduce(part)
            for part in xp.array_split(message, n_parts)])
        ends = numpy.cumsum([math.prod(z.shape) for z in arrays])
        return [part.reshape(z.shape) for part, z in zip(
            xp.split(total, ends[:-1].tolist()), arrays)]

    def gather(self, z):
        """Concatenates arrays of the workers along the first axis.

        Args:
            z (array): That of this worker.

        Returns:
            array: All of them.

        """
        xp = get_array_module(z)
        return xp.concatenate(
            self._communicator.allgather(xp.ascontiguousarray(z)))


def joined_sums(joined, *values, known=None):
    """Adds up over the workers what may be arrays or Chainer's variables.

    Args:
        joined (JoinedBatch or None): The workers; ``None`` for this one.
        values (arrays or chainer.Variables): What to add up.
        known (tuple of arrays or None): The sums, if they are known.  Only
            the gradients of variables are then added up.

    Returns:
        sequence of arrays or chainer.Variables: The sums.

    """
    if joined is None:
        return values
    if isinstance(values[0], chainer.Variable):
        return _JoinedSums(joined, known).apply(values)
    return joined.sum(*values)


def with_mean_gradient(joined, *parameters):
    """Has parameters get the mean of the workers' gradients.

    That is what ``chainermn.links.MultiNodeBatchNormalization`` gives gamma
    and beta.  ChainerMN's optimizers take the mean of the workers' gradients,
    so it makes no difference to them.

    Args:
        joined (JoinedBatch or None): The workers; ``None`` for this one.
        parameters (chainer.Variables): What to find the gradients of.

    Returns:
        sequence of chainer.Variables: Their values.

    """
    if joined is None:
        return parameters
    return _WithMeanGradient(joined).apply(parameters)


class _JoinedSums(function_node.FunctionNode):

    def __init__(self, joined, known=None):
        self._joined = joined
        self._known = known

    def forward(self, inputs):
        totals = self._known
        if totals is None:
            totals = self._joined.sum(*inputs)
        return tuple(total.astype(z.dtype, copy=False)
                     for total, z in zip(totals, inputs))

    def backward(self, indexes, grad_outputs):
        # The sums are in the output of every worker.
        return _sums_of_some(self._joined, grad_outputs)


class _WithMeanGradient(function_node.FunctionNode):

    def __init__(self, joined):
        self._joined = joined

    def forward(self, inputs):
        return inputs

    def backward(self, indexes, grad_outputs):
        return tuple(
            None if total is None else total / self._joined.n_workers
            for total in _sums_of_some(self._joined, grad_outputs))


def _sums_of_some(joined, variables):
    """Adds up variables of which some may be ``None``, on all workers."""
    sums = iter(joined_sums(
        joined, *(v for v in variables if v is not None)))
    return tuple(None if v is None else next(sums) for v in variables)
