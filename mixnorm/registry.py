"""Normalization links by name."""

import functools
import inspect

import chainer
from chainer.link_hooks import SpectralNormalization
import chainer.links as L
import numpy

from mixnorm import links
from mixnorm.checks import (
    check_axis, check_communicator, check_dtype, check_eps, check_flag,
    check_initializer, check_real, check_size)
from mixnorm.link_hooks import WeightNormalization

# What stands beside the names in :func:`mixnorm.convert`.
HOOKS = {
    'spectral': SpectralNormalization,
    'weight': WeightNormalization,
}


class Identity(chainer.Link):

    """No normalization: returns its input.

    Args:
        size (int): Number of channels, accepted as every normalization link
            accepts it and not needed.

    """

    def __init__(self, size=None):
        super().__init__()
        # For a link that may take its place.
        self.size = size

    def forward(self, x):
        return x


def _in_single_precision(factory):
    """Has a link of Chainer make float32 parameters for float16 as well.

    With parameters of float16 they square activations in float16, which
    overflows from 256 on; a ``dtype`` among the options still prevails.

    """
    @functools.wraps(factory)
    def make(*args, **kwargs):
        dtype = numpy.promote_types(
            chainer.get_dtype(map_mixed16=numpy.float32), numpy.float32)
        with chainer.using_config('dtype', dtype):
            return factory(*args, **kwargs)

    return make


@_in_single_precision
@functools.wraps(L.BatchNormalization)
def _batch_normalization(*args, communicator=None, **kwargs):
    """Makes Chainer's link, but checks what it would fail at later.

    With a communicator it is ChainerMN's.

    """
    check_communicator('communicator', communicator)
    bound = inspect.signature(L.BatchNormalization).bind(*args, **kwargs)
    bound.apply_defaults()
    given = dict(bound.arguments)
    if given['size'] is None and given['axis'] is None:
        raise ValueError('size is None and axis is None: one of them must be '
                         'given')
    check_real('decay', given['decay'], 0, 1)
    check_eps(given['eps'])
    given['axis'] = check_axis(given['axis'])
    check_dtype(given['dtype'])
    for name in ('use_gamma', 'use_beta'):
        check_flag(name, given[name])
    shape = check_size(given['size'])
    for name in ('gamma', 'beta', 'avg_mean', 'avg_var'):
        name = f'initial_{name}'
        check_initializer(name, given[name], shape)
    if communicator is not None:
        return _multi_node_batch_normalization(communicator, given)
    return L.BatchNormalization(**given)


# It has the link's own arguments, and one more.
_batch_normalization.__signature__ = inspect.Signature([
    *inspect.signature(L.BatchNormalization).parameters.values(),
    inspect.Parameter('communicator', inspect.Parameter.KEYWORD_ONLY,
                      default=None)])


def _multi_node_batch_normalization(communicator, arguments):
    """Makes ChainerMN's link from arguments of Chainer's."""
    # It asks for MPI.
    from chainermn.links import MultiNodeBatchNormalization
    if arguments['size'] is None:
        raise ValueError('size is None: with a communicator it must be given')
    taken = inspect.signature(MultiNodeBatchNormalization).parameters
    for name in arguments.keys() - taken.keys():
        if arguments.pop(name) is not None:
            raise ValueError(
                f"normalizer 'batch' has no {name} with a communicator")
    link = MultiNodeBatchNormalization(comm=communicator, **arguments)
    # As in Chainer's; its own are 0.
    link.avg_var.fill(1)
    return link


def _layer_normalization(size, eps=1e-5, initial_gamma=None,
                         initial_beta=None):
    return links.GroupNormalization(
        1, _one_axis('layer', size), eps, initial_gamma, initial_beta)


def _group_normalization(size, groups=None, eps=1e-5, initial_gamma=None,
                         initial_beta=None):
    size = _one_axis('group', size)
    if groups is None:
        if size is None:
            raise ValueError('groups is None: it must be given where size is '
                             'not')
        # Wu and He's 32, or as near as the channels can be divided.
        groups = max(g for g in range(1, min(size, 32) + 1) if size % g == 0)
    return links.GroupNormalization(
        groups, size, eps, initial_gamma, initial_beta)


def _group_mixture_normalization(size, groups=1, **options):
    return links.GroupMixtureNormalization(groups, size, **options)


# It has the link's other arguments.
_group_mixture_normalization.__signature__ = inspect.Signature([
    *list(inspect.signature(
        _group_mixture_normalization).parameters.values())[:2],
    *list(inspect.signature(
        links.GroupMixtureNormalization).parameters.values())[2:]])


def _one_axis(name, size):
    """Returns the number of channels that a size stands for."""
    if not isinstance(size, tuple):
        return size
    if len(size) != 1:
        raise ValueError(f'size is {size}: normalizer {name!r} takes one axis '
                         'of channels')
    return size[0]


_FACTORIES = {
    'batch': _batch_normalization,
    'batch_instance': links.BatchInstanceNormalization,
    'batch_renorm': _in_single_precision(links.BatchRenormalization),
    'divisive': links.DivisiveNormalization,
    'group': _group_normalization,
    'group_mixture': _group_mixture_normalization,
    'instance': links.InstanceNormalization,
    'layer': _layer_normalization,
    'mixture': links.MixtureNormalization,
    'mode': links.ModeNormalization,
    'mode_group': links.ModeGroupNormalization,
    'none': Identity,
}


def normalizer_names():
    """Returns the names that :func:`normalizer` knows, sorted.

    Returns:
        list of str: The names.

    """
    return sorted(_FACTORIES)


