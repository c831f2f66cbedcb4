"""Normalization layers of a finished model, swapped in place."""
import copy
import difflib
import fnmatch
import math

import numpy

import chainer
import chainer.links as L

from mixnorm import links
from mixnorm import registry
from mixnorm.checks import (
    check_eps, check_integer, check_real, is_integer)
from mixnorm.swap import swap
from mixnorm.update_rules import copied_update_rule, new_update_rule

# Links that have the hooks unless they are told otherwise: the rows or
# columns of their weights are units, which those of others need not be.
_LINKS_WITH_UNITS = (
    L.ConvolutionND, L.Convolution2D, L.DeconvolutionND, L.Deconvolution2D,
    L.DilatedConvolution2D, L.Linear)

# Paths that an error message lists.
_LISTED = 20


def convert(model, name, where=None, **options):
    """Swaps normalization layers of a model by path.

    Every link that is named is replaced by a new one of the kind that is
    named, or nothing is: an error leaves the model as it was.

    What carries over to the new link:

    - size, ``axis``, ``eps``, ``decay``, ``dtype``, ``use_gamma`` and
      ``use_beta``, where it takes them and ``options`` do not say otherwise,
      and the device;
    - gamma and beta, unless ``options`` initialize them: as the same
      parameters where shape and dtype agree, and with them what an optimizer
      keeps for them; otherwise by value (a vector for each component or mode,
      or the mean of theirs), with their update rules' settings. An optimizer
      that is set up already trains other new parameters with its own
      settings, if it trains those of the layer or, where that has none, of
      what holds it;
    - running averages of batch, batch renormalization, batch-instance and
      mode normalization and the queue of mixture normalization, to any of
      these, such that with one mode or one component left the model's test
      output is the same: all modes get the same averages, and the queue one
      entry with one component. Of several modes or components their mixture's
      mean and variance carry over. Averages that have never been updated do
      not make an entry of a queue.

    A link that stands in several places is replaced by one link in all of
    them. Random seeds of links made at once differ: with ``seed=s`` the first
    has ``s``, the next ``s + 1``.

    ``'weight'`` and ``'spectral'`` are not links but hooks, which are added
    to convolutions, deconvolutions and linear layers, and to whatever else
    has a weight and is named by its own path.

    References are replaced in the attributes of the model's links, in lists,
    tuples and dictionaries there, and in bound methods; not in closures.

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
            or the model itself is the layer.

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
        return _add_hooks(model, name, where, options)
    if not isinstance(name, str) or name not in registry.normalizer_names():
        raise ValueError('name is {!r}: there are the normalizers {} and the '
                         'hooks {}'.format(name, *(
                             ', '.join(map(repr, names)) for names in (
                                 registry.normalizer_names(),
                                 sorted(registry.HOOKS)))))
    chosen = _outermost(_choose(
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
            new[id(old)] = old, _replacement(
                old, name, dict(options, **_seed(options, len(new))),
                _update_rule(model, path, old))
        except (ValueError, TypeError, RuntimeError) as error:
            raise ValueError(f'{path}: {error}') from error
    swap(model, list(new.values()))
    return [path for path, _ in chosen]


def _seed(options, i):
    seed = options.get('seed')
    if is_integer(seed):
        return {'seed': seed + i}
    return {}


# Choosing


def _choose(model, where, is_wanted, what, is_possible=None):
    """Returns pairs of path and link that ``where`` names, in order.

    Links that are possible, but not wanted, have to be named by their own
    path.

    """
    named = [(path, link) for path, link in model.namedlinks()]
    possible = [(path, link) for path, link in named
                if (is_possible or is_wanted)(link)]
    wanted = [(path, link) for path, link in possible if is_wanted(link)]
    if isinstance(where, str) and where == 'first':
        return [_first(model, wanted)]
    if where is None:
        patterns = ['*']
    else:
        patterns = [where] if isinstance(where, str) else where
        if not isinstance(patterns, (list, tuple, set)) or not patterns or (
                not all(isinstance(p, str) and p for p in patterns)):
            raise ValueError(f"where is {where!r}: it must be None, 'first', "
                             'a path or a list of paths: '
                             f"{_listing('', wanted)}")
    chosen = set()
    for pattern in patterns:
        absolute = f"/{pattern.strip('/')}"
        holders = [path for path, _ in named
                   if path == absolute or fnmatch.fnmatchcase(path, absolute)]
        found = {path for path, _ in wanted for holder in holders
                 if path == holder
                 or path.startswith(f"{holder.rstrip('/')}/")}
        found |= {path for path, _ in possible if path == absolute}
        if not found:
            raise ValueError(f'where names {pattern!r}, which is no {what} '
                             f'and holds none: {_listing(absolute, wanted)}')
        chosen |= found
    return [(path, link) for path, link in possible if path in chosen]


def _outermost(chosen):
    """Leaves out links that others among them hold."""
    return [(path, link) for path, link in chosen
            if not any(path.startswith(f'{holder}/') for holder, _ in chosen)]


def _listing(pattern, wanted):
    paths = [path for path, _ in wanted]
    if not paths:
        return 'the model has none'
    near = difflib.get_close_matches(pattern, paths, _LISTED, 0)
    listed = near + [path for path in paths if path not in near]
    text = f"there are {', '.join(listed[:_LISTED])}"
    if len(listed) > _LISTED:
        text += f' and {len(listed) - _LISTED} more'
    return text


def _first(model, wanted):
    paths = {id(link): path for path, link in reversed(wanted)}
    for link in _in_order_of_definition(model):
        if isinstance(link, L.BatchNormalization) and id(link) in paths:
            return paths[id(link)], link
    raise ValueError("where is 'first': the model has no batch normalization "
                     f"that could be it; {_listing('', wanted)}")


def _in_order_of_definition(link):
    yield link
    if isinstance(link, chainer.Sequential):
        # Its children are not always in the order of its layers.
        children = [z for z in link if isinstance(z, chainer.Link)]
    elif isinstance(link, chainer.ChainList):
        children = list(link.children())
    elif isinstance(link, chainer.Chain):
        # Attributes stand in the order in which they were set.
        of_link = {id(child) for child in link.children()}
        children = [value for value in vars(link).values()
                    if id(value) in of_link]
    else:
        children = []
    for child in children:
        yield from _in_order_of_definition(child)


# Making


def _update_rule(model, path, old):
    """Returns the update rule that tells how to train a new parameter.

    It is one of the link's own; of the nearest holder's with any, if the link
    has no parameters; and rather one that is enabled.

    """
    rules = [p.update_rule for p in old.params()]
    while not rules and path:
        path = path.rpartition('/')[0]
        rules = [p.update_rule for name, p in model.namedparams()
                 if name.startswith(f'{path}/') and p.update_rule is not None]
    rules = [rule for rule in rules if rule is not None]
    return next((rule for rule in rules if rule.enabled),
                rules[0] if rules else None)


def _replacement(old, name, options, rule):
    """Makes what takes a link's place, and leaves that as it is."""
    if old.local_link_hooks:
        raise ValueError('it has the hooks '
                         f"{', '.join(map(repr, old.local_link_hooks))}, "
                         'which cannot go with it: delete them first')
    size = _size(old)
    carried = {key: getattr(old, key, None)
               for key in ('eps', 'decay', 'axis')}
    for key in ('gamma', 'beta'):
        if hasattr(old, key):
            carried[f'use_{key}'] = getattr(old, key) is not None
    carried['dtype'] = getattr(old, '_highprec_dtype', None)
    allowed = registry.option_names(name)
    arguments = {key: value for key, value in carried.items()
                 if value is not None and allowed is not None
                 and key in allowed}
    arguments.update(options)
    if 'axis' not in arguments and name != 'none':
        _check_axis(carried['axis'], name)
    if size is None and name in ('batch', 'batch_renorm') and (
            arguments.get('axis') is None):
        raise ValueError('its size is not known yet: let a mini-batch pass '
                         'before, or give the option axis')
    if size is not None and len(size) == 1:
        size = size[0]
    dtype = chainer.config.dtype
    if carried['dtype'] is not None and 'dtype' not in arguments:
        dtype = carried['dtype']
    with chainer.using_config('dtype', dtype):
        new = registry.normalizer(name, size, **arguments)
    new.to_device(old.device)
    if hasattr(old, 'N') and hasattr(new, 'N'):
        new.N = old.N
    _carry_affine(old, new, [
        key for key in ('gamma', 'beta') if f'initial_{key}' not in options])
    _carry_averages(old, new)
    _set_update_rules(old, new, rule)
    return new


