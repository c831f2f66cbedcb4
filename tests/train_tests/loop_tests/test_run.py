"""A run that is stopped and resumed is the run that was not."""

import json
import signal

import numpy
import pytest

from train.loop.evaluation import Evaluation
from train_tests.small_runs import read_log
from train_tests.small_runs import SMALL
from train_tests.small_runs import without_times


def _read_snapshot(folder):
    """Returns all that a snapshot holds, but for the time the run took."""
    with numpy.load(folder / 'snapshot.npz', allow_pickle=False) as file:
        state = dict(file)
    del state['trainer/_snapshot_elapsed_time']
    log = state.pop('trainer/extensions/LogReport/_log')
    return state, without_times(json.loads(str(log)))


def _assert_same(folder, expected_folder):
    state, log = _read_snapshot(folder)
    expected_state, expected_log = _read_snapshot(expected_folder)
    assert state.keys() == expected_state.keys()
    assert any(key.endswith('/conv1/conv/W') for key in state)
    for key, value in expected_state.items():
        if key != 'settings':
            numpy.testing.assert_array_equal(state[key], value, err_msg=key)
    assert log == expected_log
    assert read_log(folder) == read_log(expected_folder)
    records = [path / 'mixture.npz' for path in (folder, expected_folder)]
    assert records[0].exists() == records[1].exists()
    if records[0].exists():
        assert records[0].read_bytes() == records[1].read_bytes()


# The epochs of 96 images in batches of 20 end within iterations 5 and 10.
@pytest.mark.parametrize('optimizer', [
    'rmsprop', 'rmsprop-graves', 'nesterov', 'momentum', 'sgd', 'adam'])
def test_resumed_run_is_the_same(optimizer, run, stop_in, tmp_path):
    settings = SMALL + [
        '--optimizer', optimizer, '--iterations', 12, '--log-every', 5,
        '--decay-at', 1, 2, '--decay', 0.5, '--weight-decay', 1e-4,
        '--normalizer', 'mixture', '--at', 'conv3', '--seed', 3]
    assert run(*settings, out='whole')[0] == 0

    stop_in(1)
    assert run(*settings, out='parts')[0] == 130
    for n in (4, 3):
        stop_in(n)
        assert run('--resume', out='parts')[0] == 130
    assert run('--resume', out='parts')[0] == 0
    _assert_same(tmp_path / 'parts', tmp_path / 'whole')


@pytest.mark.parametrize('stop', [1, 2, 3, 4, 5, 6, 7])
def test_augmentation_and_order_resume(
        stop, run, stop_in, tmp_path, image_cache):
    settings = ['--dataset', 'cifar10', '--widths', 2, 2, 2, 4,
                '--batch-size', 15, '--epoch', 3]
    assert run(*settings, out='whole')[0] == 0
    stop_in(stop)
    assert run(*settings, out='parts')[0] == 130
    assert run('--resume', out='parts')[0] == 0
    _assert_same(tmp_path / 'parts', tmp_path / 'whole')


def test_longer_run_is_the_same_as_one_started_longer(run, tmp_path):
    # Both lengths end with an epoch's log, test and snapshot.
    assert run(*SMALL, '--epoch', 3, out='whole')[0] == 0
    assert run(*SMALL, '--epoch', 1, out='parts')[0] == 0
    assert run('--resume', '--epoch', 3, out='parts')[0] == 0
    _assert_same(tmp_path / 'parts', tmp_path / 'whole')


def test_snapshot_goes_on_from_last_one_after_a_kill(run, stop_in, tmp_path):
    # What is on the disk after a kill: a snapshot of iteration 4 beside a
    # log that is further on.
    settings = SMALL + ['--iterations', 11, '--log-every', 1]
    assert run(*settings, out='whole')[0] == 0
    stop_in(4)
    assert run(*settings, out='parts')[0] == 130
    (tmp_path / 'parts' / 'log').write_bytes(
        (tmp_path / 'whole' / 'log').read_bytes())
    assert run('--resume', out='parts')[0] == 0
    _assert_same(tmp_path / 'parts', tmp_path / 'whole')


