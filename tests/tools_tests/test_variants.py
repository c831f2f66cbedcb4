"""Tables and curves of variants, by tools.tabulate."""

import json
import shutil

import numpy
import pytest

from tools import tabulate


stats = pytest.importorskip('scipy.stats')

KEY = 'validation/main/accuracy'


def _write(folder, runs, recalibrated=False):
    """Writes a variant whose runs are tested at every tenth step."""
    for seed, accuracies in runs.items():
        run = folder / f'seed-{seed}'
        run.mkdir(parents=True)
        log = [{'iteration': 10 * i, 'main/loss': 1.,
                'main/accuracy': accuracy, KEY: accuracy}
               for i, accuracy in enumerate(accuracies, 1)]
        if recalibrated:
            for entry in log:
                entry[f'recalibrated/{KEY}'] = entry[KEY] / 2
        (run / 'log').write_text(json.dumps(log))
    return str(folder)


def _cells(text):
    """Returns the lines of both tables, split at two spaces."""
    lines = [[cell.strip() for cell in line.split('  ') if cell]
             for line in text.splitlines()]
    first, second = [
        i for i, cells in enumerate(lines) if cells and cells[0] == 'variant']
    return (lines[first:lines.index([], first)],
            [cells for cells in lines[second:] if len(cells) > 1])


def _random_runs(seed, seeds, n_tests=8):
    random = numpy.random.RandomState(seed)
    return {s: random.uniform(.2, .9, n_tests).round(3).tolist()
            for s in seeds}


def _mean_and_deviation(values):
    return f'{100 * numpy.mean(values):.2f} +- ' + (
        f'{100 * numpy.std(values, ddof=1):.2f}')


def test_accuracies(tmp_path, capsys):
    runs = {name: _random_runs(i, seeds) for i, (name, seeds) in enumerate(
        [('a', [0, 1, 2]), ('b', [0, 1, 2, 10, 7])])}
    assert tabulate.main(
        [_write(tmp_path / name, runs[name]) for name in runs]) == 0
    (titles, *rows), _ = _cells(capsys.readouterr().out)
    assert titles == ['variant', 'runs', 'steps', '1/4', '2/4', '3/4', '4/4',
                      'last']
    for (name, theirs), row in zip(runs.items(), rows):
        accuracies = numpy.array(list(theirs.values()))
        assert row == [
            name, str(len(theirs)), '80',
            # Two tests in each quarter.
            *(_mean_and_deviation(accuracies[:, :2 * quarter].max(axis=1))
              for quarter in (1, 2, 3, 4)),
            _mean_and_deviation(accuracies[:, -1])]


def test_difference_is_that_of_the_same_seeds(tmp_path, capsys):
    a = _random_runs(0, [0, 1, 2, 5])
    b = _random_runs(1, [5, 2, 9, 0])
    c = _random_runs(2, [1])
    d = _random_runs(2, [4, 6])
    assert tabulate.main([
        _write(tmp_path / name, runs)
        for name, runs in (('a', a), ('b', b), ('c', c), ('d', d))]) == 0
    _, (titles, *rows) = _cells(capsys.readouterr().out)
    assert titles == ['variant', 'seeds', 'difference', 'steps to best']
    assert [row[1] for row in rows] == ['4', '3', '1', '0']
    pairs = [(b[seed][-1], a[seed][-1]) for seed in (0, 2, 5)]
    test = stats.ttest_rel(*zip(*pairs))
    low, high = test.confidence_interval(.95)
    assert rows[0][2] == '-'
    mean, half = map(float, rows[1][2].split(' +- '))
    assert mean == pytest.approx(100 * (low + high) / 2, abs=.00501)
    assert half == pytest.approx(100 * (high - low) / 2, abs=.00501)
    # One pair has no interval, and none no difference.
    assert float(rows[2][2]) == pytest.approx(
        100 * (c[1][-1] - a[1][-1]), abs=.00501)
    assert rows[3][2:] == ['-', '-']


def test_steps_to_the_best_of_the_same_seed(tmp_path, capsys):
    a = {0: [.1, .5, .4, .4], 1: [.1, .2, .3, .9], 2: [.6, .5, .5, .5]}
    b = {0: [.1, .2, .5, .6], 1: [.8, .8, .8, .8], 2: [.6, .1, .1, .1]}
    c = {0: [.1, .2, .3, .4], 1: [.8, .8, .8, .8], 2: [.6, .1, .1, .1]}
    d = {0: [.9, .2, .3, .4], 1: [.8, .8, .9, .8]}
    assert tabulate.main([
        _write(tmp_path / name, runs)
        for name, runs in (('a', a), ('b', b), ('c', c), ('d', d))]) == 0
    _, (_, *rows) = _cells(capsys.readouterr().out)
    assert [row[3] for row in rows] == [
        '20 (3 of 3)',           # 20, 40 and 10
        '30 (2 of 3)',           # 30, never and 10
        'not reached (1 of 3)',  # never, never and 10
        '20 (2 of 2)']           # 10 and 30


