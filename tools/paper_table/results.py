"""Reads what runs ended with, and what tells them from their recipes."""

import math
import os
import re
import typing

from mixnorm.checks import is_integer, is_real
from train import classifier
from train import gan
from train import multitask
from train.command_line import as_typed, UserError
from train.loop import files
from train.loop import run_folder
from train.loop import series
from train.normalizers import normalizer_settings
from train.run_log import (
    ACCURACY, check_ended, NoTestYet, read_log, summarize, UnderWay,
    updates_of_epoch)


TOP5 = 'validation/main/top5_accuracy'

# Settings that change neither the updates of a run, but for rounding, nor when
# it is tested, and those that are told as conditions.
_IGNORED = ('recipe', 'seed', 'device', 'log_every', 'snapshot_every',
            'samples_every', 'recalibrate', 'workers', 'images', 'image_set',
            'features', 'use_ideep')

_OF_THE_NORMALIZER = tuple(
    setting.name for setting in normalizer_settings(''))


class Difference(typing.NamedTuple):

    """What a run does otherwise than its recipe.

    Attributes:
        text (str): What it is.
        of_the_normalizer (bool): Whether a run with batch normalization alone
            does not have it to do.

    """

    text: str
    of_the_normalizer: bool = False


class Run(typing.NamedTuple):

    """One run, as tables show it.

    Attributes:
        recipe (str): The row that it is for.
        seed (int or None): Its seed; ``None`` for a measurement of time.
        figures (dict): Maps what it ended with to numbers, ``None`` where
            there was no test.
        log (list of dict or None): Its tests, as
            :func:`train.run_log.summarize` takes them, the higher the better.
        differences (tuple of Difference): From the recipe.
        path (str): Where it is.
        conditions (tuple of str): What else its figures depend on.

    """

    recipe: str
    seed: typing.Optional[int]
    figures: dict
    log: typing.Optional[list]
    differences: tuple
    path: str
    conditions: tuple = ()


class _NotShown(UserError):

    """A run that tables do not show, and why."""


def read(arguments, tables):
    """Reads runs for the rows of some tables.

    Args:
        arguments (list of str): Folders of runs, variants or series, or of
            several of these, and files of tools.throughput; or one of these
            with a row and ``=`` before it.
        tables (iterable of ~tools.paper_table.published.Table): The tables.

    Returns:
        tuple: The list of runs, and a list of lines about what is not shown.

    Raises:
        UserError: If an argument is nothing that these tables show, or two
            runs are the same.

    """
    scripts = {recipe: table.script
               for table in tables for recipe in table.rows}
    runs, remarks = [], []
    for argument in arguments:
        row, path = _split(argument, scripts)
        paths = _expand(path)
        found, reasons = [], []
        for one in paths:
            try:
                found += _read_one(one, row, scripts)
            except (_NotShown, UnderWay) as error:
                reasons.append(error)
        if not found and reasons and not any(
                isinstance(reason, UnderWay) for reason in reasons):
            raise reasons[0]
        runs += found
        remarks += map(str, reasons)
    _check_distinct(runs)
    return runs, remarks


def _split(argument, scripts):
    """Returns the row that an argument names, if it does, and the path."""
    row, equals, path = argument.partition('=')
    if equals and row in scripts:
        return row, path
    if os.path.exists(argument) or not equals:
        return None, argument
    raise UserError(f'{row!r} in {argument} is no row of these tables; '
                    'without arguments all tables are printed')


def _expand(path):
    """Returns the paths of the runs, series and files that one stands for."""
    if not os.path.exists(path):
        raise UserError(f'there is no {path}')
    found = _in_folder(path)
    if not found and os.path.isdir(path):
        for name in sorted(os.listdir(path)):
            child = os.path.join(path, name)
            if os.path.isdir(child) or _is_throughput(child):
                found += _in_folder(child)
    if not found:
        raise UserError(f'{path} holds no run, series or measurement')
    return found


def _in_folder(path):
    if os.path.isfile(path) or any(
            os.path.exists(os.path.join(path, name))
            for name in (series.DESCRIPTION, run_folder.DESCRIPTION)):
        return [path]
    # A variant of train.compare.
    return [os.path.join(path, name) for name in sorted(os.listdir(path))
            if re.fullmatch('seed-[0-9]+', name) and os.path.exists(
                os.path.join(path, name, run_folder.DESCRIPTION))]


def _is_throughput(path):
    try:
        return path.endswith('.json') and (
            files.read_json(path, '').get('table') == 'VII')
    except UserError:
        return False


def _read_one(path, row, scripts):
    if os.path.isfile(path):
        return _read_throughput(path, row, scripts)
    is_series = os.path.exists(os.path.join(path, series.DESCRIPTION))
    if is_series:
        settings = series.read_description(path)[0]
    else:
        settings = _describe(path).get('settings')
    if not (isinstance(settings, dict) and is_integer(settings.get('seed', 0))
            and isinstance(settings.get('recipe'), (str, type(None)))):
        raise UserError(f'{path} holds no settings of a run')
    recipe = row or settings.get('recipe')
    if recipe is None:
        raise _NotShown(f'{path} was made without a recipe: ROW={path} says '
                        'which row it stands for')
    if recipe not in scripts:
        raise _NotShown(f'{path} is for {recipe}, which is no row of these '
                        'tables')
    script = scripts[recipe]
    if is_series != (script == 'multitask') or script == 'throughput':
        package = 'tools' if script == 'throughput' else 'train'
        raise UserError(f'{path} is no result for {recipe}, which {package}.'
                        f'{script} makes')
    return {'classifier': _read_classifier, 'multitask': _read_series,
            'gan': _read_gan}[script](path, recipe, settings)


