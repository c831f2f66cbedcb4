"""What a link knows of its components or modes, as NumPy arrays."""
import typing

import chainer
import numpy

from mixnorm.links import (
    GroupMixtureNormalization, MixtureNormalization, ModeGroupNormalization,
    ModeNormalization)

# A mode that holds less counts as empty, as a component does by default.
_MIN_GATE = .01

_KINDS = (
    ('mixture', MixtureNormalization),
    ('group_mixture', GroupMixtureNormalization),
    ('mode', ModeNormalization),
    ('mode_group', ModeGroupNormalization))


class State(typing.NamedTuple):

    """What the last training mini-batch left in a link.

    What a kind of link does not have has 0 rows: mixtures that are each
    sample's own have no weights, and neither they nor the modes of mode group
    normalization have means and variances.

    Attributes:
        n_effective (float): Number of components that were kept, or of modes
            with a mean gate of at least 0.01.
        weights (numpy.ndarray): Weights of the components, the heaviest
            first, or mean gates of the modes, ``(K,)``.
        means (numpy.ndarray): ``(K,) + size``, in units of the link's input.
        variances (numpy.ndarray): ``(K,) + size``, in their square.

    """

    n_effective: float
    weights: numpy.ndarray
    means: numpy.ndarray
    variances: numpy.ndarray


def kind_of(link):
    """Returns the name of a link of mixture or mode normalization.

    Args:
        link (~chainer.Link): Any link.

    Returns:
        str or None: ``'mixture'``, ``'group_mixture'``, ``'mode'`` or
        ``'mode_group'``; ``None`` for any other link.

    """
    return next((name for name, kind in _KINDS if isinstance(link, kind)),
                None)


def noun_of(link):
    """Returns what the parts of a link are called in pictures."""
    return 'mode' if kind_of(link) in ('mode', 'mode_group') else 'component'


def read_state(link):
    """Reads the newest components or modes of a link.

    Of mixture normalization they are the newest entry of its queue; of mode
    normalization, the running averages and the mean gates of the last
    training mini-batch.  Nothing in the link changes.  On a GPU, it waits.

    Args:
        link (~chainer.Link): A link of mixture or mode normalization.

    Returns:
        State or None: The state; ``None`` if the link has seen no training
        mini-batch.  Mean gates are not saved with a link: without them, the
        weights of modes have 0 rows, and their number is that of the modes.

    Raises:
        ValueError: If the link is of another kind.

    """
    kind = kind_of(link)
    if kind is None:
        raise ValueError(f'link is {link!r}: it must be one of mixture or '
                         'mode normalization')
    none = numpy.zeros(0, numpy.float32)
    if kind == 'mixture':
        entries = link.queue
        if entries.weights is None or len(entries.weights) == 0:
            return None
        weights, means, variances = (_to_numpy(z[0]) for z in entries)
        n_effective = link.n_effective
        if n_effective is None:
            n_effective = numpy.count_nonzero(weights)
        return State(float(n_effective), weights, means, variances)
    if kind == 'group_mixture':
        if link.n_effective is None:
            return None
        return State(link.n_effective, none, none, none)
    gates = link.mean_gates
    gates = none if gates is None else _to_numpy(gates)
    n_effective = numpy.count_nonzero(gates >= _MIN_GATE)
    if kind == 'mode_group':
        if len(gates) == 0:
            return None
        return State(float(n_effective), gates, none, none)
    if link.avg_mean is None:
        return None
    mean, sqmean = _to_numpy(link.avg_mean), _to_numpy(link.avg_sqmean)
    if len(gates) == 0:
        n_effective = link.n_modes
        if not mean.any():
            return None
    return State(float(n_effective), gates, *(
        z.astype(numpy.float32)
        for z in (mean, numpy.maximum(sqmean - mean * mean, 0))))


def _to_numpy(array):
    return chainer.get_device('@numpy').send(array)
