import numpy
import pytest

from models.resnet18 import ResNet18
from models_tests.shapes import shapes


def test_number_of_parameters():
    model = ResNet18(1000, 3)
    # torchvision's.
    assert model.count_params() == 11689512
    n_params = 3 * 64 * 49 + 2 * 64 + 513 * 1000
    for n_in, width in ((64, 64), (64, 128), (128, 256), (256, 512)):
        n_params += n_in * width * 9 + 3 * width * width * 9 + 4 * 2 * width
        if n_in != width:
            n_params += n_in * width + 2 * width
    assert model.count_params() == n_params
    # 17 convolutions and three shortcuts.
    assert len(model.normalized_layers) == 20


@pytest.mark.parametrize('side, sides', [
    (224, (112, 56, 28, 14, 7)), (32, (16, 8, 4, 2, 1))])
def test_sizes_of_the_stages(side, sides):
    model = ResNet18(10)
    found = shapes(model, numpy.zeros((1, 3, side, side), 'f'))
    assert found['/conv1/norm'] == (1, 64, sides[0], sides[0])
    for stage, width, size in zip((1, 2, 3, 4), (64, 128, 256, 512),
                                  sides[1:]):
        assert len(model[f'stage{stage}']) == 2
        for block in (0, 1):
            for conv in (1, 2):
                assert found[f'/stage{stage}/{block}/conv{conv}/norm'] == (
                    1, width, size, size)
        if stage > 1:
            assert found[f'/stage{stage}/0/shortcut/norm'] == (
                1, width, size, size)
    assert found['/linear'] == (1, 512)


def test_forward():
    model = ResNet18(4, 3)
    x = numpy.random.RandomState(0).normal(size=(4, 3, 32, 32)).astype('f')
    h = model.conv1(x).array
    # What was rectified is not below the zeros around it.
    h = numpy.pad(h, ((0, 0), (0, 0), (1, 1), (1, 1)))
    h = numpy.max([h[:, :, i:i + 15:2, j:j + 15:2] for i in range(3)
                   for j in range(3)], axis=0)
    assert h.shape == (4, 64, 8, 8)
    for i in range(8):
        block = model[f'stage{i // 2 + 1}'][i % 2]
        shortcut = h if i in (0, 1, 3, 5, 7) else block.shortcut(h).array
        h = (shortcut + block.conv2(block.conv1(h)).array).clip(0)
    expected = h.mean(axis=(2, 3)) @ model.linear.W.array.T
    numpy.testing.assert_allclose(
        model(x).array, expected + model.linear.b.array, rtol=1e-3, atol=1e-4)