def test_finished_run_resumes_to_nothing(run, tmp_path):
    assert run(*SMALL, '--epoch', 1)[0] == 0
    before = _read_snapshot(tmp_path / 'run')[0]
    assert run('--resume')[0] == 0
    after = _read_snapshot(tmp_path / 'run')[0]
    assert before.keys() == after.keys()
    assert all(numpy.array_equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_and_says_how_to_go_on(number, run, stop_in, tmp_path):
    stop_in(2, number)
    status, _, errors = run(*SMALL)
    assert status == 128 + number
    assert [line for line in errors.splitlines() if '--resume' in line] == [
        errors.splitlines()[-1]]
    assert str(tmp_path / 'run') in errors.splitlines()[-1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    state, _ = _read_snapshot(tmp_path / 'run')
    assert state['trainer/updater/iteration'] == 2


def test_second_signal_stops_at_once(run, stop_in, tmp_path):
    settings = SMALL + ['--iterations', 7, '--log-every', 1]
    assert run(*settings, out='whole')[0] == 0
    stop_in(5, times=2)
    status, _, errors = run(*settings, '--snapshot-every', 2, out='parts')
    assert status == 130
    assert '--resume' in errors.splitlines()[-1]
    state, _ = _read_snapshot(tmp_path / 'parts')
    assert state['trainer/updater/iteration'] == 4
    assert run('--resume', out='parts')[0] == 0
    _assert_same(tmp_path / 'parts', tmp_path / 'whole')


def test_second_signal_in_the_last_test(run, tmp_path, monkeypatch):
    def stop(evaluation):
        signal.raise_signal(signal.SIGTERM)
        raise KeyboardInterrupt
    settings = SMALL + ['--iterations', 5, '--snapshot-every', 2]
    assert run(*settings, out='whole')[0] == 0
    with monkeypatch.context() as context:
        context.setattr(Evaluation, 'evaluate', stop)
        status, output, errors = run(*settings, out='parts')
    assert status == 128 + signal.SIGTERM
    assert 'best test accuracy' not in output
    assert '--resume' in errors.splitlines()[-1]
    assert run('--resume', out='parts')[0] == 0
    _assert_same(tmp_path / 'parts', tmp_path / 'whole')


def test_second_signal_before_the_first_snapshot(run, stop_in, tmp_path):
    stop_in(1, times=2)
    status, _, errors = run(*SMALL)
    assert status == 130
    assert errors.splitlines()[-1] == (
        'stopped before there was a snapshot to go on from')
    assert not (tmp_path / 'run' / 'snapshot.npz').exists()


def test_ignored_signal_stays_ignored(run, stop_in):
    stop_in(2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert run(*SMALL, '--iterations', 3)[0] == 0
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


@pytest.mark.parametrize('settings', [
    3, {}, {'optimizer': 'sgd'}, {'optimizer': 'none'}, {'dataset': 'none'}],
    ids=str)
def test_resume_refuses_what_is_no_run(settings, run, tmp_path):
    assert run(*SMALL, '--iterations', 1)[0] == 0
    path = tmp_path / 'run' / 'snapshot.npz'
    with numpy.load(path) as file:
        arrays = dict(file)
    if isinstance(settings, dict) and len(settings) == 1:
        known = json.loads(str(arrays['settings']))
        if 'none' in settings.values():
            settings = dict(known, **settings)
    arrays['settings'] = json.dumps(settings)
    numpy.savez(path, **arrays)
    status, _, errors = run('--resume')
    assert status == 2 and errors.count('\n') == 1
    assert 'is no snapshot of a run of this script' in errors


def test_resume_refuses_other_settings(run, tmp_path):
    assert run(*SMALL, '--epoch', 1, '--lr', 0.01)[0] == 0
    before = (tmp_path / 'run' / 'snapshot.npz').read_bytes()
    status, _, errors = run('--resume', '--epoch', 2, '--lr', 0.02)
    assert status == 2
    assert errors.count('\n') == 1
    assert '--lr 0.02' in errors and '0.01' in errors
    assert (tmp_path / 'run' / 'snapshot.npz').read_bytes() == before


def test_resume_accepts_the_same_settings(run):
    assert run(*SMALL, '--epoch', 1, '--lr', 0.01)[0] == 0
    assert run(*SMALL, '--resume', '--epoch', 2, '--lr', 0.01)[0] == 0


def test_starts_are_recorded(run, tmp_path):
    assert run(*SMALL, '--epoch', 1)[0] == 0
    assert run('--resume', '--epoch', 2)[0] == 0
    description = json.loads((tmp_path / 'run' / 'run.json').read_text())
    assert [start['iteration'] for start in description['starts']] == [0, 5]
    assert description['settings']['epoch'] == 2


@pytest.mark.parametrize('content', ['', '{}', '[1]'])
def test_damaged_description_does_not_keep_a_run_from_going_on(
        content, run, tmp_path):
    assert run(*SMALL, '--epoch', 1)[0] == 0
    (tmp_path / 'run' / 'run.json').write_text(content)
    assert run('--resume', '--epoch', 2)[0] == 0
    description = json.loads((tmp_path / 'run' / 'run.json').read_text())
    assert [start['iteration'] for start in description['starts']] == [5]
