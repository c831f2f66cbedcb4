"""Measures what mixture normalization and mode normalization cost.

    python -m tools.benchmark [--device @cupy:0] [--only layer fit ...]

Prints ratios, never bare times: the two sides of a ratio are measured by
turns, and the ratio is the median over the pairs. Beside it stands how many
pages of memory the system gave each side in a call. Writes all of them as
JSON, with the machine, the versions and the thread counts, and a plot of how
time grows.
"""
import argparse
import os
import sys

import mixnorm
import sklearn

from tools.benchmark import cases
from tools.benchmark.growth import measure_growth
from tools.benchmark.harness import Benchmark
from tools.benchmark.machine import describe
from tools.benchmark.plot import draw_growth
from train import command_line
from train.loop import files

SECTIONS = {
    'layer': cases.compare_layer,
    'modes': cases.compare_modes,
    'inference': cases.compare_inference,
    'output': cases.compare_output,
    'host': cases.compare_host,
    'fit': cases.compare_fit,
    'network': cases.compare_network,
    'growth': measure_growth,
}


def main(argv=None):
    """Measures as the command line says.

    Args:
        argv (list of str or None): The arguments; ``None`` for the process's.

    Returns:
        int: Exit status.

    """
    mixnorm.keep_memory()
    parser = command_line.ArgumentParser(
        prog='python -m tools.benchmark', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', default='@numpy',
                        help="Chainer's name of a device (default: @numpy)")
    parser.add_argument('--only', nargs='+', choices=SECTIONS,
                        default=list(SECTIONS), metavar='SECTION',
                        help='any of %(choices)s (default: all)')
    parser.add_argument('--seconds', type=command_line.positive_float,
                        default=2., metavar='S',
                        help='how long to measure a pair (default: 2)')
    parser.add_argument('--out', default='result/benchmark',
                        help='folder to write to (default: %(default)s)')
    args = parser.parse_args(argv)
    return command_line.exit_status(lambda: run(args), parser.prog)


def run(args):
    """Measures and writes what parsed arguments ask for."""
    device = command_line.get_device(args.device)
    os.makedirs(args.out, exist_ok=True)
    benchmark = Benchmark(device, args.seconds)
    result = {**describe(device), 'scikit-learn': sklearn.__version__}
    print(', '.join(f'{key} {value}' for key, value in result.items()))
    benchmark.print_header()
    for section in args.only:
        SECTIONS[section](benchmark)
    result.update(rows=benchmark.rows, growth=benchmark.growth)
    path = os.path.join(args.out, 'benchmark.json')
    files.write_json(path, result)
    print(f'all of it: {path}')
    if benchmark.growth:
        plot = os.path.join(args.out, 'growth.png')
        draw_growth(benchmark.growth, plot)
        print(f'growth: {plot}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
