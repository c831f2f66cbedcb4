"""What is read of runs, and what tells them from their recipes."""

import json

import pytest

from tools.paper_table.published import TABLES
from tools.paper_table.results import read
from tools_tests.paper_table_tests.runs import (
    KEY, write_run, write_series, write_throughput)
from train import classifier
from train import gan
from train import multitask
from train.command_line import UserError


def _read(*arguments, tables=TABLES.values()):
    return read([str(argument) for argument in arguments], tables)


def _texts(run):
    return [difference.text for difference in run.differences]


def test_figures_of_a_run(tmp_path):
    # Of 100 epochs, which falls back from its best.
    accuracies = [.5 + .003 * i for i in range(100)]
    accuracies[59] = .9
    (run,), remarks = _read(
        write_run(tmp_path / 'a', 'cifar10-cnn-MN-2', accuracies, seed=7))
    assert remarks == []
    assert (run.recipe, run.seed, run.differences) == (
        'cifar10-cnn-MN-2', 7, ())
    assert run.figures == {
        'accuracy 1/4': pytest.approx(57.2),
        'accuracy 2/4': pytest.approx(64.7),
        'accuracy 3/4': pytest.approx(90),
        'accuracy 4/4': pytest.approx(90), 'accuracy': pytest.approx(90),
        'error': pytest.approx(10), 'top-5 error': None}


def test_a_quarter_that_ends_within_an_update(tmp_path):
    # 390.625 updates are an epoch: 78,125 are 200, and 50 end in 19,532.
    (run,), _ = _read(write_run(
        tmp_path / 'a', 'cifar10-inception-MN-2',
        [i / 1000 for i in range(1, 201)], 390.625))
    assert _quarters(run) == pytest.approx([5, 10, 15, 20])


def _quarters(run):
    return [run.figures[f'accuracy {quarter}/4'] for quarter in (1, 2, 3, 4)]


@pytest.mark.parametrize('n, given, expected', [
    # As many epochs as the paper's columns say, whatever the run's length.
    (25, {'epoch': 25}, [25, None, None, None]),
    (40, {'epoch': 40}, [25, None, None, None]),
    (50, {'epoch': 50}, [25, 50, None, None]),
    (150, {'epoch': 150}, [25, 50, 75, 100]),
    (24, {'epoch': 24}, [None, None, None, None]),
    (51, {'iterations': 9961}, [25, 50, None, None]),
    # A part of them, where the schedule is scaled.
    (40, {'scale': .4}, [10, 20, 30, 40]),
    (25, {'epoch': 50, 'scale': .5}, [12, 25, None, None])])
def test_quarters_of_a_run_of_another_length(n, given, expected, tmp_path):
    (run,), remarks = _read(write_run(
        tmp_path / 'a', 'cifar10-cnn-MN-2',
        [i / 1000 for i in range(1, n + 1)], **given))
    assert not remarks
    assert _quarters(run) == [
        None if epoch is None else pytest.approx(epoch / 10)
        for epoch in expected]
    assert run.figures['accuracy'] == pytest.approx(n / 10)


def test_quarters_of_a_run_within_its_first_epoch(tmp_path):
    path = write_run(tmp_path / 'a', 'cifar10-cnn-MN-2', [.5], iterations=100)
    (tmp_path / 'a' / 'log').write_text(json.dumps(
        [{'epoch': 0, 'iteration': 100, KEY: .5}]))
    (run,), remarks = _read(path)
    assert not remarks
    assert _quarters(run) == 4 * [None]
    assert run.figures['accuracy'] == pytest.approx(50)


def test_top5_error(tmp_path):
    path = write_run(tmp_path / 'a', None, [.3, .5, .4], top5=[.6, .7, .8],
                     epoch=3, dataset='cifar10')
    (run,), _ = _read(f'imagenet-resnet18-BN={path}')
    assert run.figures['error'] == pytest.approx(50)
    assert run.figures['top-5 error'] == pytest.approx(20)


