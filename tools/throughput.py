"""Measures iterations per second of whole training steps, as table VII does.

    python -m tools.throughput [--device @cupy:0] [--out result/table7.json]
    python -m tools.throughput throughput-20-64-BN throughput-20-64-MN-3

A recipe is one of train.classifier's; without any, those of table VII of the
mixture normalization paper are measured. Each network is trained on random
images as its recipe says, forward, backward and update, by turns with the same
network with batch normalization. The ratio to it is the median over the turns;
above 1 is faster.
"""
import argparse
import json
import os
import statistics
import sys

# Sets the time that OpenBLAS's threads wait, so it comes before NumPy.
import train  # NOQA
import mixnorm
import numpy

from tools.benchmark.harness import measure
from tools.benchmark.machine import describe
from train import classifier
from train import command_line
from train.command_line import positive_int, UserError
from train.data import datasets
from train.data.batches import BatchIterator
from train.loop import files
from train.loop.run import make_updater
from train.normalizers import normalizer_settings
from train.text_table import text_table


def main(argv=None):
    """Measures as the command line says.

    Args:
        argv (list of str or None): The arguments; ``None`` for the process's.

    Returns:
        int: Exit status.

    """
    mixnorm.keep_memory()
    parser = command_line.ArgumentParser(
        prog='python -m tools.throughput', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('recipes', nargs='*', metavar='RECIPE',
                        help='what to measure (default: all of table VII)')
    parser.add_argument('--device', default='@numpy',
                        help="Chainer's name of a device (default: @numpy)")
    parser.add_argument('--turns', type=positive_int, default=20, metavar='N',
                        help='how often each network has its turn (default: '
                        '%(default)s)')
    parser.add_argument('--steps', type=positive_int, metavar='N',
                        help='training steps in a turn; a GPU is waited for '
                        'before and after them only (default: 1 on a CPU, 10 '
                        'on a GPU)')
    parser.add_argument('--out', metavar='FILE',
                        help='file to write to as well, as JSON')
    args = parser.parse_args(argv)
    return command_line.exit_status(lambda: _run(args), parser.prog)


def _run(args):
    recipes = args.recipes or [
        name for name in classifier.SETTINGS.recipes
        if name.startswith('throughput-')]
    for name in recipes:
        if name not in classifier.SETTINGS.recipes:
            raise UserError(f'there is no recipe {name!r}: python -m '
                            'train.classifier --list-recipes prints them')
    device = command_line.get_device(args.device)
    n_steps = args.steps or (1 if device.xp is numpy else 10)
    if args.out:
        os.makedirs(os.path.dirname(args.out) or '.', exist_ok=True)
        if os.path.isdir(args.out):
            raise UserError(f'--out {args.out} is a folder: name a file')
    # The operators that train.classifier would train with here.
    use_ideep = classifier.SETTINGS.complete({})['use_ideep']
    command_line.use_ideep(use_ideep)
    machine = {**describe(device), 'use_ideep': use_ideep}
    print(', '.join(f'{key} {value}' for key, value in machine.items()))
    rows = []
    for networks in group_by_baseline(recipes):
        rows += compare(networks, device, args.turns, n_steps)
        if args.out:
            files.write_json(args.out, {
                'table': 'VII', 'rows': rows, 'machine': machine})
    print(_table(rows))
    if args.out:
        print(f'all of it: {args.out}')
    return 0


def _table(rows):
    lines = [('recipe', 'iterations/s', 'ratio', 'quartiles')]
    for row in rows:
        low, high = row['quartiles']
        lines.append((
            row['recipe'], f"{row['iterations_per_second']:.3g}",
            f"{row['ratio']:.3f}", f'{low:.3f} to {high:.3f}'))
    return text_table(lines)


def group_by_baseline(recipes):
    """Puts recipes together that differ by their normalizers alone.

    Args:
        recipes (list of str): Names of recipes.

    Returns:
        list of dict: Of each group, the settings by name; ``None`` is the
        name of those with batch normalization everywhere, which come first.

    """
    groups = {}
    for name in recipes:
        settings = classifier.SETTINGS.complete({'recipe': name})
        baseline = dict(settings, recipe=None, **{
            setting.name: setting.default
            for setting in normalizer_settings('')})
        group = groups.setdefault(
            json.dumps(baseline, sort_keys=True), {None: baseline})
        group[name] = settings
    return list(groups.values())


def compare(networks, device, n_turns, n_steps):
    """Measures the networks of a group by turns.

    Args:
        networks (dict): A group of :func:`group_by_baseline`.
        device (chainer.backend.Device): Where.
        n_turns (int): How often each has its turn.
        n_steps (int): How many steps a turn has.

    Returns:
        list of dict: For each recipe ``'recipe'``, its name;
        ``'iterations_per_second'``, of the median turn; ``'ratio'`` to batch
        normalization and its ``'quartiles'``, of the turns; and ``'turns'``
        and ``'steps'``.

    """
    turns = {}
    for name, settings in networks.items():
        if name is None or settings['normalizer'] != 'batch':
            turns[name] = _turn(settings, device, n_steps)
            # Sizes are inferred and kernels compiled in the first steps.
            turns[name]()
            turns[name]()
    seconds = {name: [] for name in turns}
    for i in range(n_turns):
        for name, turn in turns.items():
            _show(f'turn {i + 1} of {n_turns}: {name or "the baseline"}')
            seconds[name].append(measure(turn, device)[0])
    _show('')
    rows = []
    for name in networks:
        if name is not None:
            # A recipe with batch normalization is the baseline itself.
            own = seconds.get(name, seconds[None])
            low, ratio, high = numpy.percentile(
                numpy.divide(seconds[None], own), [25, 50, 75]).tolist()
            rows.append({
                'recipe': name, 'iterations_per_second':
                n_steps / statistics.median(own), 'ratio': ratio,
                'quartiles': [low, high], 'turns': n_turns, 'steps': n_steps})
    return rows


def _turn(settings, device, n_steps):
    """Returns a function that trains a network for some steps."""
    if settings['dataset'] == 'images':
        shape = (3,) + 2 * (settings['image_size'],)
        # As many as ImageNet has.
        settings = dict(settings, image_set={'classes': 1000})
    else:
        shape = datasets.image_shape(settings['dataset'])
    n_classes = classifier.n_classes(settings)
    batch_size = settings['batch_size']
    random = numpy.random.RandomState(0)
    images = random.normal(size=(batch_size,) + shape).astype(numpy.float32)
    labels = random.randint(n_classes, size=batch_size).astype(numpy.int32)
    updater = make_updater(
        classifier.make_untrained(settings, shape),
        BatchIterator(images, labels, batch_size, random), settings, device)

    def turn():
        for _ in range(n_steps):
            updater.update()
    return turn


def _show(text):
    """Shows on a terminal, in one line, how far it is."""
    if sys.stderr.isatty():
        sys.stderr.write(f'\r\033[K{text}')
        sys.stderr.flush()


if __name__ == '__main__':
    sys.exit(main())
