"""Holds fits of mixtures against scikit-learn's and extended precision.

    python -m tools.validate_gmm --synthetic
    python -m tools.validate_gmm --npy points.npy --components 4
    python -m tools.validate_gmm --run result/a --where conv3 --out result/fit

Fits mixtures of diagonal Gaussians with mixnorm and with scikit-learn to the
same points: from the same start, and from seedings of their own. Prints for
each set of points log-likelihood, BIC, differences of matched components,
time (median, by turns) and peak memory, and a verdict. The exit status is 0
where the fits from the same start agree, 1 where they do not, 2 for bad
input.
"""

import argparse
import importlib.util
import json
import os
import platform
import sys

import mixnorm
import chainer
import numpy

from tools.validate_gmm import point_sets
from train import command_line
from train import run_model
from train.command_line import UserError
from train.loop.files import write_json

RESULT = 'validate_gmm.json'

# Options that go with a kind of points only.
_DATA = '--npy', '--run'
_GOES_WITH = {
    'components': _DATA, 'points': _DATA, 'where': ('--run',),
    'part': ('--run',), 'images': ('--run',), 'format': ('--out',),
    'dims': ('--out',)}


def main(argv=None):
    """Compares as the command line says.

    Args:
        argv (list of str or None): The arguments; ``None`` for the process's.

    Returns:
        int: Exit status.

    """
    mixnorm.keep_memory()
    parser = _parser()
    args = parser.parse_args(argv)
    return command_line.exit_status(lambda: _validate(args), parser.prog)


