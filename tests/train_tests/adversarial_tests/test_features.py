import hashlib

import chainer
import numpy
import pytest

from models.inception_features import InceptionFeatures
from train.adversarial.features import as_seen, load_features
from train.command_line import UserError
from train.data import datasets
from train.data import sources
from train.data.task_sets import frame
from train.run_model import load_run
from train_tests.small_runs import SMALL


CPU = chainer.get_device('@numpy')


def _digits(n=10):
    """The first training images, as train.gan has them."""
    (images, _), _ = sources.read('digits', 255., numpy.float16)
    return frame(images[:n])


def test_classifier_sees_what_it_was_trained_on(run, tmp_path):
    """Features are what its last layer is called with on its own images."""
    assert run(*SMALL, '--iterations', 3)[0] == 0
    path = tmp_path / 'run' / 'snapshot.npz'
    features = load_features(str(tmp_path / 'run'), CPU)
    assert features.path == str(path)
    assert features.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert features.key == 'frechet_classifier_distance'
    assert features.sha256[:8] in features.name
    assert features.n_dimensions == 8

    trained = load_run(str(path))
    found = features(_digits(), batch_size=4)
    with chainer.using_config('train', False):
        scores = trained.model(trained.train.images[:10]).array
    linear = trained.model.linear
    # train.gan has images of 256 levels, which sixteenths are not.
    numpy.testing.assert_allclose(
        found @ linear.W.array.T + linear.b.array, scores, atol=.01)
    assert load_features(str(path), CPU).sha256 == features.sha256


def test_network_without_a_linear_layer_ends_with_its_features(run, tmp_path):
    assert run('--network', 'nin', '--train-size', 8, '--test-size', 8,
               '--batch-size', 8, '--iterations', 1)[0] == 0
    features = load_features(str(tmp_path / 'run'), CPU)
    trained = load_run(str(tmp_path / 'run'))
    with chainer.using_config('train', False):
        scores = trained.model(trained.train.images).array
    numpy.testing.assert_allclose(features(_digits(8)), scores, atol=.01)


def test_images_as_a_classifier_sees_them():
    random_state = numpy.random.RandomState(0)
    colours = random_state.randint(256, size=(2, 3, 32, 32)).astype('u1')
    numpy.testing.assert_allclose(
        as_seen(colours, (3, 32, 32)), colours / 255, 1e-6)
    grey = random_state.randint(256, size=(2, 1, 28, 28)).astype('u1')
    numpy.testing.assert_allclose(
        as_seen(frame(grey), (1, 28, 28)), grey / 255, 1e-6)
    small = datasets.read('digits', 5)[0].images
    assert small.shape == (5, 1, 16, 16)
    # uint8 does not hold sixteenths.
    numpy.testing.assert_allclose(
        as_seen(_digits(5), small.shape[1:]), small, atol=.5 / 255 + 1e-6)


def test_inception_weights(tmp_path, monkeypatch):
    monkeypatch.setattr('models.inception_features._SIDE', 75)
    random_state = numpy.random.RandomState(0)
    network = InceptionFeatures()
    for name, parameter in network.namedparams():
        if name.endswith('/W'):
            # Drawn for one output, which all others are the same as.
            fan_in = parameter[0].shape
            parameter.array[...] = random_state.normal(
                0, numpy.prod(fan_in) ** -.5, fan_in)
    path = str(tmp_path / 'inception.npz')
    serializer = chainer.serializers.DictionarySerializer()
    serializer.save(network)
    # As files of the whole network have: the classes, and no counts.
    arrays = {name: array for name, array in serializer.target.items()
              if not name.endswith('/N')}
    numpy.savez(path, **{'logit/b': numpy.zeros(1008)}, **arrays)
    features = load_features(path, CPU)
    assert features.key == 'fid' and features.n_dimensions == 2048
    images = random_state.randint(256, size=(3, 3, 32, 32)).astype('u1')
    with chainer.using_config('train', False):
        expected = network(images.astype('f')).array
    numpy.testing.assert_allclose(features(images), expected, 1e-4, 1e-5)


def test_files_that_are_refused(run, tmp_path):
    path = tmp_path / 'features.npz'

    def refused(words):
        with pytest.raises(UserError, match=words) as error:
            load_features(str(path), CPU)
        assert '\n' not in str(error.value)

    refused('there is no .*features.npz')
    path.write_bytes(b'PK of no zip')
    refused('no npz file, or is damaged')
    numpy.savez(path, **{'conv1/W': numpy.zeros(3)})
    refused('neither a run of train.classifier nor Inception')
    numpy.savez(path, **{'mixed_10/conv/conv/W': numpy.zeros(3)})
    refused('lacks 563 of 564 arrays, such as bn_conv/avg_mean')
    serializer = chainer.serializers.DictionarySerializer()
    serializer.save(InceptionFeatures())
    numpy.savez(path, **{name: numpy.zeros(1) for name in serializer.target})
    refused(r'bn_conv/avg_mean has the shape \(1,\), not \(32,\)')
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes(200) + whole[middle + 200:])
    refused('--features: ')
    numpy.savez(path, settings='{"lr": 1}')
    refused('no snapshot of a run of train.classifier')

    assert run(*SMALL, '--iterations', 1)[0] == 0
    with numpy.load(tmp_path / 'run' / 'snapshot.npz') as file:
        arrays = dict(file)
    arrays['trainer/updater/model:main/predictor/conv1/norm/gamma'][...] = (
        numpy.nan)
    numpy.savez(path, **arrays)
    refused('features that are not finite')
    path = tmp_path
    refused('there is no .*snapshot.npz')
