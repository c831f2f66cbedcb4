"""The choice of a normalizer: its settings, and each layer's options."""

import argparse
import ast
import json
import re

import mixnorm
import chainer

from mixnorm.registry import option_names
from models.places import find_places
from train.command_line import (
    as_typed, one_line, option, positive_int, UserError)
from train.settings import distinct, Setting


_MIXTURE = 'mixture', 'group_mixture'

# Settings that only some normalizers have, and the option they stand for.
_OPTIONS = {
    'components': ('n_components', _MIXTURE),
    'em_iterations': ('n_iter', _MIXTURE),
    'modes': ('n_modes', ('mode', 'mode_group')),
}


# The place of the layer that comes first, in any network: no name of a layer
# begins with such a sign.
FIRST = '@first'


class _Options(argparse.Action):

    """Collects ``KEY=VALUE`` in a dictionary."""

    def __call__(self, parser, namespace, values, option_string=None):
        options = dict(getattr(namespace, self.dest, {}))
        try:
            for text in values:
                _add_option(options, text)
        except ValueError as error:
            raise argparse.ArgumentError(self, str(error))
        setattr(namespace, self.dest, options)


def _add_option(options, text):
    """Adds what ``KEY=VALUE`` says to a dictionary, or raises ValueError."""
    key, equals, value = text.partition('=')
    if not equals or not key.isidentifier():
        raise ValueError(f'must be KEY=VALUE, not {text!r}')
    if key in options:
        raise ValueError(f'{key} is given twice')
    if key == 'size':
        raise ValueError('the network says what size is')
    try:
        options[key] = ast.literal_eval(value)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        options[key] = value
    try:
        # As it will be read from where it is saved.
        options[key] = json.loads(json.dumps(options[key]))
    except TypeError:
        raise ValueError(f'{key} must be a number, a string, True, False, '
                         f'None or a tuple of them, not {value!r}')


def _split_place(text):
    """Returns what stands before the colon, and the options behind it."""
    place, colon, options = text.partition(':')
    # A comma may stand in a value, as in axis=(0,2).
    return place, re.split(r',(?=\w+=)', options) if colon else []


def _parse_place(text):
    """Returns a place and its options, or raises ValueError."""
    place, parts = _split_place(text)
    options = {}
    try:
        for part in parts:
            _add_option(options, part)
    except ValueError as error:
        raise ValueError(f'{text}: {error}')
    return place, options


def _check_places(texts):
    """Returns places in order, each with its options in order."""
    distinct([_parse_place(text)[0] for text in texts])
    split = sorted(map(_split_place, texts))
    return [place + (':' + ','.join(sorted(parts)) if parts else '')
            for place, parts in split]


def normalizer_settings(places):
    """Returns the settings of what to normalize with, and where.

    Args:
        places (str): The places there are, for the help.

    Returns:
        list of ~train.settings.Setting: The settings.

    """
    return [
        Setting('normalizer', 'batch',
                'what to normalize with: any of %(choices)s',
                choices=mixnorm.normalizer_names, metavar='NAME'),
        Setting('at', None, 'where, with batch normalization in the other '
                f'layers: {places}; or {FIRST}, the first layer of any '
                'network. Options of one place follow a colon: PLACE:K=5 or '
                'PLACE:K=5,n_iter=4, with K for the number of components or '
                "modes, and the names of the link's other arguments (default: "
                'all)', check=_check_places, nargs='+',
                metavar='PLACE'),
        Setting('components', 3, 'components of a mixture', type=positive_int,
                metavar='K'),
        Setting('em_iterations', 2, 'K-means and EM iterations of a fit',
                type=positive_int, metavar='N'),
        Setting('modes', 2, 'modes of mode normalization', type=positive_int,
                metavar='K'),
        Setting('normalizer_options', {},
                "other arguments of the normalizer's link, such as groups=8",
                nargs='+', action=_Options, metavar='KEY=VALUE')]


def check_use(settings, given, layers):
    """Raises UserError if a setting would do nothing, or two the same.

    Args:
        settings (dict): All settings.
        given (dict): Those that the user gave.
        layers (tuple of str): The model's layers that can be normalized.

    """
    normalizer = settings['normalizer']
    if 'at' in given and normalizer == 'batch':
        raise UserError('--at says where another --normalizer stands in for '
                        'batch normalization; choose one')
    chosen = _chosen_layers(settings, layers)
    for name, (key, normalizers) in _OPTIONS.items():
        if name in given and normalizer not in normalizers:
            raise UserError(
                f'{option(name)} goes with --normalizer '
                f"{' or '.join(normalizers)}, not {normalizer}")
        if key in settings['normalizer_options'] and (
                normalizer in normalizers):
            raise UserError(
                '--normalizer-options '
                f"{key}={settings['normalizer_options'][key]}: use "
                f'{option(name)} for it')
        if name in given and all(key in placed for placed in chosen.values()):
            raise UserError(f'{option(name)} {as_typed(given[name])} does '
                            'nothing: --at says it of each place')


