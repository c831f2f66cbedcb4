import json
import pathlib
import subprocess
import sys

import pytest

from tools import tabulate_series


def _write(folder, errors, **settings):
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


def test_table(tmp_path, capsys):
    folders = [
        _write(tmp_path / 'a', [25.83, 26.91, 27.99]),
        _write(tmp_path / 'b', [9.5], normalizer='mode', modes=4)]
    assert tabulate_series.main(folders) == 0
    output, errors = capsys.readouterr()
    assert errors == ''
    assert [' '.join(line.split()) for line in output.splitlines()] == [
        'normalizer batch updates runs test error in % digits',
        'batch 64 1000 3 26.91 +- 1.08 26.91 +- 1.08',
        'mode, K 4 64 1000 1 9.50 9.50']


@pytest.mark.parametrize('break_it, words', [
    (lambda folder: (folder / 'series.json').unlink(), 'there is no '),
    (lambda folder: (folder / 'series.json').write_text('{'),
     'is not the description of a series'),
    (lambda folder: (folder / 'seed-0' / 'result.json').unlink(),
     'no run of '),
    (lambda folder: (folder / 'seed-0' / 'result.json').write_text('{}'),
     'is damaged')])
def test_bad_folder_is_one_line(break_it, words, tmp_path, capsys):
    good = _write(tmp_path / 'good', [1.])
    bad = _write(tmp_path / 'bad', [1.])
    break_it(tmp_path / 'bad')
    assert tabulate_series.main([good, bad]) == 2
    output, errors = capsys.readouterr()
    assert output == ''
    assert words in errors and bad in errors
    assert errors.startswith('tabulate_series.py: error: ')
    assert errors.count('\n') == 1


def test_script_runs_from_any_folder(tmp_path):
    _write(tmp_path / 'a', [1., 3.])
    script = pathlib.Path(tabulate_series.__file__).resolve()
    done = subprocess.run([sys.executable, str(script), 'a'], cwd=tmp_path,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert '2.00 +- 1.41' in done.stdout
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path,
                          capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count('\n') == 1
