import numpy
import pytest

from models.vgg13 import VGG13
from models_tests.shapes import shapes


CHANNELS = (64, 64, 128, 128, 256, 256, 512, 512, 512, 512)


def test_layers_of_the_paper():
    model = VGG13(10, 3)
    assert model.normalized_layers == (
        'conv3-64-1', 'conv3-64-2', 'conv3-128-1', 'conv3-128-2',
        'conv3-256-1', 'conv3-256-2', 'conv3-512-1', 'conv3-512-2',
        'conv3-512-3', 'conv3-512-4')
    assert [model[name].conv.W.shape for name in model.normalized_layers] == [
        (n_out, n_in, 3, 3)
        for n_out, n_in in zip(CHANNELS, (3,) + CHANNELS)]


def test_number_of_parameters():
    model = VGG13(10, 3)
    # torchvision's with batch normalization, less its linear layers and the
    # convolutions' biases.
    convolutions = 133053736 - (
        25089 * 4096 + 4097 * 4096 + 4097 * 1000) - sum(CHANNELS)
    assert model.count_params() == convolutions + 2 * 513 * 512 + 513 * 10


@pytest.mark.parametrize('side, sides', [
    (32, (32, 16, 8, 4, 2)), (16, (16, 8, 4, 2, 1)), (40, (40, 20, 10, 5, 3))])
def test_sizes_between_layers(side, sides):
    model = VGG13(10)
    found = shapes(model, numpy.zeros((2, 1, side, side), 'f'))
    for i, name in enumerate(model.normalized_layers):
        assert found[f'/{name}/norm'][2:] == (sides[i // 2],) * 2
    assert found['/linear1'] == found['/linear3'] == (2, 512)


def test_forward():
    model = VGG13(4, 3)
    h = x = numpy.random.RandomState(0).normal(
        size=(4, 3, 32, 32)).astype('f')
    for i, name in enumerate(model.normalized_layers):
        h = model[name](h).array
        if i % 2:
            h = numpy.max([h[:, :, i::2, j::2] for i in (0, 1)
                           for j in (0, 1)], axis=0)
    h = h.reshape(4, 512)
    for layer in (model.linear1, model.linear2):
        h = (h @ layer.W.array.T + layer.b.array).clip(0)
    expected = h @ model.linear3.W.array.T + model.linear3.b.array
    numpy.testing.assert_allclose(
        model(x).array, expected, rtol=1e-3, atol=1e-4)
