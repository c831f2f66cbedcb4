"""What matters about the fit of mixture normalization, on CIFAR-10.

    python -m train.experiments.fit_study --out result/fit-study

The five-layer network with batch normalization in all layers, and with mixture
normalization in one of them, at two learning rates: that of the paper's MN-2
and the large one of its MN-4. The fit is varied one factor at a time, about a
warm-started fit with the paper's K = 3 and EM iter. 2. A run has seeds of its
own for weights, order and augmentation, the same in all variants, so that
variants are compared seed by seed.

The same command goes on with what was stopped; --report only writes the tables
(report.txt, report.json) and the picture (report.png) of what is there. For
other sizes, give arguments of train.classifier as --all '--train-size 10000'.
"""

import argparse
import os
import sys

import mixnorm
import chainer.links as L
import numpy

from mixnorm.files import replacing
from train import command_line
from train import compare
from train.command_line import UserError
from train.experiments import measures
from train.loop import files
from train.loop import series
from train.loop.evaluation import Evaluation
from train.run_log import (
    ACCURACY, median_steps, read_log, summarize)
from train.run_model import load_run
from train.student_t import mean_and_interval
from train.text_table import text_table


COMMON = ('--dataset cifar10 --train-size 5000 --widths 16 32 32 64 '
          '--batch-size 64 --decay .72 --decay-every 1 --weight-decay 2e-5 '
          '--epoch 10')

RATES = '.01', '.05'

_CONV3 = '--normalizer mixture --at conv3'
_WARM = f'{_CONV3} --normalizer-options warm_start=True'

# At both rates.
VARIANTS = {
    'batch': '',
    'mixture': _CONV3,
    'warm': _WARM,
    'warm-component': f'{_WARM} affine=component',
    'warm-inside': f'{_WARM} affine=inside',
    'mixture-em8': f'{_CONV3} --em-iterations 8',
    'warm-em8': f'{_WARM} --em-iterations 8',
    'warm-conv2': _WARM.replace('conv3', 'conv2'),
    'mixture-conv2': _CONV3.replace('conv3', 'conv2'),
}

# With --more.
MORE = {
    'warm-k5': f'{_WARM} --components 5',
    'warm-k8': f'{_WARM} --components 8',
    'warm-all-points': f'{_WARM} sample_ratio=1',
    'warm-activation': f'{_WARM} activation=relu',
    'warm-queue1': f'{_WARM} queue_size=1',
    'batch-batch256': '--batch-size 256',
    'warm-batch256': f'{_WARM} --batch-size 256',
}

# What is changed, and the variants with it and without.
EFFECTS = [
    ('mixture for batch normalization', 'mixture', 'batch'),
    ('warm mixture for batch normalization', 'warm', 'batch'),
    ('warm, gamma and beta by component, for batch n.', 'warm-component',
     'batch'),
    ('warm, at conv2, for batch normalization', 'warm-conv2', 'batch'),
    ('warm start', 'warm', 'mixture'),
    ('warm start, EM iter. 8', 'warm-em8', 'mixture-em8'),
    ('warm start, at conv2', 'warm-conv2', 'mixture-conv2'),
    ('EM iter. 8 for 2', 'mixture-em8', 'mixture'),
    ('EM iter. 8 for 2, warm', 'warm-em8', 'warm'),
    ('gamma and beta by component, warm', 'warm-component', 'warm'),
    ('gamma and beta inside, warm', 'warm-inside', 'warm'),
    ('conv2 for conv3', 'mixture-conv2', 'mixture'),
    ('conv2 for conv3, warm', 'warm-conv2', 'warm'),
    ('K = 5 for 3, warm', 'warm-k5', 'warm'),
    ('K = 8 for 3, warm', 'warm-k8', 'warm'),
    ('all points for a quarter, warm', 'warm-all-points', 'warm'),
    ('activation inside, warm', 'warm-activation', 'warm'),
    ('queue of 1 for 10, warm', 'warm-queue1', 'warm'),
    ('warm mixture for batch norm., batches of 256', 'warm-batch256',
     'batch-batch256'),
]

# Key of a run's figures, title, factor to print by, digits.
FIGURES = [
    ('loss', 'training loss', 1, 3),
    ('best', 'best test, %', 100, 1),
    ('last', 'last test, %', 100, 1),
    ('recalibrated', 'recalibrated, %', 100, 1),
    ('own_statistics', 'own statistics, %', 100, 1),
    ('noise', 'output noise', 1, 3),
]

_N_RECALIBRATION_BATCHES = 50
_N_NOISE_BATCHES = 16
_NOISE_BATCH_SIZE = 256


