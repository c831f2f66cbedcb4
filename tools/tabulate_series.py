"""Tabulates series of runs: test errors over the runs' seeds.

    python tools/tabulate_series.py result/batch result/mode

Prints for every series the mean and the sample standard deviation of the test
error, of all images and of each set's, over the runs that have ended.
"""

import argparse
import os
import sys

if __name__ == '__main__':
    # Started as a script, it finds only its own folder by itself.
    sys.path.insert(0, os.path.dirname(os.path.dirname(
        os.path.abspath(__file__))))

from train import command_line
from train import series


def main(argv=None):
    """Prints the table.

    Args:
        argv (list of str or None): The arguments; ``None`` for the process's.

    Returns:
        int: Exit status.

    """
    parser = command_line.ArgumentParser(
        prog='tabulate_series.py', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('series', metavar='SERIES', nargs='+',
                        help='folder of a series')
    args = parser.parse_args(argv)
    return command_line.exit_status(
        lambda: _tabulate(args), 'tabulate_series.py')


def _tabulate(args):
    print(series.table(args.series))
    return 0


if __name__ == '__main__':
    sys.exit(main())
