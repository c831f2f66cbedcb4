import json
import os
import subprocess
import sys

import mixnorm
import numpy
import pytest

from tools.benchmark import __main__ as command


@pytest.fixture(autouse=True)
def memory(monkeypatch):
    """Calls of keep_memory, which would last beyond the test."""
    calls = []
    monkeypatch.setattr(mixnorm, 'keep_memory', lambda: calls.append('kept'))
    return calls


def test_writes_what_it_printed(monkeypatch, tmp_path, capsys, memory):
    def section(benchmark):
        assert memory == ['kept']
        benchmark.compare('part', 'a', 'b', lambda: None, lambda: None)
        benchmark.growth = {'points': [
            {'size': size, 'seconds': .001 * size, 'extra_bytes': 10}
            for size in (16, 32, 64)]}

    monkeypatch.setitem(command.SECTIONS, 'layer', section)
    assert command.main([
        '--only', 'layer', '--seconds', '.01', '--out',
        str(tmp_path / 'new')]) == 0
    printed = capsys.readouterr().out
    with open(str(tmp_path / 'new' / 'benchmark.json')) as file:
        result = json.load(file)
    assert [row['what'] for row in result['rows']] == ['a']
    assert f"{result['rows'][0]['ratio']:.3f}" in printed
    assert result['growth']['points'][2]['size'] == 64
    assert result['numpy'] == numpy.__version__
    assert set(result['threads']) == {
        'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'OPENBLAS_THREAD_TIMEOUT'}
    assert sorted(os.listdir(str(tmp_path / 'new'))) == [
        'benchmark.json', 'growth.png']


@pytest.mark.parametrize('seconds', ['0', '-1', 'nan', 'inf'])
def test_seconds_that_are_none(seconds, capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(['--seconds', seconds])
    assert stop.value.code == 2
    assert '--seconds: must be a number above 0' in capsys.readouterr().err


def test_folder_that_cannot_be_made(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, 'SECTIONS', {'a': None})
    (tmp_path / 'f').write_text('a file')
    assert command.main(['--only', 'a', '--out', str(tmp_path / 'f')]) == 2
    assert capsys.readouterr().err.count('\n') == 1


def test_unknown_device(capsys):
    assert command.main(['--device', '@nowhere']) == 2
    out, err = capsys.readouterr()
    assert out == ''
    assert err.count('\n') == 1 and '@nowhere' in err


def test_runs_as_a_module():
    result = subprocess.run(
        [sys.executable, '-m', 'tools.benchmark', '--help'],
        cwd=os.path.join(os.path.dirname(__file__), *[os.pardir] * 3),
        stdout=subprocess.PIPE, check=True)
    assert result.stdout.startswith(b'usage: python -m tools.benchmark ')


@pytest.mark.parametrize('setting', [None, '20'])
def test_openblas_is_set_before_numpy_is_imported(setting):
    environ = dict(os.environ)
    environ.pop('OPENBLAS_THREAD_TIMEOUT', None)
    if setting is not None:
        environ['OPENBLAS_THREAD_TIMEOUT'] = setting
    printed = subprocess.run(
        [sys.executable, '-c',
         'import os, sys, tools.benchmark\n'
         'print(os.environ["OPENBLAS_THREAD_TIMEOUT"],'
         ' "numpy" in sys.modules)'],
        cwd=os.path.join(os.path.dirname(__file__), *[os.pardir] * 3),
        env=environ, stdout=subprocess.PIPE, check=True).stdout
    assert printed.decode().split() == [setting or '16', 'False']
