"""The networks there are, and the one that settings describe."""

import collections

import chainer
import chainer.links as L
from chainer.utils import type_check
import numpy

from models import densenet
from models import resnet_cifar
from models.cifar_cnn import CifarCNN
from models.inception_v3 import InceptionV3
from models.nin import NIN
from models.resnet18 import ResNet18
from models.vgg13 import VGG13
from train import normalizers
from train.command_line import one_line, option, positive_int, UserError
from train.loop import workers
from train.loop.optimizers import check_parameters
from train.normalizers import layer_normalizers
from train.settings import By, Setting


Network = collections.namedtuple(
    'Network', 'model_class options find_layers', defaults=({}, None))
Network.__doc__ = """A network, and what a user chooses of it.

Its class in :mod:`models`, a dictionary of its options and their defaults,
and, where the layers that can be normalized depend on the depth, the function
that finds them.
"""

_WIDE = [64, 128, 128, 256]

NETWORKS = {
    'cnn': Network(CifarCNN, {'widths': By('dataset', {
        'digits': [16, 32, 32, 64], 'mnist': _WIDE, 'cifar10': _WIDE,
        'cifar100': _WIDE, 'images': _WIDE})}),
    'densenet': Network(
        densenet.DenseNet, {'depth': 40, 'growth_rate': 12},
        densenet.normalized_layers),
    'inception-v3': Network(InceptionV3),
    'nin': Network(NIN),
    'resnet-cifar': Network(
        resnet_cifar.ResNetCIFAR, {'depth': 20},
        resnet_cifar.normalized_layers),
    'resnet18': Network(ResNet18),
    'vgg13': Network(VGG13),
}


def network_settings():
    """Returns the settings of what network to train.

    Returns:
        list of ~train.settings.Setting: The settings.

    """
    return [
        Setting('network', 'cnn', 'what to train: any of %(choices)s',
                choices=tuple(NETWORKS), before=['cnn'], metavar='NAME'),
        Setting('widths', _default('widths'),
                'channels of the four convolutions of cnn',
                type=positive_int, nargs=4, metavar='N'),
        Setting('depth', _default('depth'), 'layers of a densenet, or of a '
                'resnet-cifar: 20, 56, 110 or another 6n + 2', before=[None],
                type=positive_int, metavar='N'),
        Setting('growth_rate', _default('growth_rate'),
                'channels that a layer of a densenet adds', before=[None],
                type=positive_int, metavar='N')]


def _default(name):
    return By('network', {
        key: network.options[name] for key, network in NETWORKS.items()
        if name in network.options})


def places():
    """Returns the places of all networks' normalizers, for a help."""
    of_networks = []
    for name, network in NETWORKS.items():
        outermost = list(dict.fromkeys(
            layer.partition('/')[0]
            for layer in normalized_layers(network, network.options)))
        listed = ', '.join(outermost) if len(outermost) < 7 else (
            f'{outermost[0]} to {outermost[-1]}')
        of_networks.append(f'{listed} of {name}')
    return (f"{'; '.join(of_networks)}; what these hold, such as inc2/0 or "
            'inc2/0/2/4; or a shell pattern')


def normalized_layers(network, settings):
    """Returns the layers of a network that can be normalized.

    Args:
        network (Network): The network.
        settings (dict): The settings of a run.

    Returns:
        tuple of str: Their places.

    Raises:
        UserError: If there is no such network.

    """
    if network.find_layers is None:
        return network.model_class.normalized_layers
    try:
        return network.find_layers(settings['depth'])
    except ValueError as error:
        raise UserError(f'--{error}')


def check_use(settings, given):
    """Raises UserError if a setting would do nothing, or two the same.

    Args:
        settings (dict): All settings.
        given (dict): Those that the user gave.

    """
    network = NETWORKS[settings['network']]
    for name in ('widths', 'depth', 'growth_rate'):
        if name in given and name not in network.options:
            takers = [key for key, other in NETWORKS.items()
                      if name in other.options]
            raise UserError(f'{option(name)} goes with --network '
                            f"{' or '.join(takers)}, not "
                            f"{settings['network']}")
    normalizers.check_use(
        settings, given, normalized_layers(network, settings))


def make_classifier(network, image_shape, n_classes, settings, weights_seed,
                    layer_seeds, communicator=None):
    """Makes a network and its loss.

    Args:
        network (Network): The network.
        image_shape (tuple of int): Shape of an image, ``(C, H, W)``.
        n_classes (int): Number of classes.
        settings (dict): The settings of a run.
        weights_seed (int): Seed of the weights.
        layer_seeds (list of int): A seed for each layer's normalizer.
        communicator (chainermn.CommunicatorBase or None): That of workers who
            share the batches, if there are several.

    Returns:
        ~chainer.links.Classifier: The model.

    Raises:
        UserError: If a normalizer does not take what the settings say, or the
            optimizer cannot train it.

    """
    # Chainer's initializers draw from the global generator.
    numpy.random.seed(weights_seed)
    classifier = L.Classifier(make_model(
        image_shape, network.model_class, n_classes,
        in_channels=image_shape[0], normalizers=layer_normalizers(
            settings, normalized_layers(network, settings), layer_seeds,
            communicator),
        **{name: settings[name] for name in network.options}))
    workers.join_batches(classifier, communicator)
    check_parameters(settings['optimizer'], classifier)
    return classifier


def make_model(image_shape, model_class, *args, **kwargs):
    """Makes a model, and tells what is wrong with its options as a user's \
error.

    Args:
        image_shape (tuple of int): Shape of an image.
        model_class (callable): Makes the model.
        args: Its arguments.
        kwargs: Its arguments by name.

    Returns:
        ~chainer.Link: The model, as it was made.

    Raises:
        UserError: If it cannot be made, or a mini-batch cannot pass.

    """
    try:
        model = model_class(*args, **kwargs)
        # Chainer's own links look at their options only when they are used.
        images = numpy.random.RandomState(0).normal(size=(4,) + image_shape)
        copy = model.copy('copy')
        if chainer.config.dtype is chainer.mixed16:
            # The model is not on its device yet, and NumPy is slow in
            # float16.
            for param in copy.params():
                param.array = param.array.astype(numpy.float32)
        with chainer.no_backprop_mode():
            copy(images.astype(numpy.float32))
    except AssertionError as error:
        # Chainer's, of an output without pixels.
        size = 'x'.join(map(str, image_shape[1:]))
        raise UserError(
            f'images of {size} pixels (with --dataset images, --image-size) '
            f'are too small for this network: {one_line(error)}')
    except ValueError as error:
        raise UserError(one_line(error))
    except (TypeError, type_check.InvalidType) as error:
        raise UserError('options of a normalizer (--normalizer-options or '
                        f'--at PLACE:KEY=VALUE) do not fit: {one_line(error)}')
    return model
