"""What a layer carries from one mini-batch to the next.

The functions take NumPy's arrays and CuPy's, and change none.  What is chosen
by a value is chosen on the device: nothing waits for a GPU.  In training on a
GPU, a kernel does the same in one launch; see
:meth:`mixnorm.compute.contract.Coefficients.of_batch`.
"""
import typing

import numpy

from mixnorm.compute.layout import get_array_module
from mixnorm.compute.parameters import are_finite, Parameters


class Queue(typing.NamedTuple):

    """Mixtures of the last ``T`` mini-batches, the newest first.

    Attributes:
        factors (array): How much each counts, ``(T,)``; 0 while it is not
            there.
        weights (array): ``(T, K)``.
        means (array): ``(T, K) + size``; in main memory perhaps a tuple of
            ``T`` arrays, of which those of fewer components are shorter.
        variances (array): Likewise.

    """

    factors: typing.Any
    weights: typing.Any
    means: typing.Any
    variances: typing.Any


class Start(typing.NamedTuple):

    """Where the fit of the next mini-batch starts.

    Attributes:
        weights (array): ``(K,)``; 0 for a component that is lost.
        means (array): ``(K,) + size``.
        variances (array): ``(K,) + size``.
        is_whole (array or None): Whether no component is lost, a boolean
            without axes; ``None`` if it has not been computed.

    """

    weights: typing.Any
    means: typing.Any
    variances: typing.Any
    is_whole: typing.Any = None


class Carried(typing.NamedTuple):

    """What a layer has before a mini-batch, or after it.

    Attributes:
        queue (Queue or None): What serves inference.
        decay (float): How much less its entries count from now on.
        start (Start or None): Where the fit starts.

    """

    queue: Queue = None
    decay: float = 1
    start: Start = None


def push(queue, mixture, decay):
    """Puts a mixture at the head of a queue, if it is finite there.

    In main memory no other entry is copied.

    Args:
        queue (Queue): The queue.
        mixture (Parameters): ``(K,)`` and ``(K, C)``; of fewer components,
            the others are absent.
        decay (float): How much less the earlier ones count from now on.

    Returns:
        Queue: The new one; in main memory the same if it did not change.

    """
    factors, weights = queue[:2]
    xp = get_array_module(factors)
    head, *moments = cast(mixture, factors.dtype)
    finite = are_finite([head, *moments])
    if xp is numpy and not finite:
        return queue
    row = xp.zeros((1,) + weights.shape[1:], weights.dtype)
    row[0, :len(head)] = head
    factors, weights = (
        xp.concatenate([first, rest[:-1]]) for first, rest in (
            (xp.ones_like(factors[:1]), factors * decay), (row, weights)))
    size = queue.means[0].shape[1:]
    moments = [z.reshape((-1,) + size) for z in moments]
    if xp is numpy:
        return Queue(factors, weights, *(
            (first.copy(),) + tuple(rest[:-1])
            for first, rest in zip(moments, queue[2:])))
    moments = [xp.concatenate([first[None], rest[:-1]])
               for first, rest in zip(moments, queue[2:])]
    return Queue(*(xp.where(finite, new, old) for new, old in zip(
        (factors, weights, *moments), queue)))


def follow(start, mixture, n_points):
    """Returns where the fit of the mini-batch after this one starts.

    Args:
        start (Start): Where this one's started, which stays if the mixture
            is not finite in its dtype.
        mixture (Parameters): Statistics of this mini-batch, ``(K,)`` and
            ``(K, C)``; of fewer components, the others are lost.
        n_points (int): Number of its points.

    Returns:
        Start: The next one.

    """
    xp = get_array_module(mixture.weights)
    weights, means, variances = in_deviations(mixture)
    # What has less than one point has no variance.
    weights = xp.where(weights * n_points < 1, 0, weights)
    new = [xp.zeros_like(old) for old in start[:3]]
    with numpy.errstate(over='ignore'):
        # Of another dtype they may be finite no longer.
        for z, found in zip(new, (weights, means, variances)):
            z[:len(found)] = found.reshape((-1,) + z.shape[1:])
    finite = are_finite(new)
    new = [xp.where(finite, z, old) for z, old in zip(new, start)]
    return Start(*new, (new[0] > 0).all())


def in_deviations(parameters):
    """Expresses a mixture in units of its own channels.

    A channel's mean becomes 0 and its standard deviation 1, but a deviation
    whose square the dtype cannot invert stays.  Such a mixture is where the
    fit of another mini-batch can start, however its channels have moved or
    grown since.

    Args:
        parameters (Parameters): ``(K,)`` and twice ``(K, C)``.

    Returns:
        Parameters: Of the same shapes and dtype.

    """
    weights, means, variances = parameters
    xp = get_array_module(means)
    share = weights[:, None]
    deviations = means - (share * means).sum(axis=0)
    total = (share * (variances + deviations * deviations)).sum(axis=0)
    tiny = numpy.finfo(means.dtype).tiny
    # As a sample is standardized.
    inverse = 1 / xp.where(total > 1e8 * tiny, total, 1)
    return Parameters(
        weights, deviations * xp.sqrt(inverse), variances * inverse)


def unbiased(statistics, n_points):
    """Makes the variances those of what the points are a sample of.

    A component that has ``n`` of the points varies ``n / (n - 1)`` times as
    much, as in batch normalization.

    Args:
        statistics (Parameters): ``(K,)`` and twice ``(K, C)``.
        n_points (int): Number of points.

    Returns:
        Parameters: Of the same shapes and dtype.

    """
    weights, means, variances = statistics
    xp = get_array_module(weights)
    counts = xp.maximum(weights * n_points, 1)
    factors = counts / xp.maximum(counts - 1, 1)
    return Parameters(weights, means, variances * factors[:, None].astype(
        variances.dtype, copy=False))


def cast(mixture, dtype):
    """Casts a mixture to a dtype in which it may overflow."""
    with numpy.errstate(over='ignore'):
        return Parameters(*(z.astype(dtype, copy=False) for z in mixture))
