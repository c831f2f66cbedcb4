"""What all of the papers' networks have in common."""

import functools
import re

import chainer
import chainer.functions as F
import chainer.links as L
import mixnorm
from mixnorm.links import MixtureNormalization
from mixnorm.links import ModeNormalization
import numpy
import pytest

from models.cifar_cnn import CifarCNN
from models.dcgan import Discriminator
from models.dcgan import Generator
from models.densenet import DenseNet
from models.inception_v3 import InceptionV3
from models.lenet import LeNet
from models.nin import NIN
from models.places import find_places
from models.resnet18 import ResNet18
from models.resnet_cifar import ResNetCIFAR
from models.vgg13 import VGG13

# How to make each; a subtree, or a pattern, and a layer.
NETWORKS = {
    'DenseNet': (lambda **kwargs: DenseNet(4, 10, 3, 3, **kwargs),
                 'transition*', 'transition2'),
    'Discriminator': (lambda **kwargs: Discriminator(64, 3, **kwargs),
                      'bn?', 'bn2'),
    'Generator': (lambda **kwargs: Generator(5, 64, **kwargs), 'bn?', 'bn2'),
    'InceptionV3': (lambda **kwargs: InceptionV3(4, 3, **kwargs),
                    'inc2/0', 'inc2/0/2/4'),
    'NIN': (lambda **kwargs: NIN(4, 3, **kwargs), 'mlpconv2', 'mlpconv2/2'),
    'ResNet18': (lambda **kwargs: ResNet18(4, 3, **kwargs),
                 'stage2/0', 'stage2/0/shortcut'),
    'ResNetCIFAR': (lambda **kwargs: ResNetCIFAR(4, 8, 3, **kwargs),
                    'stage2', 'stage2/0/conv1'),
    'VGG13': (lambda **kwargs: VGG13(4, 3, **kwargs),
              'conv3-512*', 'conv3-512-3')}

# Network by network, so that what one test makes serves the next.
every_network = pytest.mark.parametrize(
    'name', sorted(NETWORKS), scope='module')


def _batch(name, n=4):
    shape = (n, 5) if name == 'Generator' else (n, 3, 32, 32)
    return numpy.random.RandomState(0).normal(size=shape).astype('f')


@functools.lru_cache(maxsize=1)
def _default(name):
    """Returns a network as it is, which no test may change."""
    return NETWORKS[name][0]()


def _make_mixed(name):
    make, subtree, layer = NETWORKS[name]
    return make(normalizers={
        subtree: ('mixture', {'n_components': 2, 'seed': 3}),
        layer: ('mode', {'n_modes': 3})})


@functools.lru_cache(maxsize=1)
def _mixed(name):
    """Returns a network with several normalizers, which no test may change."""
    numpy.random.seed(0)
    return _make_mixed(name)


def _normalizations(model):
    """Returns the normalization links of a network, by place."""
    links = dict(model.namedlinks())
    return {place: links.get(f'/{place}/norm', links[f'/{place}'])
            for place in model.normalized_layers}


def _n_batch_normalizations(model):
    return sum(isinstance(link, L.BatchNormalization)
               for link in model.links())


@every_network
def test_batch_normalization_at_every_place_and_nowhere_else(name):
    model = _default(name)
    normalizations = _normalizations(model)
    assert {type(link) for link in normalizations.values()} == {
        L.BatchNormalization}
    assert len(set(map(id, normalizations.values()))) == len(
        model.normalized_layers) == _n_batch_normalizations(model)


@every_network
def test_only_the_chosen_places_change(name):
    _, subtree, layer = NETWORKS[name]
    model = _mixed(name)
    inside = find_places(subtree, model.normalized_layers)
    seeds = []
    for place, link in _normalizations(model).items():
        if place == layer:
            assert type(link) is ModeNormalization
            assert 'n_modes=3' in repr(link)
        elif place in inside:
            assert type(link) is MixtureNormalization
            assert 'n_components=2' in repr(link)
            seeds.append(link.seed)
        else:
            assert type(link) is L.BatchNormalization
    assert len(set(seeds)) == len(inside) - 1


@every_network
def test_conversion_knows_the_same_places(name):
    _, *wheres = NETWORKS[name]
    model = _default(name).copy('copy')
    for where in wheres:
        found = mixnorm.convert(model, 'mixture', where=where)
        assert sorted(path[1:].replace('/norm', '') for path in found) == (
            sorted(find_places(where, model.normalized_layers)))


@every_network
def test_place_that_there_is_not(name):
    make, _, layer = NETWORKS[name]
    with pytest.raises(
            ValueError, match="'conv17', which is no place: there are "):
        make(normalizers={'conv17': 'mixture'})
    with pytest.raises(ValueError, match="'mixtrue'"):
        make(normalizers={layer: 'mixtrue'})


@every_network
def test_bias_only_without_a_normalizer(name):
    make, subtree, _ = NETWORKS[name]

    def n_biases(model):
        return sum(path.endswith('/b') for path, _ in model.namedparams())

    model = _default(name)
    n_more = n_biases(make(normalizers={subtree: 'none'})) - n_biases(model)
    # DenseNet's convolutions stand behind their normalizers.
    assert n_more == (0 if name == 'DenseNet' else len(
        find_places(subtree, model.normalized_layers)))


