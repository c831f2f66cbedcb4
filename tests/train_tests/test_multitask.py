"""The script of series as its users meet it."""

import json
import pathlib
import signal
import subprocess
import sys
import types

import chainer
import numpy
import pytest

from models.lenet import LeNet
from train import classifier
from train import gan
from train import multitask
from train.data import task_sets


SCRIPT = [sys.executable, '-m', 'train.multitask']

# 48 images of each set: the sixth batch reaches the end of the epoch.
SMALL = ('--widths 2 3 8 6 --train-size 48 --test-size 30 --batch-size 16 '
         '--iterations 5').split()


@pytest.fixture
def run(tmp_path, capfd, monkeypatch):
    """Runs the script in tmp_path; returns status, output and errors."""
    # Curves take longer than all the rest.
    monkeypatch.setitem(sys.modules, 'matplotlib', None)

    def run(*arguments, out='series'):
        capfd.readouterr()
        argv = list(map(str, arguments)) + ['--out', str(tmp_path / out)]
        try:
            status = multitask.main(argv)
        except SystemExit as stop:
            status = stop.code
        output, errors = capfd.readouterr()
        return status, output, errors
    return run


def _read(path):
    return json.loads(path.read_text())


def _files(folder):
    """Returns the bytes of all files below a folder, by path."""
    return {path.relative_to(folder): path.read_bytes()
            for path in folder.rglob('*') if path.is_file()}


def _read_run(folder):
    """Returns what a run ended with, but for the time it took."""
    with numpy.load(folder / 'snapshot.npz', allow_pickle=False) as file:
        state = dict(file)
    del state['trainer/_snapshot_elapsed_time']
    log = json.loads(str(state.pop('trainer/extensions/LogReport/_log')))
    for entry in log:
        del entry['elapsed_time']
    return state, log, _read(folder / 'result.json')


def _assert_same(folder, expected_folder):
    state, log, result = _read_run(folder)
    expected_state, expected_log, expected_result = _read_run(expected_folder)
    assert state.keys() == expected_state.keys()
    assert any(key.endswith('/conv1/conv/W') for key in state)
    for key, value in expected_state.items():
        if key != 'settings':
            numpy.testing.assert_array_equal(state[key], value, err_msg=key)
    assert log == expected_log
    assert result == expected_result


def _count_errors(folder):
    """Returns the errors in % of a run's network, in all and by set."""
    train_set, test_set = task_sets.load(['digits', 'textures'], 48, 30)
    images = train_set.images.astype('d')
    mean, deviation = (statistic(axis=(0, 2, 3), keepdims=True)
                       for statistic in (images.mean, images.std))
    model = LeNet(20, 3, (2, 3, 8, 6))
    chainer.serializers.load_npz(
        str(folder / 'snapshot.npz'), model,
        path='trainer/updater/model:main/predictor/')
    wrong = [0, 0]
    for image, label, task in zip(*test_set):
        with chainer.using_config('train', False):
            scores = model(((image - mean) / deviation).astype('f')).array
        assert label // 10 == task
        wrong[task] += int(scores[0].tolist().index(scores.max()) != label)
    return sum(wrong) / .6, {
        'digits': wrong[0] / .3, 'textures': wrong[1] / .3}


