"""Rows of the papers' tables beside ours, worked out by hand."""

import math

import numpy
import pytest

from tools.paper_table import comparison
from tools.paper_table.comparison import compare, Figure
from tools.paper_table.published import TABLES
from tools.paper_table.results import Difference, Run


KEY = 'validation/main/accuracy'


def _run(recipe, seed, accuracies, differences=(), conditions=()):
    """Returns a run with a test at every 1,000th step."""
    log = [{'iteration': 1000 * i, KEY: accuracy}
           for i, accuracy in enumerate(accuracies, 1)]
    best = 100 * max(accuracies)
    return Run(recipe, seed, {'accuracy': best, 'error': 100 - best}, log,
               tuple(differences), f'{recipe}/{seed}', tuple(conditions))


def _lines(key, runs):
    return {line.recipe: line for group in compare(TABLES[key], runs)
            for line in group if line.n_runs}


def test_rows_without_runs_are_there():
    groups = compare(TABLES['1'], [])
    assert [[(line.recipe, line.paper, line.ours, line.n_runs)
             for line in group] for group in groups] == [[
                 ('multitask-BN', (Figure(26.91, 1.08),), (None,), 0),
                 ('multitask-IN', (Figure(28.87, 2.28),), (None,), 0),
                 ('multitask-LN', (Figure(27.31, .71),), (None,), 0),
                 ('multitask-MN-2', (Figure(23.16, 1.23),), (None,), 0),
                 ('multitask-MN-4', (Figure(24.25, .71),), (None,), 0),
                 ('multitask-MN-6', (Figure(25.12, 1.48),), (None,), 0)]]


def test_mean_and_deviation_over_seeds():
    errors = [24.5, 22.25, 23., 26.]
    line = _lines('densenet', [
        _run('cifar100-densenet-40-MN', seed, [.1, 1 - error / 100])
        for seed, error in enumerate(errors)])['cifar100-densenet-40-MN']
    assert line.n_runs == 4
    assert line.ours == (Figure(pytest.approx(numpy.mean(errors)),
                                pytest.approx(numpy.std(errors, ddof=1))),)


def test_a_figure_that_one_run_lacks_has_no_mean():
    runs = [_run('imagenet-resnet18-BN', seed, [.7]) for seed in (0, 1)]
    for run, top5 in zip(runs, (10., None)):
        run.figures['top-5 error'] = top5
    line = _lines('4', runs)['imagenet-resnet18-BN']
    assert line.ours[0].value == pytest.approx(30) and line.ours[1] is None


def test_steps_of_single_runs():
    lines = _lines('V', [
        _run('cifar100-inception-BN-1', 0, [.3, .5, .7, .6]),
        _run('cifar100-inception-MN-1', 0, [.3, .5, .6, .6]),
        _run('cifar100-inception-MN-2', 0, [.4, .7, .9, .6]),
        # The other data set's baseline was not run.
        _run('cifar10-inception-MN-2', 0, [.9, .9, .9, .9])])
    assert lines['cifar100-inception-BN-1'].ours == (
        Figure(.3), Figure(pytest.approx(70)))
    assert lines['cifar100-inception-MN-1'].ours[0] == Figure(math.inf)
    assert lines['cifar100-inception-MN-2'].ours[0] == Figure(.2)
    assert lines['cifar100-inception-MN-1'].paper[0] == Figure(math.inf)
    other = lines['cifar10-inception-MN-2']
    assert other.ours[0] is None
    assert [note for note in other.notes if note.startswith('no target')]


def test_steps_over_seeds():
    lines = _lines('III', [
        _run('cifar10-cnn-BN-2', 0, [.1, .5, .4, .4]),
        _run('cifar10-cnn-BN-2', 1, [.1, .2, .3, .9]),
        # To .5, after 3,000, and to .9, never. Seed 7 goes to the mean, .7.
        _run('cifar10-cnn-MN-2', 0, [.1, .4, .5, .6]),
        _run('cifar10-cnn-MN-2', 1, [.8, .8, .8, .8]),
        _run('cifar10-cnn-MN-2', 7, [.6, .8, .8, .8])])
    assert lines['cifar10-cnn-BN-2'].ours[0] == Figure(.3, None, '2 of 2')
    assert lines['cifar10-cnn-MN-2'].ours[0] == Figure(.3, None, '2 of 3')


def test_runs_that_were_made_otherwise_stay_apart():
    short = Difference('epoch 25 (100)')
    warm = Difference('normalizer options warm_start=True (none)', True)
    runs = [
        _run('cifar10-cnn-BN-2', 0, [.1, .9]),
        _run('cifar10-cnn-BN-2', 0, [.5, .1], [short]),
        _run('cifar10-cnn-MN-2', 0, [.1, .9, .9]),
        _run('cifar10-cnn-MN-2', 0, [.1, .1, .6], [short, warm]),
        _run('cifar10-cnn-MN-2', 0, [.1, .9, .9], [], ['some images'])]
    group, _ = compare(TABLES['III'], runs)
    assert [(line.recipe, line.n_runs, line.is_as_recipe,
             line.ours[0] and line.ours[0].value) for line in group] == [
        ('cifar10-cnn-BN-2', 1, True, .2),
        ('cifar10-cnn-BN-2', 1, False, .1),
        ('cifar10-cnn-MN-2', 1, True, .2),
        # Of the short runs, warm-started or not.
        ('cifar10-cnn-MN-2', 1, False, .3),
        ('cifar10-cnn-MN-2', 1, True, None)]
    assert [note for note in group[3].notes if short.text in note
            and warm.text in note]
    assert 'some images' in group[4].notes


def test_what_was_reconstructed_is_told(monkeypatch):
    monkeypatch.setattr(comparison.mixture_paper, 'RECONSTRUCTED', {
        'cifar100-densenet-40-BN': ('weight decay 1e-4', 'a place')})
    (batch, mixture), _ = compare(TABLES['densenet'], [])
    assert batch.notes == (
        'reconstructed, not from the paper: weight decay 1e-4; a place',)
    assert 'weight decay 1e-4' not in ' '.join(mixture.notes)