def main(argv=None):
    """Runs the study, or what is left of it, and reports.

    Args:
        argv (list of str or None): The arguments; ``None`` for the process's.

    Returns:
        int: Exit status.

    """
    parser = command_line.ArgumentParser(
        prog='python -m train.experiments.fit_study', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--out', metavar='FOLDER', default='result/fit-study',
        type=command_line.folder,
        help='folder of the study (default: %(default)s)')
    parser.add_argument(
        '--all', metavar='ARGUMENTS', default='', dest='common',
        help=f'arguments of train.classifier, after {COMMON}')
    parser.add_argument(
        '--more', action='store_true',
        help='more factors, at the smaller rate: components, share of points, '
        'activation inside, queue, batch size')
    parser.add_argument(
        '--only', metavar='VARIANT', nargs='+', choices=[*VARIANTS, *MORE],
        help=f"these variants only: any of {', '.join([*VARIANTS, *MORE])}")
    parser.add_argument('--report', action='store_true',
                        help='run nothing, report what is there')
    compare.add_arguments(parser)
    args = parser.parse_args(argv)
    return command_line.exit_status(lambda: _study(args), parser.prog)


def _study(args):
    variants = {f'{name}-{rate}': f'{arguments} --lr {rate}'
                for rate in RATES for name, arguments in VARIANTS.items()}
    if args.more or args.only:
        variants.update({f'{name}-{RATES[0]}': f'{arguments} --lr {RATES[0]}'
                         for name, arguments in MORE.items()})
    if args.only:
        variants = {name: arguments for name, arguments in variants.items()
                    if name.rpartition('-')[0] in args.only}
    if not args.report:
        status = compare.run_all(
            {name: f'{COMMON} {args.common} {arguments}'
             for name, arguments in variants.items()}, args, measure)
        if status:
            return status
    report(args.out)
    return 0


def measure(folder):
    """Measures the classifier that a run ended with.

    Args:
        folder (str): The run's folder.

    Returns:
        dict: ``'recalibrated'``, the test accuracy after
        :func:`mixnorm.recalibrate`; ``'own_statistics'``, that by the test
        batches' own statistics; and ``'noise'``, see
        :func:`train.experiments.measures.output_noise`.

    """
    network, settings, train, test = load_run(folder)
    model = L.Classifier(network)
    random = numpy.random.RandomState(0)
    size = settings['batch_size']

    def batches(images, labels, size):
        order = random.permutation(len(images))
        for start in range(0, len(images), size):
            chosen = order[start:start + size]
            yield images[chosen], labels[chosen]

    training = list(batches(*train, size))[:_N_RECALIBRATION_BATCHES]
    with mixnorm.recalibrate(model, training):
        recalibrated = Evaluation(*test, size, model)()['main/accuracy']
    layer, *_ = settings['at'] or ['conv3']
    return {
        'recalibrated': recalibrated,
        'own_statistics': measures.accuracy_by_own_statistics(
            model, batches(*test, size)),
        'noise': measures.output_noise(
            network, f'/{layer}/norm',
            [images for images, _ in batches(*train, _NOISE_BATCH_SIZE)][
                :_N_NOISE_BATCHES])}


def report(out):
    """Writes the tables and the picture of the runs that have ended.

    Args:
        out (str): Folder of the study.

    Raises:
        UserError: If no run has ended.

    """
    found = _read(out)
    lines = []
    for rate in RATES:
        lines += [
            f'Learning rate {rate}: mean and 95 % interval over seeds. The '
            "steps are those to\nthe best of batch with the same seed: the "
            'median, and how many runs reached it.', '',
            _table(found, rate), '']
    effects = _effects(found)
    lines += ['Effects: mean and 95 % interval of the differences, seed by '
              'seed.', '', _effects_table(effects), '']
    text = '\n'.join(lines)
    with replacing(os.path.join(out, 'report.txt')) as file:
        file.write(text)
    files.write_json(os.path.join(out, 'report.json'),
                     {'runs': found, 'effects': effects})
    print(text)
    try:
        _draw(effects, os.path.join(out, 'report.png'))
    except ImportError:
        print('no picture is drawn: matplotlib is not installed')


