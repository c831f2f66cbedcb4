"""The script as its users meet it."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import chainer
import chainer.functions as F
import chainer.links as L
import numpy
import pytest

from models.cifar_cnn import CifarCNN
from train import classifier
from train import run_model
from train.data import datasets
from train.loop import run_folder
from train_tests.small_runs import read_log, SMALL


ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = [sys.executable, '-m', 'train.classifier']


def test_run_writes_description_log_curves_and_snapshot(run, tmp_path):
    pytest.importorskip('matplotlib')
    status, output, errors = run(
        *SMALL, '--epoch', 2, '--seed', 3, '--normalizer', 'mixture',
        '--at', 'conv2', 'conv3', '--components', 2, '--em-iterations', 3)
    assert status == 0 and errors == ''
    folder = tmp_path / 'run'
    assert sorted(file.name for file in folder.iterdir()) == [
        'curves.png', 'log', 'mixture.npz', 'run.json', 'snapshot.npz']

    description = json.loads((folder / 'run.json').read_text())
    assert description['settings']['seed'] == 3
    assert description['settings']['at'] == ['conv2', 'conv3']
    start, = description['starts']
    assert start['versions']['numpy'] == numpy.__version__
    assert set(start['versions']) >= {'python', 'chainer', 'mixnorm'}
    assert start['device'] == '@numpy'

    # 96 images in batches of 20: the 5th and the 10th batch end an epoch.
    log = json.loads((folder / 'log').read_text())
    assert [entry['iteration'] for entry in log] == [5, 10]
    for entry in log:
        assert 0 <= entry['validation/main/accuracy'] <= 1
        assert entry['main/loss'] > 0
    assert (folder / 'curves.png').read_bytes()[:4] == b'\x89PNG'
    assert len(output.splitlines()) == 4
    assert f"{log[1]['validation/main/accuracy']:.4f}" in (
        output.splitlines()[2])
    assert '\033' not in output


def test_training_learns(run, tmp_path):
    assert run('--widths', 4, 8, 8, 16, '--epoch', 4, '--decay-every', 1,
               '--decay', 0.5)[0] == 0
    log = json.loads((tmp_path / 'run' / 'log').read_text())
    assert log[-1]['main/loss'] < log[0]['main/loss'] / 2
    assert log[-1]['validation/main/accuracy'] > 0.7


def test_same_seed_same_run_and_other_seed_another(run, tmp_path):
    logs = []
    for out, seed in (('a', 1), ('b', 1), ('c', 2)):
        assert run(*SMALL, '--iterations', 3, '--seed', seed, '--normalizer',
                   'mixture', out=out)[0] == 0
        logs.append(json.loads((tmp_path / out / 'log').read_text())[-1])
    assert logs[0]['main/loss'] == logs[1]['main/loss']
    assert logs[0]['main/loss'] != logs[2]['main/loss']


def test_normalizers_start_from_the_same_weights(run, tmp_path):
    weights = []
    for normalizer in ('batch', 'mixture'):
        # An update this small leaves the weights as they were drawn.
        assert run(*SMALL, '--iterations', 1, '--normalizer', normalizer,
                   '--optimizer', 'sgd', '--lr', 1e-30, out=normalizer)[0] == 0
        with numpy.load(tmp_path / normalizer / 'snapshot.npz') as file:
            weights.append({key: file[key] for key in file
                            if key.endswith('/W')
                            and '/model:main/' in key})
    assert len(weights[0]) == 5
    for key in weights[0]:
        numpy.testing.assert_array_equal(weights[0][key], weights[1][key])


def test_normalizer_and_its_options(run, tmp_path):
    for out, arguments in (
            ('mode', ['--normalizer', 'mode', '--modes', 3, '--at', 'conv2']),
            ('option', ['--normalizer', 'mixture', '--at', 'conv2',
                        '--normalizer-options', 'affine=component'])):
        assert run(*SMALL, '--iterations', 2, *arguments, out=out)[0] == 0
        prefix = 'trainer/updater/model:main/predictor/'
        with numpy.load(tmp_path / out / 'snapshot.npz') as file:
            # A gate for each mode, or a scale for each component, of 4
            # channels.
            assert any(file[key].shape in ((3, 4), (4, 3)) for key in file
                       if key.startswith(f'{prefix}conv2/norm/'))
            assert sorted(key for key in file
                          if key.startswith(f'{prefix}conv1/norm/')) == [
                f'{prefix}conv1/norm/{name}' for name in (
                    'N', 'avg_mean', 'avg_var', 'beta', 'gamma')]


def test_options_that_json_writes_differently_resume(run, tmp_path):
    arguments = ['--normalizer', 'mixture', '--normalizer-options',
                 'axis=(0, 2, 3)']
    assert run(*SMALL, '--iterations', 4, *arguments, out='whole')[0] == 0
    assert run(*SMALL, '--iterations', 2, *arguments, out='parts')[0] == 0
    assert run('--resume', '--iterations', 4, *arguments, out='parts')[0] == 0
    losses = [json.loads((tmp_path / out / 'log').read_text())[-1]
              ['validation/main/loss'] for out in ('whole', 'parts')]
    assert losses[0] == losses[1]
    assert run('--resume', '--iterations', 5, '--normalizer-options',
               'axis=(0, 2)', out='parts')[0] == 2


def test_mixtures_per_sample_and_group(run, tmp_path):
    arguments = ['--normalizer', 'group_mixture', '--at', 'conv2',
                 '--components', 2, '--em-iterations', 3,
                 '--normalizer-options', 'groups=2']
    assert run(*SMALL, '--iterations', 4, *arguments, out='whole')[0] == 0
    assert run(*SMALL, '--iterations', 2, *arguments, out='parts')[0] == 0
    assert run('--resume', '--iterations', 4, *arguments, out='parts')[0] == 0
    losses = [json.loads((tmp_path / out / 'log').read_text())[-1]
              ['validation/main/loss'] for out in ('whole', 'parts')]
    assert losses[0] == losses[1]
    assert run('--resume', '--iterations', 5, '--normalizer-options',
               'groups=4', out='parts')[0] == 2


@pytest.mark.parametrize('network, arguments, at, layers', [
    ('densenet', '--depth 10 --growth-rate 4', 'transition* last',
     ['last', 'transition1/norm', 'transition2/norm']),
    ('inception-v3', '', 'red1 inc2/0/2/4',
     ['inc2/0/2/4/norm', 'red1/0/0/norm', 'red1/1/0/norm', 'red1/1/1/norm',
      'red1/1/2/norm']),
    ('nin', '', 'mlpconv2/0', ['mlpconv2/0/norm']),
    ('resnet-cifar', '--depth 14', 'stage2/0',
     ['stage2/0/conv1/norm', 'stage2/0/conv2/norm']),
    ('resnet18', '', 'stage4/*/shortcut', ['stage4/0/shortcut/norm']),
    ('vgg13', '', 'conv3-256-1', ['conv3-256-1/norm'])])
def test_networks(network, arguments, at, layers, run, tmp_path):
    assert run('--network', network, *arguments.split(), '--normalizer',
               'mixture', '--at', *at.split(), '--components', 2,
               '--train-size', 16, '--test-size', 8, '--batch-size', 8,
               '--optimizer', 'sgd', '--iterations', 3, '--log-every', 1)[
                   0] == 0
    log = json.loads((tmp_path / 'run' / 'log').read_text())
    assert [entry['iteration'] for entry in log] == [1, 2, 3]
    for entry in log:
        assert numpy.isfinite(entry['main/loss'])
        assert sorted(key for key in entry if 'n_effective' in key) == [
            f'predictor/{layer}/n_effective' for layer in layers]
    description = json.loads((tmp_path / 'run' / 'run.json').read_text())
    assert description['settings']['network'] == network
    # What this network does not have.
    assert description['settings']['widths'] is None


def test_network_with_dropout_resumes(run, tmp_path):
    arguments = ['--network', 'nin', '--train-size', 16, '--test-size', 8,
                 '--batch-size', 8, '--optimizer', 'sgd']
    assert run(*arguments, '--iterations', 4, out='whole')[0] == 0
    assert run(*arguments, '--iterations', 2, out='parts')[0] == 0
    assert run('--resume', '--iterations', 4, out='parts')[0] == 0
    whole, parts = (read_log(tmp_path / out)[-1] for out in ('whole', 'parts'))
    assert whole == parts


def test_number_of_effective_components_is_logged(run, tmp_path):
    assert run(*SMALL, '--iterations', 5, '--log-every', 2, '--normalizer',
               'mixture', '--at', 'conv2', 'conv4', '--components', 2)[0] == 0
    assert run(*SMALL, '--iterations', 5, out='batch')[0] == 0
    log, other = (
        json.loads((tmp_path / out / 'log').read_text())
        for out in ('run', 'batch'))
    assert [entry['iteration'] for entry in log] == [2, 4, 5]
    for entry in log:
        found = {key: value for key, value in entry.items()
                 if 'n_effective' in key}
        assert set(found) == {'predictor/conv2/norm/n_effective',
                              'predictor/conv4/norm/n_effective'}
        assert set(found.values()) <= {1, 2}
    assert not any('n_effective' in key for entry in other for key in entry)


_RECALIBRATED = 'recalibrated/validation/main/accuracy'


def test_test_after_recalibration(run, tmp_path):
    pytest.importorskip('matplotlib')
    arguments = [*SMALL, '--epoch', 3, '--lr', .01, '--normalizer', 'mixture',
                 '--at', 'conv3']
    outputs = [
        run(*arguments, '--recalibrate', n, out=f'{n}')[1] for n in (0, 3)]
    logs = [read_log(tmp_path / out) for out in ('0', '3')]
    assert len(logs[1]) == 3
    for expected, entry in zip(*logs):
        found = {key: value for key, value in entry.items()
                 if key.startswith('recalibrated/')}
        assert set(found) == {
            _RECALIBRATED, 'recalibrated/validation/main/loss'}
        # All else is as without.
        assert {key: value for key, value in entry.items()
                if key not in found} == expected
    snapshots = [numpy.load(tmp_path / out / 'snapshot.npz')
                 for out in ('0', '3')]
    names = {name for name in snapshots[0] if '/model:main/' in name}
    assert any(name.endswith('/queue_means') for name in names)
    for name in names:
        numpy.testing.assert_array_equal(
            snapshots[0][name], snapshots[1][name])
    for snapshot in snapshots:
        snapshot.close()

    assert 'recalibrated' not in outputs[0]
    titles, *lines, _ = outputs[1].splitlines()
    # They stand between two or more spaces.
    column = [cell for cell in titles.split('  ') if cell].index(
        'recalibrated')
    assert [line.split()[column] for line in lines] == [
        f'{entry[_RECALIBRATED]:.4f}' for entry in logs[1]]
    best = max(entry[_RECALIBRATED] for entry in logs[1])
    assert f', recalibrated {best:.4f} at iteration ' in outputs[1]


def test_recalibrated_figure_is_that_of_the_saved_weights(run, tmp_path):
    """Of statistics that the whole training set, 96 images, has."""
    arguments = [*SMALL, '--batch-size', 96, '--iterations', 12]
    assert run(*arguments, '--recalibrate', 1)[0] == 0
    (train_images, _), (images, labels) = datasets.load('digits', 96, 30)
    model = CifarCNN(10, 1, (4, 4, 4, 8))
    chainer.serializers.load_npz(
        str(tmp_path / 'run' / 'snapshot.npz'), model,
        path='trainer/updater/model:main/predictor/')
    for link in model.links():
        if isinstance(link, L.BatchNormalization):
            # What a decay of 0 leaves are the statistics of one mini-batch.
            link.decay = 0
    model(train_images)
    with chainer.using_config('train', False):
        scores = model(images)
    entry = read_log(tmp_path / 'run')[-1]
    numpy.testing.assert_allclose(
        entry['recalibrated/validation/main/loss'],
        F.softmax_cross_entropy(scores, labels).array, 1e-4)
    assert entry['validation/main/loss'] != pytest.approx(
        entry['recalibrated/validation/main/loss'], .01)


def test_recalibration_resumes_and_may_begin_on_resuming(
        run, tmp_path, image_cache):
    arguments = ['--dataset', 'cifar10', '--widths', 2, 2, 2, 4,
                 '--batch-size', 15, '--test-every', 1]
    recalibrate = ['--recalibrate', 4]
    assert run(*arguments, '--iterations', 5, *recalibrate, out='whole')[
        0] == 0
    assert run(*arguments, '--iterations', 2, *recalibrate, out='parts')[
        0] == 0
    assert run('--resume', '--iterations', 5, out='parts')[0] == 0
    whole = read_log(tmp_path / 'whole')
    assert read_log(tmp_path / 'parts') == whole
    assert run(*arguments, '--iterations', 2, out='late')[0] == 0
    assert run('--resume', '--iterations', 5, *recalibrate, out='late')[0] == 0
    assert [entry.get(_RECALIBRATED) for entry in read_log(
        tmp_path / 'late')] == [None, None] + [
            entry[_RECALIBRATED] for entry in whole[2:]]


def test_intervals(run, tmp_path):
    assert run(*SMALL, '--iterations', 7, '--log-every', 2, '--test-every',
               3, '--snapshot-every', 100)[0] == 0
    log = json.loads((tmp_path / 'run' / 'log').read_text())
    assert [entry['iteration'] for entry in log] == [2, 3, 4, 6, 7]
    assert [entry['iteration'] for entry in log
            if 'validation/main/accuracy' in entry] == [3, 6, 7]
    with numpy.load(tmp_path / 'run' / 'snapshot.npz') as file:
        assert file['trainer/updater/iteration'] == 7


def test_cifar_is_augmented_and_digits_are_not(
        run, image_cache, tmp_path, monkeypatch):
    seen = []

    def augment(images, random_state):
        seen.append(images.shape)
        return images
    monkeypatch.setattr('train.classifier.flip_and_crop', augment)
    assert run(*SMALL, '--iterations', 1, out='digits')[0] == 0
    assert seen == []
    assert run('--dataset', 'cifar100', '--widths', 2, 2, 2, 2, '--batch-size',
               8, '--iterations', 1, out='cifar')[0] == 0
    assert seen == [(8, 3, 32, 32)]


@pytest.mark.parametrize('dataset', ['mnist', 'cifar10', 'cifar100'])
def test_data_sets(dataset, run, image_cache, tmp_path):
    assert run('--dataset', dataset, '--widths', 2, 2, 2, 2, '--batch-size',
               20, '--iterations', 2)[0] == 0
    with numpy.load(tmp_path / 'run' / 'snapshot.npz') as file:
        W = file['trainer/updater/model:main/predictor/linear/W']
    assert W.shape == (datasets.n_classes(dataset), 2)


@pytest.mark.parametrize('arguments, words', [
    ('--lr 0', '--lr: must be a number above 0'),
    ('--scale 0', '--scale: must be a number in (0, 1]'),
    ('--scale 2', '--scale: must be a number in (0, 1]'),
    ('--momentum 1 --optimizer nesterov', '--momentum: must be a number in'),
    ('--betas .5 --optimizer adam', '--betas: expected 2 arguments'),
    ('--decay-at -1', '--decay-at: must be a number above 0'),
    ('--dtype mixed16', '--dtype mixed16 cannot train with --device @numpy'),
    ('--dtype float16', "invalid choice: 'float16'"),
    ('--recipe cifar10-cnn-BN-2 --network nin', 'contradicts --recipe'),
    ('--recipe cifar10-cnn-BN-2 --components 3', '--components goes with'),
    ('--normalizer mixture --at first',
     "--at names 'first', which is no place: there are conv1"),
    ('--normalizer mixture --at conv3:K=0',
     '--at conv3:K=0: n_components is 0: it must be'),
    ('--normalizer mixture --at conv3:K=2,foo=1',
     '--at conv3:K=2,foo=1: mixture has no option foo'),
    ('--lr nan', '--lr: must be a number above 0'),
    ('--lr fast', "--lr: must be a number above 0, not 'fast'"),
    ('--decay 1.5 --decay-every 1', '--decay: must be a number in (0, 1]'),
    ('--weight-decay -1', '--weight-decay: '),
    ('--epoch 0', '--epoch: must be an integer of at least 1'),
    ('--recalibrate -1', '--recalibrate: must be an integer of at least 0'),
    ('--recalibrate all', "at least 0, not 'all'"),
    ('--epoch 2 --iterations 3', 'not allowed with'),
    ('--decay-every 2 --decay-at 3', 'not allowed with'),
    ('--resume --overwrite', 'not allowed with'),
    ('--components 0 --normalizer mixture', '--components: must be'),
    ('--em-iterations 0 --normalizer mixture', '--em-iterations: must be'),
    ('--batch-size 2000', '--batch-size 2000 is more than the 1437'),
    ('--train-size 2000', '--train-size 2000 is more than the 1437'),
    ('--seed -1', '--seed: must be'),
    ('--normalizer mixtrue', "invalid choice: 'mixtrue'"),
    ('--normalizer none --at conv5',
     "--at names 'conv5', which is no place: there are conv1, conv2, conv3, "
     'conv4'),
    ('--network vgg13 --normalizer mixture --at conv3-256-3',
     "--at names 'conv3-256-3', which is no place: there are conv3-64-1, "),
    ('--network inception-v3 --normalizer mode --at inc2/4',
     "'inc2/4', which is no place: there are inc2/0, inc2/1, inc2/2, inc2/3"),
    ('--network cnn --depth 40',
     '--depth goes with --network densenet or resnet-cifar, not cnn'),
    ('--network nin --widths 1 2 3 4', '--widths goes with --network cnn'),
    ('--network resnet-cifar --growth-rate 3',
     '--growth-rate goes with --network densenet, not resnet-cifar'),
    ('--network resnet-cifar --depth 21', '--depth is 21: it must be 8, 14'),
    ('--network densenet --depth 3', '--depth is 3: it must be an integer'),
    ('--network lenet', "invalid choice: 'lenet'"),
    ('--at conv3', '--at says where'),
    ('--components 2',
     '--components goes with --normalizer mixture or group_mixture'),
    ('--modes 2', '--modes goes with --normalizer mode or mode_group'),
    ('--modes 0 --normalizer mode', '--modes: must be'),
    ('--normalizer-options foo=1', "'batch' has no option 'foo'"),
    ('--normalizer-options foo', "must be KEY=VALUE, not 'foo'"),
    ('--normalizer-options decay=x', "decay is 'x': it must be a number in"),
    ('--normalizer-options axis=0', '--at PLACE:KEY=VALUE) do not fit: '),
    ('--normalizer-options eps={1}', 'eps must be a number, a string'),
    ('--normalizer-options dtype=float16', 'cannot train float16 parameters'),
    ('--normalizer group --normalizer-options groups=5',
     'groups is 5: it must divide the number of '
     'channels, which is 16'),
    ('--recipe cifar10-cnn-MN-9', "no recipe 'cifar10-cnn-MN-9': --list-"),
    ('--dataset imagenet', "invalid choice: 'imagenet'"),
    ('--widths 1 2 3', '--widths: expected 4 arguments'),
    ('--device cpu:x', '--device cpu:x cannot be used'),
    ('--device @cupy:999', '--device @cupy:999 cannot be used'),
    ('--resume', 'there is no snapshot'),
    ('--frobnicate', 'unrecognized arguments: --frobnicate')])
def test_user_error_is_one_line(arguments, words, run, tmp_path):
    status, output, errors = run(*arguments.split())
    assert status == 2
    assert words in errors
    assert errors.startswith('python -m train.classifier: error: ')
    assert errors.count('\n') == 1 and errors.endswith('\n')
    assert not (tmp_path / 'run').exists()


def test_options_of_places(run, tmp_path):
    assert run(*SMALL, '--iterations', 2, '--normalizer', 'mixture', '--at',
               '@first:K=4', 'conv2', 'conv3:K=2,n_iter=1')[0] == 0
    prefix = 'trainer/updater/model:main/predictor/'
    with numpy.load(tmp_path / 'run' / 'snapshot.npz') as file:
        found = {i: file[f'{prefix}conv{i}/norm/queue_weights'].shape[1]
                 for i in (1, 2, 3)}
        assert f'{prefix}conv4/norm/queue_weights' not in file
    assert found == {1: 4, 2: 3, 3: 2}
    assert run('--resume', '--iterations', 3, '--at', 'conv3:n_iter=1,K=2',
               '@first:K=4', 'conv2')[0] == 0
    status, _, errors = run('--resume', '--at', 'conv3:K=3')
    assert status == 2 and '--at conv3:K=3 differs from' in errors


def test_scaled_run(run, tmp_path):
    """3 epochs of 96 images, times .5, in batches of 20."""
    arguments = [*SMALL, '--epoch', 3, '--scale', .5, '--decay-at', 1, 2,
                 '--decay', .5, '--lr', .04, '--log-every', 1]
    status, output, _ = run(*arguments)
    assert status == 0
    assert ('scale 0.5: 1.5 epochs, learning rate times 0.5 after 0.5 and 1 '
            'epochs'
            in output.splitlines())
    log = read_log(tmp_path / 'run')
    # 144 images are 7.2 batches; 48 are 2.4 and 96 are 4.8.
    assert [entry['iteration'] for entry in log] == list(range(1, 9))
    assert [entry['lr'] for entry in log] == [.04] * 3 + [.02] * 2 + [.01] * 3
    settings = json.loads(
        (tmp_path / 'run' / 'run.json').read_text())['settings']
    assert settings['scale'] == .5 and settings['epoch'] == 3
    # The same command goes on with it; nothing is left to do.
    assert run('--resume', *arguments)[0] == 0
    assert read_log(tmp_path / 'run') == log
    # A length given later is multiplied, too.
    assert run('--resume', '--epoch', 4)[0] == 0
    assert len(read_log(tmp_path / 'run')) == 10
    assert run('--resume', '--iterations', 24)[0] == 0
    assert len(read_log(tmp_path / 'run')) == 12
    for scale in ('1', '.25'):
        status, _, errors = run('--resume', '--scale', scale)
        assert status == 2 and 'keeps its settings' in errors
        assert errors.count('\n') == 1


def test_scaled_run_resumes_between_decays(run, stop_in, tmp_path):
    arguments = [*SMALL, '--iterations', 12, '--scale', .5, '--decay-every',
                 1, '--decay', .5, '--log-every', 1, '--optimizer',
                 'momentum', '--momentum', .5]
    assert run(*arguments, out='whole')[0] == 0
    for n in (2, 2):
        stop_in(n)
        assert run(*arguments, *(['--resume'] if (
            tmp_path / 'parts').exists() else []), out='parts')[0] == 130
    stop_in(100)
    assert run('--resume', out='parts')[0] == 0
    whole, parts = (read_log(tmp_path / out) for out in ('whole', 'parts'))
    assert whole == parts
    # Every 48 images: after 2.4, 4.8 and 7.2 batches.
    rates = [entry['lr'] for entry in whole]
    assert [rate / rates[0] for rate in rates] == [1, 1, 1, .5, .5, .25]


def test_run_saved_before_there_were_later_settings(run, tmp_path):
    arguments = [*SMALL, '--optimizer', 'nesterov', '--epoch']
    assert run(*arguments, 2, out='whole')[0] == 0
    assert run(*arguments, 1)[0] == 0
    path = tmp_path / 'run' / 'snapshot.npz'
    with numpy.load(path) as file:
        arrays = dict(file)
    settings = json.loads(str(arrays['settings']))
    for name in ('scale', 'momentum', 'betas', 'dtype'):
        del settings[name]
    numpy.savez(path, **dict(arrays, settings=json.dumps(settings)))
    assert run('--resume', '--epoch', 2)[0] == 0
    assert read_log(tmp_path / 'run') == read_log(tmp_path / 'whole')
    description = json.loads((tmp_path / 'run' / 'run.json').read_text())
    assert description['settings']['momentum'] == .9
    assert description['settings']['betas'] is None


def test_mixed_precision_trains(run, tmp_path, monkeypatch):
    # NumPy can do it, slowly.
    monkeypatch.setattr(classifier, 'check_device', lambda *arguments: None)
    for optimizer in ('rmsprop', 'momentum'):
        assert run(*SMALL, '--train-size', 20, '--iterations', 8,
                   '--log-every', 1, '--dtype', 'mixed16', '--normalizer',
                   'mixture', '--at', 'conv2', '--optimizer', optimizer,
                   '--lr', .01, out=optimizer)[0] == 0
        log = read_log(tmp_path / optimizer)
        assert log[-1]['main/loss'] < log[0]['main/loss']
        with numpy.load(tmp_path / optimizer / 'snapshot.npz') as file:
            prefix = 'trainer/updater/model:main/predictor/conv2/'
            assert file[f'{prefix}conv/W'].dtype == numpy.float16
            assert file[f'{prefix}norm/gamma'].dtype == numpy.float32
        assert run('--resume', '--iterations', 9, out=optimizer)[0] == 0
        assert len(read_log(tmp_path / optimizer)) == 9
    assert chainer.config.dtype == numpy.float32
    # Elsewhere the model is one of float32.
    loaded = run_model.load_run(str(tmp_path / 'momentum'))
    assert loaded.model(loaded.test.images).dtype == numpy.float32


def test_folder_that_holds_a_run_is_left_alone(run, tmp_path):
    assert run(*SMALL, '--epoch', 1)[0] == 0
    files = list((tmp_path / 'run').iterdir())
    before = {file: file.read_bytes() for file in files}
    status, _, errors = run(*SMALL, '--epoch', 2)
    assert status == 2
    assert errors.count('\n') == 1
    assert '--resume' in errors and '--overwrite' in errors
    assert {file: file.read_bytes() for file in files} == before


def test_overwrite_starts_anew_and_keeps_other_files(run, tmp_path):
    assert run(*SMALL, '--epoch', 2)[0] == 0
    (tmp_path / 'run' / 'notes.txt').write_text('mine')
    assert run(*SMALL, '--epoch', 1, '--overwrite')[0] == 0
    log = json.loads((tmp_path / 'run' / 'log').read_text())
    assert [entry['iteration'] for entry in log] == [5]
    assert (tmp_path / 'run' / 'notes.txt').read_text() == 'mine'


def test_bad_arguments_with_overwrite_lose_nothing(run, tmp_path):
    assert run(*SMALL, '--epoch', 1)[0] == 0
    before = (tmp_path / 'run' / 'snapshot.npz').read_bytes()
    assert run('--overwrite', '--batch-size', 5000)[0] == 2
    assert run('--overwrite', '--normalizer-options', 'decay=x')[0] == 2
    assert (tmp_path / 'run' / 'snapshot.npz').read_bytes() == before


@pytest.mark.parametrize('size', [0, 1000])
def test_damaged_snapshot_is_an_error_and_nothing_is_overwritten(
        size, run, tmp_path):
    assert run(*SMALL, '--epoch', 1)[0] == 0
    snapshot = tmp_path / 'run' / 'snapshot.npz'
    snapshot.write_bytes(snapshot.read_bytes()[:size])
    files = list((tmp_path / 'run').iterdir())
    before = {file: file.read_bytes() for file in files}
    status, _, errors = run('--resume', '--epoch', 2)
    assert status == 2
    assert errors.count('\n') == 1
    assert str(snapshot) in errors
    assert {file: file.read_bytes() for file in files} == before


def test_snapshot_of_another_network_is_an_error(run, tmp_path):
    assert run(*SMALL, '--epoch', 1)[0] == 0
    snapshot = tmp_path / 'run' / 'snapshot.npz'
    with numpy.load(snapshot) as file:
        arrays = dict(file)
    for key in [key for key in arrays if '/conv2/' in key]:
        del arrays[key]
    numpy.savez(snapshot, **arrays)
    before = snapshot.read_bytes()
    status, _, errors = run('--resume', '--epoch', 2)
    assert status == 2
    assert errors.count('\n') == 1 and 'does not fit' in errors
    assert snapshot.read_bytes() == before


def test_folder_that_cannot_be_made(run, tmp_path):
    (tmp_path / 'run').write_text('a file')
    status, _, errors = run(*SMALL, '--epoch', 1)
    assert status == 2
    assert errors.count('\n') == 1
    assert f"--out: must be a folder, not '{tmp_path / 'run'}'" in errors
    assert (tmp_path / 'run').read_text() == 'a file'


def test_without_matplotlib(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'matplotlib', None)
    status, output, _ = run(*SMALL, '--epoch', 1)
    assert status == 0
    assert output.splitlines().count(
        'no curves are drawn: matplotlib is not installed') == 1
    assert not (tmp_path / 'run' / 'curves.png').exists()


@pytest.mark.parametrize('is_terminal, arguments, has_bar', [
    (True, [], True), (True, ['--no-progress'], False), (False, [], False)])
def test_progress_bar_on_a_terminal(
        is_terminal, arguments, has_bar, run, monkeypatch):
    monkeypatch.setattr(sys.stdout, 'isatty', lambda: is_terminal)
    status, output, _ = run(*SMALL, '--epoch', 1, *arguments)
    assert status == 0
    assert ('this epoch [' in output) == has_bar
    assert ('\033' in output) == has_bar


def test_order_of_layers_does_not_matter(run):
    layers = ['--normalizer', 'mixture', '--at', 'conv3', 'conv1']
    assert run(*SMALL, '--epoch', 1, *layers)[0] == 0
    assert run('--resume', '--at', 'conv1', 'conv3')[0] == 0


def test_signal_before_the_first_update(run, monkeypatch, tmp_path):
    describe = run_folder.describe

    def describe_and_stop(*arguments):
        describe(*arguments)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(run_folder, 'describe', describe_and_stop)
    status, _, errors = run(*SMALL, '--iterations', 2)
    assert status == 128 + signal.SIGTERM
    assert 'before there was a snapshot' in errors
    assert not (tmp_path / 'run').exists()


def test_folder_of_a_run_without_a_snapshot(run, tmp_path):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'run.json').write_text('{}')
    status, _, errors = run(*SMALL, '--iterations', 1)
    assert status == 2
    assert '--overwrite' in errors and '--resume' not in errors
    assert run(*SMALL, '--iterations', 1, '--overwrite')[0] == 0


def test_list_of_recipes(run):
    status, output, _ = run('--list-recipes')
    assert status == 0
    assert 'cifar10-cnn-MN-2' in output


def _environment(tmp_path):
    return dict(os.environ, CHAINER_DATASET_ROOT=str(tmp_path / 'data'),
                http_proxy='http://127.0.0.1:9',
                https_proxy='http://127.0.0.1:9', OMP_NUM_THREADS='1')


def test_script_runs_from_any_folder(tmp_path):
    done = subprocess.run(
        SCRIPT + SMALL + ['--iterations', '2', '--out', 'here'],
        cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ''
    assert (tmp_path / 'here' / 'snapshot.npz').exists()


def test_script_runs_from_the_clone_by_itself(tmp_path, monkeypatch):
    monkeypatch.delenv('PYTHONPATH')
    done = subprocess.run(
        SCRIPT + SMALL + ['--iterations', '2', '--out', str(tmp_path / 'run')],
        cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ''
    assert (tmp_path / 'run' / 'snapshot.npz').exists()


def test_script_without_a_network(tmp_path):
    done = subprocess.run(
        SCRIPT + ['--dataset', 'cifar10'], cwd=tmp_path, text=True,
        capture_output=True, env=_environment(tmp_path))
    assert done.returncode == 2
    assert 'Traceback' not in done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith(
        'python -m train.classifier: error: cannot fetch cifar10')
    assert str(tmp_path / 'data/pfnet/chainer/cifar/cifar-10.npz') in line


def test_ctrl_c_leaves_a_snapshot_to_go_on_from(tmp_path):
    process = subprocess.Popen(
        SCRIPT + SMALL + ['--iterations', '1000000', '--log-every', '1',
                          '--out', 'run'],
        cwd=tmp_path, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # In a shell's background Ctrl-C would be ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    log = tmp_path / 'run' / 'log'
    while not log.exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert 'Traceback' not in errors
    last = errors.splitlines()[-1]
    assert last.endswith(
        'to go on: python -m train.classifier --resume --out run')
    n_done = len(json.loads(log.read_text()))

    done = subprocess.run(
        SCRIPT + ['--resume', '--out', 'run', '--iterations',
                  str(n_done + 2)],
        cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(log.read_text())) == n_done + 2
