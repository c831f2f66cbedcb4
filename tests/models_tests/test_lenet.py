import chainer
import chainer.links as L
import numpy
import pytest

from mixnorm.links import MixtureNormalization
from mixnorm.links import ModeNormalization
from models.lenet import LeNet


def _images(n, channels=3):
    return numpy.random.RandomState(0).normal(
        size=(n, channels, 32, 32)).astype('f')


def test_layers_of_the_paper():
    model = LeNet(40, 3)
    shapes = {path: param.shape for path, param in model.namedparams()
              if path.endswith('/W')}
    assert shapes == {
        '/conv1/conv/W': (6, 3, 5, 5), '/conv2/conv/W': (16, 6, 5, 5),
        '/linear1/W': (120, 16 * 5 * 5), '/linear2/W': (84, 120),
        '/linear3/W': (40, 84)}


def _pool(x):
    """Returns the largest of each 2x2 values."""
    return numpy.maximum.reduce([
        x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)])


def test_forward():
    model = LeNet(5, 3, (2, 3, 7, 4), dict.fromkeys(
        LeNet.normalized_layers, 'none'))
    random = numpy.random.RandomState(1)
    for param in model.params():
        param.array[...] = random.normal(scale=.3, size=param.shape)
    images = _images(4)
    h = images.astype('d')
    for layer in (model.conv1.conv, model.conv2.conv):
        # A window of 5x5 at every place where it fits.
        windows = numpy.lib.stride_tricks.sliding_window_view(
            h, (5, 5), axis=(2, 3))
        h = numpy.einsum('ncyxij,ocij->noyx', windows, layer.W.array)
        h = _pool(numpy.maximum(h + layer.b.array[:, None, None], 0))
    assert h.shape == (4, 3, 5, 5)
    h = h.reshape(4, 75)
    for layer in (model.linear1, model.linear2):
        h = numpy.maximum(h @ layer.W.array.T + layer.b.array, 0)
    h = h @ model.linear3.W.array.T + model.linear3.b.array
    assert (h != model.linear3.b.array).any()
    numpy.testing.assert_allclose(model(images).array, h, rtol=1e-4, atol=1e-4)


def test_normalizers_by_layer():
    model = LeNet(10, 3, (2, 3, 4, 5), {
        'conv2': ('mode', {'n_modes': 3})})
    assert type(model.conv1.norm) is L.BatchNormalization
    assert type(model.conv2.norm) is ModeNormalization
    assert 'n_modes=3' in repr(model.conv2.norm)
    model = LeNet(10, 3, (2, 3, 4, 5), {
        'conv1': ('mixture', {'n_components': 4}), 'conv2': 'none'})
    assert type(model.conv1.norm) is MixtureNormalization
    assert 'n_components=4' in repr(model.conv1.norm)
    assert '/conv1/norm' in dict(model.namedlinks())
    assert list(model.conv2.norm.params()) == []
    # A normalizer has the place of the bias.
    assert model.conv1.conv.b is None
    assert model.conv2.conv.b is not None


def test_normalizers_are_left_as_they_were_given():
    normalizers = {'conv2': 'none'}
    LeNet(10, 3, (2, 2, 2, 2), normalizers)
    assert normalizers == {'conv2': 'none'}


def test_channels_are_left_to_the_first_input():
    model = LeNet(10, widths=(2, 2, 2, 2))
    assert model(_images(2, 1)).shape == (2, 10)
    assert model.conv1.conv.W.shape == (2, 1, 5, 5)


def test_every_parameter_gets_a_gradient():
    numpy.random.seed(0)
    model = LeNet(4, 3, (3, 3, 8, 8), {'conv2': 'mixture'})
    loss = chainer.functions.softmax_cross_entropy(
        model(_images(8)), numpy.arange(8) % 4)
    model.cleargrads()
    loss.backward()
    for path, param in model.namedparams():
        assert numpy.isfinite(param.grad).all(), path
        assert abs(param.grad).max() > 0, path


def test_unknown_layer():
    with pytest.raises(ValueError, match="'conv3'.*conv1, conv2"):
        LeNet(10, normalizers={'conv3': 'mixture'})


@pytest.mark.parametrize('normalizer, words', [
    ('mixtrue', "'mixtrue'"), (('group', {'groups': 4}), 'groups is 4'),
    (('batch', {'foo': 1}), "'foo'")])
def test_bad_normalizer(normalizer, words):
    with pytest.raises(ValueError, match=words):
        LeNet(10, 3, normalizers={'conv1': normalizer})


@pytest.mark.parametrize('widths', [(1, 2, 3), (1, 2, 3, 4, 5)])
def test_wrong_number_of_widths(widths):
    with pytest.raises(ValueError, match='widths must be four'):
        LeNet(10, widths=widths)
