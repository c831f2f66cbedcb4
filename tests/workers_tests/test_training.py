"""The training scripts as mpiexec starts them."""

import json
import pathlib

import numpy
import pytest

from workers_tests import train_program
from workers_tests.mpi import mpiexec, ROOT

_PROGRAM = pathlib.Path(__file__).with_name('train_program.py')
_CLASSIFIER = ['-m', 'train.classifier', *train_program.SMALL]


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """Folders of one worker's runs and of two workers'."""
    folder = tmp_path_factory.mktemp('workers')
    found = mpiexec(2, _PROGRAM, 'train', folder / 'two')
    assert found.returncode == 0, found.stderr
    assert max(train_program.train_all(folder / 'one')) == 0
    (folder / 'output').write_text(found.stdout)
    return folder


def _read(path):
    return json.loads(path.read_text())


def _losses(folder):
    return [entry['main/loss'] for entry in _read(folder / 'log')]


@pytest.mark.parametrize('run,n_iterations', [('whole', 6), ('nin', 3)])
def test_two_workers_train_as_one_does(folders, run, n_iterations):
    one, two = (_losses(folders / name / run) for name in ('one', 'two'))
    assert len(one) == n_iterations
    numpy.testing.assert_allclose(two, one, rtol=1e-3)


def test_two_workers_go_on_exactly(folders):
    whole, resumed = (
        numpy.load(folders / 'two' / name / 'snapshot.npz')
        for name in ('whole', 'resumed'))
    names = [name for name in whole.files
             if '/model:main/' in name or '/optimizer:main/' in name]
    assert len(names) > 20
    for name in names:
        numpy.testing.assert_array_equal(whole[name], resumed[name], name)
    two = folders / 'two'
    assert _losses(two / 'resumed') == _losses(two / 'whole')


def test_several_sets_at_once(folders):
    one, two = (_read(folders / name / 'multitask' / 'seed-0' / 'log')
                for name in ('one', 'two'))
    numpy.testing.assert_allclose(
        two[-1]['main/loss'], one[-1]['main/loss'], rtol=1e-3)
    assert (folders / 'two' / 'multitask' / 'seed-0'
            / 'result.json').exists()


def test_only_the_first_worker_prints(folders):
    output = (folders / 'output').read_text()
    assert output.count('best test accuracy') == 5
    assert output.count('test error') == 1


def test_settings_tell_the_workers(folders):
    settings = _read(folders / 'two' / 'whole' / 'run.json')['settings']
    assert settings['communicator'] == 'naive'
    assert settings['n_workers'] == 2


def test_other_number_of_workers_cannot_go_on(folders):
    found = mpiexec(1, '-m', 'train.classifier', '--resume',
                    '--out', folders / 'two' / 'whole', cwd=ROOT)
    assert found.returncode == 2
    assert 'was started by 2 workers, and 1 cannot go on' in found.stderr


@pytest.mark.parametrize('what,told', [
    ('batch', 'lost its images'), ('interrupt', 'KeyboardInterrupt'),
    ('start', '--communicator naive cannot be used: has no such GPU')])
def test_failure_of_one_worker_ends_all(tmp_path, what, told):
    found = mpiexec(2, _PROGRAM, what, tmp_path)
    assert found.returncode != 0
    line = f'python -m train.classifier: error on rank 1 of 2: {told}'
    assert line in found.stderr


def test_batch_that_cannot_be_shared(tmp_path):
    found = mpiexec(2, *_CLASSIFIER, '--communicator', 'naive',
                    '--batch-size', 21, '--out', tmp_path / 'run', cwd=ROOT)
    assert found.returncode == 2
    assert '--batch-size 21 cannot be divided among 2' in found.stderr
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('arguments,told', [
    (['--communicator', 'pure_nccl'], 'needs a GPU'),
    (['--communicator', 'naive', '--normalizer', 'batch_renorm'],
     "keeps averages of each worker's share"),
])
def test_what_workers_cannot_share(capfd, tmp_path, arguments, told):
    from train import classifier
    status = classifier.main([*arguments, '--out', str(tmp_path / 'run')])
    assert status == 2
    assert told in capfd.readouterr().err