@pytest.mark.parametrize('given, expected', [
    ({}, []),
    # What changes neither the updates nor the tests.
    ({'seed': 3, 'log_every': 5, 'snapshot_every': 7, 'recalibrate': 2}, []),
    ({'widths': [32, 64, 64, 128]},
     ['widths 32 64 64 128 (64 128 128 256)']),
    ({'epoch': 2, 'batch_size': 128}, ['batch size 128 (256)',
                                       'epoch 2 (100)']),
    # One stands in for the other.
    ({'iterations': 391}, ['iterations 391']),
    ({'train_size': 1000}, ['train size 1000']),
    ({'test_every': 50}, ['test every 50']),
    ({'lr': .05}, ['lr 0.05 (0.01)']),
    ({'normalizer_options': {'warm_start': True}},
     ['normalizer options warm_start=True (none)'])])
def test_differences(given, expected, tmp_path):
    n = 2 if given.keys() & {'epoch', 'iterations'} else 100
    (run,), _ = _read(write_run(
        tmp_path / 'a', 'cifar10-cnn-MN-2', [.5] * n, **given))
    assert _texts(run) == expected


def test_scale(tmp_path):
    half = write_run(tmp_path / 'a', 'cifar10-cnn-MN-2', [.5] * 50, scale=.5)
    (run,), remarks = _read(half)
    assert _texts(run) == ['scale 0.5 (1.0)'] and not remarks
    with_less = write_run(
        tmp_path / 'b' / 'c', 'cifar10-cnn-MN-2', [.5] * 49, scale=.5)
    runs, remarks = _read(half, with_less)
    assert len(runs) == 1 and with_less in remarks[0]