def normalizer(name, size, **options):
    """Makes a normalization link by name.

    =================  =====================================================
    name               link
    =================  =====================================================
    ``batch``          :class:`chainer.links.BatchNormalization`.  Gradients
                       of its gradients need an input of the parameters'
                       dtype.  With the option ``communicator``,
                       :class:`chainermn.links.MultiNodeBatchNormalization`
    ``batch_instance`` :class:`mixnorm.links.BatchInstanceNormalization`
    ``batch_renorm``   :class:`mixnorm.links.BatchRenormalization`
    ``divisive``       :class:`mixnorm.links.DivisiveNormalization`
    ``group``          :class:`mixnorm.links.GroupNormalization`; ``groups``
                       is by default the largest divisor of ``size`` up to 32
    ``group_mixture``  :class:`mixnorm.links.GroupMixtureNormalization`;
                       ``groups`` is 1 by default
    ``instance``       :class:`mixnorm.links.InstanceNormalization`
    ``layer``          :class:`mixnorm.links.GroupNormalization` with one
                       group
    ``mixture``        :class:`mixnorm.links.MixtureNormalization`
    ``mode``           :class:`mixnorm.links.ModeNormalization`
    ``mode_group``     :class:`mixnorm.links.ModeGroupNormalization`
    ``none``           a link that returns its input
    =================  =====================================================

    and those of :func:`register_normalizer`.

    Args:
        name (str): Name of the normalizer.
        size (int, tuple of ints or None): Number of channels, or the shape of
            the channel dimensions for links that take one.  ``None`` leaves
            it to the first mini-batch; with it, ``batch`` and
            ``batch_renorm`` need the option ``axis``, and ``group`` the
            option ``groups``.
        options: The link's own keyword arguments.

    Returns:
        ~chainer.Link: A new link.

    Raises:
        ValueError: If there is no normalizer of that name, the link has no
            argument of an option's name, or an argument is out of its range.

    .. admonition:: Example

       >>> import mixnorm
       >>> link = mixnorm.normalizer('batch', 64, decay=0.99)
       >>> link.gamma.shape
       (64,)

    """
    if not isinstance(name, str) or name not in _FACTORIES:
        raise ValueError(f'unknown normalizer {name!r}: there are '
                         f"{', '.join(map(repr, normalizer_names()))}")
    factory = _FACTORIES[name]
    check_size(size)
    allowed = option_names(name)
    for key in options:
        if allowed is not None and key not in allowed:
            there_are = ', '.join(allowed) or 'none'
            raise ValueError(f'normalizer {name!r} has no option {key!r}: it '
                             f'has {there_are}')
    link = factory(size, **options)
    if not isinstance(link, chainer.Link):
        raise ValueError(f'normalizer {name!r} made {link!r}: it must make a '
                         'link')
    return link


def option_names(name):
    """Returns the names of a normalizer's options.

    Args:
        name (str): A name that :func:`normalizer` knows.

    Returns:
        list of str or None: The names; ``None`` if it takes any.

    """
    _, *parameters = inspect.signature(_FACTORIES[name]).parameters.values()
    if any(p.kind == p.VAR_KEYWORD for p in parameters):
        return None
    return [p.name for p in parameters]


# Batch normalization over several processes is not derived from Chainer's
# own, nor is it known here: it stays where it is.
_LINKS = (
    L.BatchNormalization, L.GroupNormalization, Identity,
    links.BatchInstanceNormalization, links.DivisiveNormalization,
    links.GroupMixtureNormalization, links.InstanceNormalization,
    links.MixtureNormalization, links.ModeGroupNormalization,
    links.ModeNormalization)


def is_normalization(link):
    """Returns whether a link is one that a normalizer's name stands for.

    Args:
        link (~chainer.Link): Any link.

    Returns:
        bool: Whether it is a normalization link of Chainer's or mixnorm's, or
        of a class that was registered.

    """
    return isinstance(link, _LINKS + tuple(
        factory for factory in _FACTORIES.values()
        if isinstance(factory, type)))


def register_normalizer(name, factory):
    """Gives a normalizer of your own a name.

    From then on it is made wherever a normalizer is chosen by name.

    Args:
        name (str): A name that is not taken.
        factory (callable): Makes a link.  It is called with the number of
            channels (int, or ``None`` if the first mini-batch is to decide)
            and with the options as keyword arguments.

    Raises:
        ValueError: If the name is taken, empty or a hook's, or ``factory`` is
            not a callable that can be called with a size alone.

    .. admonition:: Example

       .. code-block:: python

          def slow_batch(size, decay=0.999):
              return L.BatchNormalization(size, decay)

          mixnorm.register_normalizer('slow_batch', slow_batch)
          link = mixnorm.normalizer('slow_batch', 64)

    """
    if not isinstance(name, str) or not name:
        raise ValueError(f'name is {name!r}: it must be a string that is not '
                         'empty')
    if name in _FACTORIES or name in HOOKS:
        raise ValueError(f'name is {name!r}: there is a '
                         f"{'hook' if name in HOOKS else 'normalizer'} of "
                         'that name already')
    if not _takes_size(factory):
        raise ValueError(f'factory is {factory!r}: it must be a callable that '
                         'takes a size and makes a link')
    _FACTORIES[name] = factory


def _takes_size(factory):
    # A link can be called as well, but with an input.
    if isinstance(factory, chainer.Link):
        return False
    try:
        inspect.signature(factory).bind(None)
    except (TypeError, ValueError):
        return False
    return True
