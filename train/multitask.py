"""Trains one classifier for several sets of images at once.

    python train/multitask.py --normalizer mode --modes 2 --out result/a
    python train/multitask.py --recipe multitask-MN-4 --out result/b
    python train/multitask.py --resume --out result/b

Each set's classes are classes of their own: the classifier has to tell both
what an image shows and, by that, which set it is from. All images are 32x32
pixels of three colours, and a mini-batch is drawn from all sets together, each
image as likely as any other. One run for each seed; at the end, mean and
standard deviation of the test error over the runs.

A series writes to its folder: series.json (settings) and, for each seed, a
run's log (JSON), curves (PNG), snapshot and result.json. --resume goes on
where a series was stopped; runs that have ended stay.
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

from models.lenet import LeNet
from train import command_line
from train import multitask_recipes
from train import normalizers
from train import run_folder
from train import series
from train import snapshots
from train import task_sets
from train.arguments import add_run_arguments
from train.batches import BatchIterator
from train.batches import send
from train.command_line import UserError
from train.evaluation import Evaluation
from train.optimizers import check_parameters
from train.optimizers import make_optimizer
from train.optimizers import NAMES as OPTIMIZERS
from train.run import get_device
from train.run import run

_DEFAULTS = dict(normalizers.DEFAULTS, **{
    'sets': ['digits', 'textures'], 'recipe': None, 'train_size': None,
    'test_size': None, 'widths': [6, 16, 120, 84], 'optimizer': 'sgd',
    'lr': .05, 'weight_decay': 0., 'batch_size': 64, 'iterations': 1000,
    'decay': .1, 'cuts': [2.5 / 3.5, 3 / 3.5], 'log_every': None,
    'test_every': None, 'snapshot_every': None, 'device': '@numpy'})

# What changes neither the updates of a run nor their order.
_FREE_ON_RESUME = ('log_every', 'test_every', 'snapshot_every', 'device')

# What tells how to run, and not what.
_NOT_SETTINGS = ('list_recipes', 'out', 'resume', 'overwrite', 'progress',
                 'samples', 'seeds')


def parse(argv):
    """Parses the command line.

    Args:
        argv (list of str): The arguments.

    Returns:
        argparse.Namespace: The arguments; of the settings only those given.

    """
    parser = command_line.ArgumentParser(
        prog='multitask.py', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS)
    group = parser.add_argument_group('what to train')
    group.add_argument(
        '--sets', nargs='+', choices=task_sets.NAMES, metavar='SET',
        help='the sets: any of %(choices)s (default: digits textures, which '
        'need no download)')
    group.add_argument(
        '--recipe', choices=multitask_recipes.RECIPES, metavar='NAME',
        help="an experiment of the paper's, whose settings other arguments "
        'override')
    group.add_argument(
        '--list-recipes', action='store_true', default=False,
        help='print the recipes and exit')
    for which in ('train', 'test'):
        group.add_argument(
            f'--{which}-size', type=command_line.positive_int,
            metavar='N', help=f'use the first N {which} images of each set '
                              'only')
    normalizers.add_normalizer_arguments(group, LeNet.normalized_layers)
    group.add_argument(
        '--widths', type=command_line.positive_int, nargs=4, metavar='N',
        help='outputs of the convolutions and linear layers (default: 6 16 '
        '120 84)')
    group = parser.add_argument_group('training')
    group.add_argument(
        '--optimizer', choices=OPTIMIZERS, help='(default: sgd)')
    group.add_argument(
        '--lr', type=command_line.positive_float, metavar='RATE',
        help='learning rate at first (default: 0.05)')
    group.add_argument(
        '--weight-decay', type=command_line.non_negative_float,
        metavar='RATE', help='of all parameters (default: 0)')
    group.add_argument(
        '--decay', type=command_line.factor, metavar='FACTOR',
        help='factor of the learning rate at each cut (default: 0.1)')
    group.add_argument(
        '--cuts', type=command_line.factor, nargs='+', metavar='SHARE',
        help='cut the learning rate after these shares of the run (default: '
        '5/7 and 6/7)')
    group.add_argument(
        '--batch-size', type=command_line.positive_int, metavar='N',
        help='images in a batch (default: 64)')
    length = group.add_mutually_exclusive_group()
    length.add_argument(
        '--samples', type=command_line.positive_int, metavar='N',
        help='length of a run in images')
    length.add_argument(
        '--iterations', type=command_line.positive_int, metavar='N',
        help='length of a run in updates (default: 1000)')
    add_run_arguments(parser, is_series=True)
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
        print(multitask_recipes.table())
        return 0
    return command_line.exit_status(lambda: train(args), 'multitask.py')


def train(args):
    """Starts or resumes the series that parsed arguments describe."""
    given = {key: value for key, value in vars(args).items()
             if key not in _NOT_SETTINGS}
    seeds = getattr(args, 'seeds', [])
    for key, values in (('at', given.get('at', [])),
                        ('sets', given.get('sets', [])), ('seeds', seeds)):
        if len(set(values)) < len(values):
            raise UserError(f'--{key} names one twice')
    if 'at' in given:
        given['at'] = sorted(given['at'])
    if args.resume:
        saved, saved_seeds = series.read_description(args.out)
        settings = _resume(saved, given, args)
        seeds = saved_seeds + [
            seed for seed in seeds if seed not in saved_seeds]
    else:
        if not args.overwrite:
            series.require_free(args.out)
        settings = _complete(given, args)
        seeds = seeds or [0]
    device = get_device(settings['device'])
    sets = task_sets.load(
        settings['sets'], settings['train_size'], settings['test_size'])
    if settings['batch_size'] > len(sets[0].labels):
        raise UserError(f"--batch-size {settings['batch_size']} is more than "
                        f'the {len(sets[0].labels)} training images')
    # What is wrong with it is told now.
    check_parameters(settings['optimizer'], make_classifier(settings, 0))
    os.makedirs(args.out, exist_ok=True)
    if not args.resume:
        series.clear(args.out)
    series.write(os.path.join(args.out, series.DESCRIPTION),
                 {'settings': settings, 'seeds': seeds})
    standardize = task_sets.Standardize(sets[0].images)
    for seed in seeds:
        status = _run_one(args, settings, seed, sets, standardize, device)
        if status != 0:
            return status
    print(series.table([args.out]))
    return 0


def _complete(given, args):
    """Completes the settings that a user gave."""
    recipe = multitask_recipes.RECIPES.get(given.get('recipe'), {})
    settings = dict(_DEFAULTS, **recipe)
    settings.update(given)
    if hasattr(args, 'samples'):
        settings['iterations'] = _iterations(args, settings)
    elif 'samples' in recipe and 'iterations' not in given:
        settings['iterations'] = max(
            1, recipe['samples'] // settings['batch_size'])
    settings.pop('samples', None)
    normalizers.check_use(settings, given)
    return settings


def _resume(saved, given, args):
    """Merges what a user gives now with what a series was started with."""
    if saved.keys() != _DEFAULTS.keys():
        raise UserError(f'{args.out} holds a series with other settings than '
                        'this version knows, or its description is damaged')
    wanted = dict(given)
    if hasattr(args, 'samples'):
        wanted['iterations'] = _iterations(args, saved)
    settings = dict(saved)
    for key, value in wanted.items():
        if key in _FREE_ON_RESUME:
            settings[key] = value
        elif value != saved[key]:
            raise UserError(
                f'{command_line.option(key)} {command_line.as_typed(value)} '
                f'differs from the {command_line.as_typed(saved[key])} that '
                'this series was started with; a resumed series keeps its '
                'settings')
    return settings


def _iterations(args, settings):
    return max(1, args.samples // settings['batch_size'])


def _run_one(args, settings, seed, sets, standardize, device):
    """Runs what is left of the run with a seed; returns an exit status."""
    folder = series.run_folder(args.out, seed)
    result = os.path.join(folder, series.RESULT)
    if args.resume and os.path.exists(result):
        return 0
    print(f'seed {seed}: {series.describe(settings)}')
    arrays = None
    snapshot = os.path.join(folder, run_folder.SNAPSHOT)
    if args.resume and os.path.exists(snapshot):
        _, arrays = snapshots.read(snapshot)
    train_set, test_set = sets
    classifier = make_classifier(settings, seed)
    classifier.to_device(device)
    optimizer = make_optimizer(settings['optimizer'], settings['lr'])
    optimizer.setup(classifier)
    if settings['weight_decay'] > 0:
        optimizer.add_hook(
            chainer.optimizer_hooks.WeightDecay(settings['weight_decay']))
    _, batches_seed = _seeds(seed)
    updater = chainer.training.updaters.StandardUpdater(
        BatchIterator(
            train_set.images, train_set.labels, settings['batch_size'],
            numpy.random.RandomState(batches_seed),
            lambda images, _: standardize(images)),
        optimizer, converter=send, input_device=device)
    evaluation = Evaluation(
        standardize(test_set.images), test_set.labels, 500, classifier)
    status = run(
        updater, evaluation, dict(
            settings, seed=seed, epoch=None, decay_every=None, decay_at=None,
            decay_at_iterations=[round(share * settings['iterations'])
                                 for share in settings['cuts']]),
        folder, arrays, args.progress, args.out)
    if status == 0:
        errors = test_errors(classifier, standardize, test_set)
        by_set = dict(zip(settings['sets'], errors[1:]))
        series.write(result, {
            'seed': seed, 'error': errors[0], 'errors': by_set})
        print('test error {:.2f} %: {}'.format(errors[0], ', '.join(
            '{} {:.2f}'.format(*item) for item in by_set.items())))
    return status


def _seeds(seed):
    return numpy.random.SeedSequence(seed).generate_state(2).tolist()


def make_classifier(settings, seed):
    """Makes a classifier for all classes of all sets.

    Args:
        settings (dict): The settings of the series.
        seed (int): The run's seed.

    Returns:
        ~chainer.links.Classifier: The model.

    Raises:
        UserError: If a normalizer does not take what the settings say.

    """
    weights_seed, _ = _seeds(seed)
    # Chainer's initializers draw from the global generator.
    numpy.random.seed(weights_seed)
    layers = LeNet.normalized_layers
    return L.Classifier(normalizers.make_model(
        (3, 32, 32), LeNet, task_sets.n_classes(settings['sets']), 3,
        settings['widths'],
        normalizers.layer_normalizers(
            settings, layers, [weights_seed + i for i in range(len(layers))])))


def test_errors(classifier, standardize, test_set):
    """Counts what a classifier gets wrong.

    Args:
        classifier (~chainer.links.Classifier): The model.
        standardize (callable): From images to the model's input.
        test_set (task_sets.Union): The test images.

    Returns:
        list of float: Errors in %, of all images and of each set's.

    """
    wrong = []
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        for start in range(0, len(test_set.labels), 500):
            part = slice(start, start + 500)
            scores = classifier.predictor(
                classifier.device.send(standardize(test_set.images[part])))
            found = chainer.get_device('@numpy').send(scores.array)
            wrong.append(found.argmax(axis=1) != test_set.labels[part])
    wrong = numpy.concatenate(wrong)
    return [100 * float(wrong.mean())] + [
        100 * float(wrong[test_set.tasks == task].mean())
        for task in range(test_set.tasks.max() + 1)]


if __name__ == '__main__':
    sys.exit(main())
