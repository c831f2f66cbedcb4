"""The choice of a normalizer: its settings, and each layer's options."""

import argparse
import ast
import json

import mixnorm  # NOQA  (makes Chainer importable, so it comes first)
import chainer

from models.places import find_places
from train.command_line import option, positive_int, UserError
from train.settings import distinct, Setting


_MIXTURE = 'mixture', 'group_mixture'

# Settings that only some normalizers have, and the option they stand for.
_OPTIONS = {
    'components': ('n_components', _MIXTURE),
    'em_iterations': ('n_iter', _MIXTURE),
    'modes': ('n_modes', ('mode', 'mode_group')),
}


class _Options(argparse.Action):

    """Collects ``KEY=VALUE`` in a dictionary."""

    def __call__(self, parser, namespace, values, option_string=None):
        options = dict(getattr(namespace, self.dest, {}))
        for text in values:
            key, equals, value = text.partition('=')
            if not equals or not key.isidentifier():
                raise argparse.ArgumentError(
                    self, f'must be KEY=VALUE, not {text!r}')
            if key in options:
                raise argparse.ArgumentError(
                    self, f'{key} is given twice')
            if key == 'size':
                raise argparse.ArgumentError(
                    self, 'the network says what size is')
            try:
                options[key] = ast.literal_eval(value)
            except (SyntaxError, ValueError, MemoryError, RecursionError):
                options[key] = value
            try:
                # As it will be read from where it is saved.
                options[key] = json.loads(json.dumps(options[key]))
            except TypeError:
                raise argparse.ArgumentError(
                    self, f'{key} must be a number, a string, True, False, '
                          f'None or a tuple of them, not {value!r}')
        setattr(namespace, self.dest, options)


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
                f'layers: {places} (default: all)',
                check=lambda names: sorted(distinct(names)), nargs='+',
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
    _chosen_layers(settings, layers)
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
    if 'at' in given and normalizer == 'batch':
        raise UserError('--at says where another --normalizer stands in for '
                        'batch normalization; choose one')


def _activation(name):
    """Returns the function of Chainer's that an activation inside is."""
    found = getattr(chainer.functions, name, None)
    if not callable(found):
        raise UserError(f'--normalizer-options activation={name}: it must be '
                        'the name of one of chainer.functions, such as relu')
    return found


def layer_normalizers(settings, layers, layer_seeds):
    """Returns each chosen layer's normalizer, as the models take it.

    Args:
        settings (dict): The settings of a run.
        layers (tuple of str): The model's layers that can be normalized.
        layer_seeds (list of int): A seed for each of them, so that it is the
            same whatever is at the others.

    Returns:
        dict: Maps names of layers to pairs of name and options.

    Raises:
        UserError: If ``'at'`` names something else than layers.

    """
    name = settings['normalizer']
    options = {key: settings[setting]
               for setting, (key, normalizers) in _OPTIONS.items()
               if name in normalizers}
    # JSON has lists in place of tuples; no normalizer takes a list.
    options.update((key, tuple(value) if isinstance(value, list) else value)
                   for key, value in settings['normalizer_options'].items())
    if isinstance(options.get('activation'), str):
        options['activation'] = _activation(options['activation'])
    chosen = _chosen_layers(settings, layers)
    normalizers = {}
    for layer, seed in zip(layers, layer_seeds):
        if layer in chosen:
            seeded = {'seed': seed} if name in _MIXTURE else {}
            normalizers[layer] = name, dict(seeded, **options)
    return normalizers


def _chosen_layers(settings, layers):
    try:
        return {layer for place in settings['at'] or ['*']
                for layer in find_places(place, layers)}
    except ValueError as error:
        raise UserError(f'--at {error}')