def check_recipe(settings, given, recipe):
    """Raises UserError if with the normalizer that is given a recipe's \
settings would do nothing.

    Args:
        settings (dict): All settings.
        given (dict): Those that the user gave.
        recipe (dict): Those of the recipe; empty without one.

    """
    normalizer = settings['normalizer']
    if normalizer == recipe.get('normalizer', normalizer):
        return
    names = ['normalizer_options']
    if normalizer == 'batch':
        # Another normalizer has a number of components or modes of its own.
        names += ['at', *_OPTIONS]
    for name in names:
        if name in recipe and name not in given:
            raise UserError(
                f"--normalizer {normalizer} contradicts --recipe "
                f"{settings['recipe']}, which says {option(name)} "
                f'{as_typed(recipe[name])}: choose another recipe, or none')


def _activation(name):
    """Returns the function of Chainer's that an activation inside is."""
    found = getattr(chainer.functions, name, None)
    if not callable(found):
        raise ValueError(f'activation={name}: it must be the name of one of '
                         'chainer.functions, such as relu')
    return found


def layer_normalizers(settings, layers, layer_seeds, communicator=None):
    """Returns each chosen layer's normalizer, as the models take it.

    Args:
        settings (dict): The settings of a run.
        layers (tuple of str): The model's layers that can be normalized.
        layer_seeds (list of int): A seed for each of them, so that it is the
            same whatever is at the others.
        communicator (chainermn.CommunicatorBase or None): That of workers who
            share the batches, for the normalizers that take it.

    Returns:
        dict: Maps names of layers to pairs of name and options.

    Raises:
        UserError: If ``'at'`` names something else than layers, or an option
            that the normalizer does not take.

    """
    name = settings['normalizer']
    common = {key: settings[setting]
              for setting, (key, normalizers) in _OPTIONS.items()
              if name in normalizers}
    try:
        common.update(_as_link_takes_them(settings['normalizer_options']))
    except ValueError as error:
        raise UserError(f'--normalizer-options {error}')
    if communicator is not None and 'communicator' in (
            option_names(name) or ()):
        common['communicator'] = communicator
    chosen = _chosen_layers(settings, layers)
    normalizers = {}
    for layer, seed in zip(layers, layer_seeds):
        if layer in chosen:
            seeded = {'seed': seed} if name in _MIXTURE else {}
            normalizers[layer] = name, {**seeded, **common, **chosen[layer]}
    return normalizers


def _as_link_takes_them(options):
    """Returns options as a link takes them, or raises ValueError."""
    # JSON has lists in place of tuples; no normalizer takes a list.
    options = {key: tuple(value) if isinstance(value, list) else value
               for key, value in options.items()}
    if isinstance(options.get('activation'), str):
        options['activation'] = _activation(options['activation'])
    return options


def _chosen_layers(settings, layers):
    """Returns the options that each chosen layer has by its place alone."""
    chosen, told_by = {}, {}
    found = [_find_layers(settings, text, layers)
             for text in settings['at'] or ['*']]
    # What names fewer layers goes before what names more.
    for text, names, options in sorted(found, key=lambda f: -len(f[1])):
        for layer in names:
            other = told_by.get(layer)
            if other and len(other[1]) == len(names) and (
                    chosen[layer] != options):
                raise UserError(f'--at {text} says otherwise of {layer} than '
                                f'{other[0]}')
            chosen[layer], told_by[layer] = options, (text, names)
    return chosen


def _find_layers(settings, text, layers):
    """Returns what ``--at`` says, the layers it names, and their options."""
    place, options = _parse_place(text)
    try:
        names = [layers[0]] if place == FIRST else find_places(place, layers)
    except ValueError as error:
        raise UserError(f'--at {error}')
    try:
        return text, names, _placed_options(settings['normalizer'], options)
    except (TypeError, ValueError) as error:
        raise UserError(f'--at {text}: {one_line(error)}')


def _placed_options(normalizer, options):
    """Returns options as the link has them, or raises ValueError."""
    numbers = {normalizer: key for key, normalizers in _OPTIONS.values()
               for normalizer in normalizers if key != 'n_iter'}
    found = {}
    for key, value in options.items():
        if key == 'K':
            if normalizer not in numbers:
                raise ValueError(f"K goes with {' or '.join(numbers)}, not "
                                 f'{normalizer}')
            key = numbers[normalizer]
        elif key in numbers.values():
            raise ValueError(f'use K in place of {key}')
        found[key] = value
    allowed = option_names(normalizer)
    for key in found:
        if allowed is not None and key not in allowed:
            raise ValueError(f'{normalizer} has no option {key}: it has '
                             f"{', '.join(allowed) or 'none'}")
    found = _as_link_takes_them(found)
    if found and normalizer in numbers:
        # What a link refuses whatever its size is.
        mixnorm.normalizer(normalizer, None, **found)
    return found
