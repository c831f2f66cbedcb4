"""Hooks in the manner of normalizers: by name, on layers of a model."""
import copy
import math

import chainer
import chainer.links as L

from mixnorm import registry
from mixnorm.checks import check_eps, check_integer, check_real
from mixnorm.conversion.paths import choose
from mixnorm.update_rules import new_update_rule

# Links that have the hooks unless they are told otherwise: the rows or
# columns of their weights are units, which those of others need not be.
_LINKS_WITH_UNITS = (
    L.ConvolutionND, L.Convolution2D, L.DeconvolutionND, L.Deconvolution2D,
    L.DilatedConvolution2D, L.Linear)


def add_hooks(model, name, where, options):
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

    chosen = choose(
        model, where, has_units,
        f'link with a parameter {hook.weight_name}', has_weight)
    links_by_path = {path: link for path, link in reversed(chosen)}
    # The hook of weight normalization changes the class, too.
    before = {path: (type(link), _attributes(link))
              for path, link in links_by_path.items()}
    try:
        done = set()
        for path, link in chosen:
            if id(link) not in done:
                _add_hook(path, link, hook_class(**options))
            done.add(id(link))
    except BaseException:
        for path, link in links_by_path.items():
            link.__class__, attributes = before[path]
            vars(link).clear()
            vars(link).update(attributes)
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
    """Raises ValueError for what Chainer's hook would fail at later."""
    check_integer('n_power_iteration', n_power_iteration, 1)
    check_eps(eps)
    if factor is not None:
        check_real('factor', factor, 0, math.inf, closed_low=False,
                   closed_high=False)
