import chainer
import chainer.functions as F
import numpy
import pytest
from scipy.signal import correlate2d

from models.blocks import Conv2DNorm
from models.blocks import Conv2DNormReLU
from models.blocks import NormReLUConv2D
from models.blocks import ResidualBlock
from models.blocks import Stack


def _convolve(x, W, pad):
    """Convolution by SciPy, channel by channel."""
    x = numpy.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    return numpy.array([
        [sum(correlate2d(channel, kernel, mode='valid')
             for channel, kernel in zip(image, kernels)) for kernels in W]
        for image in x])


def _batch_normalized(h):
    mean = h.mean(axis=(0, 2, 3), keepdims=True)
    variance = h.var(axis=(0, 2, 3), keepdims=True)
    return (h - mean) / numpy.sqrt(variance + 2e-5)


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
    expected = _batch_normalized(_convolve(x, block.conv.W.array, 1))
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


def test_kernel_that_is_no_square():
    block = Conv2DNormReLU(3, 4, (1, 7), pad=(0, 3))
    assert block.conv.W.shape == (4, 3, 1, 7)
    assert block(numpy.zeros((2, 3, 5, 6), 'f')).shape == (2, 4, 5, 6)


def test_convolution_and_normalizer_alone():
    x = numpy.random.RandomState(2).normal(size=(4, 2, 6, 6)).astype('f')
    block = Conv2DNorm(2, 3, 3, pad=1)
    h = _batch_normalized(_convolve(x, block.conv.W.array, 1))
    assert (h < 0).any()
    numpy.testing.assert_allclose(block(x).array, h, atol=1e-4)


@pytest.mark.parametrize('ksize', [1, 3])
def test_normalizer_and_relu_before_convolution(ksize):
    x = numpy.random.RandomState(3).normal(
        1, 2, size=(4, 2, 6, 6)).astype('f')
    block = NormReLUConv2D(2, 3, ksize)
    assert block.conv.b is None
    expected = _convolve(
        _batch_normalized(x).clip(0), block.conv.W.array, ksize // 2)
    numpy.testing.assert_allclose(block(x).array, expected, atol=1e-4)


@pytest.mark.parametrize('kind, chained', [
    (Conv2DNormReLU, lambda block, x: block.norm(block.conv(x))),
    (NormReLUConv2D, lambda block, x: block.conv(block.norm(x)))])
@pytest.mark.parametrize('activation', [F.tanh, F.leaky_relu])
def test_activation_inside_has_no_relu_behind_it(kind, chained, activation):
    x = numpy.random.RandomState(5).normal(size=(4, 3, 6, 6)).astype('f')
    block = kind(3, 3, 3, normalizer=(
        'mixture', {'activation': activation, 'seed': 0}))
    block(x)
    with chainer.using_config('train', False):
        expected = chained(block, x).array
        assert expected.min() < 0
        numpy.testing.assert_array_equal(block(x).array, expected)


class TestResidualBlock:

    def _main(self, block, x, stride):
        h = _convolve(x, block.conv1.conv.W.array, 1)[
            :, :, ::stride, ::stride]
        h = _batch_normalized(h).clip(0)
        return _batch_normalized(_convolve(h, block.conv2.conv.W.array, 1))

    def _block(self, *args, **normalizers):
        return ResidualBlock(*args, dict.fromkeys(
            ('conv1', 'conv2'), 'batch') | normalizers)

    def _x(self, side=6):
        return numpy.random.RandomState(4).normal(
            size=(3, 2, side, side)).astype('f')

    def test_identity(self):
        x = self._x()
        block = self._block(2, 2, 1)
        expected = (self._main(block, x, 1) + x).clip(0)
        numpy.testing.assert_allclose(block(x).array, expected, atol=1e-4)

    @pytest.mark.parametrize('side', [6, 7])
    def test_padded_identity(self, side):
        x = self._x(side)
        block = self._block(2, 5, 2)
        expected = self._main(block, x, 2)
        assert expected.shape[1:] == (5, (side + 1) // 2, (side + 1) // 2)
        expected[:, :2] += x[:, :, ::2, ::2]
        numpy.testing.assert_allclose(
            block(x).array, expected.clip(0), atol=1e-4)
        assert sorted(path for path, _ in block.namedparams()) == sorted(
            f'/conv{i}/{name}' for i in (1, 2)
            for name in ('conv/W', 'norm/gamma', 'norm/beta'))

    def test_projection(self):
        x = self._x()
        block = self._block(2, 4, 2, shortcut='batch')
        W = block.shortcut.conv.W.array
        assert W.shape == (4, 2, 1, 1)
        expected = self._main(block, x, 2) + _batch_normalized(
            numpy.einsum('oc,ncyx->noyx', W[:, :, 0, 0], x[:, :, ::2, ::2]))
        numpy.testing.assert_allclose(
            block(x).array, expected.clip(0), atol=1e-4)

    def test_weights_as_he_et_al_draw_them(self):
        numpy.random.seed(0)
        block = self._block(32, 64, 1, shortcut='batch')
        for layer, n_inputs in ((block.conv1, 32 * 9), (block.conv2, 64 * 9),
                                (block.shortcut, 32)):
            W = layer.conv.W.array
            # Some thousands of draws, of which the deviation is known to
            # 1 / sqrt(2 * 2048) = 1.6 %.
            assert abs(W.std() / numpy.sqrt(2 / n_inputs) - 1) < .07

    def test_normalizers(self):
        block = self._block(
            2, 2, 1, conv2=('batch', {'eps': .5}), shortcut='none')
        assert block.conv2.norm.eps == .5 != block.conv1.norm.eps
        assert block.shortcut.conv.b is not None


def test_stack():
    stack = Stack(*(chainer.links.Scale(W_shape=()) for _ in range(12)))
    for i, link in enumerate(stack):
        link.W.array[...] = i + 1
    # In the order of their paths, of which '10' sorts before '2'.
    assert [float(link.W.array) for link in stack] == [
        float(dict(stack.namedparams())[f'/{i}/W'].array) for i in range(12)]
    stack = Stack(chainer.links.Bias(shape=()), stack[4])
    stack[0].b.array[...] = 2
    assert stack(numpy.ones((1, 1), 'f')).array == (1 + 2) * 5