def test_script_writes_settings_runs_and_results(tmp_path):
    pytest.importorskip('matplotlib')
    # Updates enough to get some of both sets right.
    done = subprocess.run(
        SCRIPT + SMALL + ['--iterations', '40', '--log-every', '40',
                          '--snapshot-every', '40', '--seeds', '7', '3',
                          '--out', 'series'],
        cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ''
    output = done.stdout
    folder = tmp_path / 'series'
    assert set(_files(folder)) == {pathlib.Path('series.json')} | {
        pathlib.Path(f'seed-{seed}', name) for seed in (3, 7)
        for name in ('curves.png', 'log', 'result.json', 'run.json',
                     'snapshot.npz')}
    description = _read(folder / 'series.json')
    assert description['seeds'] == [7, 3]
    assert description['settings']['sets'] == ['digits', 'textures']
    assert description['settings']['widths'] == [2, 3, 8, 6]
    in_all = []
    for seed in (7, 3):
        run_folder = folder / f'seed-{seed}'
        result = _read(run_folder / 'result.json')
        error, by_set = _count_errors(run_folder)
        assert 0 < error < 100
        numpy.testing.assert_allclose(result.pop('error'), error)
        found = result.pop('errors')
        assert found.keys() == by_set.keys()
        for name in by_set:
            numpy.testing.assert_allclose(found[name], by_set[name])
        log = _read(run_folder / 'log')
        errors = [100 - 100 * entry['validation/main/accuracy']
                  for entry in log]
        # A test at every twentieth of the run; the last tells the same.
        assert [e['iteration'] for e in log] == list(range(2, 41, 2))
        numpy.testing.assert_allclose(errors[-1], error, atol=1e-4)
        best = result.pop('best_error')
        numpy.testing.assert_allclose(best, min(errors), atol=1e-4)
        # So many of 60 images.
        assert 60 * best / 100 == pytest.approx(round(60 * best / 100))
        assert (f"test error {error:.2f} %: digits {by_set['digits']:.2f}, "
                f"textures {by_set['textures']:.2f}; best {best:.2f}\n"
                ) in output
        assert result == {'seed': seed}
        settings = _read(run_folder / 'run.json')['settings']
        assert settings['seed'] == seed
        in_all.append((best, error))
    (a, c), (b, d) = in_all
    line = ' '.join(output.splitlines()[-1].split())
    assert line.startswith(
        f'batch 16 40 2 {(a + b) / 2:.2f} +- {abs(a - b) / 2 ** .5:.2f} '
        f'{(c + d) / 2:.2f} +- {abs(c - d) / 2 ** .5:.2f} ')


def test_errors_are_counted_by_set_and_in_all():
    seed = 0
    random = numpy.random.RandomState(seed)
    tasks = numpy.repeat([0, 1, 2], [700, 3, 498]).astype('i')
    labels = (10 * tasks + random.randint(10, size=1201)).astype('i')
    found = numpy.where(random.rand(1201) < .3, labels,
                        random.randint(30, size=1201))
    # Each image holds its number, by which it is told what it looks like.
    images = numpy.zeros((1201, 3, 32, 32), numpy.uint8)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = divmod(
        numpy.arange(1201), 256)
    passes = []

    def predictor(x):
        assert not chainer.config.train
        assert not chainer.config.enable_backprop
        assert x.dtype == numpy.float32
        numbers = (256 * x[:, 0, 0, 0] + x[:, 0, 0, 1]).astype(int)
        passes.extend(numbers.tolist())
        return chainer.Variable(numpy.eye(30, dtype='f')[found[numbers]])

    classifier = types.SimpleNamespace(
        predictor=predictor, device=chainer.get_device('@numpy'))
    errors = multitask.test_errors(
        classifier, lambda images: images.astype('f'),
        task_sets.Union(images, labels, tasks))
    assert passes == list(range(1201))
    wrong = [sum(1 for f, label, t in zip(found, labels, tasks)
                 if t == task and f != label) for task in range(3)]
    numpy.testing.assert_allclose(
        errors, [100 * sum(wrong) / 1201, 100 * wrong[0] / 700,
                 100 * wrong[1] / 3, 100 * wrong[2] / 498],
        err_msg=f'seed {seed}')


def test_training_learns(run, tmp_path):
    assert run('--widths', 4, 8, 40, 30, '--batch-size', 32, '--iterations',
               100, '--train-size', 300, '--test-size', 100,
               '--test-every', 100)[0] == 0
    result = _read(tmp_path / 'series' / 'seed-0' / 'result.json')
    # Guessing is wrong in 95 %; with nothing but the set known, in 90 %.
    assert result['error'] < 50
    assert max(result['errors'].values()) < 80


def test_scaled_run_is_tested_as_often(run, tmp_path):
    assert run(*SMALL, '--iterations', 80, '--scale', .5)[0] == 0
    log = _read(tmp_path / 'series' / 'seed-0' / 'log')
    assert [entry['iteration'] for entry in log
            if 'validation/main/accuracy' in entry] == list(range(2, 41, 2))


def test_best_error_outlives_the_stop_after_it(run, stop_in, tmp_path):
    # The rate is so high that what is learnt is lost again.
    arguments = SMALL + ['--iterations', 12, '--lr', 2]
    assert run(*arguments, out='whole')[0] == 0
    log = _read(tmp_path / 'whole' / 'seed-0' / 'log')
    accuracies = [entry['validation/main/accuracy'] for entry in log]
    stop = len(accuracies) - 1
    assert max(accuracies[:stop]) > max(accuracies[stop:])
    stop_in(stop, signal.SIGTERM)
    assert run(*arguments)[0] == 128 + signal.SIGTERM
    assert run('--resume')[0] == 0
    _assert_same(tmp_path / 'series' / 'seed-0', tmp_path / 'whole' / 'seed-0')
    result = _read(tmp_path / 'series' / 'seed-0' / 'result.json')
    assert result['best_error'] == pytest.approx(
        100 - 100 * max(accuracies), abs=1e-4)
    assert result['best_error'] < result['error']


def test_same_seed_same_run_and_other_seed_another(run, tmp_path):
    arguments = SMALL + ['--normalizer', 'mixture']
    assert run(*arguments, '--seeds', 1, out='a')[0] == 0
    assert run(*arguments, '--seeds', 2, 1, out='b')[0] == 0
    _assert_same(tmp_path / 'b' / 'seed-1', tmp_path / 'a' / 'seed-1')
    losses = [_read(tmp_path / 'b' / name / 'log')[-1]['main/loss']
              for name in ('seed-1', 'seed-2')]
    assert losses[0] != losses[1]


def _weights(folder):
    with numpy.load(folder / 'seed-0' / 'snapshot.npz') as file:
        return {key: file[key] for key in file
                if '/model:main/' in key and key.endswith('/W')}


def test_normalizers_start_from_the_same_weights(run, tmp_path):
    for normalizer in ('batch', 'mixture'):
        # An update this small leaves the weights as they were drawn.
        assert run(*SMALL, '--iterations', 1, '--lr', 1e-30, '--normalizer',
                   normalizer, out=normalizer)[0] == 0
    weights, expected = (
        _weights(tmp_path / name) for name in ('mixture', 'batch'))
    assert len(expected) == 5
    for key in expected:
        numpy.testing.assert_array_equal(weights[key], expected[key])


def test_weight_decay(run, tmp_path):
    for rate in (0, 1e5):
        assert run(*SMALL, '--iterations', 1, '--lr', 1e-6, '--weight-decay',
                   rate, out=str(rate))[0] == 0
    # The gradient moves next to nothing; the decay takes away a tenth.
    weights, expected = (
        _weights(tmp_path / name) for name in ('100000.0', '0'))
    for key in expected:
        numpy.testing.assert_allclose(
            weights[key], .9 * expected[key], atol=1e-4)


def test_rate_is_cut_after_shares_of_the_run(run, tmp_path):
    assert run(*SMALL, '--iterations', 8, '--log-every', 1, '--lr', 2,
               '--decay', .5, '--cuts', .25, .7)[0] == 0
    # After 2 updates, and after 5.6: 6.
    rates = [entry['lr'] for entry in _read(
        tmp_path / 'series' / 'seed-0' / 'log')]
    assert rates == [2, 2, 1, 1, 1, 1, .5, .5]


def test_number_of_effective_components_is_logged(run, tmp_path):
    assert run(*SMALL, '--log-every', 2, '--test-every', 5, '--normalizer',
               'mixture', '--at', 'conv2', '--components', 2)[0] == 0
    log = _read(tmp_path / 'series' / 'seed-0' / 'log')
    assert [entry['iteration'] for entry in log] == [2, 4, 5]
    for entry in log:
        found = {key: value for key, value in entry.items()
                 if 'n_effective' in key}
        assert set(found) == {'predictor/conv2/norm/n_effective'}
        assert set(found.values()) <= {1, 2}


# A run takes five batches, so the sixth is the first of the second run.
@pytest.mark.parametrize('stops, ended, normalizer', [
    ([2], [], 'batch'), ([6], [4], 'mixture'), ([8], [4], 'mode'),
    # With the last update of a run, whose result is still to come.
    ([5], [], 'batch'), ([10], [4], 'batch'),
    # After 1, 1 + 3 and 1 + 3 + 4 updates.
    ([1, 3, 4], [4], 'mixture')])
def test_resumed_series_is_the_same(
        stops, ended, normalizer, run, stop_in, tmp_path):
    settings = SMALL + ['--normalizer', normalizer, '--log-every', 2,
                        '--weight-decay', 1e-3, '--seeds', 4, 9]
    status, expected, _ = run(*settings, out='whole')
    assert status == 0

    arguments = settings
    for n in stops:
        stop_in(n, signal.SIGTERM)
        status, output, errors = run(*arguments, out='parts')
        assert status == 128 + signal.SIGTERM
        assert ' +- ' not in output
        assert errors.splitlines()[-1].endswith(
            'to go on: python -m train.multitask --resume --out '
            f"{tmp_path / 'parts'}")
        arguments = ['--resume']
    folders = {seed: tmp_path / 'parts' / f'seed-{seed}'
               for seed in (4, 9)}
    assert [seed for seed in (4, 9)
            if (folders[seed] / 'result.json').exists()] == ended
    before = {seed: _files(folders[seed]) for seed in ended}

    status, output, errors = run('--resume', out='parts')
    assert status == 0 and errors == ''
    assert output.splitlines()[-2:] == expected.splitlines()[-2:]
    for seed in (4, 9):
        assert (f'seed {seed}:' in output) == (seed not in ended)
        _assert_same(folders[seed], tmp_path / 'whole' / folders[seed].name)
    # Runs that had ended are as they were left.
    assert {seed: _files(folders[seed]) for seed in ended} == before
    assert _read(tmp_path / 'parts' / 'series.json') == _read(
        tmp_path / 'whole' / 'series.json')


def test_result_that_a_kill_lost(run, tmp_path):
    assert run(*SMALL, '--seeds', 0, 1)[0] == 0
    result = tmp_path / 'series' / 'seed-1' / 'result.json'
    before = result.read_bytes()
    result.unlink()
    assert run('--resume')[0] == 0
    assert result.read_bytes() == before


def test_run_that_a_kill_left_without_a_snapshot(run, tmp_path):
    assert run(*SMALL, '--seeds', 0, 1)[0] == 0
    folder = tmp_path / 'series' / 'seed-1'
    expected = _read_run(folder)
    (folder / 'result.json').unlink()
    (folder / 'snapshot.npz').unlink()
    assert run('--resume')[0] == 0
    assert _read_run(folder)[1:] == expected[1:]


def test_finished_series_resumes_to_its_table(run, tmp_path):
    _, expected, _ = run(*SMALL, '--seeds', 0, 1)
    before = _files(tmp_path / 'series')
    status, output, _ = run('--resume')
    assert status == 0
    assert output.splitlines() == expected.splitlines()[-2:]
    assert _files(tmp_path / 'series') == before


def test_resume_adds_seeds(run, tmp_path):
    assert run(*SMALL, '--seeds', 5, 3)[0] == 0
    before = _files(tmp_path / 'series' / 'seed-5')
    status, output, _ = run('--resume', '--seeds', 4, 5)
    assert status == 0
    assert _read(tmp_path / 'series' / 'series.json')['seeds'] == [5, 3, 4]
    assert _files(tmp_path / 'series' / 'seed-5') == before
    assert [line for line in output.splitlines() if 'seed ' in line] == [
        'seed 4: batch']
    assert output.splitlines()[-1].split()[:4] == ['batch', '16', '5', '3']


_OTHER_SETTINGS = [
    ('--lr .2', '--lr 0.2 differs from the 0.1'),
    ('--iterations 6', '--iterations 6 differs'),
    ('--samples 160', '--iterations 10 differs'),
    ('--batch-size 8', '--batch-size 8 differs'),
    ('--sets digits', '--sets'), ('--sets textures digits', '--sets'),
    ('--normalizer batch', '--normalizer batch differs from the mode'),
    ('--modes 4', '--modes 4 differs from the 3'),
    ('--at conv1', '--at'), ('--cuts .5', '--cuts'),
    ('--recipe multitask-MN-4', '--recipe multitask-MN-4'),
    ('--normalizer-options eps=.1', '--normalizer-options'),
    ('--train-size 47', '--train-size 47'), ('--seeds 1 1', '--seeds')]


def test_resume_refuses_other_settings(run, tmp_path):
    settings = SMALL + '--lr .1 --normalizer mode --modes 3'.split()
    assert run(*settings, '--iterations', 1)[0] == 0
    before = _files(tmp_path / 'series')
    for arguments, words in _OTHER_SETTINGS:
        status, output, errors = run(
            '--resume', '--seeds', 0, 1, *arguments.split())
        assert status == 2 and output == '', arguments
        assert words in errors and errors.count('\n') == 1
        assert errors.startswith('python -m train.multitask: error: ')
        assert _files(tmp_path / 'series') == before


def test_resume_accepts_the_same_settings(run, tmp_path):
    settings = SMALL + [
        '--normalizer', 'mixture', '--normalizer-options',
        'inference=("samples")', 'axis=0,2,3', 'eps=1e-4', '--cuts', '.3']
    assert run(*settings)[0] == 0
    assert run(*settings, '--resume')[0] == 0
    # Five batches of 16, and a part of one.
    assert run('--resume', '--samples', 83)[0] == 0
    # What changes no update may be another.
    assert run('--resume', '--log-every', 2, '--test-every', 3,
               '--snapshot-every', 4, '--device', '@numpy')[0] == 0


def test_error_after_recalibration(run, tmp_path):
    status, output, _ = run(*SMALL, '--recalibrate', 2, '--iterations', 20,
                            '--seeds', 1, 2)
    assert status == 0
    errors = []
    for seed in (1, 2):
        _, log, result = _read_run(tmp_path / 'series' / f'seed-{seed}')
        errors.append(result['recalibrated'])
        numpy.testing.assert_allclose(
            result['recalibrated'], 100 - 100 * log[-1][
                'recalibrated/validation/main/accuracy'], atol=1e-4)
        assert f'; recalibrated {errors[-1]:.2f}' in output
    a, b = errors
    titles, line = output.splitlines()[-2:]
    assert 'recalibrated' in titles
    assert f' {(a + b) / 2:.2f} +- {abs(a - b) / 2 ** .5:.2f} ' in line

    assert run(*SMALL, '--iterations', 20, '--seeds', 1, out='plain')[0] == 0
    result, plain = (
        _read(tmp_path / out / 'seed-1' / 'result.json')
        for out in ('series', 'plain'))
    del result['recalibrated']
    assert plain == result


def test_option_that_json_writes_differently_resumes(run, stop_in, tmp_path):
    arguments = SMALL + ['--widths', 2, 4, 8, 6, '--normalizer', 'mixture',
                         '--normalizer-options', 'axis=(0, 2, 3)']
    assert run(*arguments, out='whole')[0] == 0
    stop_in(2, signal.SIGTERM)
    assert run(*arguments, out='parts')[0] == 128 + signal.SIGTERM
    assert run('--resume', out='parts')[0] == 0
    _assert_same(tmp_path / 'parts' / 'seed-0', tmp_path / 'whole' / 'seed-0')


def test_mixtures_per_sample_and_group_resume(run, stop_in, tmp_path):
    arguments = SMALL + ['--widths', 2, 4, 8, 6, '--normalizer',
                         'group_mixture', '--normalizer-options', 'groups=2']
    status, output, _ = run(*arguments, out='whole')
    assert status == 0
    assert output.splitlines()[-1].startswith('group_mixture, K 3, groups 2 ')
    stop_in(2, signal.SIGTERM)
    assert run(*arguments, out='parts')[0] == 128 + signal.SIGTERM
    assert run('--resume', out='parts')[0] == 0
    _assert_same(tmp_path / 'parts' / 'seed-0', tmp_path / 'whole' / 'seed-0')


def test_damaged_description(run, tmp_path):
    folder = tmp_path / 'series'
    assert run(*SMALL, '--iterations', 1)[0] == 0
    (folder / 'series.json').unlink()
    for content in (None, '', '{"settings": {', '[1]', '{}',
                    '{"settings": {}, "seeds": [0]}',
                    '{"settings": 3, "seeds": [0]}'):
        if content is not None:
            (folder / 'series.json').write_text(content)
        before = _files(folder)
        # Neither to be gone on with nor, unless it is told, to be replaced.
        for arguments in (['--resume'], SMALL):
            status, output, errors = run(*arguments)
            assert status == 2 and output == '', content
            assert str(folder) in errors and errors.count('\n') == 1
            assert _files(folder) == before
    assert run(*SMALL, '--iterations', 1, '--overwrite')[0] == 0


@pytest.mark.parametrize('name, content, words', [
    ('snapshot.npz', b'PK', 'is damaged or no snapshot'),
    ('result.json', b'{', 'is not the result of a run')])
def test_damaged_run(name, content, words, run, tmp_path):
    folder = tmp_path / 'series' / 'seed-0'
    assert run(*SMALL, '--iterations', 1)[0] == 0
    if name != 'result.json':
        (folder / 'result.json').unlink()
    (folder / name).write_bytes(content)
    before = _files(tmp_path / 'series')
    status, _, errors = run('--resume')
    assert status == 2
    assert words in errors and str(folder / name) in errors
    assert errors.count('\n') == 1
    assert _files(tmp_path / 'series') == before


@pytest.mark.parametrize('arguments, words', [
    ('--lr 0', '--lr: must be a number above 0'),
    ('--cuts 1.5', '--cuts: must be a number in (0, 1]'),
    ('--iterations 5 --samples 100', 'not allowed with'),
    ('--resume --overwrite', 'not allowed with'),
    ('--sets digits imagenet', "invalid choice: 'imagenet'"),
    ('--sets digits digits', '--sets names digits twice'),
    ('--seeds 3 1 3', '--seeds names 3 twice'),
    ('--seeds 3 -1', '--seeds: must be an integer in'),
    ('--normalizer mode --at conv1 conv1', '--at names conv1 twice'),
    ('--normalizer mode --at conv3',
     "--at names 'conv3', which is no place: there are conv1, conv2"),
    ('--at conv1', '--at says where'),
    ('--modes 2', '--modes goes with --normalizer mode or mode_group'),
    ('--components 2',
     '--components goes with --normalizer mixture or group_mixture'),
    ('--recipe multitask-MN-3', "there is no recipe 'multitask-MN-3'"),
    ('--recipe multitask-BN --sets digits --modes 3', '--modes goes with'),
    ('--batch-size 2875', '--batch-size 2875 is more than the 2874'),
    ('--train-size 1438', '--train-size 1438 is more than the 1437'),
    ('--test-size 361', '--test-size 361 is more than the 360'),
    ('--normalizer-options foo=1', "'batch' has no option 'foo'"),
    ('--normalizer-options foo', "must be KEY=VALUE, not 'foo'"),
    ('--normalizer-options decay=x', "decay is 'x': it must be a number in"),
    ('--normalizer-options axis=0', '--at PLACE:KEY=VALUE) do not fit: '),
    ('--normalizer-options eps={1}', 'eps must be a number, a string'),
    ('--normalizer-options dtype=float16 --optimizer rmsprop',
     'cannot train float16 parameters'),
    ('--normalizer none --normalizer-options eps=1', "'eps'"),
    ('--normalizer group --normalizer-options groups=5',
     'groups is 5: it must divide the number of '
     'channels, which is 6'),
    ('--normalizer group_mixture --normalizer-options groups=4',
     'divide the number of'),
    ('--device @cupy:999', '--device @cupy:999 cannot be used'),
    ('--widths 1 2 3', '--widths: expected 4 arguments'),
    # More than there is memory for, wherever this is run.
    ('--widths 6 16 120 99999999999999', 'allocate'),
    ('--normalizer mode --normalizer-options n_modes=4', 'use --modes'),
    ('--resume', 'there is no '), ('--epoch 3', 'unrecognized arguments')])
def test_user_error_is_one_line(arguments, words, run, tmp_path):
    status, output, errors = run(*arguments.split())
    assert status == 2 and output == ''
    assert words in errors
    assert errors.startswith('python -m train.multitask: error: ')
    assert errors.count('\n') == 1 and errors.endswith('\n')
    assert not (tmp_path / 'series').exists()


def test_set_that_cannot_be_fetched(run, tmp_path, monkeypatch):
    def fail(url):
        raise OSError('no network')
    monkeypatch.setattr(chainer.dataset.download, 'cached_download', fail)
    root = chainer.dataset.get_dataset_root()
    chainer.dataset.set_dataset_root(str(tmp_path / 'data'))
    try:
        status, _, errors = run('--sets', 'textures', 'svhn')
    finally:
        chainer.dataset.set_dataset_root(root)
    assert status == 2
    # Nothing but the last line is the script's own.
    line = errors.splitlines()[-1]
    assert line.startswith(
        'python -m train.multitask: error: cannot fetch svhn: ')
    assert str(tmp_path / 'data/pfnet/chainer/svhn/train.npz') in line
    assert 'Traceback' not in errors
    assert not (tmp_path / 'series').exists()


def test_folder_that_cannot_be_made(run, tmp_path):
    (tmp_path / 'series').write_text('a file')
    status, _, errors = run(*SMALL)
    assert status == 2 and errors.count('\n') == 1
    assert (tmp_path / 'series').read_text() == 'a file'


def test_folder_that_holds_a_series_is_left_alone(run, tmp_path):
    assert run(*SMALL)[0] == 0
    before = _files(tmp_path / 'series')
    status, _, errors = run(*SMALL, '--iterations', 3)
    assert status == 2 and errors.count('\n') == 1
    assert '--resume' in errors and '--overwrite' in errors
    # Nor do bad arguments lose anything.
    for arguments in (['--batch-size', 5000],
                      ['--normalizer-options', 'decay=x']):
        assert run(*SMALL, '--overwrite', *arguments)[0] == 2
    assert _files(tmp_path / 'series') == before


@pytest.mark.parametrize('arguments', [[], ['--overwrite']])
def test_runs_and_series_do_not_share_a_folder(arguments, run, tmp_path,
                                               capfd):
    series, single = tmp_path / 'series', tmp_path / 'single'
    for folder, name in ((series, 'series.json'), (single, 'snapshot.npz')):
        folder.mkdir()
        (folder / name).write_text('{}')
    status, _, errors = run(*SMALL, *arguments, out='single')
    assert status == 2 and errors.count('\n') == 1
    assert f'{single} holds a single run' in errors
    for script in (classifier, gan):
        assert script.main([*arguments, '--out', str(series)]) == 2
        errors = capfd.readouterr().err
        assert errors.count('\n') == 1
        assert f'{series} holds runs of several seeds' in errors
    assert set(_files(tmp_path)) == {pathlib.Path(name) for name in (
        'series/series.json', 'single/snapshot.npz')}


def test_overwrite_takes_nothing_from_the_series_before(
        run, stop_in, tmp_path):
    assert run(*SMALL, '--seeds', 0, 1, 2)[0] == 0
    folder = tmp_path / 'series'
    (folder / 'seed-1' / 'notes.txt').write_text('mine')
    settings = SMALL + ['--lr', .3, '--normalizer', 'mode', '--seeds', 0, 1,
                        '--test-every', 5]
    assert run(*settings, out='whole')[0] == 0
    # Stopped in the first run, it has only to go on to be the new series.
    stop_in(2, signal.SIGTERM)
    assert run(*settings, '--overwrite')[0] == 128 + signal.SIGTERM
    assert set(_files(folder)) == {pathlib.Path(name) for name in (
        'series.json', 'seed-0/run.json', 'seed-0/snapshot.npz',
        'seed-1/notes.txt')}
    assert run('--resume')[0] == 0
    for seed in ('seed-0', 'seed-1'):
        _assert_same(folder / seed, tmp_path / 'whole' / seed)
    assert _read(folder / 'series.json')['seeds'] == [0, 1]
    assert not (folder / 'seed-2' / 'result.json').exists()


def test_list_of_recipes(run):
    status, output, _ = run('--list-recipes')
    assert status == 0
    assert 'multitask-small-16-MGN' in output


def test_series_saved_before_there_were_later_settings(run, tmp_path):
    arguments = [*SMALL, '--normalizer', 'mode']
    assert run(*arguments, '--seeds', 3, 4, out='whole')[0] == 0
    assert run(*arguments, '--seeds', 3)[0] == 0
    path = tmp_path / 'series' / 'series.json'
    description = _read(path)
    for name in ('scale', 'momentum', 'betas'):
        del description['settings'][name]
    # A recipe that has other names now.
    description['settings']['recipe'] = 'multitask-small-MN-2'
    path.write_text(json.dumps(description))
    assert run('--resume', '--seeds', 4)[0] == 0
    for seed in (3, 4):
        _assert_same(tmp_path / 'series' / f'seed-{seed}',
                     tmp_path / 'whole' / f'seed-{seed}')
    settings = _read(path)['settings']
    assert settings['scale'] == 1 and settings['momentum'] is None
    assert run('--recipe', 'multitask-small-MN-2', out='other')[0] == 2


def test_scaled_series(run, tmp_path):
    assert run(*SMALL, '--iterations', 20, '--scale', .2, '--decay', .5,
               '--cuts', .25, .7, '--lr', .4, '--log-every', 1)[0] == 0
    log = _read(tmp_path / 'series' / 'seed-0' / 'log')
    # Of 20 iterations, cut after 5 and 14.
    assert [entry['lr'] for entry in log] == [.4, .2, .2, .1]
    status, output, _ = run('--resume')
    assert status == 0
    assert output.splitlines()[-1].split()[:4] == ['batch', '16', '4', '1']
    status, _, errors = run('--resume', '--scale', .1)
    assert status == 2 and '--scale 0.1 differs from the 0.2' in errors
