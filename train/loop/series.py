"""A series of runs that differ by their seed, and the table of its results."""

import os
import re
import statistics

from train.command_line import as_typed, UserError
from train.loop import files
from train.loop.run_folder import clear as clear_run
from train.loop.schedule import scaled
from train.text_table import text_table


DESCRIPTION = 'series.json'
RESULT = 'result.json'


def run_folder(folder, seed):
    """Returns the folder of the run with a seed."""
    return os.path.join(folder, f'seed-{seed}')


def is_in(folder):
    """Returns whether a folder holds a series, or runs of one."""
    return (os.path.exists(os.path.join(folder, DESCRIPTION))
            or bool(_find_runs(folder)))


def require_free(folder):
    """Raises UserError if a folder holds a series, or runs of one, already."""
    if is_in(folder):
        raise UserError(f'{folder} holds a series already: --resume goes on '
                        'with it, --overwrite starts anew in its place, or '
                        'choose another --out')


def clear(folder):
    """Removes the series that a folder holds, if it does, and nothing else.

    Runs that the series did not come to list are removed, too: a series to
    come must not take them for its own.

    """
    # The description first: what is left is no series then, whenever this is
    # stopped.
    files.remove(folder, [DESCRIPTION])
    for run in _find_runs(folder):
        files.remove(run, [RESULT])
        clear_run(run)


def _find_runs(folder):
    if not os.path.isdir(folder):
        return []
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder))
            if re.fullmatch('seed-[0-9]+', name)]


def read_description(folder):
    """Reads what a series was started with.

    Args:
        folder (str): The series' folder.

    Returns:
        tuple: The settings, a dictionary, and the seeds, a list of int.

    Raises:
        UserError: If the folder holds no series.

    """
    path = os.path.join(folder, DESCRIPTION)
    what = 'the description of a series'
    found = files.read_json(path, what)
    settings, seeds = found.get('settings'), found.get('seeds')
    if not (isinstance(settings, dict) and isinstance(seeds, list)
            and all(isinstance(seed, int) for seed in seeds)):
        raise UserError(f'{path} is not {what}')
    return settings, seeds


def read_results(folder):
    """Reads what the finished runs of a series ended with.

    Args:
        folder (str): The series' folder.

    Returns:
        tuple: The settings, and a list of results, by seed: dictionaries with
        ``'seed'``, ``'error'`` and ``'errors'`` (by set) of the last test in
        %; ``'best_error'``, the least of all tests, but of runs before it was
        kept; and ``'recalibrated'``, the error after recalibration, of runs
        that had one.

    Raises:
        UserError: If the folder holds no series, or none of its runs has
            ended.

    """
    settings, seeds = read_description(folder)
    results = []
    for seed in seeds:
        path = os.path.join(run_folder(folder, seed), RESULT)
        if os.path.exists(path):
            results.append(files.read_json(path, 'the result of a run'))
    if not results:
        raise UserError(f'no run of {folder} has ended yet')
    return settings, results


def mean_and_deviation(values):
    """Returns mean and standard deviation as the papers print them.

    Args:
        values (list of float): One of each run.

    Returns:
        str: Such as ``26.91 +- 1.08``; of one run only, no deviation.

    """
    mean = f'{statistics.mean(values):.2f}'
    if len(values) == 1:
        return mean
    return f'{mean} +- {statistics.stdev(values):.2f}'


def table(folders):
    """Returns the results of several series as text.

    Test errors: the best of each run, that of its last test, and what this is
    on each set.

    Args:
        folders (list of str): The series' folders.

    Returns:
        str: A line of titles and a line for each series.

    Raises:
        UserError: See :func:`read_results`.

    """
    series = [_summarize(folder) for folder in folders]
    names = sorted({name for _, _, errors in series for name in errors},
                   key=lambda name: (name != 'recalibrated', name))
    rows = [['normalizer', 'batch', 'updates', 'runs', 'best error in %',
             'last', *names]]
    for settings, (title, *cells), errors in series:
        alike = [others for others, (theirs, *_), _ in series
                 if theirs == title]
        rows.append([', '.join([title] + _differences(settings, alike)),
                     *cells, *map(errors.get, names)])
    return text_table(rows)


def _summarize(folder):
    """Returns a series' settings, its cells and its further errors."""
    settings, results = read_results(folder)
    try:
        cells = [
            describe(settings), settings['batch_size'],
            scaled(settings)['iterations'], len(results),
            mean_and_deviation([r['best_error'] for r in results])
            if all('best_error' in r for r in results) else None,
            mean_and_deviation([r['error'] for r in results])]
        errors = {
            name: mean_and_deviation([r['errors'][name] for r in results])
            for name in settings['sets']}
        if all('recalibrated' in r for r in results):
            errors['recalibrated'] = mean_and_deviation(
                [r['recalibrated'] for r in results])
        return settings, cells, errors
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError('the description or a result of the series in '
                        f'{folder} is damaged ({type(error).__name__}: '
                        f'{error})')


# Settings that tell two series of the same normalizer apart.
_TELLING = ('train_size', 'test_size', 'widths', 'optimizer', 'momentum',
            'lr', 'weight_decay', 'decay', 'cuts', 'scale', 'em_iterations')


def _differences(settings, alike):
    """Returns what tells a series from others of the same normalizer."""
    return [f"{key.replace('_', ' ')} {as_typed(settings.get(key))}"
            for key in _TELLING
            if any(others.get(key) != settings.get(key) for others in alike)]


def describe(settings):
    """Names the normalizer of a series with what tells it apart."""
    name = settings['normalizer']
    parts = [name]
    if name in ('mode', 'mode_group'):
        parts.append(f"K {settings['modes']}")
    if name in ('mixture', 'group_mixture'):
        parts.append(f"K {settings['components']}")
    parts += [f'{key} {value}' for key, value
              in sorted(settings['normalizer_options'].items())]
    if settings['at']:
        parts.append(f"at {' '.join(settings['at'])}")
    return ', '.join(parts)
