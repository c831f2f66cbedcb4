"""Runs that compute by PyTorch's operators, or cannot."""

import json
import subprocess
import sys

import chainer
from chainer.backends import intel64
import numpy
import pytest

from ideep_tests.without_torch import WITHOUT_TORCH
from mixnorm import ideep
from train import multitask
from train_tests.small_runs import read_log, SMALL


@pytest.fixture
def torch():
    if not intel64.is_ideep_available():
        pytest.skip(str(ideep.reason_unavailable()))


def _without_torch(*arguments):
    """Runs the classifier where there is no PyTorch."""
    result = subprocess.run(
        [sys.executable, '-c', WITHOUT_TORCH + '''
import sys
from train import classifier
sys.exit(classifier.main())
''', *map(str, arguments)],
        capture_output=True, text=True)
    return result.returncode, result.stderr


def _settings(folder):
    return json.loads((folder / 'run.json').read_text())['settings']


def _weights(folder):
    with numpy.load(folder / 'snapshot.npz') as file:
        return {name: file[name] for name in file.files
                if name.endswith(('/W', '/gamma', '/avg_var'))}


def test_always_needs_torch(tmp_path):
    status, errors = _without_torch(
        *SMALL, '--use-ideep', 'always', '--out', tmp_path / 'run')
    assert status == 2
    assert errors.startswith(
        'python -m train.classifier: error: --use-ideep always: ')
    assert errors.endswith("pip install 'mixnorm[cpu]'\n")
    assert not (tmp_path / 'run').exists()


def test_auto_without_torch_is_never(tmp_path):
    status, errors = _without_torch(
        *SMALL, '--iterations', 1, '--use-ideep', 'auto', '--out', tmp_path)
    assert (status, errors) == (0, '')
    assert _settings(tmp_path)['use_ideep'] == 'never'


def test_run_that_used_it_needs_torch(run, torch, tmp_path):
    assert run(*SMALL, '--iterations', 2)[0] == 0
    folder = tmp_path / 'run'
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    status, errors = _without_torch(
        '--resume', '--iterations', 4, '--out', folder)
    assert status == 2
    assert 'started with --use-ideep auto' in errors
    assert errors.endswith("pip install 'mixnorm[cpu]'\n")
    assert {file.name: file.read_bytes()
            for file in folder.iterdir()} == before


def test_resumed_run_keeps_it(run, torch, tmp_path):
    assert run(*SMALL, '--iterations', 2, '--use-ideep', 'never')[0] == 0
    status, _, errors = run('--resume', '--use-ideep', 'auto')
    assert status == 2 and 'never' in errors
    assert run('--resume', '--iterations', 4)[0] == 0
    assert chainer.config.use_ideep == 'never'
    assert _settings(tmp_path / 'run')['use_ideep'] == 'never'


def test_resumed_run_is_the_same(run, torch, stop_in, tmp_path):
    settings = SMALL + ['--iterations', 8, '--normalizer', 'mixture',
                        '--at', 'conv3']
    assert run(*settings, out='whole')[0] == 0
    description = json.loads((tmp_path / 'whole' / 'run.json').read_text())
    assert description['settings']['use_ideep'] == 'auto'
    assert 'torch' in description['starts'][0]['versions']

    stop_in(3)
    assert run(*settings, out='parts')[0] == 130
    assert run('--resume', out='parts')[0] == 0
    assert read_log(tmp_path / 'parts') == read_log(tmp_path / 'whole')
    weights = _weights(tmp_path / 'parts')
    assert weights
    for name, expected in _weights(tmp_path / 'whole').items():
        numpy.testing.assert_array_equal(weights[name], expected, name)


def test_runs_with_and_without_it_are_alike(run, torch, tmp_path):
    logs = []
    for level in ('auto', 'never'):
        assert run(*SMALL, '--iterations', 2, '--use-ideep', level,
                   out=level)[0] == 0
        logs.append(read_log(tmp_path / level))
    (with_it,), (without_it,) = logs
    assert with_it['main/loss'] == pytest.approx(
        without_it['main/loss'], rel=1e-3)


def test_multitask_takes_it(torch, tmp_path):
    assert multitask.main(
        '--train-size 40 --test-size 20 --batch-size 20 --iterations 2 '
        '--use-ideep auto'.split() + ['--out', str(tmp_path)]) == 0
    assert _settings(tmp_path / 'seed-0')['use_ideep'] == 'auto'
