"""A training run in a folder: log, curves, snapshots, stopping, resuming."""

import importlib.util
import os
import shlex
import sys

from chainer import training
from chainer.training import extensions

from mixnorm.extensions import Curves
from mixnorm.extensions import EffectiveComponents
from train import run_folder
from train import snapshots
from train.command_line import get_device  # NOQA  (until it is moved)
from train.interruption import Interruption
from train.optimizers import LearningRate
from train.report_lines import ReportLines
from train.triggers import AnyOf
from train.triggers import Every
from train.triggers import RunLength


def run(updater, evaluation, settings, folder, arrays=None, progress=True,
        resume_folder=None):
    """Trains to the end, or until a signal asks to stop.

    Args:
        updater (~chainer.training.updaters.StandardUpdater): What to train,
            set up from the settings.
        evaluation (~chainer.training.Extension): The test.
        settings (dict): All settings, as :mod:`train.settings` makes them.
        folder (str): Where to write. What a run before left there is lost,
            unless it is this one.
        arrays (dict or None): The snapshot to go on from, as
            :func:`train.snapshots.read` returns it.
        progress (bool): Whether to draw a progress bar on a terminal.
        resume_folder (str or None): The folder of the series that the run is
            one of, if it is: what ``--out`` has to be to go on.

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
            if not is_whole:
                snapshots.save(snapshot, trainer, settings)
        except KeyboardInterrupt:
            is_whole = False
    if is_whole and (resume_folder is None or interruption.signal is None):
        _print_result(log_report.log, folder)
        return 0
    if os.path.exists(snapshot):
        message = 'stopped at iteration {}; to go on: python {}'.format(
            updater.iteration, shlex.join(
                [sys.argv[0], '--resume', '--out', resume_folder or folder]))
    else:
        message = 'stopped before there was a snapshot to go on from'
    sys.stderr.write(f"{message}\n")
    return 128 + interruption.signal


def _run_length(settings, is_interrupted):
    if settings['iterations'] is None:
        return RunLength(settings['epoch'], 'epoch', is_interrupted)
    return RunLength(settings['iterations'], 'iteration', is_interrupted)


def _extend(trainer, evaluation, settings, length, progress):
    progress = progress and sys.stdout.isatty()
    test_trigger = Every(settings['test_every'], length)
    log_trigger = AnyOf(Every(settings['log_every'], length), test_trigger)
    log_report = extensions.LogReport(
        trigger=log_trigger, filename=run_folder.LOG)
    trainer.extend(LearningRate(
        settings['optimizer'], settings['lr'], settings['decay'],
        settings['decay_every'], settings['decay_at'] or (),
        settings.get('decay_at_iterations', ())))
    trainer.extend(evaluation, trigger=test_trigger)
    trainer.extend(EffectiveComponents(), trigger=log_trigger)
    trainer.extend(log_report)
    trainer.extend(ReportLines(log_report, erase=progress),
                   trigger=log_trigger)
    if progress:
        trainer.extend(extensions.ProgressBar(update_interval=1))
    if importlib.util.find_spec('matplotlib') is None:
        print('no curves are drawn: matplotlib is not installed')
    else:
        trainer.extend(
            Curves(log_report, os.path.basename(os.path.abspath(trainer.out)),
                   run_folder.CURVES), trigger=log_trigger)
    trainer.extend(
        snapshots.Snapshot(os.path.join(trainer.out, run_folder.SNAPSHOT),
                           settings),
        trigger=Every(settings['snapshot_every'], length))
    return log_report


def _print_result(log, folder):
    accuracy, iteration = max(
        (entry['validation/main/accuracy'], -entry['iteration'])
        for entry in log if 'validation/main/accuracy' in entry)
    print(f'best test accuracy {accuracy:.4f} at iteration {-iteration}; '
          f'everything is in {folder}')
