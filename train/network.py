"""The network that settings describe."""

import chainer
import chainer.links as L
from chainer.utils import type_check
import numpy

from train.command_line import one_line, UserError
from train.loop.optimizers import check_parameters
from train.normalizers import layer_normalizers


def make_classifier(model_class, image_shape, n_classes, settings,
                    weights_seed, layer_seeds):
    """Makes a network and its loss.

    Args:
        model_class (type): One of the classes in :mod:`models`.
        image_shape (tuple of int): Shape of an image, ``(C, H, W)``.
        n_classes (int): Number of classes.
        settings (dict): The settings of a run.
        weights_seed (int): Seed of the weights.
        layer_seeds (list of int): A seed for each layer's normalizer.

    Returns:
        ~chainer.links.Classifier: The model.

    Raises:
        UserError: If a normalizer does not take what the settings say, or the
            optimizer cannot train it.

    """
    # Chainer's initializers draw from the global generator.
    numpy.random.seed(weights_seed)
    classifier = L.Classifier(make_model(
        image_shape, model_class, n_classes, image_shape[0],
        settings['widths'], layer_normalizers(
            settings, model_class.normalized_layers, layer_seeds)))
    check_parameters(settings['optimizer'], classifier)
    return classifier


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
        raise UserError(one_line(error))
    except (TypeError, type_check.InvalidType) as error:
        raise UserError(f'--normalizer-options do not fit: {one_line(error)}')
    return model