def _describe(folder):
    return files.read_json(
        os.path.join(folder, run_folder.DESCRIPTION), 'a run')


def _read_classifier(folder, recipe, settings):
    settings = classifier.SETTINGS.check_saved(
        settings, f'{folder} holds no run of train.classifier')
    expected = classifier.SETTINGS.complete({'recipe': recipe})
    log = _read_ended(folder, ACCURACY)
    summary = summarize(log, length=_length(log, settings, expected))
    figures = {f'accuracy {quarter}/4':
               None if accuracy is None else 100 * accuracy
               for quarter, accuracy in enumerate(summary['quarters'], 1)}
    figures['accuracy'] = 100 * summary['best']
    figures['error'] = 100 - 100 * summary['best']
    top5 = [entry[TOP5] for entry in log if TOP5 in entry]
    figures['top-5 error'] = 100 - 100 * max(top5) if top5 else None
    image_set = settings.get('image_set')
    conditions = () if image_set is None else (
        f"{image_set['train']} training images and {image_set['test']} test "
        f"images of {image_set['classes']} classes",)
    return [Run(recipe, settings['seed'], figures, log,
                _differences(settings, expected), folder, conditions)]


def _length(log, settings, expected):
    """Returns how many updates a run would have that is as long as its \
recipe says, in epochs, at its own scale."""
    if settings['iterations'] is None:
        of_epoch = log[-1]['iteration'] / (
            settings['scale'] * settings['epoch'])
    else:
        of_epoch = updates_of_epoch(log)
    return settings['scale'] * expected['epoch'] * of_epoch


def _read_ended(folder, key):
    """Returns the log of an ended run whose tests have a key."""
    try:
        log = read_log(folder, key)
    except NoTestYet:
        raise UnderWay(f'{folder} is under way: it has not been tested yet')
    check_ended(folder, log)
    return log


def _read_series(folder, recipe, settings):
    settings = multitask.SETTINGS.check_saved(
        dict(settings, seeds=[], samples=None),
        f'{folder} holds no series of train.multitask')
    del settings['seeds'], settings['samples']
    expected, _ = multitask.complete({'recipe': recipe})
    differences = _differences(settings, expected)
    _, seeds = series.read_description(folder)
    if not any(os.path.exists(os.path.join(
            series.run_folder(folder, seed), series.RESULT))
            for seed in seeds):
        raise UnderWay(f'{folder} is under way: no run of it has ended yet')
    runs = []
    for result in series.read_results(folder)[1]:
        seed, error = map(result.get, ('seed', 'error'))
        best = result.get('best_error', error)
        if not (is_integer(seed) and is_real(best) and math.isfinite(best)):
            raise UserError(f'a result of the series in {folder} is damaged')
        conditions = () if 'best_error' in result else (
            'the error of the last test, as no best was kept',)
        runs.append(Run(recipe, seed, {'error': best}, None, differences,
                        series.run_folder(folder, seed), conditions))
    return runs


def _read_gan(folder, recipe, settings):
    settings = gan.SETTINGS.check_saved(
        settings, f'{folder} holds no run of train.gan')
    features = _describe(folder).get('features')
    if not features:
        raise _NotShown(f'{folder} has no distances: --features says what '
                        'they are taken by')
    try:
        key, file, sha256 = (
            str(features[name]) for name in ('distance', 'file', 'sha256'))
    except (KeyError, TypeError):
        raise UserError(f'{folder} holds no description of its features')
    log = _read_ended(folder, key)
    # The lower a distance is, the better.
    log = [{'iteration': entry['iteration'],
            **({ACCURACY: -entry[key]} if key in entry else {})}
           for entry in log]
    return [Run(
        recipe, settings['seed'], {'distance': -summarize(log)['best']}, log,
        _differences(settings, gan.SETTINGS.complete({'recipe': recipe})),
        folder, (
            f'{key}, features of {os.path.basename(file)} ({sha256[:8]})',))]


def _read_throughput(path, row, scripts):
    if row is not None:
        raise UserError(f'{path} names its rows itself: leave out {row}=')
    found = files.read_json(path, 'a file of tools.throughput')
    machine = found.get('machine')
    if isinstance(machine, dict):
        machine = ', '.join(f'{key} {value}' for key, value
                            in machine.items())
    try:
        runs = [Run(row['recipe'], None, {
            'iterations': float(row['iterations_per_second']),
            'ratio': float(row['ratio'])}, None, (), path,
            (f'measured on {machine}',))
            for row in found['rows']
            if scripts.get(row['recipe']) == 'throughput']
    except (KeyError, TypeError, ValueError):
        raise UserError(f'{path} is not a file of tools.throughput')
    if not runs:
        raise _NotShown(f'{path} holds no row of these tables')
    return runs


def _differences(settings, expected):
    """Returns what settings have otherwise than those of a recipe."""
    names = [name for name in settings if name not in _IGNORED
             and settings[name] != expected.get(name)]
    # Of two that stand in for each other, that which is used tells it.
    told = [name for name in names if settings[name] is not None] or names
    return tuple(
        Difference(f"{name.replace('_', ' ')} {as_typed(settings[name])}"
                   + ('' if expected.get(name) is None
                      else f' ({as_typed(expected[name])})'),
                   name in _OF_THE_NORMALIZER)
        for name in told)


def _check_distinct(runs):
    known = {}
    for run in runs:
        key = run.recipe, run.seed, run.differences, run.conditions
        if run.seed is not None and key in known:
            raise UserError(f'{known[key]} and {run.path} are both '
                            f'{run.recipe} with seed {run.seed}: name one')
        known[key] = run.path
