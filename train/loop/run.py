"""A training run in a folder: log, curves, snapshots, stopping, resuming."""

import importlib.util
import os
import shlex
import sys

import chainer
from chainer import training
from chainer.training import extensions
import numpy

from mixnorm.extensions import Curves, MixtureReport, Recalibration
from train.data.batches import send
from train.loop import run_folder
from train.loop import snapshots
from train.loop.interruption import Interruption
from train.loop.optimizers import LearningRate, make_optimizer
from train.loop.report_lines import ReportLines
from train.loop.schedule import scaled
from train.loop.triggers import Every, RunLength


def make_updater(classifier, batches, settings, device):
    """Makes what trains a model.

    Args:
        classifier (~chainer.Link): The model.
        batches (~chainer.dataset.Iterator): Batches, as arrays.
        settings (dict): ``'optimizer'``, ``'lr'``, ``'momentum'``,
            ``'betas'`` and ``'weight_decay'``.
        device (~chainer.backend.Device): Where to train.

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
        batches, optimizer, converter=send, input_device=device)


def run(updater, evaluation, settings, folder, script, arrays=None,
        progress=True, series_folder=None):
    """Trains to the end, or until a signal asks to stop.

    Args:
        updater (~chainer.training.updaters.StandardUpdater): What to train,
            set up from the settings.
        evaluation (~chainer.training.Extension): The test.
        settings (dict): What :func:`make_updater` needs; ``'decay'``,
            ``'decay_every'`` and ``'decay_at'``, in epochs, and
            ``'decay_at_iterations'`` if there are any; ``'iterations'`` or,
            where that is ``None``, ``'epoch'``; ``'scale'``, with which all
            of these are multiplied; ``'log_every'``,
            ``'test_every'``, ``'snapshot_every'``, ``'recalibrate'``,
            ``'seed'`` and ``'device'``. All that there is, is saved.
        folder (str): Where to write. What a run before left there is lost,
            unless it is this one.
        script (str): The module that goes on with the run.
        arrays (dict or None): The snapshot to go on from, as
            :func:`train.loop.snapshots.read` returns it.
        progress (bool): Whether to draw a progress bar on a terminal.
        series_folder (str or None): The folder of the series that the run is
            one of, if it is.

    Returns:
        int: Exit status: 0, or 128 and a signal's number. A signal that comes
        with the last iteration still stops a series.

    Raises:
        UserError: If the snapshot does not fit; nothing is written then.

    """
    with Interruption() as interruption:
        length = _run_length(settings, lambda: interruption.signal)
        trainer = training.Trainer(updater, length, folder)
        log_report = _extend(trainer, evaluation, settings, length, progress)
        snapshot = os.path.join(folder, run_folder.SNAPSHOT)
        if arrays is not None:
            snapshots.load(snapshot, arrays, trainer)
        else:
            run_folder.clear(folder)
        run_folder.describe(folder, settings, updater.iteration)
        try:
            trainer.run(show_loop_exception_msg=False)
            is_whole = length.is_reached(trainer)
            # Before the first update the optimizer has no state to go on from.
            if not is_whole and updater.iteration:
                snapshots.save(snapshot, trainer, settings)
        except KeyboardInterrupt:
            is_whole = False
    if is_whole and (series_folder is None or interruption.signal is None):
        _print_result(log_report.log, folder)
        return 0
    if os.path.exists(snapshot):
        command = shlex.join(['python', '-m', script, '--resume', '--out',
                              series_folder or folder])
        message = (f'stopped at iteration {updater.iteration}; to go on: '
                   f'{command}')
    else:
        message = 'stopped before there was a snapshot to go on from'
    sys.stderr.write(f'{message}\n')
    return 128 + interruption.signal


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


def _run_length(settings, is_interrupted):
    settings = scaled(settings)
    if settings['iterations'] is None:
        return RunLength(settings['epoch'], 'epoch', is_interrupted)
    return RunLength(settings['iterations'], 'iteration', is_interrupted)


def _extend(trainer, evaluation, settings, length, progress):
    progress = progress and sys.stdout.isatty()
    test_trigger = Every(length, settings['test_every'])
    log_trigger = Every(length, settings['log_every'], settings['test_every'])
    log_report = extensions.LogReport(
        trigger=log_trigger, filename=run_folder.LOG)
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
    trainer.extend(MixtureReport(run_folder.MIXTURES), trigger=log_trigger)
    trainer.extend(log_report)
    trainer.extend(
        ReportLines(log_report, progress, settings['recalibrate'] > 0),
        trigger=log_trigger)
    if progress:
        trainer.extend(extensions.ProgressBar(update_interval=1))
    if importlib.util.find_spec('matplotlib') is None:
        print('no curves are drawn: matplotlib is not installed')
    else:
        trainer.extend(
            Curves(log_report, os.path.basename(os.path.abspath(trainer.out)),
                   run_folder.CURVES), trigger=log_trigger)
    # Last of all, so that it saves what the others did.
    trainer.extend(
        lambda trainer: snapshots.save(
            os.path.join(trainer.out, run_folder.SNAPSHOT), trainer, settings),
        name='snapshot', priority=-100,
        trigger=Every(length, settings['snapshot_every']))
    return log_report


def _print_result(log, folder):
    best = [
        max((entry[key], -entry['iteration']) for entry in log if key in entry)
        for key in ('validation/main/accuracy',
                    'recalibrated/validation/main/accuracy')
        if any(key in entry for entry in log)]
    print('best test accuracy ' + ', recalibrated '.join(
        f'{accuracy:.4f} at iteration {-iteration}'
        for accuracy, iteration in best) + f'; everything is in {folder}')
