"""Shows what the mixtures and modes of a run of train.classifier found.

    python -m tools.inspect summary result/digits/mixture/seed-0
    python -m tools.inspect samples result/digits/mixture/seed-0 --where conv3
    python -m tools.inspect report --out result/digits \\
        result/digits/batch/seed-0 result/digits/mixture/seed-0

A run is its folder, or the snapshot in it. What a layer makes of images is
measured on the first test images, in test mode.
"""

import argparse
import importlib.util
import json
import os
import sys

import mixnorm
from tools.inspect import pictures
from tools.inspect import summary
from tools.inspect.layers import (
    read_layers, record_file, recorded_paths, with_posterior)
from train import command_line
from train.command_line import positive_int, UserError
from train.run_model import load_run

_HELP = {
    'summary': 'a table of the layers, and warnings',
    'densities': 'channels before and after normalization (figure 1 of the '
    'mixture normalization paper)',
    'components': 'components over training (its figure 8)',
    'effective': 'number of components over training (its figure 9)',
    'samples': 'the images of each component (figure 2 of the mode '
    'normalization paper), and the classes',
    'maps': 'where in an image each component lives',
    'report': 'all of it, of several runs, on one page'}


def main(argv=None):
    """Shows what the command line asks for.

    Args:
        argv (list of str or None): The arguments; ``None`` for the process's.

    Returns:
        int: Exit status.

    """
    parser = _parser()
    args = parser.parse_args(argv)
    mixnorm.keep_memory()
    return command_line.exit_status(lambda: _run(args), parser.prog)


def _parser():
    parser = command_line.ArgumentParser(
        prog='python -m tools.inspect', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(
        dest='command', required=True, metavar='SUBCOMMAND',
        parser_class=command_line.ArgumentParser)
    for name, text in _HELP.items():
        _add_arguments(name, commands.add_parser(
            name, help=text, description=f'Shows {text}.'))
    return parser


def _add_arguments(name, command):
    if name == 'report':
        command.add_argument('runs', metavar='RUN', nargs='+',
                             help="a run's folder, or its snapshot")
    else:
        command.add_argument('run', metavar='RUN',
                             help='its folder, or its snapshot')
    command.add_argument(
        '--where', metavar='PATTERN', nargs='+', help='layers to show: paths '
        'or shell patterns, as mixnorm.convert takes them (default: all)')
    if name != 'effective':
        command.add_argument(
            '--images', metavar='N', type=positive_int, default=1000,
            help='test images to use, from the first (default: 1000)')
    if name in ('densities', 'components'):
        command.add_argument(
            '--channels', metavar='C', type=int, nargs='+',
            help='numbers of the channels to show (default: four, evenly '
            'among all)')
    if name == 'components':
        command.add_argument(
            '--at', metavar='SHARE', type=float, nargs='+',
            default=pictures.MOMENTS, help='moments, as shares of training '
            '(default: 0.2 0.4 0.6 0.8 1)')
        command.add_argument(
            '--animate', action='store_true',
            help='write a GIF of all that was recorded instead')
    if name not in ('summary', 'report'):
        command.add_argument(
            '--format', choices=('png', 'svg', 'pdf'), default='png',
            help='of the pictures (default: png)')
    if name == 'report':
        command.add_argument(
            '--out', metavar='DIR', help='folder to write report.html to '
            '(default: the one that the first run is in)')
    elif name != 'summary':
        command.add_argument(
            '--out', metavar='DIR', help='folder to write pictures to '
            "(default: inspect in the run's folder)")
    command.add_argument(
        '--json', action='store_true',
        help='print the figures behind it as JSON')


def _run(args):
    if args.command != 'summary' and (
            importlib.util.find_spec('matplotlib') is None):
        raise UserError(f'{args.command} draws with matplotlib, which is not '
                        'installed: pip install matplotlib')
    if args.command == 'summary':
        rows = summary.summarize(read_layers(
            load_run(args.run), args.where, args.images))
        print(json.dumps(rows, indent=2) if args.json
              else summary.as_text(rows))
        return 0
    # After the check that matplotlib is there.
    from tools.inspect import drawing
    if args.command == 'report':
        from tools.inspect import report
        return report.write(args.runs, args.where, args.images, args.out,
                            args.json)
    displays = _DISPLAYS[args.command](args)
    folder = args.out or os.path.join(
        args.run if os.path.isdir(args.run) else os.path.dirname(args.run),
        'inspect')
    if getattr(args, 'animate', False):
        files = drawing.write_animations(displays, folder)
    else:
        files = drawing.write(displays, folder, args.format)
    if args.json:
        print(json.dumps({
            'files': files,
            'figures': {name: pictures.figures(display)
                        for name, display in displays.items()}}, indent=2))
    else:
        print('\n'.join(files))
    return 0


def _densities(args):
    layers = _layers(args)[1]
    return _named('densities', pictures.densities(layers, args.channels))


def _components(args):
    file = record_file(args.run)
    recorded = recorded_paths(file, args.where)
    layers = _layers(args)[1]
    return _named('components', pictures.components(
        layers, file, recorded,
        [i / 60 for i in range(61)] if args.animate else args.at,
        args.channels))


def _effective(args):
    file = record_file(args.run)
    return {'effective': pictures.effective(
        file, recorded_paths(file, args.where))}


def _samples(args):
    run, layers = _layers(args)
    return {
        **_named('samples', pictures.samples(layers, run.test)),
        **_named('classes', pictures.classes(
            layers, run.test, run.settings))}


def _maps(args):
    run, layers = _layers(args)
    return _named('maps', pictures.maps(layers, run.test))


def _layers(args):
    run = load_run(args.run)
    return run, with_posterior(read_layers(run, args.where, args.images))


def _named(kind, displays):
    """Names displays as their files are named."""
    if not displays:
        raise UserError(f'none of these layers has {kind} to show; mixture '
                        'normalization has all that there is')
    return {f"{kind}-{path.strip('/').replace('/', '-')}": display
            for path, display in displays.items()}


_DISPLAYS = {'densities': _densities, 'components': _components,
             'effective': _effective, 'samples': _samples, 'maps': _maps}


if __name__ == '__main__':
    sys.exit(main())
