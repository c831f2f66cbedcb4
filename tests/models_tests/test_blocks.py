import numpy
import pytest
from scipy.signal import correlate2d

from models.blocks import Conv2DNormReLU


def _convolve(x, W, pad):
    """Convolution by SciPy, channel by channel."""
    x = numpy.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    return numpy.array([
        [sum(correlate2d(channel, kernel, mode='valid')
             for channel, kernel in zip(image, kernels)) for kernels in W]
        for image in x])


@pytest.mark.parametrize('stride', [1, 2])
def test_convolution_then_relu(stride):
    seed = 0
    x = numpy.random.RandomState(seed).normal(size=(2, 3, 7, 6)).astype('f')
    block = Conv2DNormReLU(3, 4, 5, stride, pad=2, normalizer='none')
    block.conv.b.array[...] = [0.1, -0.2, 0.3, 0]
    expected = _convolve(x, block.conv.W.array, 2)[:, :, ::stride, ::stride]
    expected += block.conv.b.array[:, None, None]
    numpy.testing.assert_allclose(
        block(x).array, expected.clip(0), atol=1e-5)


def test_normalizer_comes_before_relu():
    seed = 1
    x = numpy.random.RandomState(seed).normal(size=(4, 2, 6, 6)).astype('f')
    block = Conv2DNormReLU(2, 3, 3, pad=1)
    h = _convolve(x, block.conv.W.array, 1)
    mean = h.mean(axis=(0, 2, 3), keepdims=True)
    variance = h.var(axis=(0, 2, 3), keepdims=True)
    expected = (h - mean) / numpy.sqrt(variance + 2e-5)
    numpy.testing.assert_allclose(
        block(x).array, expected.clip(0), atol=1e-4)


def test_options_reach_the_normalizer():
    block = Conv2DNormReLU(2, 3, 3, normalizer=('batch', {'eps': 0.5}))
    assert block.norm.eps == 0.5


@pytest.mark.parametrize('normalizer, has_bias', [
    ('batch', False), ('mixture', False), ('none', True)])
def test_bias_only_without_a_normalizer(normalizer, has_bias):
    block = Conv2DNormReLU(2, 3, 3, normalizer=normalizer)
    assert (block.conv.b is not None) == has_bias


@pytest.mark.parametrize('normalizer', [
    None, 3, ('group',), ('group', None), ('group', {}, {})], ids=str)
def test_normalizer_that_is_no_pair(normalizer):
    with pytest.raises(ValueError, match='normalizer is '):
        Conv2DNormReLU(3, 4, 3, normalizer=normalizer)


def test_unknown_normalizer():
    with pytest.raises(ValueError, match='mixtrue'):
        Conv2DNormReLU(2, 3, 3, normalizer='mixtrue')
