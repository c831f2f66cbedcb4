"""Trains an image classifier with a choice of normalizers.

    python -m train.classifier --normalizer mixture --at conv3 --out result/a
    python -m train.classifier --recipe cifar10-cnn-MN-2 --out result/b
    python -m train.classifier --resume --out result/b
    python -m train.classifier --network densenet --normalizer mixture \\
        --at 'transition*' last --out result/c

A run writes to its folder: run.json (settings, versions), log (JSON), curves
(PNG), mixture.npz where a layer has mixtures or modes, and a snapshot that
--resume goes on from. On a CPU a resumed run ends with the same weights, bit
for bit, as one that was never stopped.
"""

import os
import sys

import numpy

import mixnorm
from train import command_line
from train import network
from train import normalizers
from train import shared_settings
from train.command_line import positive_int
from train.data import datasets
from train.data.augmentation import flip_and_crop
from train.data.batches import BatchIterator, check_batch_size
from train.experiments import mixture_paper
from train.loop import run_folder
from train.loop import snapshots
from train.loop.evaluation import Evaluation
from train.loop.run import make_updater, run
from train.settings import By, CHANGE, Setting, Settings


def _by_dataset(digits, mnist, cifar):
    return By('dataset', {'digits': digits, 'mnist': mnist, 'cifar10': cifar,
                          'cifar100': cifar})


_LR = By('optimizer', {'rmsprop': .003, 'rmsprop-graves': .001,
                       'nesterov': .01, 'sgd': .05, 'adam': .001})

_GROUPS = {
    'what to train': [
        Setting('dataset', 'digits', 'set of images', choices=datasets.NAMES),
        shared_settings.recipe(mixture_paper.RECIPES),
        *shared_settings.sizes('the set'),
        *network.network_settings(),
        *normalizers.normalizer_settings(network.places())],
    'training': [
        *shared_settings.optimization(
            'rmsprop', _LR, decay=_by_dataset(.85, .75, .93),
            batch_size=_by_dataset(64, 128, 256)),
        (Setting('decay_every', _by_dataset(1, 1, 2),
                 'decay the learning rate after each so many epochs',
                 type=positive_int, metavar='EPOCHS'),
         Setting('decay_at', None, 'decay the learning rate after these '
                 'epochs', type=positive_int, nargs='+', metavar='EPOCH')),
        (Setting('epoch', _by_dataset(20, 10, 100), 'length of the run in '
                 'epochs', CHANGE, type=positive_int, metavar='N'),
         Setting('iterations', None, 'length of the run in iterations',
                 CHANGE, type=positive_int, metavar='N'))],
    'run': [
        Setting('seed', 0, f'of all random numbers: {shared_settings.RANDOM}',
                type=command_line.seed, metavar='N'),
        shared_settings.use_ideep(),
        *shared_settings.running()]}

SETTINGS = Settings('classifier.py', __doc__, 'run', mixture_paper.RECIPES,
                    network.check_use, _GROUPS)


def main(argv=None):
    """Trains as the command line says.

    Args:
        argv (list of str or None): The arguments; ``None`` for the process's.

    Returns:
        int: Exit status.

    """
    mixnorm.keep_memory()
    return command_line.exit_status(
        lambda: train(*SETTINGS.parse(argv)), 'classifier.py')


def train(args, given):
    """Starts or resumes the run that parsed arguments describe.

    Args:
        args (argparse.Namespace): Where and how to run.
        given (dict): The settings that are given.

    Returns:
        int: Exit status.

    """
    if args.list_recipes:
        print(mixture_paper.table())
        return 0
    arrays = None
    if args.resume:
        snapshot = os.path.join(args.out, run_folder.SNAPSHOT)
        saved, arrays = snapshots.read(snapshot)
        saved = SETTINGS.check_saved(
            saved, f'{snapshot} is no snapshot of a run of this script')
        settings = SETTINGS.resume(saved, given)
    else:
        settings = SETTINGS.complete(given)
        if not args.overwrite:
            run_folder.require_free(args.out)
    command_line.use_ideep(settings['use_ideep'])
    device = command_line.get_device(settings['device'])
    train_set, test_set = datasets.load(
        settings['dataset'], settings['train_size'], settings['test_size'])
    check_batch_size(settings['batch_size'], train_set.labels)
    classifier = make_untrained(settings, train_set.images.shape[1:])
    batches = BatchIterator(
        *train_set, settings['batch_size'],
        numpy.random.RandomState(_seeds(settings)[1]),
        flip_and_crop if settings['dataset'].startswith('cifar') else None)
    updater = make_updater(classifier, batches, settings, device)
    evaluation = Evaluation(*test_set, settings['batch_size'], classifier)
    return run(updater, evaluation, settings, args.out, 'train.classifier',
               arrays, args.progress)


def make_untrained(settings, image_shape):
    """Makes the model of a run as it is before the first update.

    Args:
        settings (dict): All settings of the run.
        image_shape (tuple of int): Shape of an image, ``(C, H, W)``.

    Returns:
        ~chainer.links.Classifier: The model.

    Raises:
        UserError: If the settings do not fit together.

    """
    weights_seed, _, *layer_seeds = _seeds(settings)
    return network.make_classifier(
        network.NETWORKS[settings['network']], image_shape,
        datasets.n_classes(settings['dataset']), settings, weights_seed,
        layer_seeds)


def _seeds(settings):
    """Returns the seeds of the weights, the batches and each layer."""
    layers = network.normalized_layers(
        network.NETWORKS[settings['network']], settings)
    return numpy.random.SeedSequence(settings['seed']).generate_state(
        2 + len(layers)).tolist()


if __name__ == '__main__':
    sys.exit(main())
