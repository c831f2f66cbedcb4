import json
import os
import pathlib
import subprocess
import sys

import pytest

from tools import tabulate


ROOT = pathlib.Path(__file__).resolve().parents[2]


def _write(folder, accuracies, length=None, first=10):
    """Writes a log with a test at every tenth step."""
    folder.mkdir()
    log = [{'iteration': first + 10 * i, 'epoch': i, 'main/loss': 1.,
            'validation/main/accuracy': accuracy, 'elapsed_time': 1.}
           for i, accuracy in enumerate(accuracies)]
    if length is not None:
        log.append({'iteration': length, 'main/loss': 1.})
    (folder / 'log').write_text(json.dumps(log))
    return str(folder)


def _rows(output):
    """Returns the table's lines, split, without what stands around it."""
    lines = output.splitlines()
    return [line.split() for line in lines[lines.index('') + 2:-1]]


def test_table(tmp_path, capsys):
    runs = [
        _write(tmp_path / 'batch', [.1, .3, .5, .4, .7, .6, .7, .65]),
        _write(tmp_path / 'mixture', [.2, .7, .75, .8], length=44),
        _write(tmp_path / 'none', [.1, .2], first=20, length=40)]
    assert tabulate.main(runs) == 0
    output = capsys.readouterr().out
    assert 'batch (0.7000)' in ' '.join(output.split())
    assert _rows(output) == [
        # Steps 20, 40, 60, 80 of 80; 0.7 first at step 50.
        ['batch', '80', '0.3000', '0.5000', '0.7000', '0.7000', '0.6500',
         '50'],
        # The best until steps 11, 22, 33, 44.
        ['mixture', '44', '0.2000', '0.7000', '0.7500', '0.8000', '0.8000',
         '20'],
        # No test until step 10, the first quarter of 40.
        ['none', '40', '-', '0.1000', '0.2000', '0.2000', '0.2000', 'not',
         'reached']]
    assert output.splitlines()[-1] == (
        f"curves side by side: {tmp_path / 'curves.png'}")
    assert (tmp_path / 'curves.png').read_bytes()[:4] == b'\x89PNG'


def test_recalibrated_runs(tmp_path, capsys):
    runs = [_write(tmp_path / name, [.1, .3, .2]) for name in ('a', 'b')]
    path = tmp_path / 'b' / 'log'
    log = json.loads(path.read_text())
    for entry, accuracy in zip(log, (.4, .6, .5)):
        entry['recalibrated/validation/main/accuracy'] = accuracy
    path.write_text(json.dumps(log))
    assert tabulate.main(runs) == 0
    output = capsys.readouterr().out
    titles = output.splitlines()[3].split('  ')
    assert [t.strip() for t in titles if t][-2:] == [
        'recalibrated 4/4', 'last']
    assert [row[-3:] for row in _rows(output)] == [
        ['20', '-', '-'], ['20', '0.6000', '0.5000']]


def test_plot_goes_where_it_is_told(tmp_path, capsys):
    run = _write(tmp_path / 'a', [.5])
    plot = tmp_path / 'plots' / 'a.png'
    plot.parent.mkdir()
    assert tabulate.main([run, '--plot', str(plot)]) == 0
    assert plot.exists()
    assert not (tmp_path / 'curves.png').exists()


def test_plot_from_within_a_run(tmp_path, monkeypatch):
    run = _write(tmp_path / 'a', [.5])
    monkeypatch.chdir(run)
    assert tabulate.main(['.']) == 0
    assert (tmp_path / 'curves.png').exists()
    assert not (tmp_path / 'a' / 'curves.png').exists()


def test_plot_of_no_known_format(tmp_path, capsys):
    run = _write(tmp_path / 'a', [.5])
    assert tabulate.main([run, '--plot', str(tmp_path / 'a.foo')]) == 2
    errors = capsys.readouterr().err
    assert 'a.foo' in errors and 'png' in errors and errors.count('\n') == 1


def test_runs_of_one_name_are_told_apart(tmp_path, capsys):
    runs = []
    for parent in ('x', 'y'):
        (tmp_path / parent).mkdir()
        runs.append(_write(tmp_path / parent / 'run', [.5]))
    assert tabulate.main(runs) == 0
    assert [row[0] for row in _rows(capsys.readouterr().out)] == runs


def test_trailing_slash(tmp_path, capsys):
    assert tabulate.main([f"{_write(tmp_path / 'a', [0.5])}/"]) == 0
    assert [row[0] for row in _rows(capsys.readouterr().out)] == ['a']
    assert (tmp_path / 'curves.png').exists()


@pytest.mark.parametrize('content, words', [
    (None, 'holds no training run'), ('', 'is not the log'),
    ('[{"iteration": 1', 'is not the log'), ('{"a": 1}', 'is not the log'),
    ('7', 'is not the log'), ('[[1]]', 'is not the log'),
    ('[{"validation/main/accuracy": 1}]', 'is not the log'),
    ('[{"iteration": 1, "validation/main/accuracy": "0.5"}]',
     'is not the log'),
    ('[{"iteration": 1, "validation/main/accuracy": null}]',
     'is not the log'),
    ('[{"iteration": 1, "validation/main/accuracy": 0.5}, {}]',
     'is not the log'),
    ('[' * 100000, 'is not the log'),
    ('[{"iteration": 5, "main/loss": 1.0}]', 'has no test accuracy yet'),
    ('[]', 'has no test accuracy yet')])
