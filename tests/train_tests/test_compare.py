"""The comparison of variants as its users meet it."""

import argparse
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy
import pytest

from train import compare
from train.data.batches import BatchIterator
from train_tests.image_folders import write_folder
from train_tests.small_runs import read_log, SMALL


ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMON = ' '.join([*SMALL, '--iterations', '4', '--snapshot-every', '2'])
VARIANTS = {
    'batch': '--normalizer batch',
    'mixture': '--normalizer mixture --at conv3 --components 2'}


@pytest.fixture
def compare_in(tmp_path, capfd):
    """Compares in tmp_path; returns status, output and errors."""
    def compare_in(*variants, seeds=(0,), common=COMMON, arguments=()):
        capfd.readouterr()
        try:
            status = compare.main([
                '--all', common, '--seeds', *map(str, seeds),
                '--out', str(tmp_path / 'out'), *arguments, *variants])
        except SystemExit as stop:
            status = stop.code
        return (status, *capfd.readouterr())
    return compare_in


def _as_argument(name):
    return f'{name}={VARIANTS[name]}'


def _weights(folder):
    """Returns everything that a run ended with, but times."""
    with numpy.load(folder / 'snapshot.npz') as file:
        return {key: file[key] for key in file.files
                if 'model:main' in key or 'optimizer:main' in key}


def _assert_same_run(folder, other):
    assert read_log(folder) == read_log(other)
    weights, others = _weights(folder), _weights(other)
    assert len(weights) > 20 and weights.keys() == others.keys()
    for name, values in weights.items():
        numpy.testing.assert_array_equal(values, others[name], name)


@pytest.mark.parametrize('variants, words', [
    (['--normalizer'], 'the following arguments are required'),
    (['batch'], "NAME=ARGUMENTS, NAME of letters, digits and any of _.+-, "
                "not 'batch'"),
    (['a/b=--normalizer batch'], 'NAME=ARGUMENTS'),
    (['..=--normalizer batch'], 'NAME=ARGUMENTS'),
    (['=--normalizer batch'], 'NAME=ARGUMENTS'),
    (['a=', 'a='], 'the variant a is given twice'),
    (['a=', 'b=--colour red'], 'b: unrecognized arguments: --colour'),
    (['a=', 'b=--normalizer nothing'], 'b: argument --normalizer: '),
    (['a=', "b=--normalizer 'mode"], 'b: No closing quotation'),
    (['a=', 'b=--normalizer batch --at conv3'], 'b: --at says where'),
    (['a=', 'b=--seed 7'], 'b: a variant has no --out, --seed'),
    (['a=', 'b=--out elsewhere'], 'b: a variant has no --out, --seed'),
    (['a=', 'b=--resume'], 'b: a variant has no --out, --seed'),
    (['a=', 'b=--list-recipes'], 'b: a variant has no --out, --seed')])
def test_bad_variants_are_one_line(variants, words, compare_in, tmp_path):
    for arguments in ([], ['--overwrite']):
        kept = tmp_path / 'out' / 'a' / 'seed-0' / 'result.json'
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text('{}')
        status, output, errors = compare_in(*variants, arguments=arguments)
        assert status == 2 and output == ''
        assert words in errors and errors.count('\n') == 1
        assert [path for path in (tmp_path / 'out').rglob('*')
                if path.is_file()] == [kept]


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """The folder of a comparison that has ended, and what it printed."""
    folder = tmp_path_factory.mktemp('finished')
    done = subprocess.run(
        [sys.executable, '-m', 'train.compare', '--all', COMMON, '--seeds',
         '3', '1', '--jobs', '2', '--out', 'out',
         *map(_as_argument, VARIANTS)], cwd=folder, text=True,
        env=dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1'),
        capture_output=True)
    assert done.returncode == 0 and done.stderr == ''
    return folder / 'out', done.stdout


