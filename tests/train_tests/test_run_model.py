import json

import chainer
import chainer.functions as F
import chainer.links as L
import numpy
import pytest

import mixnorm
from models.cifar_cnn import CifarCNN
from train import run_model
from train import classifier, multitask
from train.command_line import UserError
from train_tests.small_runs import SMALL


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A run of mixture normalization at conv3."""
    path = tmp_path_factory.mktemp('runs') / 'a'
    assert classifier.main([
        '--normalizer', 'mixture', '--at', 'conv3', *SMALL, '--epoch', '2',
        '--out', str(path)]) == 0
    return path


@pytest.fixture(scope='module')
def run(folder):
    return run_model.load_run(str(folder))


def _change(folder, path, change):
    """Writes the snapshot with its settings and arrays changed."""
    with numpy.load(folder / 'snapshot.npz') as file:
        arrays = dict(file)
    settings = json.loads(str(arrays['settings']))
    change(settings, arrays)
    arrays['settings'] = json.dumps(settings)
    numpy.savez(path, **arrays)
    return str(path)


@pytest.mark.parametrize('name', ['', 'snapshot.npz'])
def test_model_scores_as_the_run_did(name, folder):
    run = run_model.load_run(str(folder / name))
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        accuracy = F.accuracy(run.model(run.test.images), run.test.labels)
    last = json.loads((folder / 'log').read_text())[-1]
    # The mean over batches is rounded otherwise.
    assert accuracy.array == pytest.approx(
        last['validation/main/accuracy'], abs=1e-6)
    assert isinstance(run.model, CifarCNN)
    assert len(run.train.labels) == 96 and len(run.test.labels) == 30
    assert run.settings == json.loads(
        (folder / 'run.json').read_text())['settings']


@pytest.mark.parametrize('where', [
    None, 'conv3', ['conv1', '/conv3/norm'], 'conv[12]', '*/norm', 'first'])
def test_patterns_are_those_of_convert(where, run):
    found = run_model.find_layers(run.model, where)
    model = run.model.copy('copy')
    assert sorted(found) == sorted(
        mixnorm.convert(model, 'none', where=where))
    links = dict(run.model.namedlinks())
    assert all(links[path] is link for path, link in found.items())


def test_layer_that_is_not_there(run):
    with pytest.raises(UserError) as error:
        run_model.find_layers(run.model, 'conv9')
    message = str(error.value)
    assert "'conv9'" in message
    assert all(f'/conv{i}/norm' in message for i in range(1, 5))
    assert '\n' not in message


def test_inputs_are_those_of_the_network(run):
    batches = run.test.images[:20], run.test.images[20:]
    model = run.model
    before = {name: numpy.array(z) for name, z in _state(model).items()}
    inputs = run_model.layer_inputs(
        model, run_model.find_layers(model, ['conv1', 'conv3']), batches)
    assert list(inputs) == ['/conv1/norm', '/conv3/norm']
    with chainer.using_config('train', False):
        for i, images in enumerate(batches):
            h = F.max_pooling_2d(model.conv1(images), 3, stride=2)
            h = F.max_pooling_2d(model.conv2(h), 3, stride=2)
            numpy.testing.assert_array_equal(
                inputs['/conv1/norm'][i], model.conv1.conv(images).array)
            numpy.testing.assert_array_equal(
                inputs['/conv3/norm'][i], model.conv3.conv(h).array)
    assert [len(arrays) for arrays in inputs.values()] == [2, 2]
    after = _state(model)
    assert before.keys() == after.keys()
    for name in before:
        numpy.testing.assert_array_equal(after[name], before[name])


def _state(link):
    serializer = chainer.serializers.DictionarySerializer()
    serializer.save(link)
    return serializer.target


def test_layer_in_two_places():
    norm = L.BatchNormalization(2)
    model = chainer.Sequential(norm, F.relu, chainer.Sequential(norm))
    x = numpy.array([[-1, 2], [3, -4]], 'f')
    inputs = run_model.layer_inputs(
        model, run_model.find_layers(model), [x])
    assert len(inputs) == 2
    for arrays in inputs.values():
        numpy.testing.assert_array_equal(arrays[0], x)
        numpy.testing.assert_allclose(arrays[1], numpy.maximum(x, 0), 1e-4)


def test_input_given_by_name():
    class Model(chainer.Chain):
        def __init__(self):
            super().__init__()
            with self.init_scope():
                self.norm = L.BatchNormalization(2)

        def forward(self, x):
            return self.norm(x=x)

    model, x = Model(), numpy.array([[-1, 2], [3, -4]], 'f')
    inputs = run_model.layer_inputs(model, {'/norm': model.norm}, [x])
    numpy.testing.assert_array_equal(inputs['/norm'], [x])


def test_no_run(tmp_path):
    with pytest.raises(UserError, match='there is no snapshot'):
        run_model.load_run(str(tmp_path))
    with pytest.raises(UserError, match='there is no snapshot'):
        run_model.load_run(str(tmp_path / 'nowhere'))


def test_file_that_is_no_snapshot(folder, tmp_path):
    with pytest.raises(UserError, match='no snapshot of a training run'):
        run_model.load_run(str(folder / 'log'))
    numpy.savez(tmp_path / 'other.npz', weights=numpy.zeros(3))
    with pytest.raises(UserError, match='no snapshot of a training run'):
        run_model.load_run(str(tmp_path / 'other.npz'))


def test_snapshot_of_another_script(tmp_path):
    assert multitask.main([
        '--sets', 'digits', '--train-size', '40', '--test-size', '10',
        '--batch-size', '10', '--iterations', '1', '--seeds', '0', '--out',
        str(tmp_path / 'series')]) == 0
    with pytest.raises(UserError, match='no snapshot of a run of '
                                        'train.classifier'):
        run_model.load_run(str(tmp_path / 'series' / 'seed-0'))


@pytest.mark.parametrize('change', [
    lambda settings, arrays: settings.update(widths=[4, 4, 8, 8]),
    lambda settings, arrays: settings.update(at=['conv1']),
    lambda settings, arrays: arrays.pop(
        'trainer/updater/model:main/predictor/conv2/conv/W')])
def test_snapshot_of_another_model(change, folder, tmp_path):
    path = _change(folder, tmp_path / 'changed.npz', change)
    with pytest.raises(UserError) as error:
        run_model.load_run(path)
    assert f'{path} does not fit the model' in str(error.value)
    assert '\n' not in str(error.value)


def test_images_that_are_not_here(folder, tmp_path, monkeypatch):
    def fail(url):
        raise OSError('no network')

    monkeypatch.setattr(chainer.dataset.download, 'cached_download', fail)
    path = _change(folder, tmp_path / 'changed.npz',
                   lambda settings, arrays: settings.update(dataset='mnist'))
    root = chainer.dataset.get_dataset_root()
    chainer.dataset.set_dataset_root(str(tmp_path))
    try:
        with pytest.raises(UserError, match='cannot fetch mnist'):
            run_model.load_run(path)
    finally:
        chainer.dataset.set_dataset_root(root)
