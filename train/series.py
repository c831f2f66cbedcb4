"""A series of runs that differ by their seed, and the table of its results."""

import json
import os
import statistics

from train.command_line import UserError


DESCRIPTION = 'series.json'
RESULT = 'result.json'


def run_folder(folder, seed):
    """Returns the folder of the run with a seed."""
    return os.path.join(folder, 'seed-{}'.format(seed))


def write(path, value):
    """Writes JSON: all of it, or, if anything goes wrong, nothing."""
    unfinished = path + '.unfinished'
    with open(unfinished, 'w') as file:
        json.dump(value, file, indent=1)
    os.replace(unfinished, path)


def read(path, what):
    """Reads JSON.

    Args:
        path (str): The file.
        what (str): What it should be, for the error message.

    Raises:
        UserError: If there is no such file, or it is something else.

    """
    try:
        with open(path) as file:
            found = json.load(file)
    except FileNotFoundError:
        raise UserError('there is no {}, {}'.format(path, what))
    except (OSError, ValueError) as error:
        raise UserError('{} is not {} ({})'.format(path, what, error))
    if not isinstance(found, dict):
        raise UserError('{} is not {}'.format(path, what))
    return found


def read_results(folder):
    """Reads what the finished runs of a series ended with.

    Args:
        folder (str): The series' folder.

    Returns:
        tuple: The settings, and a list of results, by seed: dictionaries with
        ``'seed'``, ``'error'`` and ``'errors'`` (by set) in %.

    Raises:
        UserError: If the folder holds no series, or none of its runs has
            ended.

    """
    series = read(os.path.join(folder, DESCRIPTION),
                  'the description of a series')
    results = []
    for seed in series['seeds']:
        path = os.path.join(run_folder(folder, seed), RESULT)
        if os.path.exists(path):
            results.append(read(path, 'the result of a run'))
    if not results:
        raise UserError('no run of {} has ended yet'.format(folder))
    return series['settings'], results


def mean_and_deviation(values):
    """Returns mean and standard deviation as the papers print them.

    Args:
        values (list of float): One of each run.

    Returns:
        str: Such as ``26.91 +- 1.08``; of one run only, no deviation.

    """
    mean = '{:.2f}'.format(statistics.mean(values))
    if len(values) == 1:
        return mean
    return '{} +- {:.2f}'.format(mean, statistics.stdev(values))


def table(folders):
    """Returns the results of several series as text.

    Args:
        folders (list of str): The series' folders.

    Returns:
        str: A line of titles and a line for each series.

    Raises:
        UserError: See :func:`read_results`.

    """
    series = [read_results(folder) for folder in folders]
    sets = sorted({name for settings, _ in series
                   for name in settings['sets']})
    rows = [['normalizer', 'batch', 'updates', 'runs', 'test error in %']
            + sets]
    for settings, results in series:
        rows.append([
            describe(settings), str(settings['batch_size']),
            str(settings['iterations']), str(len(results)),
            mean_and_deviation([r['error'] for r in results])] + [
            mean_and_deviation([r['errors'][name] for r in results])
            if name in settings['sets'] else '-' for name in sets])
    widths = [max(map(len, column)) for column in zip(*rows)]
    return '\n'.join('  '.join(
        [row[0].ljust(widths[0])] + list(map(str.rjust, row[1:], widths[1:])))
        for row in rows)


def describe(settings):
    """Names the normalizer of a series with what tells it apart."""
    name = settings['normalizer']
    parts = [name]
    if name in ('mode', 'mode_group'):
        parts.append('K {}'.format(settings['modes']))
    if name == 'mixture':
        parts.append('K {}'.format(settings['components']))
    parts += ['{} {}'.format(*item)
              for item in sorted(settings['normalizer_options'].items())]
    if settings['at']:
        parts.append('at ' + ' '.join(settings['at']))
    return ', '.join(parts)
