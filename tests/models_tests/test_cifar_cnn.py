import chainer
import chainer.links as L
import numpy
import pytest

from mixnorm.links import MixtureNormalization
from models.cifar_cnn import CifarCNN


def _images(n, channels, size):
    return numpy.random.RandomState(0).normal(
        size=(n, channels, size, size)).astype('f')


def test_layers_of_the_paper():
    model = CifarCNN(10, 3)
    shapes = {path: param.shape for path, param in model.namedparams()
              if path.endswith('/W')}
    assert shapes == {
        '/conv1/conv/W': (64, 3, 5, 5), '/conv2/conv/W': (128, 64, 5, 5),
        '/conv3/conv/W': (128, 128, 5, 5), '/conv4/conv/W': (256, 128, 3, 3),
        '/linear/W': (10, 256)}


class _Shapes(chainer.LinkHook):

    """Notes the shape of what every normalizer gets."""

    name = 'shapes'

    def __init__(self):
        super().__init__()
        self.shapes = {}

    def forward_preprocess(self, args):
        if args.link.name == 'norm':
            self.shapes[id(args.link)] = args.args[0].shape


@pytest.mark.parametrize('size, sides', [
    (32, [32, 16, 8, 4]), (28, [28, 14, 7, 3]), (8, [8, 4, 2, 1])])
def test_sizes_between_layers(size, sides):
    model = CifarCNN(7, widths=(3, 4, 5, 6))
    with _Shapes() as hook:
        assert model(_images(2, 1, size)).shape == (2, 7)
    assert [hook.shapes[id(model[layer].norm)]
            for layer in model.normalized_layers] == [
        (2, width, side, side) for width, side in zip((3, 4, 5, 6), sides)]


def test_normalizers_by_layer():
    model = CifarCNN(10, 3, (2, 3, 4, 5), {
        'conv3': ('mixture', {'n_components': 4}), 'conv4': 'none'})
    assert type(model.conv1.norm) is L.BatchNormalization
    assert type(model.conv2.norm) is L.BatchNormalization
    assert type(model.conv3.norm) is MixtureNormalization
    assert 'n_components=4' in repr(model.conv3.norm)
    assert '/conv3/norm' in dict(model.namedlinks())
    assert list(model.conv4.norm.params()) == []


def test_average_pool_and_linear_layer():
    model = CifarCNN(3, 1, (2, 2, 2, 4))
    with chainer.using_config('train', False):
        x = _images(2, 1, 16)
        scores = model(x).array
        h = x
        for layer in ('conv1', 'conv2', 'conv3'):
            h = model[layer](h).array
            # Largest of 3x3, every second place, also where it overhangs.
            n, c, height, width = h.shape
            side = (height - 3 + 1) // 2 + 1
            h = numpy.array([[[[
                h[i, j, 2 * row:2 * row + 3, 2 * column:2 * column + 3].max()
                for column in range(side)] for row in range(side)]
                for j in range(c)] for i in range(n)])
        h = model.conv4(h).array.mean(axis=(2, 3))
    numpy.testing.assert_allclose(
        scores, h @ model.linear.W.array.T + model.linear.b.array, atol=1e-5)


def test_channels_are_left_to_the_first_input():
    model = CifarCNN(10, widths=(2, 2, 2, 2))
    model(_images(2, 5, 8))
    assert model.conv1.conv.W.shape == (2, 5, 5, 5)


def test_every_parameter_gets_a_gradient():
    model = CifarCNN(4, 3, (3, 3, 3, 4), {'conv2': 'mixture'})
    loss = chainer.functions.softmax_cross_entropy(
        model(_images(8, 3, 8)), numpy.arange(8) % 4)
    model.cleargrads()
    loss.backward()
    for path, param in model.namedparams():
        assert numpy.isfinite(param.grad).all(), path
        assert abs(param.grad).max() > 0, path


def test_unknown_layer():
    with pytest.raises(ValueError, match="'conv5'.*conv1, conv2"):
        CifarCNN(10, normalizers={'conv5': 'mixture'})


@pytest.mark.parametrize('widths', [(1, 2, 3), (1, 2, 3, 4, 5)])
def test_wrong_number_of_widths(widths):
    with pytest.raises(ValueError, match='widths must be four'):
        CifarCNN(10, widths=widths)
