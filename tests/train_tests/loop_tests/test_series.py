import json
import os

import pytest

from train.loop import series
from train.command_line import UserError


_SETTINGS = {
    'normalizer': 'batch', 'normalizer_options': {}, 'at': None,
    'components': 3, 'modes': 2, 'sets': ['svhn', 'digits'],
    'batch_size': 128, 'iterations': 27343}


def _write(folder, errors, seeds=None, **settings):
    """Writes a series; errors are a pair, of svhn and digits, by seed."""
    folder.mkdir()
    (folder / 'series.json').write_text(json.dumps({
        'settings': dict(_SETTINGS, **settings),
        'seeds': list(errors) if seeds is None else seeds}))
    for seed, (svhn, digits) in errors.items():
        run = folder / f'seed-{seed}'
        run.mkdir()
        (run / 'result.json').write_text(json.dumps({
            'seed': seed, 'error': (svhn + digits) / 2,
            'errors': {'svhn': svhn, 'digits': digits}}))
    return str(folder)


@pytest.mark.parametrize('values, expected', [
    # Deviations of -1.08, 0 and 1.08: 2 * 1.08**2 / (3 - 1) is the variance.
    ([25.83, 26.91, 27.99], '26.91 +- 1.08'),
    ([1., 3.], '2.00 +- 1.41'), ([10., 10., 10., 10.], '10.00 +- 0.00'),
    ([0, 0, 0, 0, 5], '1.00 +- 2.24'),
    ([26.914], '26.91'), ([0], '0.00')])
def test_mean_and_deviation(values, expected):
    assert series.mean_and_deviation(values) == expected


@pytest.mark.parametrize('settings, expected', [
    ({}, 'batch'), ({'modes': 7, 'components': 8}, 'batch'),
    ({'normalizer': 'mode', 'modes': 4}, 'mode, K 4'),
    ({'normalizer': 'mode_group', 'modes': 6, 'at': ['conv2']},
     'mode_group, K 6, at conv2'),
    ({'normalizer': 'mixture', 'components': 5, 'at': ['conv1', 'conv2'],
      'normalizer_options': {'order': 2, 'eps': .001}},
     'mixture, K 5, eps 0.001, order 2, at conv1 conv2'),
    ({'normalizer': 'group_mixture', 'components': 4,
      'normalizer_options': {'groups': 3}}, 'group_mixture, K 4, groups 3'),
    ({'normalizer': 'group', 'normalizer_options': {'groups': 3}},
     'group, groups 3')])
def test_describe(settings, expected):
    assert series.describe(dict(_SETTINGS, **settings)) == expected


def _cells(text):
    return [[cell for cell in line.split('  ') if cell]
            for line in text.splitlines()]


def test_table(tmp_path):
    folders = [
        _write(tmp_path / 'a', {0: (20., 10.), 1: (22., 12.), 2: (24., 8.)}),
        _write(tmp_path / 'b', {5: (31., 3.)}, seeds=[4, 5, 6],
               normalizer='mode', modes=4, iterations=50000),
        _write(tmp_path / 'c', {0: (0., 1.5), 1: (0., 2.5)}, sets=['digits'])]
    text = series.table(folders)
    assert [[cell.strip() for cell in row] for row in _cells(text)] == [
        ['normalizer', 'batch', 'updates', 'runs', 'best error in %', 'last',
         'digits', 'svhn'],
        # (15, 17, 16), (10, 12, 8) and (20, 22, 24).
        ['batch', '128', '27343', '3', '-', '16.00 +- 1.00', '10.00 +- 2.00',
         '22.00 +- 2.00'],
        ['mode, K 4', '128', '50000', '1', '-', '17.00', '3.00', '31.00'],
        ['batch', '128', '27343', '2', '-', '1.00 +- 0.35', '2.00 +- 0.71',
         '-']]
    # Columns: all lines end where the titles do.
    assert len({len(line) for line in text.splitlines()}) == 1


@pytest.mark.parametrize('key, title', [
    ('recalibrated', 'recalibrated'), ('best_error', 'best error in %')])
def test_errors_that_some_results_hold(key, title, tmp_path):
    folders = [_write(tmp_path / name, {0: (20., 10.), 1: (22., 12.)})
               for name in ('all', 'one', 'none')]
    for name, seed, error in (('all', 0, 9.), ('all', 1, 11.), ('one', 0, 7.)):
        path = tmp_path / name / f'seed-{seed}' / 'result.json'
        path.write_text(json.dumps(dict(
            json.loads(path.read_text()), **{key: error})))
    titles, *rows = [[cell.strip() for cell in row]
                     for row in _cells(series.table(folders))]
    # Of a series of which some runs had none there is no mean.
    column = titles.index(title)
    assert [row[column] for row in rows] == ['10.00 +- 1.41', '-', '-']
    column = titles.index('last')
    assert [row[column] for row in rows] == 3 * ['16.00 +- 1.41']


def test_series_of_one_normalizer_are_told_apart(tmp_path):
    folders = [_write(tmp_path / name, {0: (1., 2.)}, **settings)
               for name, settings in (
                   ('a', {'lr': .05, 'widths': [6, 16, 120, 84]}),
                   ('b', {'lr': .02, 'widths': [6, 16, 120, 84]}),
                   ('c', {'lr': .02, 'widths': [3, 8, 60, 42]}),
                   ('d', {'lr': .01, 'normalizer': 'none'}))]
    assert [row[0].strip() for row in _cells(series.table(folders))[1:]] == [
        'batch, widths 6 16 120 84, lr 0.05',
        'batch, widths 6 16 120 84, lr 0.02',
        'batch, widths 3 8 60 42, lr 0.02', 'none']


