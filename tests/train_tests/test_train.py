"""What importing the package does, and what both scripts do first."""

import os
import subprocess
import sys

import mixnorm
import pytest

from train import classifier
from train import multitask


@pytest.mark.parametrize('given, expected', [
    ({}, '16'), ({'OPENBLAS_THREAD_TIMEOUT': '20'}, '20')])
def test_blas_threads_let_go_of_their_cores(given, expected, tmp_path):
    environment = {key: value for key, value in os.environ.items()
                   if key != 'OPENBLAS_THREAD_TIMEOUT'}
    # Set before NumPy is imported: OpenBLAS reads it then.
    done = subprocess.run(
        [sys.executable, '-c', '''
import os, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == 'numpy':
            print(os.environ.get('OPENBLAS_THREAD_TIMEOUT'))
sys.meta_path.insert(0, Finder())
import train
'''], cwd=tmp_path, env=dict(environment, **given), capture_output=True,
        text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [expected]


@pytest.mark.parametrize('script', [classifier, multitask])
def test_memory_is_kept(script, monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(mixnorm, 'keep_memory', lambda: calls.append(1))
    assert script.main(['--list-recipes']) == 0
    assert calls == [1]
    assert 'recipe' in capsys.readouterr().out
