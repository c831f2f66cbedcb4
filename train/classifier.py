"""Trains an image classifier with a choice of normalizers.

    python -m train.classifier --normalizer mixture --at conv3 --out result/a
    python -m train.classifier --recipe cifar10-cnn-MN-2 --out result/b
    python -m train.classifier --resume --out result/b
    python -m train.classifier --network densenet --normalizer mixture \\
        --at 'transition*' last:K=5 --out result/c
    python -m train.classifier --recipe cifar10-resnet20-MN --scale .1

A run writes to its folder: run.json (settings, versions), log (JSON), curves
(PNG), mixture.npz where a layer has mixtures or modes, and a snapshot that
--resume goes on from. On a CPU a resumed run ends with the same weights, bit
for bit, as one that was never stopped.
"""

import sys

import mixnorm
import chainer
import numpy

from train import command_line
from train import image_set
from train import network
from train import normalizers
from train import shared_settings
from train.command_line import epochs, positive_int, UserError
from train.data import datasets
from train.data.augmentation import flip_and_crop
from train.data.batches import (
    BatchIterator, check_batch_size, FileBatchIterator)
from train.experiments import mixture_paper, mode_paper
from train.experiments.tables import as_text
from train.loop import optimizers
from train.loop import schedule
from train.loop import workers
from train.loop.evaluation import Evaluation
from train.loop.folder_run import start_or_resume
from train.loop.run import make_updater, run
from train.settings import By, CHANGE, Setting, Settings


def _by_dataset(digits, mnist, cifar, images):
    return By('dataset', {'digits': digits, 'mnist': mnist, 'cifar10': cifar,
                          'cifar100': cifar, 'images': images})


_LR = By('optimizer', {'rmsprop': .003, 'rmsprop-graves': .001,
                       'nesterov': .01, 'momentum': .01, 'sgd': .05,
                       'adam': .001})

_RECIPES = {**mixture_paper.RECIPES, **mode_paper.CLASSIFIER_RECIPES}

_DTYPES = {'float32': numpy.float32, 'mixed16': chainer.mixed16}

_GROUPS = {
    'what to train': [
        Setting('dataset', 'digits', 'set of images',
                choices=datasets.NAMES + ('images',)),
        *image_set.image_settings(),
        shared_settings.recipe(_RECIPES),
        *shared_settings.sizes('the set'),
        *network.network_settings(),
        *normalizers.normalizer_settings(network.places())],
    'training': [
        *shared_settings.optimization(
            'rmsprop', _LR, decay=_by_dataset(.85, .75, .93, .1),
            batch_size=_by_dataset(64, 128, 256, 256)),
        (Setting('decay_every', _by_dataset(1, 1, 2, 30),
                 'decay the learning rate after each so many epochs',
                 type=epochs, metavar='EPOCHS'),
         Setting('decay_at', None, 'decay the learning rate after these '
                 'numbers of epochs, such as 75 112.5', type=epochs,
                 nargs='+', metavar='EPOCHS')),
        (Setting('epoch', _by_dataset(20, 10, 100, 90), 'length of the run in '
                 'epochs', CHANGE, type=positive_int, metavar='N'),
         Setting('iterations', None, 'length of the run in iterations',
                 CHANGE, type=positive_int, metavar='N')),
        Setting('dtype', 'float32', 'of weights and images; mixed16 is '
                'float16 with normalizers and updates in float32, on a GPU',
                choices=_DTYPES, before=['float32'])],
    'run': [
        Setting('seed', 0, f'of all random numbers: {shared_settings.RANDOM}',
                type=command_line.seed, metavar='N'),
        shared_settings.use_ideep(),
        *shared_settings.workers(),
        *shared_settings.running()]}


def _check_use(settings, given):
    recipe = _RECIPES.get(settings['recipe'], {})
    if settings['network'] != recipe.get('network', settings['network']):
        raise UserError(
            f"--network {settings['network']} contradicts --recipe "
            f"{settings['recipe']}, which trains {recipe['network']}")
    normalizers.check_recipe(settings, given, recipe)
    image_set.check_use(settings, given)
    network.check_use(settings, given)
    optimizers.check_use(settings, given)
    workers.check_use(settings)


_PROG = 'python -m train.classifier'
SETTINGS = Settings(_PROG, __doc__, 'run', _RECIPES, _check_use, _GROUPS)


