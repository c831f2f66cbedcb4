import json
import pathlib
import subprocess
import sys

import pytest

from tools import tabulate


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
        ['batch', '80', '0.3000', '0.4000', '0.6000', '0.6500', '0.7000',
         '50'],
        # The last tests until steps 11, 22, 33, 44.
        ['mixture', '44', '0.2000', '0.7000', '0.7500', '0.8000', '0.8000',
         '20'],
        # No test until step 10, the first quarter of 40.
        ['none', '40', '-', '0.1000', '0.2000', '0.2000', '0.2000', 'not',
         'reached']]
    assert output.splitlines()[-1] == 'curves side by side: {}'.format(
        tmp_path / 'curves.png')
    assert (tmp_path / 'curves.png').read_bytes()[:4] == b'\x89PNG'


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
    assert errors.startswith('tabulate.py: error: ')
    assert errors.count('\n') == 1
    assert not (tmp_path / 'curves.png').exists()


def test_plot_that_cannot_be_written(tmp_path, capsys):
    run = _write(tmp_path / 'a', [.5])
    assert tabulate.main(
        [run, '--plot', str(tmp_path / 'nowhere' / 'a.png')]) == 2
    assert capsys.readouterr().err.count('\n') == 1


def test_script_runs_from_any_folder(tmp_path):
    _write(tmp_path / 'a', [.5])
    script = pathlib.Path(tabulate.__file__).resolve()
    done = subprocess.run([sys.executable, str(script), 'a'], cwd=tmp_path,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert _rows(done.stdout)[0][0] == 'a'
    assert done.stdout.splitlines()[-1].endswith(' curves.png')
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path,
                          capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count('\n') == 1