def test_runs_that_have_not_ended_are_left_out(tmp_path):
    folder = _write(tmp_path / 'a', {3: (1., 2.), 1: (3., 4.)},
                    seeds=[3, 2, 1])
    (tmp_path / 'a' / 'seed-2').mkdir()
    # Nor is one that the series does not list a part of it.
    _write(tmp_path / 'b', {9: (7., 7.)})
    os.rename(tmp_path / 'b' / 'seed-9', tmp_path / 'a' / 'seed-9')
    settings, results = series.read_results(folder)
    assert settings == _SETTINGS
    assert results == [
        {'seed': 3, 'error': 1.5, 'errors': {'svhn': 1., 'digits': 2.}},
        {'seed': 1, 'error': 3.5, 'errors': {'svhn': 3., 'digits': 4.}}]


def test_no_run_has_ended(tmp_path):
    folder = _write(tmp_path / 'a', {}, seeds=[0, 1])
    with pytest.raises(UserError, match='no run of .* has ended') as error:
        series.table([folder])
    assert folder in str(error.value)


@pytest.mark.parametrize('content', [
    '', '{', '[]', '3', '{}', '{"settings": {}}', '{"seeds": [0]}',
    '{"settings": [], "seeds": [0]}', '{"settings": {}, "seeds": 0}',
    '{"settings": {}, "seeds": ["../x"]}', b'\xff\xfe{}'])
def test_damaged_description(content, tmp_path):
    folder = _write(tmp_path / 'a', {0: (1., 2.)})
    path = tmp_path / 'a' / 'series.json'
    path.write_bytes(
        content if isinstance(content, bytes) else content.encode())
    for read in (series.read_description, series.read_results):
        with pytest.raises(
                UserError, match='is not the description of') as error:
            read(folder)
        assert str(path) in str(error.value)
        assert '\n' not in str(error.value)


def test_missing_description(tmp_path):
    for folder in (tmp_path, tmp_path / 'nowhere'):
        with pytest.raises(UserError, match='there is no ') as error:
            series.table([str(folder)])
        assert str(folder / 'series.json') in str(error.value)


@pytest.mark.parametrize('content, words', [
    ('', 'is not the result of a run'), ('[1]', 'is not the result of a run'),
    ('{}', "is damaged.*'error'"),
    ('{"error": 1.0, "errors": {"svhn": 2.0}}', "is damaged.*'digits'"),
    ('{"error": "low", "errors": {"svhn": 2, "digits": 1}}', 'is damaged'),
    ('{"error": 1, "errors": 2}', 'is damaged')])
def test_damaged_result(content, words, tmp_path):
    good = _write(tmp_path / 'good', {0: (1., 2.)})
    bad = _write(tmp_path / 'bad', {0: (1., 2.), 1: (1., 2.)})
    (tmp_path / 'bad' / 'seed-1' / 'result.json').write_text(content)
    with pytest.raises(UserError, match=words) as error:
        series.table([good, bad])
    assert bad in str(error.value) and good not in str(error.value)
    assert '\n' not in str(error.value)


def test_settings_that_are_no_series(tmp_path):
    folder = _write(tmp_path / 'a', {0: (1., 2.)})
    (tmp_path / 'a' / 'series.json').write_text(
        '{"settings": {"normalizer": "batch"}, "seeds": [0]}')
    with pytest.raises(UserError, match='is damaged') as error:
        series.table([folder])
    assert folder in str(error.value)


def test_free_folder(tmp_path):
    series.require_free(str(tmp_path))
    series.require_free(str(tmp_path / 'nowhere'))
    (tmp_path / 'notes.txt').write_text('mine')
    (tmp_path / 'seed-x').mkdir()
    series.require_free(str(tmp_path))


@pytest.mark.parametrize('lost', ['series.json', 'seed-0/result.json', None])
def test_held_folder(lost, tmp_path):
    folder = _write(tmp_path / 'a', {0: (1., 2.)})
    if lost:
        (tmp_path / 'a' / lost).unlink()
    with pytest.raises(UserError, match='--resume .* --overwrite') as error:
        series.require_free(folder)
    assert folder in str(error.value)


def test_clear_leaves_what_is_not_the_series(tmp_path):
    folder = _write(tmp_path / 'a', {0: (1., 2.), 12: (3., 4.)}, seeds=[0])
    kept = [tmp_path / 'a' / name for name in (
        'notes.txt', 'seed-0/notes.txt', 'seed-x/result.json', 'result.json')]
    (tmp_path / 'a' / 'seed-x').mkdir()
    for path in kept:
        path.write_text('mine')
    for seed in (0, 12):
        for name in ('snapshot.npz', 'log', 'curves.png', 'mixture.npz',
                     'run.json'):
            path = tmp_path / 'a' / f'seed-{seed}' / name
            path.write_text('old')
    series.clear(folder)
    found = {path for path in (tmp_path / 'a').rglob('*') if path.is_file()}
    assert found == set(kept)
    series.clear(folder)
    series.clear(str(tmp_path / 'nowhere'))
    assert not (tmp_path / 'nowhere').exists()
