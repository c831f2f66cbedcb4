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
        log = [{'iteration': 10 * i, 'main/loss': 1. - accuracy,
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
    assert titles == ['variant', 'seeds', 'best', 'last', 'training loss',
                      'steps to best']
    assert [row[1] for row in rows] == ['4', '3', '1', '0']
    figures = [lambda run: 100 * max(run), lambda run: 100 * run[-1],
               # The loss of these logs is that much below 1.
               lambda run: 1 - numpy.mean(run)]
    for column, (figure, precision) in enumerate(
            zip(figures, (.005, .005, .0005)), 2):
        assert rows[0][column] == '-'
        test = stats.ttest_rel(*zip(*(
            (figure(b[seed]), figure(a[seed])) for seed in (0, 2, 5))))
        low, high = test.confidence_interval(.95)
        mean, half = map(float, rows[1][column].split(' +- '))
        assert mean == pytest.approx((low + high) / 2, abs=1.01 * precision)
        assert half == pytest.approx((high - low) / 2, abs=1.01 * precision)
        # One pair has no interval, and none no difference.
        assert float(rows[2][column]) == pytest.approx(
            figure(c[1]) - figure(a[1]), abs=1.01 * precision)
        assert rows[3][column] == '-'
    assert rows[3][-1] == '-'


def test_steps_to_the_best_of_the_same_seed(tmp_path, capsys):
    a = {0: [.1, .5, .4, .4], 1: [.1, .2, .3, .9], 2: [.6, .5, .5, .5]}
    b = {0: [.1, .2, .5, .6], 1: [.8, .8, .8, .8], 2: [.6, .1, .1, .1]}
    c = {0: [.1, .2, .3, .4], 1: [.8, .8, .8, .8], 2: [.6, .1, .1, .1]}
    d = {0: [.9, .2, .3, .4], 1: [.8, .8, .9, .8]}
    assert tabulate.main([
        _write(tmp_path / name, runs)
        for name, runs in (('a', a), ('b', b), ('c', c), ('d', d))]) == 0
    _, (_, *rows) = _cells(capsys.readouterr().out)
    assert [row[-1] for row in rows] == [
        '20 (3 of 3)',           # 20, 40 and 10
        '30 (2 of 3)',           # 30, never and 10
        'not reached (1 of 3)',  # never, never and 10
        '20 (2 of 2)']           # 10 and 30


def test_recalibrated(tmp_path, capsys):
    runs, others = (_random_runs(i, [0, 1, 2]) for i in range(2))
    assert tabulate.main([
        _write(tmp_path / 'a', runs, recalibrated=True),
        _write(tmp_path / 'b', runs),
        _write(tmp_path / 'c', others, recalibrated=True)]) == 0
    (titles, *rows), (second, *differences) = _cells(capsys.readouterr().out)
    assert titles[-2:] == ['recalibrated 4/4', 'last']
    halves = numpy.array(list(runs.values())) / 2
    assert rows[0][-2:] == [_mean_and_deviation(halves.max(axis=1)),
                            _mean_and_deviation(halves[:, -1])]
    assert rows[1][-2:] == ['-', '-']
    assert second[2:5] == ['best', 'last', 'recalibrated']
    assert differences[1][4] == '-'
    found = float(differences[2][4].split(' +- ')[0])
    assert found == pytest.approx(100 * numpy.mean(
        [(others[seed][-1] - runs[seed][-1]) / 2 for seed in runs]),
        abs=.00501)


def test_single_run_and_single_variant(tmp_path, capsys):
    assert tabulate.main([_write(tmp_path / 'a', {3: [.5, .25]})]) == 0
    output = capsys.readouterr().out
    assert output.splitlines()[-2].split() == [
        'a', '1', '20', '-', '50.00', '50.00', '50.00', '25.00']
    assert 'gainst' not in output


def _describe(folder, seed, **settings):
    path = folder / f'seed-{seed}' / 'run.json'
    path.write_text(
        json.dumps({'settings': settings}))
    return path


@pytest.mark.parametrize('settings', [
    {'iterations': 80, 'epoch': 2}, {'iterations': None, 'epoch': 2},
    {'iterations': 160, 'epoch': 1, 'scale': .5},
    {'iterations': None, 'epoch': 4, 'scale': .5}])
def test_runs_under_way_do_not_count(settings, tmp_path, capsys):
    runs = _random_runs(0, [0, 1])
    longer = _random_runs(1, [2, 3], n_tests=6)
    folders = [_write(tmp_path / name, runs) for name in ('a', 'b')]
    (tmp_path / 'b' / 'seed-4').mkdir()
    _write(tmp_path / 'b', {**longer, 5: []})
    _write(tmp_path / 'c', {0: runs[0], 1: longer[3]})
    for path in tmp_path.glob('*/*/log'):
        log = json.loads(path.read_text())
        for entry in log:
            entry['epoch'] = entry['iteration'] // 40
        path.write_text(json.dumps(log))
        _describe(path.parents[1], path.parent.name[5:], **settings)
    folders.append(str(tmp_path / 'c'))
    assert tabulate.main(folders) == 0
    output = capsys.readouterr().out
    (_, a, b, c), (_, *comparisons) = _cells(output)
    assert a[1:] == b[1:]
    assert [row[1] for row in (a, b, c)] == ['2', '2', '1']
    assert [row[1] for row in comparisons[:3]] == ['2', '2', '1']
    for name, seed in (('b', 2), ('b', 3), ('c', 1)):
        assert (f'{tmp_path / name}/seed-{seed} is under way: 60 of about '
                in output)
    assert 'b/seed-5/log has no test accuracy yet' in output


def test_variant_of_which_no_run_has_ended_is_one_line(tmp_path, capsys):
    folders = [_write(tmp_path / 'a', {0: [.5]}),
               _write(tmp_path / 'b', {0: [.5], 1: []})]
    _describe(tmp_path / 'b', 0, iterations=20)
    assert tabulate.main(folders) == 2
    output, errors = capsys.readouterr()
    assert output == '' and errors.count('\n') == 1
    assert f'no run of {folders[1]} has ended yet' in errors


@pytest.mark.parametrize('description', [
    '[', '{}', '{"settings": 3}', '{"settings": {}}',
    '{"settings": {"iterations": "80"}}'])
def test_damaged_description_is_one_line(description, tmp_path, capsys):
    folder = _write(tmp_path / 'a', {0: [.5]})
    path = _describe(tmp_path / 'a', 0)
    path.write_text(description)
    for one in (folder, str(path.parent)):
        assert tabulate.main([one]) == 2
        output, errors = capsys.readouterr()
        assert output == '' and errors.count('\n') == 1
        assert str(path) in errors


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
