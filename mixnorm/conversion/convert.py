import chainer

from mixnorm import registry
from mixnorm.checks import is_integer
from mixnorm.conversion.hooks import add_hooks
from mixnorm.conversion.paths import choose, outermost
from mixnorm.conversion.replacement import find_update_rule, replacement
from mixnorm.conversion.swap import swap


def convert(model, name, where=None, **options):
    """Swaps normalization layers of a model by path.

    Every link that is named is replaced by a new one of the kind that is
    named, or nothing is: an error leaves the model as it was.

    What carries over to the new link:

    - size, ``axis``, ``eps``, ``decay``, ``dtype``, ``communicator``,
      ``use_gamma`` and ``use_beta``, where it takes them and ``options`` do
      not say otherwise, and the device;
    - gamma and beta, unless ``options`` initialize them: as the same
      parameters where shape and dtype agree, and with them what an optimizer
      keeps for them; otherwise by value (a vector for each component or mode,
      or the mean of theirs), with their update rules' settings. An optimizer
      that is set up already trains other new parameters with its own
      settings, if it trains those of the layer or, where that has none, of
      what holds it;
    - the other parameters of a link of the same kind, such as rho of
      batch-instance normalization and the gates of mode normalization, where
      their shapes agree;
    - running averages of batch, batch renormalization, batch-instance and
      mode normalization and the queue of mixture normalization, to any of
      these, such that with one mode or one component left the model's test
      output is the same: all modes get the same averages, and the queue one
      entry with one component. Of several modes, components or entries their
      mixture's mean and variance carry over. Averages that have never been
      updated do not make an entry of a queue.

    A link that stands in several places is replaced by one link in all of
    them. Random seeds of links made at once differ: with ``seed=s`` the first
    has ``s``, the next ``s + 1``.

    ``'weight'`` and ``'spectral'`` are not links but hooks, which are added
    to convolutions, deconvolutions and linear layers, and to whatever else
    has a weight and is named by its own path.

    References are replaced in the attributes of the model's links, in lists,
    tuples and dictionaries there, and in bound methods.  What refers to a
    layer in another way (a closure, a ``functools.partial``, a set, ...) is an
    error that says where.

    Args:
        model (~chainer.Link): The model, which is changed.
        name (str): A name that :func:`mixnorm.normalizer` knows, ``'weight'``
            for :class:`mixnorm.link_hooks.WeightNormalization`, or
            ``'spectral'`` for
            :class:`chainer.link_hooks.SpectralNormalization`.
        where (str, list of str or None): Paths as ``model.namedlinks()``
            gives them, of layers or of what holds layers; the leading slash
            may be left out. Shell patterns (``*``, ``?``, ``[...]``) stand
            for every path that matches, ``*`` for slashes, too. ``'first'``
            is the batch normalization that was added to the model first.
            ``None``: all of them.
        options: Arguments of the new links, or of the hooks.

    Returns:
        list of str: The paths of what was replaced, or given a hook.

    Raises:
        ValueError: If there is no normalizer of that name, a path leads to
            nothing that can be replaced, a layer cannot be what is asked for,
            the model itself is the layer, or it refers to a layer where
            another cannot be put in its place.

    .. admonition:: Example

        >>> import chainer
        >>> import chainer.links as L
        >>> import mixnorm
        >>> model = chainer.Chain(
        ...     conv=L.Convolution2D(3, 4, 3), norm=L.BatchNormalization(4))
        >>> mixnorm.convert(model, 'mixture', where='norm', n_components=2)
        ['/norm']
        >>> type(model.norm).__name__
        'MixtureNormalization'

    """
    if not isinstance(model, chainer.Link):
        raise ValueError(f'model is {model!r}: it must be a link')
    if isinstance(name, str) and name in registry.HOOKS:
        return add_hooks(model, name, where, options)
    if not isinstance(name, str) or name not in registry.normalizer_names():
        names, hooks = (', '.join(map(repr, z)) for z in (
            registry.normalizer_names(), sorted(registry.HOOKS)))
        raise ValueError(f'name is {name!r}: there are the normalizers '
                         f'{names} and the hooks {hooks}')
    chosen = outermost(choose(
        model, where, registry.is_normalization, 'normalization layer'))
    new = {}
    for path, old in chosen:
        if old is model:
            raise ValueError(f'{type(old).__name__} is the model itself: '
                             'nothing holds it, so nothing can hold another '
                             'in its place')
        if id(old) in new:
            continue
        try:
            new[id(old)] = old, replacement(
                old, name, dict(options, **_seed(options, len(new))),
                find_update_rule(model, path, old))
        except (ValueError, TypeError, RuntimeError) as error:
            raise ValueError(f'{path}: {error}') from error
    swap(model, list(new.values()))
    return [path for path, _ in chosen]


def _seed(options, i):
    seed = options.get('seed')
    if is_integer(seed):
        return {'seed': seed + i}
    return {}
