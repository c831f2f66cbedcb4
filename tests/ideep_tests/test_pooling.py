import chainer
import chainer.functions as F
import numpy
import pytest

from ideep_tests.comparison import assert_same, normal


BOTH = {'pooling2D.Forward', 'pooling2D.Backward'}

# Height and width of the image, the window's, stride, padding.
GEOMETRIES = [
    ((6, 6), 2, 2, 0),
    ((7, 8), 3, 2, 0),
    ((8, 7), 3, 2, 1),
    ((9, 7), (3, 2), (2, 3), (1, 0)),
    ((5, 6), 2, 3, 0),
    ((6, 8), (3, 3), 3, 2),
    ((7, 6), (2, 4), 1, (1, 3)),
    ((4, 5), (4, 5), 1, 0),
]


@pytest.mark.parametrize('cover_all', [False, True])
@pytest.mark.parametrize('size, window, stride, pad', GEOMETRIES)
def test_maxima(size, window, stride, pad, cover_all, used):
    assert_same(lambda x: F.max_pooling_2d(x, window, stride, pad, cover_all),
                normal(2, 3, *size))
    assert used == BOTH


@pytest.mark.parametrize('cover_all', [False, True])
@pytest.mark.parametrize('size, window, stride, pad', GEOMETRIES)
def test_positions_of_maxima(size, window, stride, pad, cover_all, used):
    x = normal(2, 3, *size)
    found = {}
    for level in ('never', 'always'):
        with chainer.using_config('use_ideep', level):
            _, found[level] = F.max_pooling_2d(
                x, window, stride, pad, cover_all, return_indices=True)
    assert type(found['always']) is numpy.ndarray
    assert found['always'].shape == found['never'].shape
    numpy.testing.assert_array_equal(found['always'], found['never'])
    assert used == {'pooling2D.Forward'}


def test_the_first_of_equal_maxima_counts(used):
    assert_same(lambda x: F.max_pooling_2d(x, 3, 2, 1),
                numpy.zeros((1, 2, 6, 6), numpy.float32))
    assert used == BOTH


def test_positions_bring_an_image_back(used):
    def there_and_back(x):
        y, positions = F.max_pooling_2d(x, 2, return_indices=True)
        return F.upsampling_2d(y, positions, 2, outsize=x.shape[2:])

    assert_same(there_and_back, normal(2, 3, 6, 4))
    # The gradient by positions as an array is Chainer's.
    assert used == {'pooling2D.Forward'}


@pytest.mark.parametrize('pool', [
    lambda x: F.max_pooling_2d(x, 3, 2, 1),
    lambda x: F.average_pooling_2d(x, 3, 2, 1)], ids=['maxima', 'means'])
def test_gradient_of_gradient(pool, used):
    x = normal(2, 3, 7, 6)
    gy = normal(*pool(x).shape)
    found = {}
    for level in ('never', 'always'):
        v, gv = chainer.Variable(x), chainer.Variable(gy)
        with chainer.using_config('use_ideep', level):
            gx, = chainer.grad(
                [pool(v)], [v], [gv], enable_double_backprop=True)
            F.sum(gx ** 2).backward()
        found[level] = gv.grad
    numpy.testing.assert_allclose(
        found['always'], found['never'], rtol=1e-5, atol=1e-6)
    assert used == BOTH


@pytest.mark.parametrize('pool', [F.max_pooling_2d, F.average_pooling_2d])
@pytest.mark.parametrize('forward, backward', [
    ('auto', 'never'), ('never', 'auto')])
def test_backward_by_the_other(pool, forward, backward, used):
    x = chainer.Variable(normal(2, 3, 7, 6))
    gradients = []
    for levels in ((forward, backward), ('never', 'never')):
        with chainer.using_config('use_ideep', levels[0]):
            y = pool(x, 3, 2, 1)
        y.grad = normal(*y.shape)
        with chainer.using_config('use_ideep', levels[1]):
            y.backward()
        gradients.append(x.grad)
        x.cleargrad()
    numpy.testing.assert_allclose(*gradients, rtol=1e-5, atol=1e-6)
    assert used == ({'pooling2D.Forward'} if forward == 'auto' else set())


@pytest.mark.parametrize('size, window, stride, pad', GEOMETRIES)
def test_means(size, window, stride, pad, used):
    assert_same(lambda x: F.average_pooling_2d(x, window, stride, pad),
                normal(2, 3, *size))
    assert used == BOTH
