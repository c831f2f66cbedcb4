"""The log of a training run, and the figures that tables show of it."""

import json
import math
import os
import statistics

from mixnorm.checks import is_real
from train.command_line import UserError
from train.loop import files
from train.loop import run_folder


ACCURACY = 'validation/main/accuracy'
RECALIBRATED = f'recalibrated/{ACCURACY}'


class NoTestYet(UserError):

    """A run that has not come to its first test."""


class UnderWay(UserError):

    """A run that has not ended."""


def read_log(folder, key=ACCURACY):
    """Reads the log of a run.

    Args:
        folder (str): The run's folder.
        key (str): What entries with a test hold.

    Returns:
        list of dict: The log's entries, in the order of iterations.

    Raises:
        NoTestYet: If the log has no test in it yet.
        UserError: If the folder holds no log.

    """
    path = os.path.join(folder, run_folder.LOG)
    if not os.path.exists(path):
        raise UserError(f'{folder} holds no training run: there is no {path}')
    try:
        with open(path) as file:
            log = json.load(file)
        for entry in log:
            if not all(is_real(entry[name]) for name in (
                    'iteration', 'epoch', 'main/loss', key, RECALIBRATED)
                    if name in entry):
                raise ValueError
        has_tests = [key in entry and math.isfinite(entry[key])
                     for entry in log if entry['iteration'] > 0]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise UserError(f'{path} is not the log of a training run')
    if not any(has_tests):
        what = 'test accuracy' if key == ACCURACY else key
        raise NoTestYet(f'{path} has no {what} yet')
    return log


def check_ended(folder, log):
    """Raises UnderWay if a run has updates to come.

    Args:
        folder (str): The run's folder. Without settings in it, as of training
            by another script, the run counts as ended.
        log (list of dict): The run's log.

    """
    path = os.path.join(folder, run_folder.DESCRIPTION)
    if not os.path.exists(path):
        return
    settings = files.read_json(path, 'a run').get('settings')
    try:
        length = _length(settings, log)
    except (AttributeError, KeyError, TypeError):
        raise UserError(f'{path} holds no settings of a run')
    done = log[-1]['iteration']
    if done < length:
        raise UnderWay(f'{folder} is under way: ' + (
            'it is in its first epoch' if length == math.inf else
            f'{done} of about {round(length)} updates'))


def _length(settings, log):
    """Returns about how many updates a run is to have, infinite if it is \
not told yet."""
    # The schedule is multiplied with it.
    scale = settings.get('scale', 1)
    if settings.get('iterations') is not None:
        return round(scale * settings['iterations'])
    # Whole epochs only: how long one is, the log of a scaled run may not tell
    # closely enough for a part of one. An epoch's last batch reaches into the
    # next, so this is up to one update too many.
    n_epochs = math.floor(scale * settings['epoch'] + 1e-9)
    return n_epochs * updates_of_epoch(log) - 1 if n_epochs else 0


def updates_of_epoch(log):
    """Returns about how many updates an epoch has.

    Args:
        log (list of dict): A run's log.

    Returns:
        float: Rather too many than too few; infinite within the first epoch.

    """
    return min((entry['iteration'] / entry['epoch'] for entry in log
                if entry.get('epoch')), default=math.inf)


def names_of(folders):
    """Names runs by their folders.

    Args:
        folders (list of str): The runs' folders.

    Returns:
        list of str: The folders' last parts, or all of them where these are
        the same.

    """
    names = [os.path.basename(os.path.abspath(folder)) for folder in folders]
    return folders if len(set(names)) < len(names) else names


def summarize(log, target=None, length=None):
    """Returns the figures of one run.

    Args:
        log (list of dict): The run's log.
        target (float or None): An accuracy to reach; ``None`` for the run's
            own best.
        length (float or None): The updates whose quarters count, of which
            the run may have a part only; ``None`` for those of the run.

    Returns:
        dict: ``'steps'``, the run's length; ``'quarters'``, the best
        accuracies up to the end of each quarter, ``None`` where there was no
        test yet or the run does not reach it; ``'last'``, that of the last
        test; ``'best'``; ``'steps_to_target'``, the step of the first test
        that reached the target, ``None`` if none did; ``'recalibrated'``, the
        best and the last accuracy after recalibration, ``None`` twice without
        one; and ``'training_loss'``, the mean over the run, ``None`` without
        any.

    """
    tests = [(entry['iteration'], entry[ACCURACY])
             for entry in log if ACCURACY in entry]
    recalibrated = [entry[RECALIBRATED]
                    for entry in log if RECALIBRATED in entry]
    losses = [entry['main/loss'] for entry in log if 'main/loss' in entry]
    steps = log[-1]['iteration']
    best = max(accuracy for _, accuracy in tests)
    if target is None:
        target = best
    ends = [quarter * (length or steps) / 4 for quarter in (1, 2, 3, 4)]
    return {
        'steps': steps,
        'quarters': [
            # A quarter may end within an update, which belongs to it; and a
            # length reckoned from epochs may be an update too many.
            max((accuracy for step, accuracy in tests if step < end + 1),
                default=None) if steps > end - 2 else None for end in ends],
        'last': tests[-1][1],
        'best': best,
        'steps_to_target': next(
            (step for step, accuracy in tests if accuracy >= target), None),
        'recalibrated': (max(recalibrated), recalibrated[-1])
        if recalibrated else (None, None),
        'training_loss': sum(losses) / len(losses) if losses else None}


def median_steps(steps):
    """Tells a median of steps, and how many runs reached the target at all.

    Args:
        steps (list of int or None): See :func:`median_and_count`.

    Returns:
        str or None: Such as ``75 (4 of 5)``; ``None`` if there is no run.

    """
    if not steps:
        return None
    median, reached = median_and_count(steps)
    shown = 'not reached' if median == math.inf else f'{median:g}'
    return f'{shown} ({reached} of {len(steps)})'


def median_and_count(steps):
    """Returns a median of steps, and how many runs reached the target.

    A run that did not counts as one that takes longer than any other, so the
    median is that of all runs. A mean could be taken only of those that did,
    and would look the better the fewer they are.

    Args:
        steps (list of int or None): ``'steps_to_target'`` of
            :func:`summarize`, of each run, at least one.

    Returns:
        tuple: The median, infinite if it is not reached, and the count.

    """
    return (
        statistics.median(math.inf if step is None else step
                          for step in steps),
        sum(step is not None for step in steps))
