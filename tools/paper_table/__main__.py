"""Prints the papers' tables beside what runs of this project found.

    python -m tools.paper_table result/mn2 result/bn2
    python -m tools.paper_table --table III --plot table3.png result/cifar
    python -m tools.paper_table cifar10-cnn-BN-2=result/half/BN-2

A result is the folder of a run of train.classifier or train.gan, of a variant
of train.compare, of a series of train.multitask, or of several of these, or a
file of tools.throughput. Its recipe says which row it is for; ROW= before it
says so of one that was made without a recipe. Runs of one row with several
seeds are averaged. What a run does otherwise than its recipe is told below the
table. Without results, the papers' tables are printed as they are.
"""

import argparse
import sys

from tools.paper_table import layout
from tools.paper_table.comparison import compare
from tools.paper_table.plot import draw
from tools.paper_table.published import TABLES
from tools.paper_table.results import read
from train import command_line
from train.command_line import UserError


def main(argv=None):
    """Prints the tables and, if asked for, draws them.

    Args:
        argv (list of str or None): The arguments; ``None`` for the process's.

    Returns:
        int: Exit status.

    """
    parser = command_line.ArgumentParser(
        prog='python -m tools.paper_table', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'results', metavar='[ROW=]RESULT', nargs='*',
        help='a run, a variant, a series, a folder of these, or a file of '
        'tools.throughput')
    parser.add_argument(
        '--table', dest='tables', metavar='TABLE', action='append',
        choices=TABLES, help='a table to print, of %(choices)s; may be given '
        'again (default: those that the results are for)')
    parser.add_argument(
        '--format', choices=('text', 'markdown'), default='text',
        help='how to print them (default: %(default)s)')
    parser.add_argument(
        '--plot', metavar='FILE',
        help='image to write, of the rows that there are results for')
    args = parser.parse_args(argv)
    return command_line.exit_status(lambda: _print(args), parser.prog)


def _print(args):
    tables = [TABLES[key] for key in args.tables or TABLES]
    runs, remarks = read(args.results, tables)
    recipes = {run.recipe for run in runs}
    if runs and not args.tables:
        tables = [table for table in tables if recipes & table.rows.keys()]
    comparisons = [(table, compare(table, runs)) for table in tables]
    if args.results and not runs:
        raise UserError(f'nothing to show: {remarks[0]}')
    if args.plot:
        try:
            draw(comparisons, args.plot)
        except ValueError as error:
            raise UserError(f'--plot: {error}')
        except ImportError:
            raise UserError('--plot needs matplotlib, which is not installed')
    as_text = {'text': layout.as_text,
               'markdown': layout.as_markdown}[args.format]
    print('\n\n'.join(as_text(*one) for one in comparisons))
    if remarks:
        print('\nNot shown:', *remarks, sep='\n- ')
    if args.plot:
        print(f'\npicture: {args.plot}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
