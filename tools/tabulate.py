"""Tabulates training runs, or series of runs, side by side.

    python -m tools.tabulate result/digits-batch result/digits-mixture
    python -m tools.tabulate result/batch result/mode

Of runs of train.classifier it prints the best test accuracy up to the end of
each quarter, as the mixture normalization paper does, the last, and the steps
(iterations) it took to reach the best of the first run, and draws their
curves. Of runs with --recalibrate it prints the best and the last after
recalibration, too.

Of series of train.multitask it prints the mean and the sample standard
deviation of the test error, of all images and of each set's, over the runs
that have ended.
"""

import argparse
import json
import math
import os
import sys

from mixnorm.extensions import draw_curves
from train import command_line
from train.command_line import UserError
from train.loop import run_folder
from train.loop import series
from train.text_table import text_table


ACCURACY = 'validation/main/accuracy'
RECALIBRATED = f'recalibrated/{ACCURACY}'


def read_log(folder):
    """Reads the log of a run.

    Args:
        folder (str): The run's folder.

    Returns:
        list of dict: The log's entries, in the order of iterations.

    Raises:
        UserError: If the folder holds no log with a test in it.

    """
    path = os.path.join(folder, run_folder.LOG)
    if not os.path.exists(path):
        raise UserError(f'{folder} holds no training run: there is no {path}')
    try:
        with open(path) as file:
            log = json.load(file)
        has_tests = [ACCURACY in entry and math.isfinite(entry[ACCURACY])
                     for entry in log if entry['iteration'] > 0]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise UserError(f'{path} is not the log of a training run')
    if not any(has_tests):
        raise UserError(f'{path} has no test accuracy yet')
    return log


def names_of(folders):
    """Names runs by their folders.

    Args:
        folders (list of str): The runs' folders.

    Returns:
        list of str: The folders' last parts, or all of them where these are
        the same.

    """
    names = [os.path.basename(os.path.abspath(folder)) for folder in folders]
    return folders if len(set(names)) < len(names) else names


def summarize(log, target=None):
    """Returns the figures of one run.

    Args:
        log (list of dict): The run's log.
        target (float or None): An accuracy to reach; ``None`` for the run's
            own best.

    Returns:
        dict: ``'steps'``, the run's length; ``'quarters'``, the best
        accuracies up to the end of each quarter, ``None`` where there was no
        test yet; ``'last'``, that of the last test; ``'best'``;
        ``'steps_to_target'``, the step of the first test that reached the
        target, ``None`` if none did; and ``'recalibrated'``, the best and the
        last accuracy after recalibration, ``None`` twice without one.

    """
    tests = [(entry['iteration'], entry[ACCURACY])
             for entry in log if ACCURACY in entry]
    recalibrated = [entry[RECALIBRATED]
                    for entry in log if RECALIBRATED in entry]
    steps = log[-1]['iteration']
    best = max(accuracy for _, accuracy in tests)
    if target is None:
        target = best
    return {
        'steps': steps,
        'quarters': [
            max((accuracy for step, accuracy in tests
                 if 4 * step <= quarter * steps), default=None)
            for quarter in (1, 2, 3, 4)],
        'last': tests[-1][1],
        'best': best,
        'steps_to_target': next(
            (step for step, accuracy in tests if accuracy >= target), None),
        'recalibrated': (max(recalibrated), recalibrated[-1])
        if recalibrated else (None, None)}


def table(logs):
    """Returns the table of several runs as text.

    Args:
        logs (dict): Maps the runs' names to their logs.

    Returns:
        str: What it shows, a line of titles and a line for each run.

    """
    target = summarize(next(iter(logs.values())))['best']
    any_recalibrated = any(
        RECALIBRATED in entry for log in logs.values() for entry in log)
    rows = [['run', 'steps', '1/4', '2/4', '3/4', '4/4', 'last',
             'steps to best']]
    if any_recalibrated:
        rows[0] += ['recalibrated 4/4', 'last']
    for name, log in logs.items():
        summary = summarize(log, target)
        rows.append([
            name, summary['steps'],
            *map(_in_digits, [*summary['quarters'], summary['last']]),
            summary['steps_to_target'] or 'not reached'])
        if any_recalibrated:
            rows[-1] += map(_in_digits, summary['recalibrated'])
    return (
        'Best test accuracy up to each quarter of the run, the last, and the '
        f'steps to reach\nthe best of {next(iter(logs))} ({target:.4f}):\n\n'
        f'{text_table(rows)}')


def _in_digits(accuracy):
    return None if accuracy is None else f'{accuracy:.4f}'


def main(argv=None):
    """Prints the table and, of runs, draws the curves.

    Args:
        argv (list of str or None): The arguments; ``None`` for the process's.

    Returns:
        int: Exit status.

    """
    parser = command_line.ArgumentParser(
        prog='tabulate.py', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', metavar='RUN', nargs='+',
                        help='folder of a training run or of a series')
    parser.add_argument(
        '--plot', metavar='FILE', help="image of the runs' curves to write "
        '(default: curves.png in the folder that the first run is in)')
    args = parser.parse_args(argv)
    return command_line.exit_status(lambda: _tabulate(args), 'tabulate.py')


def _tabulate(args):
    if any(os.path.exists(os.path.join(run, series.DESCRIPTION))
           for run in args.runs):
        if args.plot:
            raise UserError('--plot draws the curves of runs, not of series')
        print(series.table(args.runs))
        return 0
    folders = [os.path.normpath(run) for run in args.runs]
    logs = dict(zip(names_of(folders), map(read_log, folders)))
    print(table(logs))
    plot = args.plot or os.path.normpath(
        os.path.join(folders[0], os.pardir, run_folder.CURVES))
    try:
        draw_curves(logs, plot)
    except ValueError as error:
        raise UserError(f'--plot: {error}')
    except ImportError:
        print('no curves are drawn: matplotlib is not installed')
    else:
        print(f'curves side by side: {plot}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