@pytest.mark.parametrize('name', VARIANTS)
def test_runs_are_those_of_the_classifier(name, finished, run, tmp_path):
    folder = finished[0] / name / 'seed-1'
    assert run(*COMMON.split(), *VARIANTS[name].split(), '--seed', 1)[0] == 0
    _assert_same_run(folder, tmp_path / 'run')
    assert {path.name for path in folder.iterdir()} == {
        path.name for path in (tmp_path / 'run').iterdir()} | {
        'output', 'result.json'}
    assert json.loads((folder / 'result.json').read_text())['seconds'] > 0


def test_a_line_for_each_run_and_nothing_for_terminals(finished):
    first, *lines = finished[1].splitlines()
    assert first.startswith('4 runs, 2 at a time')
    assert [line.split(':')[0] for line in lines] == [
        f'{n} of 4' for n in (1, 2, 3, 4)]
    # The first seed comes first.
    assert sorted(line.split(': ')[1] for line in lines[:2]) == [
        'batch, seed 3', 'mixture, seed 3']
    assert all('best test accuracy' in line for line in lines)
    assert '\033' not in finished[1] and '\r' not in finished[1]


def _files(folder):
    return {path: path.read_bytes()
            for path in folder.rglob('*') if path.is_file()}


def test_what_has_ended_stays(finished, compare_in):
    before = _files(finished[0])
    status, output, errors = compare_in(
        *map(_as_argument, VARIANTS), seeds=[1, 3],
        arguments=['--out', str(finished[0])])
    assert status == 0 and errors == ''
    assert output == '4 of 4 runs have ended already\n'
    assert _files(finished[0]) == before