def test_bad_folder_is_one_line(content, words, tmp_path, capsys):
    good = _write(tmp_path / 'good', [.5])
    bad = tmp_path / 'bad'
    if content is not None:
        bad.mkdir()
        (bad / 'log').write_text(content)
    assert tabulate.main([good, str(bad)]) == 2
    output, errors = capsys.readouterr()
    assert output == ''
    assert words in errors and str(bad) in errors
    assert errors.startswith('python -m tools.tabulate: error: ')
    assert errors.count('\n') == 1
    assert not (tmp_path / 'curves.png').exists()


def test_plot_that_cannot_be_written(tmp_path, capsys):
    run = _write(tmp_path / 'a', [.5])
    assert tabulate.main(
        [run, '--plot', str(tmp_path / 'nowhere' / 'a.png')]) == 2
    assert capsys.readouterr().err.count('\n') == 1


def _write_series(folder, errors, **settings):
    """Writes a series of one set, with an error for each seed from 0 on."""
    folder.mkdir()
    (folder / 'series.json').write_text(json.dumps({
        'settings': dict({
            'normalizer': 'batch', 'normalizer_options': {}, 'at': None,
            'components': 3, 'modes': 2, 'sets': ['digits'],
            'batch_size': 64, 'iterations': 1000}, **settings),
        'seeds': list(range(len(errors) + 1))}))
    for seed, error in enumerate(errors):
        (folder / f'seed-{seed}').mkdir()
        (folder / f'seed-{seed}' / 'result.json').write_text(
            json.dumps({'seed': seed, 'error': error,
                        'errors': {'digits': error}}))
    return str(folder)


def test_table_of_series(tmp_path, capsys):
    folders = [
        _write_series(tmp_path / 'a', [25.83, 26.91, 27.99]),
        _write_series(tmp_path / 'b', [9.5], normalizer='mode', modes=4)]
    # The first is of before the best was kept.
    path = tmp_path / 'b' / 'seed-0' / 'result.json'
    path.write_text(json.dumps(dict(json.loads(path.read_text()),
                                    best_error=9.25)))
    assert tabulate.main(folders) == 0
    output, errors = capsys.readouterr()
    assert errors == ''
    assert [' '.join(line.split()) for line in output.splitlines()] == [
        'normalizer batch updates runs best error in % last digits',
        'batch 64 1000 3 - 26.91 +- 1.08 26.91 +- 1.08',
        'mode, K 4 64 1000 1 9.25 9.50 9.50']


@pytest.mark.parametrize('break_it, words', [
    (lambda folder: (folder / 'series.json').unlink(), 'there is no '),
    (lambda folder: (folder / 'series.json').write_text('{'),
     'is not the description of a series'),
    (lambda folder: (folder / 'seed-0' / 'result.json').unlink(),
     'no run of '),
    (lambda folder: (folder / 'seed-0' / 'result.json').write_text('{}'),
     'is damaged')])
def test_bad_series_is_one_line(break_it, words, tmp_path, capsys):
    good = _write_series(tmp_path / 'good', [1.])
    bad = _write_series(tmp_path / 'bad', [1.])
    break_it(tmp_path / 'bad')
    assert tabulate.main([good, bad]) == 2
    output, errors = capsys.readouterr()
    assert output == ''
    assert words in errors and bad in errors
    assert errors.startswith('python -m tools.tabulate: error: ')
    assert errors.count('\n') == 1


def test_plot_of_series(tmp_path, capsys):
    folder = _write_series(tmp_path / 'a', [1., 3.])
    assert tabulate.main([folder, '--plot', str(tmp_path / 'a.png')]) == 2
    assert '--plot draws the curves of runs' in capsys.readouterr().err


def test_runs_beside_series(tmp_path, capsys):
    run = _write(tmp_path / 'run', [.5])
    folder = _write_series(tmp_path / 'series', [1.])
    for runs in ([run, folder], [folder, run]):
        assert tabulate.main(runs) == 2
        output, errors = capsys.readouterr()
        assert output == '' and errors.count('\n') == 1
        assert 'the description of a series' in errors and run in errors


def _start(arguments, folder):
    return subprocess.run(
        [sys.executable, '-m', 'tools.tabulate', *arguments], cwd=folder,
        capture_output=True, text=True,
        env=dict(os.environ, PYTHONPATH=str(ROOT)))


def test_script_runs_from_any_folder(tmp_path):
    _write(tmp_path / 'a', [.5])
    done = _start(['a'], tmp_path)
    assert done.returncode == 0, done.stderr
    assert _rows(done.stdout)[0][0] == 'a'
    assert done.stdout.splitlines()[-1].endswith(' curves.png')
    _write_series(tmp_path / 'b', [1., 3.])
    done = _start(['b'], tmp_path)
    assert done.returncode == 0, done.stderr
    assert '2.00 +- 1.41' in done.stdout
    done = _start([], tmp_path)
    assert done.returncode == 2
    assert done.stderr.count('\n') == 1
