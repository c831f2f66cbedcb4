"""Trains an image classifier with a choice of normalizers.

    python train/classifier.py --normalizer mixture --at conv3 --out result/a
    python train/classifier.py --recipe cifar10-cnn-MN-2 --out result/b
    python train/classifier.py --resume --out result/b

A run writes to its folder: run.json (settings, versions), log (JSON), curves
(PNG) and a snapshot that --resume goes on from. On a CPU a resumed run ends
with the same weights, bit for bit, as one that was never stopped.
"""

import argparse
import os
import sys

if __name__ == '__main__':
    # Started as a script, it finds only its own folder by itself.
    sys.path.insert(0, os.path.dirname(os.path.dirname(
        os.path.abspath(__file__))))
    # While OpenBLAS's threads wait for another product they hold their cores,
    # for 2^26 cycles by default; mixture normalization's threads need them.
    os.environ.setdefault('OPENBLAS_THREAD_TIMEOUT', '16')

import mixnorm  # NOQA  (before Chainer)
import chainer
import chainer.links as L
import numpy

from models.cifar_cnn import CifarCNN
from train import command_line
from train import datasets
from train import recipes
from train import run_folder
from train import snapshots
from train.arguments import add_optimization_arguments
from train.arguments import add_run_arguments
from train.augmentation import flip_and_crop
from train.batches import BatchIterator
from train.batches import send
from train.command_line import UserError
from train.evaluation import Evaluation
from train.normalizers import add_normalizer_arguments
from train.normalizers import layer_normalizers
from train.normalizers import make_model
from train.optimizers import check_parameters
from train.optimizers import make_optimizer
from train.run import get_device
from train.run import run
from train.settings import are_complete
from train.settings import complete
from train.settings import resume


def parse(argv):
    """Parses the command line.

    Args:
        argv (list of str): The arguments.

    Returns:
        argparse.Namespace: The arguments; of the settings only those given.

    """
    parser = command_line.ArgumentParser(
        prog='classifier.py', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS)
    group = parser.add_argument_group('what to train')
    group.add_argument(
        '--dataset', choices=datasets.NAMES, help='(default: digits)')
    group.add_argument(
        '--recipe', choices=recipes.RECIPES, metavar='NAME',
        help="a row of the paper's tables, whose settings other arguments "
        'override')
    group.add_argument(
        '--list-recipes', action='store_true', default=False,
        help='print the recipes and exit')
    group.add_argument(
        '--train-size', type=command_line.positive_int, metavar='N',
        help='use the first N training images only')
    group.add_argument(
        '--test-size', type=command_line.positive_int, metavar='N',
        help='use the first N test images only')
    add_normalizer_arguments(group, CifarCNN.normalized_layers)
    group.add_argument(
        '--widths', type=command_line.positive_int, nargs=4, metavar='N',
        help='channels of the four convolutions (default: 64 128 128 256; '
        '16 32 32 64 for digits)')
    add_optimization_arguments(parser)
    add_run_arguments(parser)
    return parser.parse_args(argv)


def main(argv=None):
    """Trains as the command line says.

    Args:
        argv (list of str or None): The arguments; ``None`` for the process's.

    Returns:
        int: Exit status.

    """
    args = parse(argv)
    if args.list_recipes:
        print(recipes.table())
        return 0
    return command_line.exit_status(lambda: train(args), 'classifier.py')


def train(args):
    """Starts or resumes the run that parsed arguments describe."""
    given = {key: value for key, value in vars(args).items() if key not in (
        'list_recipes', 'out', 'resume', 'overwrite', 'progress')}
    if 'at' in given:
        given['at'] = sorted(set(given['at']))
    arrays = None
    if args.resume:
        snapshot = os.path.join(args.out, run_folder.SNAPSHOT)
        saved, arrays = snapshots.read(snapshot)
        if not are_complete(saved):
            raise UserError(f'{snapshot} is no snapshot of a run of this '
                            'script')
        settings = resume(saved, given)
    else:
        settings = complete(given)
        if not args.overwrite:
            run_folder.require_free(args.out)
    device = get_device(settings['device'])
    train_set, test_set = datasets.load(
        settings['dataset'], settings['train_size'], settings['test_size'])
    if settings['batch_size'] > len(train_set.labels):
        raise UserError(f"--batch-size {settings['batch_size']} is more than "
                        f'the {len(train_set.labels)} training images')
    updater = make_updater(settings, train_set, device)
    evaluation = Evaluation(*test_set, settings['batch_size'],
                            updater.get_optimizer('main').target)
    return run(updater, evaluation, settings, args.out, arrays, args.progress)


def make_updater(settings, train_set, device):
    """Makes a model, and what trains it.

    Args:
        settings (dict): The settings of the run.
        train_set (Images): The training set.
        device (~chainer.backend.Device): Where to train.

    Returns:
        ~chainer.training.updaters.StandardUpdater: The updater.

    """
    weights_seed, batches_seed, *layer_seeds = numpy.random.SeedSequence(
        settings['seed']).generate_state(
            2 + len(CifarCNN.normalized_layers)).tolist()
    # Chainer's initializers draw from the global generator.
    numpy.random.seed(weights_seed)
    layers = CifarCNN.normalized_layers
    classifier = L.Classifier(make_model(
        train_set.images.shape[1:], CifarCNN,
        datasets.n_classes(settings['dataset']), train_set.images.shape[1],
        settings['widths'],
        layer_normalizers(settings, layers, layer_seeds)))
    classifier.to_device(device)
    check_parameters(settings['optimizer'], classifier)
    optimizer = make_optimizer(settings['optimizer'], settings['lr'])
    optimizer.setup(classifier)
    if settings['weight_decay'] > 0:
        optimizer.add_hook(
            chainer.optimizer_hooks.WeightDecay(settings['weight_decay']))
    batches = BatchIterator(
        *train_set, settings['batch_size'],
        numpy.random.RandomState(batches_seed),
        flip_and_crop if settings['dataset'].startswith('cifar') else None)
    return chainer.training.updaters.StandardUpdater(
        batches, optimizer, converter=send, input_device=device)


if __name__ == '__main__':
    sys.exit(main())
