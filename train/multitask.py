"""Trains one classifier for several sets of images at once.

    python -m train.multitask --normalizer mode --modes 2 --out result/a
    python -m train.multitask --recipe multitask-MN-4 --out result/b
    python -m train.multitask --resume --out result/b

Each set's classes are classes of their own: the classifier has to tell both
what an image shows and, by that, which set it is from. All images are 32x32
pixels of three colours, and a mini-batch is drawn from all sets together, each
image as likely as any other. One run for each seed; at the end, mean and
standard deviation over the runs of the best test error, as the paper has it,
and of the last.

A series writes to its folder: series.json (settings) and, for each seed, a
run's log (JSON), curves (PNG), snapshot and result.json. --resume goes on
where a series was stopped; runs that have ended stay.
"""

import os
import sys

import chainer
import numpy

import mixnorm
from models.lenet import LeNet
from train import command_line
from train import normalizers
from train import shared_settings
from train.command_line import factor, positive_int, UserError
from train.data import task_sets
from train.data.batches import BatchIterator, check_batch_size
from train.experiments import mode_paper
from train.experiments.tables import as_text
from train.loop import files
from train.loop import optimizers
from train.loop import run_folder
from train.loop import schedule
from train.loop import series
from train.loop import snapshots
from train.loop import workers
from train.loop.evaluation import Evaluation
from train.loop.run import make_recalibration, make_updater, run
from train.network import make_classifier, Network
from train.run_log import read_log, summarize
from train.settings import ADD, distinct, Setting, Settings


# Of a run. One of small batches is shorter than an epoch.
_N_TESTS = 20

_LENET = Network(LeNet, {'widths': [6, 16, 120, 84]})

_GROUPS = {
    'what to train': [
        Setting('sets', ['digits', 'textures'], 'the sets: any of %(choices)s '
                '(default: digits textures, which need no download)',
                choices=task_sets.NAMES, check=distinct, nargs='+',
                metavar='SET'),
        shared_settings.recipe(
            mode_paper.MULTITASK_RECIPES, mode_paper.FORMER_RECIPES),
        *shared_settings.sizes('each set'),
        *normalizers.normalizer_settings(' or '.join(LeNet.normalized_layers)),
        Setting('widths', _LENET.options['widths'], 'outputs of the '
                'convolutions and linear layers', type=positive_int, nargs=4,
                metavar='N')],
    'training': [
        *shared_settings.optimization(
            'sgd', lr=.05, decay=.1, batch_size=64),
        Setting('cuts', [2.5 / 3.5, 3 / 3.5], 'decay the learning rate after '
                'these shares of the run (default: 5/7 and 6/7)', type=factor,
                nargs='+', metavar='SHARE'),
        (Setting('samples', None, 'length of a run in images',
                 type=positive_int, metavar='N'),
         Setting('iterations', 1000, 'length of a run in updates',
                 type=positive_int, metavar='N'))],
    'run': [
        Setting('seeds', [0], 'a run for each, the seed of all its random '
                f'numbers: {shared_settings.RANDOM}', ADD, check=distinct,
                type=command_line.seed, nargs='+', metavar='N'),
        shared_settings.use_ideep(),
        *shared_settings.workers(),
        *shared_settings.running(test_every='a twentieth of the run')]}


def _check_use(settings, given):
    normalizers.check_recipe(
        settings, given,
        mode_paper.MULTITASK_RECIPES.get(settings['recipe'], {}))
    normalizers.check_use(settings, given, LeNet.normalized_layers)
    optimizers.check_use(settings, given)
    workers.check_use(settings)


_PROG = 'python -m train.multitask'
SETTINGS = Settings(
    _PROG, __doc__, 'series', mode_paper.MULTITASK_RECIPES,
    _check_use, _GROUPS)


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
    """Starts or resumes the series that parsed arguments describe.

    Args:
        args (argparse.Namespace): Where and how to run.
        given (dict): The settings that are given.

    Returns:
        int: Exit status.

    """
    if args.list_recipes:
        print(as_text(mode_paper.MULTITASK_TABLES))
        return 0
    if args.resume:
        settings, seeds = _resume(args.out, given)
    else:
        settings, seeds = complete(given)
        if run_folder.held_in(args.out):
            raise UserError(f'{args.out} holds a single run, which would not '
                            'be found beside a series: choose another --out')
        if not args.overwrite:
            series.require_free(args.out)
    command_line.use_ideep(settings['use_ideep'])
    communicator, settings = workers.start(settings, _PROG)
    with workers.ending_together(communicator, _PROG):
        return _run_all(args, settings, seeds, communicator)