def test_scaled_run_that_ends_within_an_epoch(tmp_path):
    # 4.5 epochs of 1,000 updates, which no test ends with.
    iterations = 700, 1400, 2100, 2800, 3500, 4200, 4500
    path = write_run(tmp_path / 'a', 'cifar10-cnn-MN-2', [.5], scale=.045,
                     train_size=16000, batch_size=16, test_every=700)
    entries = [{'epoch': n // 1000, 'iteration': n, KEY: .5}
               for n in iterations]
    (tmp_path / 'a' / 'log').write_text(json.dumps(entries))
    assert len(_read(path)[0]) == 1
    (tmp_path / 'a' / 'log').write_text(json.dumps(entries[:-2]))
    assert 'under way' in _read(path)[1][0]


def test_run_made_by_explicit_settings(tmp_path):
    settings = classifier.SETTINGS.complete({'recipe': 'cifar10-cnn-MN-2'})
    given = {name: settings[name] for name in (
        'dataset', 'normalizer', 'at', 'optimizer', 'lr', 'weight_decay',
        'batch_size', 'decay', 'decay_every')}
    path = write_run(tmp_path / 'a', None, [.5] * 3, epoch=3, **given)
    (run,), _ = _read(f'cifar10-cnn-MN-2={path}')
    assert run.recipe == 'cifar10-cnn-MN-2'
    assert _texts(run) == ['epoch 3 (100)']
    with pytest.raises(UserError, match=f'ROW={path} says'):
        _read(path)


def test_variants_and_folders_of_them(tmp_path):
    for name in ('BN-2', 'MN-2'):
        for seed in (0, 5):
            write_run(tmp_path / 'out' / name / f'seed-{seed}',
                      f'cifar10-cnn-{name}', [.5] * 100, seed=seed)
    write_run(tmp_path / 'out' / 'other', 'cifar10-cnn-BN-4', [.5] * 100)
    (tmp_path / 'out' / 'notes').mkdir()
    (tmp_path / 'out' / 'report.json').write_text('{}')
    runs, _ = _read(tmp_path / 'out' / 'MN-2')
    assert [(run.recipe, run.seed) for run in runs] == [
        ('cifar10-cnn-MN-2', 0), ('cifar10-cnn-MN-2', 5)]
    runs, remarks = _read(tmp_path / 'out', tables=[TABLES['III']])
    assert sorted((run.recipe, run.seed) for run in runs) == [
        ('cifar10-cnn-BN-2', 0), ('cifar10-cnn-BN-2', 5),
        ('cifar10-cnn-MN-2', 0), ('cifar10-cnn-MN-2', 5)]
    assert len(remarks) == 1 and 'cifar10-cnn-BN-4' in remarks[0]


def test_series(tmp_path):
    path = write_series(tmp_path / 'a', 'multitask-MN-2',
                        [(23., 22.), (25., 24.5)])
    runs, _ = _read(path)
    assert [(run.recipe, run.seed, run.figures['error'], run.differences,
             run.conditions) for run in runs] == [
        ('multitask-MN-2', 0, 22., (), ()),
        ('multitask-MN-2', 1, 24.5, (), ())]


def test_series_before_the_best_was_kept(tmp_path):
    path = write_series(tmp_path / 'a', 'multitask-MN-2', [(23., None)],
                        lr=.1)
    (run,), _ = _read(path)
    assert run.figures['error'] == 23
    assert _texts(run) == ['lr 0.1 (0.05)']
    assert ['last test' in text for text in run.conditions] == [True]


def test_measurements(tmp_path):
    path = write_throughput(
        tmp_path / 'a.json', [('throughput-20-64-BN', 2., 1.),
                              ('throughput-20-64-MN-2', 1.8, .9),
                              # Of a row whose figures are no times.
                              ('cifar10-cnn-MN-2', 3., .8)],
        processor='fast')
    for argument in (path, tmp_path):
        runs, _ = _read(argument)
        assert [(run.recipe, run.figures, run.conditions)
                for run in runs] == [
            ('throughput-20-64-BN', {'iterations': 2., 'ratio': 1.},
             ('measured on processor fast',)),
            ('throughput-20-64-MN-2', {'iterations': 1.8, 'ratio': .9},
             ('measured on processor fast',))]


def test_distances(tmp_path):
    (tmp_path / 'run.json').write_text(json.dumps({
        'settings': gan.SETTINGS.complete({
            'recipe': 'cifar10-dcgan-MN', 'features': 'a/inception.npz',
            'iterations': 20000, 'seed': 2}),
        'features': {'file': 'a/inception.npz', 'sha256': 'abcdef0123',
                     'distance': 'fid'}}))
    (tmp_path / 'log').write_text(json.dumps([
        {'iteration': 10000, 'fid': 35.}, {'iteration': 15000},
        {'iteration': 20000, 'fid': 36.}]))
    (run,), _ = _read(tmp_path)
    assert (run.recipe, run.seed, run.figures) == (
        'cifar10-dcgan-MN', 2, {'distance': 35.})
    assert _texts(run) == ['iterations 20000 (100000)']
    assert run.conditions == ('fid, features of inception.npz (abcdef01)',)


def test_runs_under_way_do_not_count(tmp_path):
    ended = write_run(tmp_path / 'a', 'cifar10-cnn-MN-2', [.5] * 100)
    at_work = write_run(tmp_path / 'b', 'cifar10-cnn-MN-2', [.5] * 99, seed=1)
    untested = write_run(tmp_path / 'c', 'cifar10-cnn-MN-2', [], seed=2)
    series = write_series(tmp_path / 'd', 'multitask-BN', [])
    updates = write_run(tmp_path / 'e', 'cifar10-cnn-MN-2', [.5],
                        iterations=197)
    first_epoch = write_run(tmp_path / 'f', 'cifar10-cnn-MN-2', [.5], seed=3,
                            test_every=50)
    (tmp_path / 'f' / 'log').write_text(json.dumps(
        [{'epoch': 0, 'iteration': 50, KEY: .5}]))
    runs, remarks = _read(
        ended, at_work, untested, series, updates, first_epoch)
    assert [run.path for run in runs] == [ended]
    assert [remark.split()[0] for remark in remarks] == [
        at_work, untested, series, updates, first_epoch]
    assert all('under way' in remark for remark in remarks)
    assert '19336 of about 19530' in remarks[0]


def test_same_run_twice(tmp_path):
    paths = [write_run(tmp_path / name, 'cifar10-cnn-MN-2', [.5] * 100)
             for name in ('a', 'b')]
    with pytest.raises(UserError, match='are both cifar10-cnn-MN-2 with see'):
        _read(*paths)
    other = write_run(tmp_path / 'c', 'cifar10-cnn-MN-2', [.5] * 100, lr=.2)
    assert len(_read(paths[0], other)[0]) == 2


@pytest.mark.parametrize('argument, words', [
    ('nowhere', 'there is no'),
    ('no-row=run', 'no row of these tables'),
    ('empty', 'holds no run, series or measurement'),
    ('multitask-BN=run', 'is no result for multitask-BN, which train.multit'),
    ('cifar10-cnn-BN-2=series', 'is no result for cifar10-cnn-BN-2, which '
     'train.classifier makes'),
    ('throughput-20-64-BN=run', 'which tools.throughput makes'),
    ('throughput-20-64-BN=time.json', 'names its rows itself'),
    ('broken.json', 'is not a file of tools.throughput'),
    ('no-settings', 'holds no settings'),
    ('settings', 'holds no run of train.classifier'),
    ('log', 'is not the log'),
    ('result', 'is damaged')])
def test_what_is_no_result(argument, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / 'run', 'cifar10-cnn-BN-2', [.5] * 100)
    write_series(tmp_path / 'series', 'multitask-BN', [(1., 1.)])
    write_throughput(tmp_path / 'time.json', [('throughput-20-64-BN', 1, 1)])
    (tmp_path / 'broken.json').write_text('{"rows": [{}]}')
    for name, content in (('no-settings', '{}'), (
            'settings', '{"settings": {"recipe": "cifar10-cnn-BN-2"}}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'run.json').write_text(content)
    (tmp_path / 'empty').mkdir()
    write_run(tmp_path / 'log', 'cifar10-cnn-BN-2', [])
    (tmp_path / 'log' / 'log').write_text('{')
    write_series(tmp_path / 'result', 'multitask-BN', [(1., 1.)])
    (tmp_path / 'result' / 'seed-0' / 'result.json').write_text('{}')
    with pytest.raises(UserError) as error:
        _read(argument)
    assert words in str(error.value)


def _change(path, where, value):
    """Changes a value in a JSON file."""
    content = found = json.loads(path.read_text())
    for key in where[:-1]:
        found = found[key]
    found[where[-1]] = value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize('file, where, value', [
    ('run/log', (0, 'epoch'), 'x'), ('run/log', (0, 'iteration'), None),
    ('run/log', (0, f'recalibrated/{KEY}'), '.5'),
    ('run/log', (0, 'main/loss'), [1]),
    *(('run/run.json', ('settings', name), value)
      for name in ('scale', 'epoch', 'seed') for value in (None, 'x', [1])),
    ('run/run.json', ('settings', 'iterations'), 'x'),
    ('run/run.json', ('settings', 'recipe'), ['x']),
    ('gan/run.json', ('features',), 5),
    ('gan/run.json', ('features',), {'distance': 'fid'}),
    ('series/seed-0/result.json', ('best_error',), float('nan')),
    ('series/seed-0/result.json', ('seed',), [1])])
def test_values_of_another_type(file, where, value, tmp_path):
    write_run(tmp_path / 'run', 'cifar10-cnn-BN-2', [.5] * 100)
    write_series(tmp_path / 'series', 'multitask-BN', [(1., 1.)])
    write_run(tmp_path / 'gan', None, [.5])
    (tmp_path / 'gan' / 'run.json').write_text(json.dumps({
        'settings': gan.SETTINGS.complete({'recipe': 'cifar10-dcgan-BN'})}))
    _change(tmp_path / file, where, value)
    folder = tmp_path / file.partition('/')[0]
    with pytest.raises(UserError) as error:
        _read(folder)
    assert str(folder) in str(error.value) and '\n' not in str(error.value)


def test_every_row_is_a_recipe():
    settings = {'classifier': classifier.SETTINGS, 'gan': gan.SETTINGS,
                'multitask': multitask.SETTINGS,
                'throughput': classifier.SETTINGS}
    plain = {script: one.complete({}) for script, one in settings.items()}
    for table in TABLES.values():
        for recipe in table.rows:
            found = settings[table.script].complete({'recipe': recipe})
            assert dict(found, recipe=None) != plain[table.script], recipe
