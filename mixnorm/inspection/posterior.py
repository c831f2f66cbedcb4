"""Which component or mode a point belongs to."""
import chainer
import numpy

from mixnorm.compute.layout import stack, unstack, working_dtype
from mixnorm.functions.normalization.fixed_mixture_normalization import (
    queue_posterior)
from mixnorm.inspection.state import kind_of
from mixnorm.links import axes


def posterior(link, x):
    """Computes the posterior of points, or the gates of samples.

    Of mixture normalization it is the posterior under the newest mixture of
    the link's queue, eq. (31) of Kalayeh & Shah; of mode normalization, the
    gates; of mode group normalization, the gates' mean over channels.  The
    link does not change.

    Args:
        link (~chainer.Link): A link of mixture, mode or mode group
            normalization that has been trained.
        x (:class:`~chainer.Variable` or array): Input of the link, by default
            ``(N,) + size + S``.

    Returns:
        numpy.ndarray: ``(N, K, *S)`` of mixture normalization, ``(N, K)`` of
        the others, adding up to 1 over ``K``.

    Raises:
        chainer.utils.type_check.InvalidType: If ``x`` does not fit the link.
        ValueError: If the link is of another kind, or is one of mixture
            normalization that has seen no training mini-batch.

    """
    kind = kind_of(link)
    if kind not in ('mixture', 'mode', 'mode_group'):
        raise ValueError(f'link is {link!r}: it must be one of mixture, mode '
                         'or mode group normalization')
    x = link.device.send(chainer.as_array(x))
    if kind == 'mixture':
        entries = link.queue
        if entries.weights is None or len(entries.weights) == 0:
            raise ValueError(f'link is {link!r}, which has seen no training '
                             'mini-batch')
        with chainer.using_config('train', False):
            axes.check_type(x, link.size, link.axis)
        points = axes.channels_second(
            chainer.as_variable(x), link.size, link.axis)[0].array
        weights, means, variances = (
            z[:1].astype(working_dtype(points.dtype), copy=False)
            for z in entries)
        shape = means.shape[:2] + (-1,)
        found = unstack(queue_posterior(
            stack(points), weights, means.reshape(shape),
            variances.reshape(shape), link.reg_covar), points.shape)
    else:
        # The gates of a copy: the link keeps those of its own last batch.
        link = link.copy()
        with chainer.using_config('train', False), chainer.no_backprop_mode():
            link(x)
        found = link.gates
        if kind == 'mode_group':
            found = found.mean(axis=1)
    return chainer.get_device('@numpy').send(found)


def of_samples(posterior):
    """Averages a posterior over positions.

    Args:
        posterior (numpy.ndarray): ``(N, K, *S)``.

    Returns:
        numpy.ndarray: ``(N, K)``.

    """
    return posterior.mean(axis=tuple(range(2, posterior.ndim)),
                          dtype=numpy.float64)
