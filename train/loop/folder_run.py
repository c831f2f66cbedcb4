"""A training run in a folder: log, curves, snapshots, stopping, resuming."""

import collections
import importlib.util
import os
import shlex
import sys

from chainer import training
from chainer.training import extensions

from mixnorm.extensions import MixtureReport
from train.command_line import UserError
from train.loop import run_folder
from train.loop import series
from train.loop import snapshots
from train.loop import workers
from train.loop.interruption import Interruption
from train.loop.report_lines import ReportLines
from train.loop.triggers import Every, RunLength


Reports = collections.namedtuple(
    'Reports', 'log_settings columns curves tell_result details',
    defaults=({},))
Reports.__doc__ = """What a run reports, and how.

The names of the settings that hold the intervals of the log, in iterations;
the columns of :class:`~train.loop.report_lines.ReportLines`; what makes the
extension that draws curves, given a log, a title and a file name; a function
that prints the result, given the log, as a list of entries, and the folder;
and what run.json holds beside the settings.
"""


def start_or_resume(known, args, given):
    """Finds out what run a command line starts or goes on with.

    Args:
        known (~train.settings.Settings): The script's settings.
        args (argparse.Namespace): ``out``, ``resume`` and ``overwrite``.
        given (dict): The settings that are given.

    Returns:
        tuple: All settings, and the arrays of the snapshot to go on from or
        ``None``.

    Raises:
        UserError: If the settings do not fit together or the run, there is
            none to resume, or one is in the way.

    """
    if args.resume:
        saved, arrays = snapshots.read_run(
            os.path.join(args.out, run_folder.SNAPSHOT), known, 'this script')
        return known.resume(saved, given), arrays
    settings = known.complete(given)
    if series.is_in(args.out):
        raise UserError(f'{args.out} holds runs of several seeds, beside '
                        'which a single one would not be found: choose '
                        'another --out')
    if not args.overwrite:
        run_folder.require_free(args.out)
    return settings, None


def run_in_folder(updater, length, extend, reports, settings, folder, script,
                  arrays=None, progress=True, series_folder=None,
                  communicator=None):
    """Trains to the end, or until a signal asks to stop.

    Args:
        updater (~chainer.training.updaters.StandardUpdater): What to train,
            set up from the settings.
        length (tuple): Length of the run: a number, and ``'epoch'`` or
            ``'iteration'``.
        extend (callable): Takes the trainer and the run's
            :class:`~train.loop.triggers.RunLength`, and adds the extensions
            that compute what there is to report.
        reports (Reports): What is reported.
        settings (dict): Those that ``reports`` names; ``'snapshot_every'``
            and ``'device'``. All that there is, is saved.
        folder (str): Where to write. What a run before left there is lost,
            unless it is this one.
        script (str): The module that goes on with the run.
        arrays (dict or None): The snapshot to go on from, as
            :func:`train.loop.snapshots.read` returns it.
        progress (bool): Whether to draw a progress bar on a terminal.
        series_folder (str or None): The folder of the series that the run is
            one of, if it is.
        communicator (chainermn.CommunicatorBase or None): That of workers who
            train together, of whom the first writes; ``None`` for one worker.

    Returns:
        int: Exit status: 0, or 128 and a signal's number. A signal that comes
        with the last iteration still stops a series.

    Raises:
        UserError: If the snapshot does not fit, or an image cannot be read.
            What was written before the first snapshot is removed again.

    """
    with Interruption() as interruption:
        is_first = workers.is_first(communicator)
        length = RunLength(
            *length, lambda: _agree(communicator, interruption))
        trainer = training.Trainer(updater, length, folder)
        extend(trainer, length)
        if is_first:
            # mpiexec gives workers a terminal whether it has one or not.
            log_report = _extend(trainer, reports, settings, length,
                                 progress and communicator is None)
        snapshot = os.path.join(folder, run_folder.SNAPSHOT)
        if arrays is not None:
            snapshots.load(snapshot, arrays, trainer)
        elif is_first:
            run_folder.clear(folder)
        is_new = not os.path.exists(folder)
        if is_first:
            run_folder.describe(folder, settings, updater.iteration,
                                reports.details)
        try:
            trainer.run(show_loop_exception_msg=False)
            is_whole = length.is_reached(trainer)
            # Before the first update the optimizer has no state to go on from.
            if not is_whole and updater.iteration and is_first:
                snapshots.save(snapshot, trainer, settings)
        except KeyboardInterrupt:
            if communicator is not None:
                # The others go on, and would wait for this worker.
                raise
            is_whole = False
        except UserError:
            if is_first and not os.path.exists(snapshot):
                _take_back(folder, is_new)
            raise
    if is_whole and (series_folder is None or interruption.signal is None):
        if is_first:
            reports.tell_result(log_report.log, folder)
        return 0
    if not is_first:
        return 128 + interruption.signal
    if os.path.exists(snapshot):
        command = shlex.join([
            *workers.launcher(communicator), 'python', '-m', script,
            '--resume', '--out', series_folder or folder])
        message = (f'stopped at iteration {updater.iteration}; to go on: '
                   f'{command}')
    else:
        message = 'stopped before there was a snapshot to go on from'
        if not updater.iteration:
            _take_back(folder, is_new)
    sys.stderr.write(f'{message}\n')
    return 128 + interruption.signal


def _take_back(folder, is_new):
    """Removes what a run wrote that cannot be gone on with."""
    run_folder.clear(folder)
    if is_new and not os.listdir(folder):
        os.rmdir(folder)


def _agree(communicator, interruption):
    """Returns the signal that any worker was sent, for all to stop at."""
    interruption.signal = next((
        signal for signal in workers.concatenated(
            communicator, [interruption.signal]) if signal), None)
    return interruption.signal


def _extend(trainer, reports, settings, length, progress):
    progress = progress and sys.stdout.isatty()
    log_trigger = Every(
        length, *(settings[name] for name in reports.log_settings))
    log_report = extensions.LogReport(
        trigger=log_trigger, filename=run_folder.LOG)
    trainer.extend(MixtureReport(run_folder.MIXTURES), trigger=log_trigger)
    trainer.extend(log_report)
    trainer.extend(ReportLines(log_report, reports.columns, progress),
                   trigger=log_trigger)
    if progress:
        trainer.extend(extensions.ProgressBar(update_interval=1))
    if importlib.util.find_spec('matplotlib') is None:
        print('no curves are drawn: matplotlib is not installed')
    else:
        trainer.extend(
            reports.curves(
                log_report, os.path.basename(os.path.abspath(trainer.out)),
                run_folder.CURVES), trigger=log_trigger)
    # Last of all, so that it saves what the others did.
    trainer.extend(
        lambda trainer: snapshots.save(
            os.path.join(trainer.out, run_folder.SNAPSHOT), trainer, settings),
        name='snapshot', priority=-100,
        trigger=Every(length, settings['snapshot_every']))
    return log_report