def test_recalibrated(tmp_path, capsys):
    runs = _random_runs(0, [0, 1, 2])
    assert tabulate.main([
        _write(tmp_path / 'a', runs, recalibrated=True),
        _write(tmp_path / 'b', runs)]) == 0
    (titles, *rows), _ = _cells(capsys.readouterr().out)
    assert titles[-2:] == ['recalibrated 4/4', 'last']
    halves = numpy.array(list(runs.values())) / 2
    assert rows[0][-2:] == [_mean_and_deviation(halves.max(axis=1)),
                            _mean_and_deviation(halves[:, -1])]
    assert rows[1][-2:] == ['-', '-']


def test_single_run_and_single_variant(tmp_path, capsys):
    assert tabulate.main([_write(tmp_path / 'a', {3: [.5, .25]})]) == 0
    output = capsys.readouterr().out
    assert output.splitlines()[-2].split() == [
        'a', '1', '20', '-', '50.00', '50.00', '50.00', '25.00']
    assert 'gainst' not in output


def test_runs_under_way_do_not_count(tmp_path, capsys):
    runs = _random_runs(0, [0, 1])
    folders = [_write(tmp_path / name, runs) for name in ('a', 'b')]
    (tmp_path / 'b' / 'seed-2').mkdir()
    _write(tmp_path / 'b', {3: [.9, .9], 4: []})
    assert tabulate.main(folders) == 0
    (_, a, b), _ = _cells(capsys.readouterr().out)
    assert a[1:] == b[1:]


def test_variant_without_a_test_is_one_line(tmp_path, capsys):
    folders = [_write(tmp_path / 'a', {0: [.5]}),
               _write(tmp_path / 'b', {0: [], 1: []})]
    assert tabulate.main(folders) == 2
    output, errors = capsys.readouterr()
    assert output == '' and errors.count('\n') == 1
    assert f'no run of {folders[1]} has been tested yet' in errors


def test_damaged_log_is_one_line(tmp_path, capsys):
    folder = _write(tmp_path / 'a', {0: [.5], 1: [.5]})
    damaged = tmp_path / 'a' / 'seed-1' / 'log'
    damaged.write_text('[')
    assert tabulate.main([folder]) == 2
    output, errors = capsys.readouterr()
    assert output == '' and errors.count('\n') == 1
    assert f'{damaged} is not the log' in errors


def test_other_folders_beside_variants(tmp_path, capsys):
    variant = _write(tmp_path / 'a', {0: [.5]})
    series = _write(tmp_path / 'series', {0: [.5]})
    (tmp_path / 'series' / 'series.json').write_text('{}')
    for other in (str(tmp_path / 'a' / 'seed-0'), series, str(tmp_path)):
        for folders in ([variant, other], [other, variant]):
            assert tabulate.main(folders) == 2
            output, errors = capsys.readouterr()
            assert output == '' and errors.count('\n') == 1
            assert errors.startswith('python -m tools.tabulate: error: ')


def test_folder_of_variants_tells_their_names(tmp_path, capsys):
    folders = [_write(tmp_path / 'all' / name, {0: [.5]}) for name in 'ab']
    assert tabulate.main([str(tmp_path / 'all')]) == 2
    output, errors = capsys.readouterr()
    assert output == '' and errors.count('\n') == 1
    assert f"name those to compare, {' '.join(folders)}\n" in errors


def test_run_in_a_folder_of_variants(tmp_path, capsys):
    folder = _write(tmp_path / 'a', {0: [.5]})
    shutil.copy(f'{folder}/seed-0/log', tmp_path / 'log')
    assert tabulate.main([str(tmp_path)]) == 0
    assert '0.5000' in capsys.readouterr().out


def test_picture(tmp_path, capsys):
    pytest.importorskip('matplotlib')
    folder = _write(tmp_path / 'a', _random_runs(0, [0, 1]))
    assert tabulate.main([folder]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"curves side by side: {tmp_path / 'curves.png'}")
    assert (tmp_path / 'curves.png').read_bytes()[:4] == b'\x89PNG'