class _LeastInputs(chainer.LinkHook):

    """Notes the least value that convolutions and normalizers get."""

    name = 'least inputs'

    def __init__(self):
        super().__init__()
        self.of_convolutions = []
        self.of_normalizers = []

    def forward_preprocess(self, args):
        if isinstance(args.link, L.BatchNormalization):
            found = self.of_normalizers
        elif isinstance(args.link, (L.Convolution2D, L.Deconvolution2D)):
            found = self.of_convolutions
        else:
            return
        found.append(chainer.as_variable(args.args[0]).array.min())


@every_network
def test_order_of_activations(name):
    model = _default(name).copy('copy')
    with _LeastInputs() as least:
        model(_batch(name))
    if name != 'Generator':
        # Images have both signs.
        assert least.of_convolutions.pop(0) < 0
    assert len(least.of_convolutions) >= 3
    if name == 'Discriminator':
        # A fifth of what was normalized.
        assert all(-1.5 < x < 0 for x in least.of_convolutions)
    else:
        assert min(least.of_convolutions) == 0
    # Nothing has passed ReLU since the last convolution.
    assert max(least.of_normalizers) < 0


class _Rectifiers(chainer.FunctionHook):

    """Counts ReLU and leaky ReLU."""

    name = 'rectifiers'

    def __init__(self):
        super().__init__()
        self.n_calls = 0

    def forward_postprocess(self, function, in_data):
        self.n_calls += function.label in ('ReLU', 'LeakyReLU')


@pytest.mark.parametrize('name, n_others', [
    ('DenseNet', 0),
    # Behind the first convolution, which has no normalizer.
    ('Discriminator', 1),
    # Behind the linear layer.
    ('Generator', 1),
    # Behind the sums of the blocks.
    ('ResNetCIFAR', 3)])
def test_no_rectifier_behind_an_activation_inside(name, n_others):
    make, _, _ = NETWORKS[name]
    with chainer.no_backprop_mode(), _Rectifiers() as rectifiers:
        _default(name).copy('copy')(_batch(name))
    n_by_default = rectifiers.n_calls
    model = make(normalizers={'*': ('mixture', {
        'n_components': 2, 'seed': 3, 'activation': F.tanh})})
    with chainer.no_backprop_mode(), _Rectifiers() as rectifiers:
        model(_batch(name))
    assert rectifiers.n_calls == n_others < n_by_default


@every_network
def test_every_parameter_gets_a_gradient(name):
    model = _mixed(name).copy('copy')
    y = model(_batch(name))
    assert y.dtype == numpy.float32
    assert y.shape == {'Generator': (4, 3, 32, 32),
                       'Discriminator': (4, 1)}.get(name, (4, 4))
    weights = numpy.random.RandomState(1).normal(size=y.shape).astype('f')
    model.cleargrads()
    F.sum(weights * y).backward()
    for path, param in model.namedparams():
        assert param.dtype == numpy.float32
        assert numpy.isfinite(param.grad).all(), path
        assert abs(param.grad).max() > 0, path


@every_network
def test_serialization(name):
    model, other = _mixed(name).copy('copy'), _make_mixed(name)
    x = _batch(name)
    model(x)
    serializer = chainer.serializers.DictionarySerializer()
    serializer.save(model)
    chainer.serializers.NpzDeserializer(serializer.target).load(other)
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        numpy.testing.assert_array_equal(other(x).array, model(x).array)
    # The random numbers to come are saved, too.
    with chainer.no_backprop_mode():
        numpy.testing.assert_array_equal(other(x).array, model(x).array)


@pytest.mark.parametrize('make', [
    lambda: DenseNet(4, 7), lambda: Discriminator(8), lambda: InceptionV3(4),
    lambda: NIN(4), lambda: ResNet18(4), lambda: ResNetCIFAR(4, 8),
    lambda: VGG13(4)])
def test_channels_are_left_to_the_first_input(make):
    model = make()
    missing, = (param for param in model.params() if not param.is_initialized)
    with chainer.no_backprop_mode():
        model(_batch('', 2)[:, :2])
    assert missing.shape[1] == 2


@pytest.mark.parametrize('n', [0, -1, 2.5, '3', True, None])
@pytest.mark.parametrize('model, name, others', [
    (CifarCNN, 'n_classes', {}), (DenseNet, 'n_classes', {}),
    (InceptionV3, 'n_classes', {}), (LeNet, 'n_classes', {}),
    (NIN, 'n_classes', {}), (ResNet18, 'n_classes', {}),
    (ResNetCIFAR, 'n_classes', {}), (VGG13, 'n_classes', {}),
    (DenseNet, 'growth_rate', {'n_classes': 3}),
    (DenseNet, 'depth', {'n_classes': 3}),
    (ResNetCIFAR, 'depth', {'n_classes': 3}),
    (Generator, 'n_latent', {}), (Generator, 'out_channels', {}),
    (Generator, 'width', {}), (Discriminator, 'width', {})])
def test_number_that_there_is_not(model, name, others, n):
    with pytest.raises(ValueError, match=re.escape(f'{name} is {n!r}: it')):
        model(**{name: n}, **others)


@pytest.mark.parametrize('model', [CifarCNN, LeNet])
def test_width_that_there_is_not(model):
    with pytest.raises(ValueError, match='widths is 0: it must be an integer'):
        model(3, widths=(4, 4, 0, 4))
