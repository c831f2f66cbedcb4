"""What takes a layer's place, and what carries over to it."""
import chainer
import chainer.links as L
import numpy

from mixnorm import registry
from mixnorm.update_rules import copied_update_rule, new_update_rule


def find_update_rule(model, path, old):
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


def replacement(old, name, options, rule):
    """Makes what takes a link's place, and leaves that as it is."""
    if old.local_link_hooks:
        raise ValueError('it has the hooks '
                         f"{', '.join(map(repr, old.local_link_hooks))}, "
                         'which cannot go with it: delete them first')
    size = _size(old)
    carried = {key: getattr(old, key, None)
               for key in ('eps', 'decay', 'axis', 'communicator')}
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
    names = [name for name in sorted(new._params)
             if f'initial_{name}' not in options]
    _carry_affine(old, new, [n for n in names if n in ('gamma', 'beta')])
    if type(new) is type(old):
        _carry_own(old, new, [n for n in names if n not in ('gamma', 'beta')])
    _carry_moments(old, new)
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
    return getattr(link, 'affine', None) == 'component' or getattr(
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


def _carry_own(old, new, names):
    """Carries over the parameters that only links of this kind have."""
    for name in names:
        theirs, ours = getattr(old, name), getattr(new, name)
        if isinstance(theirs, chainer.Parameter) and (
                theirs.shape == ours.shape and theirs.dtype == ours.dtype):
            with new.init_scope():
                setattr(new, name, theirs)


def _carry_moments(old, new):
    """Carries over the mean and variance that serve inference."""
    moments = _inference_moments(old)
    if moments is None:
        return
    mean, variance = moments
    if not (mean.any() or (variance != 1).any()):
        # Averages that were never updated are as new, and no mini-batch's.
        return
    if hasattr(new, 'set_inference_moments'):
        new.set_inference_moments(mean, variance)
    elif hasattr(new, 'avg_var'):
        new.avg_mean[...] = mean
        new.avg_var[...] = variance


def _inference_moments(link):
    """Returns mean and variance, float64, or ``None`` if there are none."""
    if hasattr(link, 'inference_moments'):
        return link.inference_moments()
    if getattr(link, 'avg_var', None) is None:
        return None
    return (link.avg_mean.astype(numpy.float64),
            link.avg_var.astype(numpy.float64))