def _check_axis(axis, name):
    """Raises ValueError unless an axis is what a link without one has."""
    if axis is None:
        return
    axis = axis if isinstance(axis, tuple) else (axis,)
    if axis != (0,) + tuple(range(2, 1 + len(axis))):
        raise ValueError(f'its axis is {axis}, and normalizer {name!r} has no '
                         'argument axis')


def _set_update_rules(old, new, rule):
    """Has an optimizer train what is new, if it is set up already."""
    kept = {id(parameter) for parameter in old.params()}
    for path, parameter in new.namedparams():
        if id(parameter) in kept:
            continue
        theirs = None
        if path in ('/gamma', '/beta'):
            theirs = getattr(old, path[1:], None)
        if theirs is None:
            if rule is not None:
                parameter.update_rule = new_update_rule(rule)
        elif theirs.update_rule is not None:
            parameter.update_rule = copied_update_rule(theirs.update_rule)


def _size(link):
    """Returns the shape of a link's channel dimensions, if it is known."""
    if isinstance(link, L.BatchNormalization):
        return None if link.avg_mean is None else tuple(link.avg_mean.shape)
    if hasattr(link, 'size'):
        size = link.size
        return (size,) if isinstance(size, int) else size
    gamma = getattr(link, 'gamma', None)
    return gamma.shape if gamma is not None and gamma.is_initialized else None


