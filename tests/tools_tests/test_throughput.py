"""Tests of the throughput of training steps, on one small recipe."""

import json
import os
import subprocess
import sys

import mixnorm
import chainer
import pytest

from tools import throughput
from train import classifier
from train.loop.run import make_updater


_SMALL = {'dataset': 'digits', 'network': 'cnn', 'widths': [2, 2, 2, 2],
          'batch_size': 4}
_MIXTURE = dict(_SMALL, normalizer='mixture', at=['conv3'])


@pytest.fixture(autouse=True)
def memory(monkeypatch):
    """Calls of keep_memory, which would last beyond the test."""
    calls = []
    monkeypatch.setattr(mixnorm, 'keep_memory', lambda: calls.append('kept'))
    return calls


@pytest.fixture(autouse=True)
def _use_of_ideep_stays(monkeypatch):
    """Has what the tool sets for its process end with the test."""
    monkeypatch.setattr(
        chainer.global_config, 'use_ideep', chainer.global_config.use_ideep)


@pytest.fixture(autouse=True)
def recipes(monkeypatch):
    recipes = {
        'throughput-4-BN': dict(_SMALL, lr=.5),
        'other-MN': dict(_MIXTURE, batch_size=6),
        'throughput-4-MN-2': dict(_MIXTURE, lr=.5, components=2),
        'throughput-4-MN-3': dict(_MIXTURE, lr=.5)}
    for name, settings in recipes.items():
        monkeypatch.setitem(classifier.SETTINGS.recipes, name, settings)
    return recipes


def test_a_group_has_one_baseline_that_differs_by_normalizers_alone(recipes):
    first, second = throughput.group_by_baseline(recipes)
    assert list(first) == [None, 'throughput-4-BN', 'throughput-4-MN-2',
                           'throughput-4-MN-3']
    assert list(second) == [None, 'other-MN']
    assert [networks[None]['batch_size'] for networks in (first, second)] == [
        4, 6]
    assert first['throughput-4-MN-2']['components'] == 2
    for networks in (first, second):
        baseline = networks.pop(None)
        assert (baseline['normalizer'], baseline['at']) == ('batch', None)
        for settings in networks.values():
            assert {name for name in settings
                    if settings[name] != baseline[name]} <= {
                'recipe', 'normalizer', 'at', 'components'}


def test_median_turns_and_ratios(recipes, monkeypatch):
    """Of times that are given, in the order of the turns."""
    clock = {None: [2., 8., 4.], 'a': [4., 8., 2.], 'b': [1., 2., 4.]}
    taken = []

    def measure(turn, device):
        name = turn()
        taken.append(name)
        return clock[name][taken.count(name) - 1], 0

    monkeypatch.setattr(throughput, 'measure', measure)
    monkeypatch.setattr(
        throughput, '_turn', lambda settings, *_: lambda: settings['name'])
    networks = {
        None: {'name': None, 'normalizer': 'batch'},
        'batch': {'name': 'never', 'normalizer': 'batch'},
        'a': {'name': 'a', 'normalizer': 'mixture'},
        'b': {'name': 'b', 'normalizer': 'mode'}}
    rows = throughput.compare(networks, None, 3, 10)
    assert taken == [None, 'a', 'b'] * 3
    assert [row['recipe'] for row in rows] == ['batch', 'a', 'b']
    # Medians of 2, 8, 4; of 4, 8, 2; and of 1, 2, 4 seconds for ten steps.
    assert [row['iterations_per_second'] for row in rows] == [2.5, 2.5, 5]
    # Medians of 1, 1, 1; of 1/2, 1, 2; and of 2, 4, 1.
    assert [row['ratio'] for row in rows] == [1, 1, 2]
    assert [row['quartiles'] for row in rows] == [
        [1, 1], [.75, 1.5], [1.5, 3]]