def _parser():
    parser = command_line.ArgumentParser(
        prog='python -m tools.validate_gmm', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument_group('what to fit to').add_argument
    add('--synthetic', nargs='*', choices=point_sets.SYNTHETIC,
        metavar='SET', help='synthetic sets of rising difficulty: any of '
        '%(choices)s (default: all)')
    add('--npy', metavar='FILE', help='an array (M, C), or activations '
        '(N, C, ...) whose points are the channel vectors')
    add('--run', metavar='RUN', help="what reaches a model's normalization "
        'layers in test mode: the folder of a run of train.classifier, or '
        'the snapshot in it')
    add('--where', metavar='PATTERN', nargs='+',
        help='with --run: paths of layers, or shell patterns, as '
        'mixnorm.convert takes them (default: all)')
    add('--part', choices=('test', 'train'),
        help='with --run: which images (default: test)')
    add('--images', type=command_line.positive_int, metavar='N',
        help='with --run: how many, drawn at random (default: 512)')
    add('--points', type=command_line.positive_int, metavar='N',
        help='with --npy and --run: how many points to use at most, drawn '
        'at random (default: 16384)')
    add = parser.add_argument_group('how to fit').add_argument
    add('--components', type=command_line.positive_int, metavar='K',
        help='with --npy and --run (default: 3)')
    add('--tol', type=command_line.non_negative_float, default=1e-3,
        metavar='NATS', help='EM stops when the log-likelihood per point '
        'gains less (default: %(default)s)')
    add('--max-iter', type=command_line.positive_int, default=100,
        metavar='N', help='most iterations of EM (default: %(default)s)')
    add('--reg-covar', type=command_line.positive_float, default=1e-6,
        metavar='V', help='added to variances (default: %(default)s)')
    add('--seed', type=command_line.seed, default=0, metavar='N',
        help='of all draws (default: %(default)s)')
    add('--device', default='@numpy', help="Chainer's name of the device "
        'that mixnorm works on (default: %(default)s); scikit-learn works '
        'on the CPU')
    add = parser.add_argument_group('how to compare').add_argument
    add('--tolerance', type=command_line.positive_float, default=100.,
        metavar='ROUNDINGS', help='how many roundings of the dtype fits may '
        'differ by for each iteration (default: %(default)g)')
    add('--repeats', type=command_line.positive_int, default=5, metavar='N',
        help='how often to time a fit (default: %(default)s)')
    add('--json', action='store_true',
        help='print all figures as JSON in place of tables')
    add('--out', metavar='DIR',
        help=f'folder for all figures, {RESULT}, and a picture of each set')
    add('--format', choices=('png', 'svg', 'pdf'),
        help='with --out: of the pictures (default: png)')
    add('--dims', type=_dimension, nargs=2, metavar=('I', 'J'),
        help='with --out: the dimensions to draw (default: 0 1)')
    return parser


def _dimension(text):
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        raise argparse.ArgumentTypeError(
            f'must be an integer of at least 0, not {text!r}')
    return value


def _validate(args):
    _check_use(args)
    for module in ('sklearn', 'scipy'):
        if importlib.util.find_spec(module) is None:
            raise UserError('fits are compared with those of scikit-learn, '
                            f'and there is no {module}: pip install '
                            'scikit-learn')
    # They need scikit-learn.
    from tools.validate_gmm import report
    from tools.validate_gmm.comparison import compare
    from tools.validate_gmm.fits import Options

    device = command_line.get_device(args.device)
    options = Options(args.max_iter, args.tol, args.reg_covar, args.seed)
    dims = tuple(args.dims or (0, 1))
    sets = _point_sets(args, device)
    for point_set in sets:
        _check_dims(args.dims, point_set)
    if args.out:
        os.makedirs(args.out, exist_ok=True)
    tell = _say_nothing if args.json else print
    tell(report.preface(options, args.tolerance))
    comparisons = []
    for i, point_set in enumerate(sets, start=1):
        with _Progress(f'{point_set.name} ({i} of {len(sets)})') as progress:
            comparison = compare(point_set, options, device, args.repeats,
                                 args.tolerance, progress)
        comparisons.append(comparison)
        tell(f'\n{report.describe_set(comparison)}', flush=True)
        if args.out:
            _draw(comparison, dims, args.out, args.format or 'png', tell)
    agree = all(comparison.verdict.agree for comparison in comparisons)
    tell(f'\n{report.summary(comparisons)}')
    result = {
        'versions': _versions(), 'device': args.device,
        'options': dict(options._asdict(), roundings=args.tolerance),
        'sets': [report.as_json(comparison) for comparison in comparisons],
        'agree': agree}
    if args.out:
        path = os.path.join(args.out, RESULT)
        write_json(path, result)
        tell(f'all figures: {path}')
    if args.json:
        print(json.dumps(result, indent=2))
    return 0 if agree else 1


def _say_nothing(*args, **kwargs):
    """Stands in for print."""


def _check_use(args):
    """Raises UserError unless there is one source and its options only."""
    sources = [f'--{name}' for name in ('synthetic', 'npy', 'run')
               if getattr(args, name) is not None]
    if len(sources) != 1:
        raise UserError(
            'give one of --synthetic, --npy and --run'
            + (f", not {' and '.join(sources)}" if sources else ''))
    given = sources + (['--out'] if args.out else [])
    for name, hosts in _GOES_WITH.items():
        if getattr(args, name) is not None and not set(hosts) & set(given):
            raise UserError(f"--{name} goes with {' or '.join(hosts)}")


def _point_sets(args, device):
    n_components, n_points = args.components or 3, args.points or 16384
    if args.synthetic is not None:
        return [point_sets.synthetic(name, args.seed)
                for name in args.synthetic or point_sets.SYNTHETIC]
    if args.npy:
        return [point_sets.from_file(
            args.npy, n_components, n_points, args.seed)]
    run = run_model.load_run(args.run)
    links = run_model.find_layers(run.model, args.where)
    images = getattr(run, args.part or 'test').images
    chosen = numpy.random.RandomState(args.seed).permutation(
        len(images))[:args.images or 512]
    run.model.to_device(device)
    inputs = run_model.layer_inputs(run.model, links, (
        images[chosen[i:i + run.settings['batch_size']]]
        for i in range(0, len(chosen), run.settings['batch_size'])))
    cpu = chainer.get_device('@numpy')
    return [point_sets.from_layer(
        path, [cpu.send(x) for x in arrays], n_components, n_points,
        args.seed) for path, arrays in inputs.items()]


def _check_dims(dims, point_set):
    n_dims = point_set.points.shape[1]
    if dims and (max(dims) >= n_dims or dims[0] == dims[1]):
        raise UserError(
            f"--dims {dims[0]} {dims[1]} must be two different dimensions of "
            f'{point_set.name}, whose last is {n_dims - 1}')


def _draw(comparison, dims, folder, file_format, tell):
    name = comparison.points.name
    if comparison.points.points.shape[1] < 2:
        tell(f'no picture: {name} has one dimension')
    elif importlib.util.find_spec('matplotlib') is None:
        tell('no picture: matplotlib is not installed')
    else:
        from tools.validate_gmm.plot import draw
        path = os.path.join(
            folder, f"{name.replace('/', '-')}.{file_format}")
        draw(comparison, list(dims), path, file_format)
        tell(f'picture: {path}')


def _versions():
    import scipy
    import sklearn
    return {'python': platform.python_version(), 'numpy': numpy.__version__,
            'scipy': scipy.__version__, 'scikit-learn': sklearn.__version__,
            'mixnorm': mixnorm.__version__}


class _Progress:

    """A line on a terminal that says what goes on, and then goes.

    Args:
        title (str): What the line begins with.

    """

    def __init__(self, title):
        self._title = title

    def __enter__(self):
        return self._show

    def __exit__(self, *_):
        self._write('')

    def _show(self, text):
        self._write(f'{self._title}: {text}')

    def _write(self, line):
        if sys.stderr.isatty():
            # Goes to the start, writes, and clears the rest of the line.
            sys.stderr.write(f'\r{line}\x1b[K')
            sys.stderr.flush()


if __name__ == '__main__':
    sys.exit(main())