def _has_affine_for_each(link):
    """Whether gamma and beta have one more axis, of components or modes."""
    return getattr(link, 'component_affine', False) or getattr(
        link, 'mode_affine', False)


def _carry_affine(old, new, names):
    for name in names:
        theirs, ours = getattr(old, name, None), getattr(new, name, None)
        if theirs is None or ours is None:
            continue
        if ours.is_initialized and theirs.is_initialized:
            is_same = (theirs.shape == ours.shape
                       and theirs.dtype == ours.dtype)
        else:
            is_same = not _has_affine_for_each(
                old) and not _has_affine_for_each(new)
        if is_same:
            with new.init_scope():
                setattr(new, name, theirs)
        elif ours.is_initialized and theirs.is_initialized:
            value = theirs.array
            if value.ndim > ours.ndim:
                value = value.mean(axis=0)
            elif value.ndim == ours.ndim and value.shape != ours.shape:
                value = value.mean(axis=0, keepdims=True)
            ours.array[...] = value


def _carry_averages(old, new):
    averages = _averages(old)
    if averages is None:
        return
    xp = new.xp
    mean, variance = averages
    with chainer.using_device(new.device):
        if isinstance(new, links.ModeNormalization):
            shape = new.avg_mean.shape
            new.avg_mean = xp.broadcast_to(mean, shape).copy()
            new.avg_sqmean = xp.broadcast_to(
                variance + mean * mean, shape).copy()
        elif isinstance(new, links.MixtureNormalization):
            untouched = not mean.any() and bool((variance == 1).all())
            if new.over == 'batch' and not untouched:
                # One component, which has all the weight.
                new.queue_factors[0] = 1
                new.queue_weights[0] = 0
                new.queue_weights[0, 0] = 1
                new.queue_means[0] = mean
                new.queue_variances[0] = variance
        elif hasattr(new, 'avg_var'):
            new.avg_mean[...] = mean
            new.avg_var[...] = variance


