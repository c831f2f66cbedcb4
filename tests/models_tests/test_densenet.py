import numpy
import pytest

from models.densenet import DenseNet
from models_tests.shapes import shapes


def _n_params(n_layers, growth_rate, n_classes):
    """Counts the parameters of a DenseNet of three blocks."""
    channels = 16
    n = 3 * channels * 9
    for block in range(3):
        for _ in range(n_layers):
            n += 2 * channels + channels * growth_rate * 9
            channels += growth_rate
        if block < 2:
            n += 2 * channels + channels * channels
    return n + 2 * channels + (channels + 1) * n_classes


@pytest.mark.parametrize('depth, n_layers, millions', [
    # Table 2 of Huang et al.
    (40, 12, 1.0), (100, 32, 7.0), (20, 5, None)])
def test_number_of_parameters(depth, n_layers, millions):
    n_params = DenseNet(10, depth, in_channels=3).count_params()
    assert n_params == _n_params(n_layers, 12, 10)
    if millions:
        assert round(n_params / 1e6, 1) == millions


@pytest.mark.parametrize('depth, n_layers, channels', [
    # Kalayeh & Shah's table VII.
    (20, 5, 196), (40, 12, 448)])
def test_channels_and_sizes(depth, n_layers, channels):
    model = DenseNet(10, depth, in_channels=3)
    found = shapes(model, numpy.zeros((1, 3, 32, 32), 'f'))
    grown = 12 * n_layers
    assert [found[f'/{path}'] for path in (
        'conv', 'block1/0', 'transition1', 'block2/0', 'transition2',
        'block3/0', 'last', 'linear')] == [
        (1, 3, 32, 32), (1, 16, 32, 32), (1, 16 + grown, 32, 32),
        (1, 16 + grown, 16, 16), (1, 16 + 2 * grown, 16, 16),
        (1, 16 + 2 * grown, 8, 8), (1, channels, 8, 8), (1, channels)]
    assert model.last.gamma.shape == (channels,)
    assert len(model.block1) == len(model.block3) == n_layers
    # One for each layer but the first convolution and the linear layer.
    assert len(model.normalized_layers) == 3 * n_layers + 3


def test_growth_rate():
    assert DenseNet(5, 10, 7, 3).count_params() == _n_params(2, 7, 5)


def test_forward():
    model = DenseNet(5, 10, 3, 2)
    x = numpy.random.RandomState(0).normal(size=(3, 2, 8, 8)).astype('f')
    h = model.conv(x).array
    for block, transition in ((model.block1, model.transition1),
                              (model.block2, model.transition2),
                              (model.block3, None)):
        for layer in block:
            h = numpy.concatenate([h, layer(h).array], axis=1)
        if transition:
            h = transition(h).array
            h = (h[:, :, ::2, ::2] + h[:, :, 1::2, ::2]
                 + h[:, :, ::2, 1::2] + h[:, :, 1::2, 1::2]) / 4
    assert h.shape == (3, 16 + 6 * 3, 2, 2)
    h = model.last(h).array.clip(0).mean(axis=(2, 3))
    expected = h @ model.linear.W.array.T + model.linear.b.array
    numpy.testing.assert_allclose(
        model(x).array, expected, rtol=1e-4, atol=1e-4)


def test_weights_as_he_et_al_draw_them():
    numpy.random.seed(0)
    model = DenseNet(10, 40, in_channels=3)
    for layer, n_inputs in ((model.block1[11], 148 * 9),
                            (model.transition1, 160)):
        W = layer.conv.W.array
        assert W.shape[1] * W.shape[2] ** 2 == n_inputs
        # 16,000 draws or more: known to 0.6 %.
        assert abs(W.std() / numpy.sqrt(2 / n_inputs) - 1) < .03


@pytest.mark.parametrize('depth', [-1, 0, 6])
def test_depth_without_layers(depth):
    with pytest.raises(ValueError, match=f'depth is {depth}: .* at least 7'):
        DenseNet(10, depth)