def test_a_turn_trains_the_network_of_the_recipe(recipes, monkeypatch):
    updaters, initial = [], []

    def make_and_keep(classifier, *arguments):
        updaters.append(make_updater(classifier, *arguments))
        initial.append({path: parameter.array.copy() for path, parameter
                        in classifier.namedparams()})
        return updaters[-1]

    monkeypatch.setattr(throughput, 'make_updater', make_and_keep)
    (networks,) = throughput.group_by_baseline(['other-MN'])
    throughput.compare(networks, chainer.get_device('@numpy'), 2, 3)
    # Two turns to begin with and two that are measured, of three steps.
    assert [updater.iteration for updater in updaters] == [12, 12]
    models = [updater.get_optimizer('main').target for updater in updaters]
    assert [type(model.predictor.conv3.norm) for model in models] == [
        chainer.links.BatchNormalization, mixnorm.links.MixtureNormalization]
    for model, before in zip(models, initial):
        for path, parameter in model.namedparams():
            assert (parameter.array != before[path]).any(), path


def test_table_and_file(tmp_path, capsys, memory):
    out = tmp_path / 'new' / 'table.json'
    assert throughput.main([
        'throughput-4-BN', 'throughput-4-MN-2', 'throughput-4-MN-3',
        '--turns', '2', '--out', str(out)]) == 0
    assert memory == ['kept']
    printed = capsys.readouterr().out
    result = json.loads(out.read_text())
    assert result['table'] == 'VII'
    assert [row['recipe'] for row in result['rows']] == [
        'throughput-4-BN', 'throughput-4-MN-2', 'throughput-4-MN-3']
    assert result['machine']['mixnorm'] == mixnorm.__version__
    for row in result['rows']:
        line, = [line for line in printed.splitlines()
                 if line.startswith(row['recipe'])]
        assert f"{row['ratio']:.3f}" in line
        assert row['quartiles'][0] <= row['ratio'] <= row['quartiles'][1]
        assert row['iterations_per_second'] > 0
    assert os.listdir(str(tmp_path / 'new')) == ['table.json']


def test_operators_are_those_of_the_training_script(monkeypatch, tmp_path):
    expected = classifier.SETTINGS.complete({})['use_ideep']
    monkeypatch.setattr(chainer.global_config, 'use_ideep',
                        'auto' if expected == 'never' else 'never')
    found = []

    def compare(*_):
        found.append(chainer.config.use_ideep)
        return []

    monkeypatch.setattr(throughput, 'compare', compare)
    out = tmp_path / 'table.json'
    assert throughput.main(['throughput-4-BN', '--out', str(out)]) == 0
    assert found == [expected]
    assert json.loads(out.read_text())['machine']['use_ideep'] == expected


def test_all_of_the_table_by_default(monkeypatch, capsys):
    measured = []

    def compare(networks, *arguments):
        measured.extend(networks)
        return []

    monkeypatch.setattr(throughput, 'compare', compare)
    assert throughput.main([]) == 0
    assert {'throughput-4-BN', 'throughput-4-MN-2', 'throughput-4-MN-3'} <= {
        *measured}
    assert not {'other-MN', 'cifar10-cnn-MN-2'} & {*measured}


@pytest.mark.parametrize('arguments, words', [
    (['throughput-4-XX'], "there is no recipe 'throughput-4-XX'"),
    (['--turns', '0'], '--turns: must be an integer of at least 1'),
    (['--steps', '0'], '--steps: must be an integer of at least 1'),
    (['--device', '@nowhere'], '--device @nowhere cannot be used'),
    (['--out', '.'], '--out . is a folder')])
def test_user_error_is_one_line(arguments, words, capsys, monkeypatch):
    def fail(*arguments):
        raise AssertionError('measured in spite of the error')
    monkeypatch.setattr(throughput, 'compare', fail)
    try:
        status = throughput.main(arguments)
    except SystemExit as stop:
        status = stop.code
    output, errors = capsys.readouterr()
    assert status == 2 and output == ''
    assert words in errors and errors.count('\n') == 1


def test_runs_as_a_module():
    result = subprocess.run(
        [sys.executable, '-m', 'tools.throughput', '--help'],
        cwd=os.path.join(os.path.dirname(__file__), *[os.pardir] * 2),
        stdout=subprocess.PIPE, check=True)
    assert result.stdout.startswith(b'usage: python -m tools.throughput ')