def _read(out):
    """Reads the figures of all runs that have ended.

    Returns:
        dict: Maps variants to dictionaries from seeds, as strings, to the
        figures of a run.

    """
    found, logs = {}, {}
    names = [f'{name}-{rate}' for rate in RATES for name in {
        **VARIANTS, **MORE}]
    for name in names:
        folder = os.path.join(out, name)
        if not os.path.isdir(folder):
            continue
        runs = {}
        for run in sorted(os.listdir(folder)):
            path = os.path.join(folder, run, series.RESULT)
            if os.path.exists(path):
                figures = files.read_json(path, 'the result of a run')
                log = read_log(os.path.join(folder, run))
                summary = summarize(log)
                seed = run.rpartition('-')[2]
                logs[name, seed] = log
                runs[seed] = dict(
                    figures, loss=log[-1]['main/loss'], best=summary['best'],
                    last=summary['last'],
                    tests=[(entry['iteration'], entry[ACCURACY])
                           for entry in log if ACCURACY in entry])
        if runs:
            found[name] = runs
    if not found:
        raise UserError(f'no run of a study in {out} has ended yet')
    for name, runs in found.items():
        baseline = found.get(f"batch-{name.rpartition('-')[2]}", {})
        for seed, figures in runs.items():
            if seed in baseline:
                summary = summarize(
                    logs[name, seed], baseline[seed]['best'])
                figures['steps'] = summary['steps_to_target']
    return found


def _table(found, rate):
    rows = [['variant', 'runs', *(title for _, title, _, _ in FIGURES),
             'steps']]
    for name, runs in found.items():
        title, _, at = name.rpartition('-')
        if at == rate:
            rows.append([title, len(runs), *(
                _cell([factor * run[key] for run in runs.values()], digits)
                for key, _, factor, digits in FIGURES), median_steps([
                    run['steps'] for run in runs.values() if 'steps' in run])])
    return text_table(rows)


def _cell(values, digits, sign=''):
    mean, half = mean_and_interval(values)
    text = f'{mean:{sign}.{digits}f}'
    return text if half is None else f'{text} +- {half:.{digits}f}'


def _effects(found):
    """Compares variants seed by seed.

    Returns:
        list of dict: ``'effect'``, ``'rate'``, and for every figure the
        differences, one of each seed, in the figure's units.

    """
    effects = []
    for title, with_it, without in EFFECTS:
        for rate in RATES:
            a, b = (found.get(f'{name}-{rate}', {})
                    for name in (with_it, without))
            seeds = [seed for seed in a if seed in b]
            if not seeds:
                continue
            effect = {'effect': title, 'rate': rate}
            for key, _, factor, _ in FIGURES:
                effect[key] = [
                    factor * (a[seed][key] - b[seed][key]) for seed in seeds]
            effects.append(effect)
    return effects


def _effects_table(effects):
    rows = [['effect', 'rate', 'runs',
             *(title for key, title, _, _ in FIGURES)]]
    for effect in effects:
        rows.append([effect['effect'], effect['rate'], len(effect['loss']), *(
            _cell(effect[key], digits, '+') for key, _, _, digits in FIGURES)])
    return text_table(rows)


def _draw(effects, path):
    """Draws the effects with their intervals, a panel for each figure."""
    from matplotlib.figure import Figure

    shown = [figure for figure in FIGURES
             if figure[0] in ('loss', 'last', 'recalibrated', 'noise')]
    titles = list(dict.fromkeys(effect['effect'] for effect in effects))
    figure = Figure(figsize=(13, 1.5 + .36 * len(titles)),
                    layout='constrained')
    panels = figure.subplots(1, len(shown), sharey=True)
    for axes, (key, title, _, _) in zip(panels, shown):
        axes.axvline(0, color='.6', linewidth=1)
        # Apart in colour and in shape.
        for rate, color, marker, shift in zip(
                RATES, ('#0072b2', '#d55e00'), 'os', (-.14, .14)):
            points = [(mean_and_interval(effect[key]),
                       titles.index(effect['effect']) + shift)
                      for effect in effects if effect['rate'] == rate]
            if points:
                axes.errorbar(
                    [mean for (mean, _), _ in points],
                    [y for _, y in points],
                    xerr=[half or 0 for (_, half), _ in points],
                    fmt=marker, color=color, markersize=5, capsize=2,
                    label=f'learning rate {rate}')
        axes.set_xlabel(f'difference of {title.partition(",")[0]}' + (
            ', points' if '%' in title else ''))
        axes.grid(axis='x', alpha=.3)
    panels[0].set_yticks(range(len(titles)), titles)
    panels[0].invert_yaxis()
    figure.legend(*panels[0].get_legend_handles_labels(),
                  loc='outside upper right', ncols=2)
    with replacing(path, 'wb') as file:
        figure.savefig(file, dpi=100, format='png')


if __name__ == '__main__':
    mixnorm.keep_memory()
    sys.exit(main())
