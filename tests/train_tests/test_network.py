import mixnorm
import chainer
import chainer.functions as F
import chainer.links as L
import numpy
import pytest

from models.cifar_cnn import CifarCNN
from models.lenet import LeNet
from train.command_line import UserError
from train.network import make_classifier
from train.network import make_model
from train.network import Network
from train.normalizers import layer_normalizers
from train.normalizers import normalizer_settings


def _settings(**given):
    defaults = {setting.name: setting.default
                for setting in normalizer_settings('conv1 or conv2')}
    return dict(defaults, **given)


def _make(settings, model_class=LeNet, widths=(4, 4, 8, 8)):
    layers = model_class.normalized_layers
    return make_model(
        (3, 32, 32), model_class, 4, 3, widths,
        layer_normalizers(settings, layers, list(range(len(layers)))))


def _gradient_step(model):
    """Makes an update; returns the loss before it."""
    # Classes that differ in their means, so that there is much to learn.
    random = numpy.random.RandomState(0)
    labels = (numpy.arange(16) % 4).astype('i')
    images = random.normal(size=(16, 3, 32, 32)) + (
        labels % 2)[:, None, None, None] + (
        (labels // 2)[:, None] * [3, 0, -3])[:, :, None, None]
    images = images.astype('f')
    loss = F.softmax_cross_entropy(model(images), labels)
    optimizer = chainer.optimizers.SGD(.005).setup(model)
    model.cleargrads()
    loss.backward()
    optimizer.update()
    return float(loss.array)


@pytest.mark.parametrize('model_class', [LeNet, CifarCNN])
@pytest.mark.parametrize('name', mixnorm.normalizer_names())
def test_every_normalizer_trains(name, model_class):
    seed = 0
    numpy.random.seed(seed)
    options = {'groups': 2} if name == 'group_mixture' else {}
    model = _make(_settings(normalizer=name, normalizer_options=options),
                  model_class)
    before = {path: param.array.copy()
              for path, param in model.namedparams()}
    losses = [_gradient_step(model) for _ in range(6)]
    assert numpy.isfinite(losses).all(), f'seed {seed}'
    assert losses[-1] < losses[0], f'seed {seed}'
    for path, param in model.namedparams():
        if path.endswith('/W'):
            assert (param.array != before[path]).any(), path
        assert numpy.isfinite(param.array).all(), path
    with chainer.using_config('train', False):
        scores = model(numpy.zeros((2, 3, 32, 32), 'f')).array
    assert scores.shape == (2, 4) and numpy.isfinite(scores).all()


@pytest.mark.parametrize('model_class', [LeNet, CifarCNN])
@pytest.mark.parametrize('name', ['batch', 'mixture', 'mode'])
def test_model_is_as_if_nothing_had_passed(name, model_class):
    settings = _settings(normalizer=name)
    layers = model_class.normalized_layers
    states = []
    for make in (lambda: _make(settings, model_class),
                 lambda: model_class(4, 3, (4, 4, 8, 8), layer_normalizers(
                     settings, layers, list(range(len(layers)))))):
        numpy.random.seed(5)
        serializer = chainer.serializers.DictionarySerializer()
        serializer.save(make())
        states.append(dict(serializer.target, random=numpy.random.rand(3)))
    found, expected = states
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        numpy.testing.assert_array_equal(found[key], value, err_msg=key)


@pytest.mark.parametrize('given, words', [
    ({'normalizer_options': {'foo': 1}}, "'batch' has no option 'foo'"),
    ({'normalizer': 'group', 'normalizer_options': {'groups': 3}},
     'groups is 3: it must divide the number of '
     'channels, which is 4'),
    ({'normalizer': 'group_mixture', 'normalizer_options': {'groups': 3}},
     'divide the number of'),
    ({'normalizer': 'none', 'normalizer_options': {'eps': 1}}, "'eps'"),
    ({'normalizer': 'mode', 'normalizer_options': {'n_modes': 0}},
     'n_modes is 0'),
    ({'normalizer_options': {'decay': 'x'}}, "decay is 'x'"),
    # Chainer's links see this only in a mini-batch.
    ({'normalizer_options': {'axis': 1}}, '=VALUE. do not fit: '),
    ({'normalizer_options': {'size': 1}}, "'size'"),
    ({'normalizer_options': {'dtype': 'float99'}}, 'float99')])
def test_bad_options_are_the_users_error(given, words):
    with pytest.raises(UserError, match=words) as error:
        _make(_settings(**given))
    assert '\n' not in str(error.value)


def test_options_reach_the_link():
    model = _make(_settings(
        normalizer='mixture', components=5, at=['conv2'],
        normalizer_options={'queue_size': 3}))
    assert type(model.conv1.norm) is L.BatchNormalization
    assert model.conv2.norm.queue_size == 3
    assert model.conv2.norm.n_components == 5


def test_options_reach_the_link_of_mixtures_per_sample():
    model = _make(_settings(
        normalizer='group_mixture', components=5, at=['conv2'],
        normalizer_options={'groups': 2}))
    assert type(model.conv1.norm) is L.BatchNormalization
    assert model.conv2.norm.groups == 2
    assert model.conv2.norm.n_components == 5


def _classifier(**given):
    settings = _settings(widths=[2, 4, 8, 6], optimizer='rmsprop', **given)
    return make_classifier(Network(LeNet, {'widths': None}), (3, 32, 32), 7,
                           settings, 5, [11, 12])


def test_classifier_is_as_its_seeds_say():
    classifier, again = _classifier(), _classifier()
    assert type(classifier) is L.Classifier
    for (path, param), (_, other) in zip(
            sorted(classifier.namedparams()), sorted(again.namedparams())):
        numpy.testing.assert_array_equal(
            param.array, other.array, err_msg=path)
    numpy.random.seed(5)
    numpy.testing.assert_array_equal(
        LeNet(7, 3, (2, 4, 8, 6)).linear3.W.array,
        classifier.predictor.linear3.W.array)
    norms = _classifier(normalizer='mixture').predictor
    assert [norms.conv1.norm.seed, norms.conv2.norm.seed] == [11, 12]


def test_classifier_that_the_optimizer_cannot_train():
    with pytest.raises(UserError, match='cannot train float16 parameters'):
        _classifier(normalizer_options={'dtype': 'float16'})
