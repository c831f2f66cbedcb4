import chainer
import chainer.functions as F
import numpy
import pytest

from ideep_tests.comparison import assert_same, normal


BOTH = {'convolution2D.Forward', 'convolution2D.BackwardWeights',
        'convolution2D.BackwardData'}

# Height and width of the image, the kernel's, stride, padding, dilation.
GEOMETRIES = [
    ((6, 5), (3, 3), 1, 0, 1),
    ((6, 5), (3, 3), 1, 1, 1),
    ((7, 6), (1, 1), 1, 0, 1),
    ((9, 8), (5, 3), (2, 1), (2, 1), 1),
    ((8, 9), (3, 2), 2, 1, 1),
    ((8, 8), (2, 2), 3, 0, 1),
    ((9, 10), (3, 2), (1, 2), (2, 1), (2, 3)),
    ((3, 3), (3, 3), 2, 4, 1),
]


@pytest.mark.parametrize('cover_all', [False, True])
@pytest.mark.parametrize('size, kernel, stride, pad, dilate', GEOMETRIES)
@pytest.mark.parametrize('bias', [False, True])
def test_convolution(bias, size, kernel, stride, pad, dilate, cover_all, used):
    parameters = [normal(4, 3, *kernel)] + [normal(4)] * bias
    assert_same(
        lambda x, W, b=None: F.convolution_2d(
            x, W, b, stride, pad, cover_all, dilate=dilate),
        normal(2, 3, *size), *parameters)
    assert used == BOTH


@pytest.mark.parametrize('size, kernel, stride, pad, dilate', GEOMETRIES)
@pytest.mark.parametrize('bias', [False, True])
def test_deconvolution(bias, size, kernel, stride, pad, dilate, used):
    parameters = [normal(3, 4, *kernel)] + [normal(4)] * bias
    pad = 0 if size == (3, 3) else pad
    assert_same(
        lambda x, W, b=None: F.deconvolution_2d(
            x, W, b, stride, pad, dilate=dilate),
        normal(2, 3, *size), *parameters)
    assert used == BOTH


# The sizes from which a convolution makes 4, rounding down or up.
@pytest.mark.parametrize('outsize', [6, 7, 8])
def test_deconvolution_to_a_size(outsize, used):
    assert_same(
        lambda x, W: F.deconvolution_2d(
            x, W, stride=2, pad=1, outsize=(outsize, outsize)),
        normal(2, 3, 4, 4), normal(3, 5, 3, 3))
    assert used == BOTH


@pytest.mark.parametrize('pad, cover_all', [(1, False), (0, True)])
def test_gradient_of_gradient(pad, cover_all, used):
    def gradient(x, W, gy):
        y = F.convolution_2d(x, W, None, 2, pad, cover_all)
        gx, gW = chainer.grad([y], [x, W], [gy], enable_double_backprop=True)
        return F.sum(gx ** 2) + F.sum(gW ** 2)

    assert_same(gradient, normal(2, 3, 6, 5), normal(4, 3, 3, 3),
                normal(2, 4, 3, 2 if pad == 0 else 3))
    assert used == BOTH


def test_groups_are_left_to_chainer(used):
    assert_same(lambda x, W: F.convolution_2d(x, W, pad=1, groups=2),
                normal(2, 4, 5, 5), normal(6, 2, 3, 3))
    assert used == set()


@pytest.mark.parametrize('x', [
    normal(5, 6, 3, 2).transpose(3, 2, 1, 0),
    normal(4, 3, 6, 5)[::-2, :, ::-1],
    numpy.broadcast_to(normal(3, 6, 1), (2, 3, 6, 5)),
    numpy.frombuffer(normal(2, 3, 6, 5).tobytes(), numpy.float32).reshape(
        2, 3, 6, 5)],
    ids=['transposed', 'reversed', 'broadcast', 'read-only'])
@pytest.mark.filterwarnings('error')
def test_layout_of_the_image_does_not_matter(x, used):
    before = x.copy()
    assert_same(F.convolution_2d, x, normal(4, 3, 3, 3))
    assert used == BOTH
    numpy.testing.assert_array_equal(x, before)


@pytest.mark.parametrize('dtype', [numpy.float16, numpy.float64])
def test_other_types_are_left_to_chainer(dtype, used):
    with chainer.using_config('use_ideep', 'always'):
        y = F.convolution_2d(
            normal(2, 3, 5, 5).astype(dtype), normal(4, 3, 3, 3).astype(dtype))
    assert y.dtype == dtype
    assert used == set()


def test_empty_batches_are_left_to_chainer(used):
    with chainer.using_config('use_ideep', 'always'):
        y = F.convolution_2d(normal(0, 3, 5, 5), normal(4, 3, 3, 3))
    assert y.shape == (0, 4, 3, 3)
    assert used == set()


def test_gradients_keep_the_choice_of_the_forward_pass(used):
    x = chainer.Variable(normal(2, 3, 5, 5))
    W = chainer.Variable(normal(4, 3, 3, 3))
    with chainer.using_config('use_ideep', 'auto'):
        y = F.convolution_2d(x, W)
    F.sum(y).backward()
    assert used == {'convolution2D.Forward', 'convolution2D.BackwardWeights'}
