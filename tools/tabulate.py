"""Tabulates training runs, variants or series of them, side by side.

    python -m tools.tabulate result/bn2 result/mn2
    python -m tools.tabulate result/digits/batch result/digits/mixture
    python -m tools.tabulate result/batch result/mode

Of runs of train.classifier it prints the best test accuracy up to the end of
each quarter, as the mixture normalization paper does, the last, and the steps
(iterations) it took to reach the best of the first run, and draws their
curves. Of runs with --recalibrate it prints the best and the last after
recalibration, too.

Of variants of train.compare, folders that hold seed-N/log, it prints mean and
sample standard deviation of these accuracies over the runs that have ended.
Between runs of the same seed it compares each variant with the first: by the
differences of the best and last accuracies and of the training loss, and by
the steps to reach the best of the first. It draws mean curves.

Of series of train.multitask it prints the mean and the sample standard
deviation, over the runs that have ended, of the best test error, as the mode
normalization paper does, of the last, and of the last on each set.
"""

import argparse
import os
import sys

from mixnorm.extensions import draw_curves
from tools import variants
from train import command_line
from train.command_line import UserError
from train.loop import run_folder
from train.loop import series
from train.run_log import (
    check_ended, names_of, read_log, RECALIBRATED, summarize, UnderWay)
from train.text_table import text_table


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


def _read(folder):
    """Returns a run's log, and a list of a line if it has not ended."""
    log = read_log(folder)
    try:
        check_ended(folder, log)
    except UnderWay as error:
        return log, [str(error)]
    return log, []


def _in_digits(accuracy):
    return None if accuracy is None else f'{accuracy:.4f}'


def main(argv=None):
    """Prints the table and, of runs or variants, draws the curves.

    Args:
        argv (list of str or None): The arguments; ``None`` for the process's.

    Returns:
        int: Exit status.

    """
    parser = command_line.ArgumentParser(
        prog='python -m tools.tabulate', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', metavar='RUN', nargs='+',
                        help='folder of a training run, a variant or a series')
    parser.add_argument(
        '--plot', metavar='FILE', help='image of the curves to write '
        '(default: curves.png in the folder that the first is in)')
    args = parser.parse_args(argv)
    return command_line.exit_status(lambda: _tabulate(args), parser.prog)


def _tabulate(args):
    if any(os.path.exists(os.path.join(run, series.DESCRIPTION))
           for run in args.runs):
        if args.plot:
            raise UserError('--plot draws the curves of runs, not of series')
        print(series.table(args.runs))
        return 0
    folders = [os.path.normpath(run) for run in args.runs]
    for folder in folders:
        held = variants.variants_in(folder)
        if held and not os.path.exists(os.path.join(folder, run_folder.LOG)):
            raise UserError(f'{folder} holds no training run but variants: '
                            f"name those to compare, {' '.join(held)}")
    if any(map(variants.is_variant, folders)):
        read, as_table, draw = variants.read, variants.table, variants.draw
    else:
        read, as_table, draw = _read, table, draw_curves
    found, lines = {}, []
    for name, folder in zip(names_of(folders), folders):
        found[name], under_way = read(folder)
        lines += under_way
    print(as_table(found), *lines, sep='\n')
    plot = args.plot or os.path.normpath(
        os.path.join(folders[0], os.pardir, run_folder.CURVES))
    try:
        draw(found, plot)
    except ValueError as error:
        raise UserError(f'--plot: {error}')
    except ImportError:
        print('no curves are drawn: matplotlib is not installed')
    else:
        print(f'curves side by side: {plot}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
