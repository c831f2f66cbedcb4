"""A classifier's training run: its updater, its tests, its result."""

import chainer
from chainer import training
import numpy

from mixnorm.extensions import Curves, Recalibration
from train.data.batches import send
from train.loop import workers
from train.loop.folder_run import Reports, run_in_folder
from train.loop.optimizers import LearningRate, make_optimizer
from train.loop.schedule import scaled
from train.loop.triggers import Every


_COLUMNS = (
    ('epoch', 'epoch', 'd'),
    ('iteration', 'iteration', 'd'),
    ('loss', 'main/loss', '.4f'),
    ('accuracy', 'main/accuracy', '.4f'),
    ('test loss', 'validation/main/loss', '.4f'),
    ('test accuracy', 'validation/main/accuracy', '.4f'),
    ('recalibrated', 'recalibrated/validation/main/accuracy', '.4f'),
    ('lr', 'lr', '.3g'),
    ('seconds', 'elapsed_time', '.1f'),
)


def make_updater(classifier, batches, settings, device, communicator=None):
    """Makes what trains a model.

    Args:
        classifier (~chainer.Link): The model.
        batches (~chainer.dataset.Iterator): Batches, as arrays.
        settings (dict): ``'optimizer'``, ``'lr'``, ``'momentum'``,
            ``'betas'`` and ``'weight_decay'``.
        device (~chainer.backend.Device): Where to train.
        communicator (chainermn.CommunicatorBase or None): That of workers who
            train together, if there are several.

    Returns:
        ~chainer.training.updaters.StandardUpdater: The updater.

    """
    classifier.to_device(device)
    optimizer = make_optimizer(
        settings['optimizer'], settings['lr'], settings['momentum'],
        settings['betas'])
    if chainer.config.dtype is chainer.mixed16:
        # float16 has too few digits to add small steps, and too small a range
        # for small gradients.
        optimizer.use_fp32_update()
        optimizer.loss_scaling()
    optimizer.setup(classifier)
    if settings['weight_decay'] > 0:
        optimizer.add_hook(
            chainer.optimizer_hooks.WeightDecay(settings['weight_decay']))
    return training.updaters.StandardUpdater(
        batches, workers.share_optimizer(optimizer, communicator),
        converter=send, input_device=device)


def run(updater, evaluation, settings, folder, script, arrays=None,
        progress=True, series_folder=None, communicator=None):
    """Trains to the end, or until a signal asks to stop.

    Args:
        updater (~chainer.training.updaters.StandardUpdater): What to train,
            set up from the settings.
        evaluation (~chainer.training.Extension): The test.
        settings (dict): What :func:`make_updater` needs; ``'decay'``,
            ``'decay_every'`` and ``'decay_at'``, in epochs, and
            ``'decay_at_iterations'`` if there are any; ``'iterations'`` or,
            where that is ``None``, ``'epoch'``; ``'scale'``, with which all
            of these are multiplied; ``'test_every'``, ``'recalibrate'`` and
            ``'seed'``; and what :func:`train.loop.folder_run.run_in_folder`
            needs.
        folder (str): See there, as for the others.
        script (str): See there.
        arrays (dict or None): See there.
        progress (bool): See there.
        series_folder (str or None): See there.
        communicator (chainermn.CommunicatorBase or None): See there.

    Returns:
        int: Exit status; see there.

    Raises:
        UserError: If the snapshot does not fit; nothing is written then.

    """
    columns = [column for column in _COLUMNS
               if settings['recalibrate'] or column[0] != 'recalibrated']

    def extend(trainer, length):
        workers.report_means(trainer, communicator)
        _extend(trainer, evaluation, settings, length)

    return run_in_folder(
        updater, _run_length(settings),
        extend,
        Reports(('log_every', 'test_every'), columns, Curves, _print_result),
        settings, folder, script, arrays, progress, series_folder,
        communicator)


def make_recalibration(batches, evaluation, settings):
    """Makes what repeats a test with statistics of the weights' own.

    Args:
        batches (~train.data.batches.BatchIterator): Training batches, of
            which none is taken: others are drawn, and augmented, by a
            generator of their own.
        evaluation (~train.loop.evaluation.Evaluation): The test.
        settings (dict): ``'recalibrate'``, a number of batches, and
            ``'seed'``.

    Returns:
        ~mixnorm.extensions.Recalibration: The extension.

    """
    @chainer.dataset.converter()
    def convert(indices, device):
        # While it recalibrates, the global generator is seeded.
        return send(batches.gather(indices, numpy.random), device)

    return Recalibration(
        evaluation, batches.dataset, settings['recalibrate'],
        batches.batch_size, convert, settings['seed'])


def _run_length(settings):
    settings = scaled(settings)
    if settings['iterations'] is None:
        return settings['epoch'], 'epoch'
    return settings['iterations'], 'iteration'


def _extend(trainer, evaluation, settings, length):
    test_trigger = Every(length, settings['test_every'])
    schedule = scaled(settings)
    trainer.extend(LearningRate(
        settings['optimizer'], settings['lr'], settings['decay'],
        schedule['decay_every'], schedule['decay_at'] or (),
        schedule.get('decay_at_iterations', ())))
    trainer.extend(evaluation, trigger=test_trigger)
    if settings['recalibrate']:
        trainer.extend(
            make_recalibration(
                trainer.updater.get_iterator('main'), evaluation, settings),
            trigger=test_trigger)


def _print_result(log, folder):
    best = [
        max((entry[key], -entry['iteration']) for entry in log if key in entry)
        for key in ('validation/main/accuracy',
                    'recalibrated/validation/main/accuracy')
        if any(key in entry for entry in log)]
    print('best test accuracy ' + ', recalibrated '.join(
        f'{accuracy:.4f} at iteration {-iteration}'
        for accuracy, iteration in best) + f'; everything is in {folder}')
