"""Command line arguments that the training scripts share."""

from train import command_line
from train import optimizers


def add_optimization_arguments(parser):
    """Adds how to train: optimizer, schedule, batches, length."""
    group = parser.add_argument_group('training')
    group.add_argument(
        '--optimizer', choices=optimizers.NAMES,
        help='rmsprop has alpha 0.9, rmsprop-graves and nesterov have '
        'momentum 0.9 (default: rmsprop)')
    group.add_argument(
        '--lr', type=command_line.positive_float, metavar='RATE',
        help='learning rate of the first epoch (default: 0.003 for rmsprop, '
        '0.001 for rmsprop-graves and adam, 0.01 for nesterov, 0.05 for sgd)')
    group.add_argument(
        '--weight-decay', type=command_line.non_negative_float,
        metavar='RATE', help='of all parameters (default: 0)')
    group.add_argument(
        '--decay', type=command_line.factor, metavar='FACTOR',
        help='factor of the learning rate at each decay, 1 for none (default: '
        'as the data set needs)')
    when = group.add_mutually_exclusive_group()
    when.add_argument(
        '--decay-every', type=command_line.positive_int, metavar='EPOCHS',
        help='decay the learning rate after each so many epochs')
    when.add_argument(
        '--decay-at', type=command_line.positive_int, nargs='+',
        metavar='EPOCH', help='decay the learning rate after these epochs')
    group.add_argument(
        '--batch-size', type=command_line.positive_int, metavar='N',
        help='images in a batch (default: as the data set needs)')
    length = group.add_mutually_exclusive_group()
    length.add_argument(
        '--epoch', type=command_line.positive_int, metavar='N',
        help='length of the run in epochs (default: as the data set needs)')
    length.add_argument(
        '--iterations', type=command_line.positive_int, metavar='N',
        help='length of the run in iterations')


def add_run_arguments(parser, is_series=False):
    """Adds where and how to run: folder, device, seed, reports.

    Args:
        parser (argparse.ArgumentParser): What they are added to.
        is_series (bool): Whether there is a run for each of several seeds.

    """
    group = parser.add_argument_group('run')
    group.add_argument(
        '--out', metavar='FOLDER', default='result',
        help='folder that the run writes to (default: result)')
    start = group.add_mutually_exclusive_group()
    start.add_argument(
        '--resume', action='store_true', default=False,
        help='go on with the series in --out, with its settings; --seeds '
        'may add runs' if is_series else 'go on with the run in --out, with '
        'its settings; --epoch or --iterations may lengthen it')
    start.add_argument(
        '--overwrite', action='store_true', default=False,
        help='start anew in place of a run that --out holds')
    of_what = ('weights, order and augmentation of the images, seeding of '
               'mixtures')
    if is_series:
        group.add_argument(
            '--seeds', type=command_line.seed, nargs='+', metavar='N',
            help='a run for each, the seed of all its random numbers: '
                 f'{of_what} (default: 0)')
    else:
        group.add_argument(
            '--seed', type=command_line.seed, metavar='N',
            help=f'of all random numbers: {of_what} (default: 0)')
    group.add_argument(
        '--device', metavar='DEVICE',
        help="Chainer's name for a device, such as @numpy or @cupy:0 "
        '(default: @numpy)')
    for name, what in (
            ('log', 'a line of the log; each test makes one as well'),
            ('test', 'a test on the whole test set'),
            ('snapshot', 'a snapshot')):
        group.add_argument(
            f'--{name}-every', type=command_line.positive_int,
            metavar='ITERATIONS', help='iterations from one to the next of '
                                       f'{what} (default: an epoch)')
    group.add_argument(
        '--no-progress', action='store_false', dest='progress', default=True,
        help='draw no progress bar; there is none outside a terminal either')
