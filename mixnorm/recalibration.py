"""Statistics for test mode that belong to the weights as they are."""

import contextlib

import chainer
import numpy

from mixnorm.checks import check_integer

# Of numpy.random.
MAX_SEED = 2 ** 32 - 1


def recalibrate(model, batches, seed=0):
    r"""Computes the statistics that test mode uses anew, by frozen weights.

    In test mode, batch normalization uses running averages and mixture
    normalization a queue, of mini-batches that earlier weights have seen.
    Where weights change fast, these statistics do not belong to them.  Here
    the mini-batches pass through the model in training mode, without a change
    of the weights, and the statistics of all ``N`` of them count the same:

    .. math::

        \mu = \frac{1}{N} \sum_n \mu_n, \quad
        \sigma^2 = \frac{1}{N} \sum_n \sigma_n^2

    It does so for every layer with a method ``start_finetuning``: Chainer's
    batch normalizations, and those of :mod:`mixnorm.links` whose test mode
    depends on training.  Each averages what it always averages, as with
    ``finetune=True``; the queue of mixture normalization holds the last
    ``queue_size`` of the mini-batches.  Links that no mini-batch reaches in
    training mode, such as those that a model keeps in test mode, stay as they
    are; so does a model that has no such link, without a mini-batch read.

    Dropout acts as in training, so that the statistics are those that running
    averages estimate, but for their lag.  Batch renormalization normalizes by
    its averages in training, too: by those from before at first.

    Everything else stays as it was: parameters and their gradients, what is
    reported, the state of all other links, and the state of
    ``numpy.random``.  Generators of a GPU, from which dropout draws there, go
    on.

    Args:
        model (~chainer.Link): What the mini-batches are passed to.
        batches (iterable): Training mini-batches as ``model`` is called with
            them, on any device: an array, a tuple of arguments or a
            dictionary of keyword arguments each.
        seed (int): Seed of ``numpy.random`` meanwhile, so that the same
            mini-batches give the same statistics.  What ``batches`` draws
            from there while it is read is drawn from this seed, too.

    Returns:
        contextlib.ExitStack: In a ``with`` statement, it puts back the old
        statistics, bit for bit, at the end.  Otherwise the new ones stay.

    Raises:
        TypeError: If ``model`` is no link.
        ValueError: If ``batches`` is empty, or ``seed`` is no integer from 0
            to ``2**32 - 1``.  If anything goes wrong, the old statistics come
            back.

    Source: Y. Wu and J. Johnson, *Rethinking "Batch" in BatchNorm* (2021),
    section 3, "PreciseBN".

    .. admonition:: Example

        >>> import numpy as np
        >>> import chainer
        >>> import mixnorm
        >>> norm = chainer.links.BatchNormalization(1)
        >>> batches = [np.full((2, 1), i, 'f') for i in (1, 2, 6)]
        >>> with mixnorm.recalibrate(norm, batches):
        ...     norm.avg_mean
        array([3.], dtype=float32)
        >>> norm.avg_mean
        array([0.], dtype=float32)

    """
    if not isinstance(model, chainer.Link):
        raise TypeError(f'model is {model!r}: it must be a chainer.Link')
    check_integer('seed', seed, 0, MAX_SEED)
    links = set(model.links())
    # A whole model may have that method, too, for all of its layers.
    normalizations = {
        link for link in links if hasattr(link, 'start_finetuning')
        and not isinstance(link, (chainer.Chain, chainer.ChainList))}
    undo = contextlib.ExitStack()
    if not normalizations:
        return undo
    states = {link: _State(link) for link in links}
    refreshed = set()
    try:
        with _finetuning(normalizations, refreshed), _seeded(seed):
            _pass(model, batches)
    except BaseException:
        for state in states.values():
            state.restore()
        raise
    for link, state in states.items():
        if link in refreshed:
            undo.callback(state.restore)
        else:
            state.restore()
    return undo


class _State:

    """What a link is made of, but for its parameters and children.

    It is more than what is saved: the state of a recurrent link belongs to
    it, and what a link tells of its last mini-batch.

    """

    def __init__(self, link):
        self._link = link
        self._attributes = dict(vars(link))
        # Chainer updates running averages in place.
        self._arrays = [
            (value, value.copy()) for value in self._attributes.values()
            if isinstance(value, chainer.get_array_types())]

    def restore(self):
        for array, value in self._arrays:
            chainer.backend.copyto(array, value)
        attributes = vars(self._link)
        attributes.update(self._attributes)
        for name in attributes.keys() - self._attributes.keys():
            del attributes[name]


@contextlib.contextmanager
def _finetuning(links, called):
    """Has links be fine-tuned whenever they are called in training mode.

    Not every link has a call that link hooks see: that of ChainerMN has not.

    Args:
        links (set of ~chainer.Link): The links.
        called (set): Those that were called are added to it.

    """
    with contextlib.ExitStack() as stack:
        for link in links:
            stack.callback(setattr, link, '__class__', type(link))
            link.__class__ = _finetuned(type(link), called)
        yield


def _finetuned(kind, called):
    """Derives a class of links that are fine-tuned."""

    def call(self, *args, **kwargs):
        if chainer.config.train:
            if self not in called:
                self.start_finetuning()
                called.add(self)
            kwargs['finetune'] = True
            # No gradient is going to ask for this pass again.
            with chainer.using_config('_will_recompute', False):
                return kind.__call__(self, *args, **kwargs)
        return kind.__call__(self, *args, **kwargs)

    return type(kind.__name__, (kind,), {'__call__': call})


@contextlib.contextmanager
def _seeded(seed):
    """Seeds ``numpy.random``, and puts its state back at the end."""
    state = numpy.random.get_state()
    numpy.random.seed(seed)
    try:
        yield
    finally:
        numpy.random.set_state(state)


def _pass(model, batches):
    n_batches = 0
    with chainer.using_config('train', True), chainer.no_backprop_mode(), \
            _NoReporter():
        for batch in batches:
            n_batches += 1
            if isinstance(batch, dict):
                model(**{name: model.device.send(value)
                         for name, value in batch.items()})
            elif isinstance(batch, tuple):
                model(*map(model.device.send, batch))
            else:
                model(model.device.send(batch))
    if n_batches == 0:
        raise ValueError('batches is empty: it must hold one mini-batch or '
                         'more')


class _NoReporter(chainer.Reporter):

    """Takes no part in the observations of the training around it."""

    def report(self, values, observer=None):
        pass