def _stop_the_comparison():
    """Sends the process that compares SIGTERM, and waits for its answer."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    os.kill(os.getppid(), signal.SIGTERM)
    signal.sigwait([signal.SIGTERM])
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    signal.raise_signal(signal.SIGTERM)


def test_stopped_comparison_goes_on_to_the_same_end(
        finished, compare_in, monkeypatch, tmp_path):
    variants = [_as_argument(name) for name in VARIANTS]
    arguments = ['--jobs', '2', '--overwrite']
    take = BatchIterator.__next__
    batches = []

    def next_and_stop(iterator):
        batches.append(take(iterator))
        if len(batches) == 3:
            with contextlib.suppress(FileExistsError):
                # The first of the two runs that comes here.
                open(tmp_path / 'stopped', 'x').close()
                _stop_the_comparison()
        return batches[-1]

    monkeypatch.setattr(BatchIterator, '__next__', next_and_stop)
    monkeypatch.setattr(BatchIterator, 'next', next_and_stop)
    status, output, errors = compare_in(
        *variants, seeds=[3], arguments=arguments)
    assert status == 128 + signal.SIGTERM
    assert errors == (
        'stopped; the same command goes on without --overwrite\n')
    assert '2 of 2' not in output
    snapshots = list((tmp_path / 'out').glob('*/seed-3/snapshot.npz'))
    assert snapshots

    monkeypatch.undo()
    assert compare_in(*variants, seeds=[3], arguments=['--jobs', '2'])[0] == 0
    for name in VARIANTS:
        _assert_same_run(tmp_path / 'out' / name / 'seed-3',
                         finished[0] / name / 'seed-3')


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGKILL])
def test_run_that_is_stopped_or_killed_goes_on(
        number, finished, compare_in, stop_in, monkeypatch, tmp_path):
    variants = [_as_argument('mixture'), _as_argument('batch')]
    stop_in(3, number)
    status, output, errors = compare_in(*variants, seeds=[3])
    assert status == 128 + number
    assert errors.startswith('mixture, seed 3: ') and errors.count('\n') == 1
    folder = tmp_path / 'out' / 'mixture' / 'seed-3'
    assert not (folder / 'result.json').exists()
    with numpy.load(folder / 'snapshot.npz') as file:
        # Its n-th batch is of its n-th iteration, which a signal that can be
        # handled lets end.
        assert file['trainer/updater/iteration'] == (
            3 if number == signal.SIGTERM else 2)
    # No further run was started.
    assert not (tmp_path / 'out' / 'batch').exists()

    monkeypatch.undo()
    assert compare_in(variants[0], seeds=[3])[0] == 0
    _assert_same_run(folder, finished[0] / 'mixture' / 'seed-3')


def test_run_that_fails_stops_the_others(compare_in, tmp_path):
    status, output, errors = compare_in(
        'a=--normalizer batch --normalizer-options decay=1.5 colour=3',
        'b=--normalizer batch')
    assert status == 2
    assert errors.startswith('a, seed 0: python -m train.classifier: error: ')
    assert 'colour' in errors and errors.count('\n') == 1
    assert output.count('\n') == 1
    assert sorted(path.name for path in (tmp_path / 'out').rglob('*')) == [
        'a', 'output', 'seed-0']


def test_error_of_the_code_is_in_the_output(
        compare_in, monkeypatch, tmp_path):
    def fail(argv):
        raise ZeroDivisionError('a fault')

    monkeypatch.setattr(compare.classifier, 'main', fail)
    status, _, errors = compare_in('a=')
    assert status == 1
    assert errors == 'a, seed 0: ZeroDivisionError: a fault\n'
    assert 'Traceback' in (
        tmp_path / 'out' / 'a' / 'seed-0' / 'output').read_text()


def test_other_settings_in_the_folder(compare_in, tmp_path):
    common = COMMON.replace('--iterations 4', '--iterations 1')
    assert compare_in('b=', common=common)[0] == 0
    folder = tmp_path / 'out' / 'b' / 'seed-0'
    before = read_log(folder)
    changed = 'b=--normalizer mode'
    status, output, errors = compare_in('a=', changed, common=common)
    assert status == 2 and output == ''
    assert str(folder) in errors and '--overwrite' in errors
    assert errors.count('\n') == 1
    assert read_log(folder) == before
    assert not (tmp_path / 'out' / 'a').exists()

    assert compare_in(changed, common=common,
                      arguments=['--overwrite'])[0] == 0
    assert read_log(folder) != before
    assert (folder / 'output').read_text().count('best test accuracy') == 1


def test_images_in_files_go_on(compare_in, tmp_path):
    folder = write_folder(tmp_path / 'images', n_train=4)
    common = ('--dataset images --image-size 16 --workers 0 --widths 4 4 4 4 '
              f'--batch-size 6 --iterations 1 --images {folder}')
    assert compare_in('b=', common=common)[0] == 0
    status, output, errors = compare_in('b=', common=common, seeds=[0, 1])
    assert (status, errors) == (0, '')
    assert '1 of 2 runs have ended already' in output


def test_what_is_measured_of_runs(tmp_path, capfd):
    args = argparse.Namespace(
        out=str(tmp_path), seeds=[0, 0, 1], jobs=1, overwrite=False)
    assert compare.run_all({'a': COMMON}, args, lambda folder: {
        'iterations': read_log(pathlib.Path(folder))[-1]['iteration']}) == 0
    for seed in (0, 1):
        found = json.loads(
            (tmp_path / 'a' / f'seed-{seed}' / 'result.json').read_text())
        assert found.keys() == {'seconds', 'iterations'}
        assert found['iterations'] == 4
    assert len(capfd.readouterr().out.splitlines()) == 3


def test_folder_that_cannot_be_made(compare_in, tmp_path):
    (tmp_path / 'out').write_text('a file')
    status, _, errors = compare_in('a=')
    assert status == 2
    assert 'python -m train.compare: error: ' in errors
    assert (tmp_path / 'out').read_text() == 'a file'


def _wait_until(is_so):
    for _ in range(1000):
        if is_so():
            return
        time.sleep(.1)
    assert is_so()


def test_runs_stop_when_the_comparison_is_killed(tmp_path):
    command = [
        sys.executable, '-m', 'train.compare', '--out', 'out', '--seeds', '0',
        '1', '--jobs', '2', '--all', ' '.join(SMALL) + ' --iterations 3000',
        'a=']
    folders = [tmp_path / 'out' / 'a' / f'seed-{seed}' for seed in (0, 1)]
    with subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.DEVNULL,
            env=dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1')
            ) as process:
        _wait_until(lambda: all(
            (folder / 'log').exists() for folder in folders))
        process.kill()
    # Their last lines, after they have saved where they stopped.
    _wait_until(lambda: all(
        '--resume' in (folder / 'output').read_text() for folder in folders))