def main(argv=None):
    """Trains as the command line says.

    Args:
        argv (list of str or None): The arguments; ``None`` for the process's.

    Returns:
        int: Exit status.

    """
    mixnorm.keep_memory()
    return command_line.exit_status(
        lambda: train(*SETTINGS.parse(argv)), _PROG)


def train(args, given):
    """Starts or resumes the run that parsed arguments describe.

    Args:
        args (argparse.Namespace): Where and how to run.
        given (dict): The settings that are given.

    Returns:
        int: Exit status.

    """
    if args.list_recipes:
        print(as_text(mixture_paper.TABLES + mode_paper.CLASSIFIER_TABLES))
        return 0
    settings, arrays = start_or_resume(SETTINGS, args, given)
    command_line.use_ideep(settings['use_ideep'])
    communicator, settings = workers.start(settings, _PROG)
    with workers.ending_together(communicator, _PROG):
        device = command_line.get_device(settings['device'])
        check_device(settings['dtype'], device)
        with chainer.using_config('dtype', _DTYPES[settings['dtype']]):
            return _run(args, settings, device, arrays, communicator)


def check_device(dtype, device):
    """Raises UserError if a device cannot train in a precision.

    Args:
        dtype (str): The setting.
        device (~chainer.backend.Device): The device.

    """
    if dtype == 'mixed16' and device.xp is numpy:
        raise UserError(
            f'--dtype mixed16 cannot train with --device {device.name}: NumPy '
            'multiplies matrices of float16 many times more slowly than of '
            'float32; choose a GPU, such as @cupy:0')


def _run(args, settings, device, arrays, communicator):
    """Runs what is left of a run; returns an exit status."""
    train_set, test_set, settings = load_sets(settings)
    check_batch_size(settings['batch_size'], train_set.labels)
    classifier = make_untrained(
        settings, train_set.images.shape[1:], communicator)
    share = workers.share(communicator, settings['batch_size'])
    random_state = numpy.random.RandomState(_seeds(settings)[1])
    if settings['dataset'] == 'images':
        batches = FileBatchIterator(
            *train_set, settings['batch_size'], random_state, share)
    else:
        batches = BatchIterator(
            *train_set, settings['batch_size'], random_state,
            flip_and_crop if settings['dataset'].startswith('cifar') else None,
            share)
    updater = make_updater(
        classifier, batches, settings, device, communicator)
    evaluation = Evaluation(
        *test_set, settings['batch_size'], classifier,
        n_classes(settings) > 100, communicator)
    schedule.tell(settings)
    return run(updater, evaluation, settings, args.out, 'train.classifier',
               arrays, args.progress, communicator=communicator)


def load_sets(settings):
    """Loads the images of a run.

    Args:
        settings (dict): All settings of the run.

    Returns:
        tuple: Training set and test set, and the settings, to which
        ``'image_set'`` is added where images are in files.

    Raises:
        UserError: If they cannot be read, or are not those that the run was
            started with.

    """
    if settings['dataset'] == 'images':
        return image_set.load(settings)
    return (*datasets.load(settings['dataset'], settings['train_size'],
                           settings['test_size']), settings)


def n_classes(settings):
    """Returns the number of classes of a run, whose images were loaded."""
    if settings['dataset'] == 'images':
        return settings['image_set']['classes']
    return datasets.n_classes(settings['dataset'])


def make_untrained(settings, image_shape, communicator=None):
    """Makes the model of a run as it is before the first update.

    Args:
        settings (dict): All settings of the run, whose images were loaded.
        image_shape (tuple of int): Shape of an image, ``(C, H, W)``.
        communicator (chainermn.CommunicatorBase or None): That of workers who
            share the batches, if there are several.

    Returns:
        ~chainer.links.Classifier: The model.

    Raises:
        UserError: If the settings do not fit together.

    """
    weights_seed, _, *layer_seeds = _seeds(settings)
    return network.make_classifier(
        network.NETWORKS[settings['network']], image_shape,
        n_classes(settings), settings, weights_seed, layer_seeds,
        communicator)


def _seeds(settings):
    """Returns the seeds of the weights, the batches and each layer."""
    layers = network.normalized_layers(
        network.NETWORKS[settings['network']], settings)
    return numpy.random.SeedSequence(settings['seed']).generate_state(
        2 + len(layers)).tolist()


if __name__ == '__main__':
    sys.exit(main())
