"""Variants of one training, of several runs each, and the table of them.

A variant is a folder that train.compare has written: it holds a run for each
seed, in ``seed-N``. Runs of the same seed start from the same weights and see
the same batches, so variants are compared by what runs of one seed differ.
"""

import os
import re

from mixnorm.extensions import draw_mean_curves
from train import student_t
from train.command_line import UserError
from train.loop import run_folder
from train.loop.series import mean_and_deviation
from train.run_log import (
    check_ended, median_steps, NoTestYet, read_log, summarize, UnderWay)
from train.text_table import text_table


def is_variant(folder):
    """Returns whether a folder holds a variant's runs."""
    return bool(_seeds(folder))


def variants_in(folder):
    """Returns the variants' folders that a folder holds, by name."""
    if not os.path.isdir(folder):
        return []
    paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
    return [path for path in paths if is_variant(path)]


def _seeds(folder):
    """Returns the seeds of the runs that have begun, in order."""
    if not os.path.isdir(folder):
        return []
    found = [re.fullmatch('seed-([0-9]+)', name)
             for name in os.listdir(folder)]
    return sorted(
        int(match[1]) for match in found if match and os.path.exists(
            os.path.join(folder, match[0], run_folder.LOG)))


def read(folder):
    """Reads the runs of a variant.

    Runs of other lengths cannot be put together: of those that have ended,
    only the longest count.

    Args:
        folder (str): The variant's folder.

    Returns:
        tuple: A dictionary that maps the seeds, in order, to the logs; and a
        list of lines about the runs that have not ended.

    Raises:
        UserError: If the folder holds no variant, or none of its runs has
            ended yet.

    """
    seeds = _seeds(folder)
    if not seeds:
        raise UserError(
            f'{folder} holds no variant: there is no '
            f"{os.path.join(folder, 'seed-*', run_folder.LOG)}; runs, "
            'variants and series do not go into one table')
    logs, under_way = {}, []
    for seed in seeds:
        run = os.path.join(folder, f'seed-{seed}')
        try:
            log = read_log(run)
            check_ended(run, log)
            logs[seed] = log
        except (NoTestYet, UnderWay) as error:
            under_way.append(str(error))
    if not logs:
        raise UserError(f'no run of {folder} has ended yet: {under_way[-1]}')
    length = max(log[-1]['iteration'] for log in logs.values())
    return {seed: log for seed, log in logs.items()
            if log[-1]['iteration'] == length}, under_way


def table(variants):
    """Returns the tables of several variants as text.

    Args:
        variants (dict): Maps the variants' names to the logs that
            :func:`read` returned of them.

    Returns:
        str: A table of accuracies, with a line for each variant, and one that
        compares the others with the first.

    """
    summaries = {
        name: {seed: summarize(log) for seed, log in logs.items()}
        for name, logs in variants.items()}
    text = (
        'Test accuracy in %, mean and standard deviation over the runs: the '
        'best up to each\nquarter of a run, and the last.\n\n'
        f'{text_table(_accuracies(summaries))}')
    baseline, *others = variants
    if others:
        text += (
            f'\n\nDifferences to {baseline}, between runs of the same seed, '
            'mean and 95 % interval: of\nthe best, the last and the training '
            'loss (mean over the run). Steps to the best of\n'
            f'{baseline}: median, and how many reached it.\n\n'
            f'{text_table(_comparisons(variants, summaries))}')
    return text


def draw(variants, path):
    """Draws the mean curves of several variants.

    Args:
        variants (dict): As :func:`table` takes them.
        path (str): See :func:`~mixnorm.extensions.draw_mean_curves`.

    """
    draw_mean_curves({name: list(logs.values())
                      for name, logs in variants.items()}, path)


def _any_recalibrated(summaries):
    return any(summary['recalibrated'][0] is not None
               for runs in summaries.values() for summary in runs.values())


def _accuracies(summaries):
    rows = [['variant', 'runs', 'steps', '1/4', '2/4', '3/4', '4/4', 'last']]
    any_recalibrated = _any_recalibrated(summaries)
    if any_recalibrated:
        rows[0] += ['recalibrated 4/4', 'last']
    for name, runs in summaries.items():
        runs = list(runs.values())
        columns = list(zip(*(
            [*summary['quarters'], summary['last'],
             *(summary['recalibrated'] if any_recalibrated else ())]
            for summary in runs)))
        rows.append([name, len(runs), runs[0]['steps'],
                     *map(_mean_and_deviation, columns)])
    return rows


def _mean_and_deviation(accuracies):
    if None in accuracies:
        return None
    return mean_and_deviation([100 * accuracy for accuracy in accuracies])


def _comparisons(variants, summaries):
    figures = ['best', 'last', 'training loss']
    if _any_recalibrated(summaries):
        figures.insert(2, 'recalibrated')
    (baseline, theirs), *others = summaries.items()
    rows = [['variant', 'seeds', *figures, 'steps to best']]
    for name, runs in [(baseline, theirs), *others]:
        common = [seed for seed in theirs if seed in runs]
        steps = [summarize(variants[name][seed], theirs[seed]['best'])[
            'steps_to_target'] for seed in common]
        rows.append([
            name, len(common),
            *(None if name == baseline else _difference(
                figure, [(runs[seed], theirs[seed]) for seed in common])
              for figure in figures),
            median_steps(steps)])
    return rows


def _difference(figure, pairs):
    """Tells by how much a figure of one summary exceeds that of another."""
    pairs = [(_value(figure, one), _value(figure, other))
             for one, other in pairs]
    if not pairs or any(None in pair for pair in pairs):
        return None
    mean, half = student_t.mean_and_interval(
        [one - other for one, other in pairs])
    digits = 3 if figure == 'training loss' else 2
    return f'{mean:+.{digits}f}' + (
        '' if half is None else f' +- {half:.{digits}f}')


def _value(figure, summary):
    if figure == 'training loss':
        return summary['training_loss']
    accuracy = summary['recalibrated'][1] if figure == 'recalibrated' else (
        summary[figure])
    return None if accuracy is None else 100 * accuracy
