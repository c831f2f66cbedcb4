"""The choice of a normalizer: command line arguments, settings, layers."""

import argparse
import ast
import json

import mixnorm  # NOQA  (before Chainer)
import chainer
from chainer.utils import type_check
import numpy

from train import command_line
from train.command_line import UserError


# What has a meaning only for some normalizers, and the option it sets.
_OPTIONS = {
    'components': ('n_components', ('mixture',)),
    'em_iterations': ('n_iter', ('mixture',)),
    'modes': ('n_modes', ('mode', 'mode_group')),
}

DEFAULTS = {
    'normalizer': 'batch', 'at': None, 'components': 3, 'em_iterations': 2,
    'modes': 2, 'normalizer_options': {}}


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


def add_normalizer_arguments(group, layers):
    """Adds what to normalize with, and where.

    Args:
        group (argparse._ArgumentGroup): What the arguments are added to.
        layers (tuple of str): The model's layers that can be normalized.

    """
    group.add_argument(
        '--normalizer', choices=mixnorm.normalizer_names(),
        help='what to normalize with: any of %(choices)s (default: batch)',
        metavar='NAME')
    group.add_argument(
        '--at', nargs='+', choices=layers, metavar='LAYER',
        help='where, with batch normalization in the other layers: any of '
        '%(choices)s (default: all)')
    group.add_argument(
        '--components', type=command_line.positive_int, metavar='K',
        help='components of a mixture (default: 3)')
    group.add_argument(
        '--em-iterations', type=command_line.positive_int, metavar='N',
        help='K-means and EM iterations of a fit (default: 2)')
    group.add_argument(
        '--modes', type=command_line.positive_int, metavar='K',
        help='modes of mode normalization (default: 2)')
    group.add_argument(
        '--normalizer-options', nargs='+', action=_Options,
        metavar='KEY=VALUE',
        help="other arguments of the normalizer's link, such as groups=8")


def check_use(settings, given):
    """Raises UserError if a setting would do nothing, or two the same.

    Args:
        settings (dict): All settings.
        given (dict): Those that the user gave.

    """
    for key, (option, normalizers) in _OPTIONS.items():
        argument = command_line.option(key)
        if key in given and settings['normalizer'] not in normalizers:
            raise UserError(f'{argument} goes with --normalizer '
                            f"{' or '.join(normalizers)}, not "
                            f"{settings['normalizer']}")
        if option in settings['normalizer_options'] and (
                settings['normalizer'] in normalizers):
            raise UserError(
                '--normalizer-options '
                f"{option}={settings['normalizer_options'][option]}: use "
                f'{argument} for it')
    if 'at' in given and settings['normalizer'] == 'batch':
        raise UserError('--at says where another --normalizer stands in for '
                        'batch normalization; choose one')


def layer_normalizers(settings, layers, layer_seeds):
    """Returns each chosen layer's normalizer, as the models take it.

    Args:
        settings (dict): The settings of a run.
        layers (tuple of str): The model's layers that can be normalized.
        layer_seeds (list of int): A seed for each of them, so that it is the
            same whatever is at the others.

    Returns:
        dict: Maps names of layers to pairs of name and options.

    """
    name = settings['normalizer']
    options = {option: settings[key]
               for key, (option, normalizers) in _OPTIONS.items()
               if name in normalizers}
    # JSON has lists in place of tuples; no normalizer takes a list.
    options.update((key, tuple(value) if isinstance(value, list) else value)
                   for key, value in settings['normalizer_options'].items())
    chosen = {}
    for layer, seed in zip(layers, layer_seeds):
        if layer in (settings['at'] or layers):
            seeded = {'seed': seed} if name == 'mixture' else {}
            chosen[layer] = name, dict(seeded, **options)
    return chosen


def make_model(image_shape, model_class, *args):
    """Makes a model, and tells what is wrong with its options as a user's \
error.

    Args:
        image_shape (tuple of int): Shape of an image.
        model_class (callable): Makes the model.
        args: Its arguments.

    Returns:
        ~chainer.Link: The model, as it was made.

    Raises:
        UserError: If it cannot be made, or a mini-batch cannot pass.

    """
    try:
        model = model_class(*args)
        # Chainer's own links look at their options only when they are used.
        images = numpy.random.RandomState(0).normal(size=(4,) + image_shape)
        with chainer.no_backprop_mode():
            model.copy('copy')(images.astype(numpy.float32))
    except ValueError as error:
        raise UserError(_one_line(error))
    except (TypeError, type_check.InvalidType) as error:
        raise UserError(f'--normalizer-options do not fit: {_one_line(error)}')
    return model


def _one_line(error):
    return ' '.join(str(error).split())