def _averages(link):
    """Returns the mean and variance that serve inference, float64."""
    if isinstance(link, links.ModeNormalization):
        weights, means, squares = None, link.avg_mean, link.avg_sqmean
        if means is None:
            return None
        mean = means.mean(axis=0)
        square = squares.mean(axis=0)
    elif isinstance(link, links.MixtureNormalization):
        if link.over != 'batch' or link.size is None:
            return None
        weights, means, variances = (
            z.astype(numpy.float64) for z in link.queue)
        if len(weights) == 0:
            return None
        factors = link.queue_factors[:len(weights)].astype(numpy.float64)
        weights = weights * (factors / factors.sum())[:, None]
        weights = weights.reshape(
            weights.shape + (1,) * (means.ndim - 2))
        mean = (weights * means).sum(axis=(0, 1))
        square = (weights * (variances + means ** 2)).sum(axis=(0, 1))
    elif getattr(link, 'avg_var', None) is not None:
        return (link.avg_mean.astype(numpy.float64),
                link.avg_var.astype(numpy.float64))
    else:
        return None
    return mean, link.xp.maximum(square - mean * mean, 0)


# Hooks


def _add_hooks(model, name, where, options):
    if isinstance(where, str) and where == 'first':
        raise ValueError("where is 'first', which is of batch normalization: "
                         f'{name!r} is a hook of links with a weight. A link '
                         "of that name is '/first'")
    hook_class = registry.HOOKS[name]
    if name == 'spectral':
        _check_spectral(**options)
    try:
        hook = hook_class(**options)
    except TypeError as error:
        raise ValueError(f'{name}: {error}') from error

    def has_weight(link):
        return isinstance(
            getattr(link, hook.weight_name, None), chainer.Parameter)

    def has_units(link):
        return has_weight(link) and (
            isinstance(link, _LINKS_WITH_UNITS) or hook.weight_name != 'W')

    chosen = _choose(model, where, has_units, 'link with a parameter '
                     + hook.weight_name, has_weight)
    links_by_path = {path: link for path, link in reversed(chosen)}
    before = {path: _attributes(link) for path, link in links_by_path.items()}
    try:
        done = set()
        for path, link in chosen:
            if id(link) not in done:
                _add_hook(path, link, hook_class(**options))
            done.add(id(link))
    except BaseException:
        for path, link in links_by_path.items():
            vars(link).clear()
            vars(link).update(before[path])
        raise
    return [path for path, _ in chosen]


def _attributes(link):
    """Copies all that adding a hook may change."""
    attributes = dict(vars(link))
    for key in ('_params', '_persistent', '_local_link_hooks'):
        if key in attributes:
            attributes[key] = copy.copy(attributes[key])
    return attributes


def _add_hook(path, link, hook):
    if hook.name in link.local_link_hooks:
        raise ValueError(f'{path} has a hook {hook.name!r} already')
    weight = getattr(link, hook.weight_name)
    if weight.array is None and weight.update_rule is not None and (
            getattr(hook, 'use_gamma', False)):
        # It would be made later, without an update rule.
        raise ValueError(
            f'{path}: use_gamma is True, but {hook.weight_name} is not there '
            'yet: let a mini-batch pass before')
    before = {id(parameter) for parameter in link.params()}
    try:
        link.add_hook(hook)
    except Exception as error:
        raise ValueError(f'{path}: {error}') from error
    for parameter in link.params():
        if id(parameter) not in before and parameter.update_rule is None and (
                weight.update_rule is not None):
            parameter.update_rule = new_update_rule(weight.update_rule)


def _check_spectral(n_power_iteration=1, eps=1e-6, factor=None, **_):
    """Raises ValueError for what Chainer's hook fails at, or takes amiss."""
    check_integer('n_power_iteration', n_power_iteration, 1)
    check_eps(eps)
    if factor is not None:
        check_real('factor', factor, 0, math.inf, closed_low=False,
                   closed_high=False)
