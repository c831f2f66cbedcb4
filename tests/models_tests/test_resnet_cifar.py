import numpy
import pytest

from models.resnet_cifar import ResNetCIFAR
from models_tests.shapes import shapes


@pytest.mark.parametrize('depth, millions', [
    # Table 6 of He et al.
    (20, .27), (32, .46), (44, .66), (56, .85), (110, 1.7)])
def test_number_of_parameters(depth, millions):
    model = ResNetCIFAR(10, depth, 3)
    n_params = 3 * 16 * 9 + 2 * 16 + 65 * 10
    n_in = 16
    for width in (16, 32, 64):
        for i in range((depth - 2) // 3):
            # Shortcuts have none.
            n_params += n_in * width * 9 + 2 * width
            n_in = width
    assert model.count_params() == n_params
    assert round(n_params / 1e6, 1 if millions == 1.7 else 2) == millions
    # One for each layer but the linear one.
    assert len(model.normalized_layers) == depth - 1


def test_sizes_of_the_stages():
    model = ResNetCIFAR(10, 20)
    found = shapes(model, numpy.zeros((2, 3, 32, 32), 'f'))
    for stage, width, side in ((1, 16, 32), (2, 32, 16), (3, 64, 8)):
        assert len(model[f'stage{stage}']) == 3
        for block in range(3):
            for conv in (1, 2):
                assert found[f'/stage{stage}/{block}/conv{conv}/norm'] == (
                    2, width, side, side)
    assert found['/conv1/norm'] == (2, 16, 32, 32)
    assert found['/linear'] == (2, 64)


def test_forward():
    model = ResNetCIFAR(4, 8, 3)
    x = numpy.random.RandomState(0).normal(size=(4, 3, 16, 16)).astype('f')
    h = model.conv1(x).array
    for stage in (model.stage1, model.stage2, model.stage3):
        block, = stage
        residual = block.conv2(block.conv1(h)).array
        if stage is not model.stage1:
            h = h[:, :, ::2, ::2]
            h = numpy.concatenate([h, numpy.zeros_like(h)], axis=1)
        h = (h + residual).clip(0)
    expected = h.mean(axis=(2, 3)) @ model.linear.W.array.T
    numpy.testing.assert_allclose(
        model(x).array, expected + model.linear.b.array, rtol=1e-4, atol=1e-4)


def test_first_convolution_is_drawn_as_he_et_al_do():
    numpy.random.seed(0)
    W = numpy.concatenate([
        ResNetCIFAR(4, 8, 3).conv1.conv.W.array for _ in range(20)])
    # 8,640 draws: known to 0.8 %.
    assert abs(W.std() / numpy.sqrt(2 / 27) - 1) < .03


@pytest.mark.parametrize('depth', [-4, 0, 2, 18, 21])
def test_depth_that_there_is_not(depth):
    with pytest.raises(ValueError, match=f'depth is {depth}: .*6n'):
        ResNetCIFAR(10, depth)