def _run_all(args, settings, seeds, communicator):
    """Runs what is left of a series; returns an exit status."""
    device = command_line.get_device(settings['device'])
    sets = task_sets.load(
        settings['sets'], settings['train_size'], settings['test_size'])
    check_batch_size(settings['batch_size'], sets[0].labels)
    # What is wrong with it is told now.
    _make_classifier(settings, 0, communicator)
    if workers.is_first(communicator):
        os.makedirs(args.out, exist_ok=True)
        if not args.resume:
            series.clear(args.out)
        files.write_json(os.path.join(args.out, series.DESCRIPTION),
                         {'settings': settings, 'seeds': seeds})
    standardize = task_sets.Standardize(sets[0].images)
    for seed in seeds:
        status = _run_one(
            args, settings, seed, sets, standardize, device, communicator)
        if status != 0:
            return status
    if workers.is_first(communicator):
        print(series.table([args.out]))
    return 0


def complete(given):
    """Returns the settings and the seeds of a new series.

    Args:
        given (dict): The settings given, by name.

    Returns:
        tuple: The settings by name, with the length in updates, and the list
        of seeds.

    Raises:
        UserError: If a setting is given that would do nothing.

    """
    settings = SETTINGS.complete(given)
    seeds, samples = settings.pop('seeds'), settings.pop('samples')
    if samples is not None:
        settings['iterations'] = _n_updates(samples, settings)
    return settings, seeds


def _resume(folder, given):
    """Returns the settings and the seeds of a series to go on with."""
    saved, seeds = series.read_description(folder)
    saved = dict(saved, seeds=seeds, samples=None)
    saved = SETTINGS.check_saved(
        saved, f'{folder} holds a series with other settings than this '
        'version knows, or its description is damaged')
    if given.get('samples') is not None:
        given = dict(given, samples=None,
                     iterations=_n_updates(given['samples'], saved))
    settings = SETTINGS.resume(saved, given)
    del settings['samples']
    return settings, settings.pop('seeds')


def _n_updates(n_images, settings):
    return max(1, n_images // settings['batch_size'])


def _run_one(args, settings, seed, sets, standardize, device, communicator):
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
    classifier = _make_classifier(settings, seed, communicator)
    batches = BatchIterator(
        train_set.images, train_set.labels, settings['batch_size'],
        numpy.random.RandomState(_seeds(seed)[1]),
        lambda images, _: standardize(images),
        workers.share(communicator, settings['batch_size']))
    updater = make_updater(
        classifier, batches, settings, device, communicator)
    evaluation = Evaluation(
        standardize(test_set.images), test_set.labels, 500, classifier,
        communicator=communicator)
    settings = dict(
        settings, seed=seed, epoch=None, decay_every=None, decay_at=None,
        test_every=(settings['test_every']
                    or max(1, schedule.scaled(settings)['iterations']
                           // _N_TESTS)),
        decay_at_iterations=[round(share * settings['iterations'])
                             for share in settings['cuts']])
    schedule.tell(settings)
    status = run(updater, evaluation, settings, folder, 'train.multitask',
                 arrays, args.progress, args.out, communicator)
    recalibrated = None
    if status == 0 and settings['recalibrate']:
        recalibrated = make_recalibration(batches, evaluation, settings)()
    if status == 0 and workers.is_first(communicator):
        error, *errors = test_errors(classifier, standardize, test_set)
        by_set = dict(zip(settings['sets'], errors))
        best = _best_error(folder, len(test_set.labels))
        found = {'seed': seed, 'error': error, 'errors': by_set,
                 'best_error': best}
        details = ', '.join(f'{name} {of_set:.2f}'
                            for name, of_set in by_set.items())
        if recalibrated is not None:
            accuracy = recalibrated['recalibrated/validation/main/accuracy']
            found['recalibrated'] = 100 * (1 - accuracy)
            details += f"; recalibrated {found['recalibrated']:.2f}"
        files.write_json(result, found)
        print(f'test error {error:.2f} %: {details}; best {best:.2f}')
    return status


def _best_error(folder, n_images):
    """Returns the least error, in %, of all tests of a run."""
    accuracy = summarize(read_log(folder))['best']
    # The difference is rounded; a count of images is exact.
    return 100 * (round(n_images * (1 - accuracy)) / n_images)


def _seeds(seed):
    """Returns the seeds of the weights and of the batches."""
    return numpy.random.SeedSequence(seed).generate_state(2).tolist()


def _make_classifier(settings, seed, communicator):
    """Makes a classifier for all classes of all sets."""
    weights_seed, _ = _seeds(seed)
    return make_classifier(
        _LENET, (3, 32, 32), task_sets.n_classes(settings['sets']), settings,
        weights_seed, [weights_seed + i
                       for i in range(len(LeNet.normalized_layers))],
        communicator)


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
