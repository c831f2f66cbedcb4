"""What is no convolution, pooling or batch normalization."""

import chainer
import chainer.functions as F
import numpy
import pytest

from ideep_tests.comparison import assert_same, normal


@pytest.mark.parametrize('bias', [False, True])
def test_linear(bias, used):
    assert_same(F.linear, normal(5, 7), normal(4, 7), *[normal(4)] * bias)
    assert used == {
        'linear.Forward', 'linear.BackwardData', 'linear.BackwardWeights'}


def test_gradient_of_gradient_of_linear(used):
    def gradient(x, W, gy):
        gx, gW = chainer.grad(
            [F.linear(x, W)], [x, W], [gy], enable_double_backprop=True)
        return F.sum(gx ** 2) + F.sum(gW ** 2)

    assert_same(gradient, normal(5, 7), normal(4, 7), normal(5, 4))
    assert used == {
        'linear.Forward', 'linear.BackwardData', 'linear.BackwardWeights'}


@pytest.mark.parametrize('shape', [(5, 7), (2, 3, 4, 5)])
def test_relu(shape, used):
    x = normal(*shape)
    x.ravel()[::3] = 0
    assert_same(F.relu, x)
    assert used == {'relu.Forward', 'relu.Backward'}


@pytest.mark.parametrize('slope', [.2, 0, -1.5])
def test_leaky_relu(slope, used):
    assert_same(lambda x: F.leaky_relu(x, slope), normal(5, 7))
    assert used == {'relu.Forward', 'relu.Backward'}


def test_relu_of_infinity(used):
    with chainer.using_config('use_ideep', 'always'):
        y = F.relu(numpy.array([[-numpy.inf, numpy.inf]], numpy.float32))
    numpy.testing.assert_array_equal(y.array, [[0, numpy.inf]])
    assert used == {'relu.Forward'}


def test_gradient_of_gradient_of_relu(used):
    def gradient(x, gy):
        gx, = chainer.grad([F.relu(x)], [x], [gy], enable_double_backprop=True)
        return F.sum(gx ** 2) + F.sum(x ** 2)

    assert_same(gradient, normal(5, 7), normal(5, 7))
    assert used == {'relu.Forward', 'relu.Backward'}


@pytest.mark.parametrize('shape', [(5, 7), (2, 3, 4, 5)])
def test_dropout_drops_the_same_units(shape, used):
    def dropout(x):
        numpy.random.seed(0)
        return F.dropout(x, .3)

    assert_same(dropout, normal(*shape))
    assert used == {'dropout.Forward', 'dropout.Backward'}


@pytest.mark.parametrize('axis', [0, 1, -1])
def test_concat(axis, used):
    shapes = numpy.full((2, 4), 3)
    shapes[1, axis] = 4
    assert_same(lambda *xs: F.concat(xs, axis),
                *(normal(*shape) for shape in shapes))
    assert used == {'concat.Forward', 'concat.Backward'}


@pytest.mark.parametrize('sections', [3, [1, 4]])
def test_split_axis(sections, used):
    assert_same(lambda x: F.split_axis(x, sections, 2)[1], normal(2, 3, 6, 4))
    assert used == {'concat.Forward', 'concat.Backward'}


def test_sum_of_several(used):
    xs = normal(3, 4, 5)
    before = xs.copy()
    assert_same(lambda *xs: F.add(*xs), *xs)
    assert used == {'multi_add'}
    numpy.testing.assert_array_equal(xs, before)


@pytest.mark.parametrize('n', [2, 3, 5])
def test_local_response_normalization(n, used):
    assert_same(lambda x: F.local_response_normalization(
        x, n, k=1.5, alpha=.1, beta=.6), normal(2, 7, 3, 4))
    assert used == {'localResponseNormalization.Forward',
                    'localResponseNormalization.Backward'}


def test_lstm(used):
    assert_same(lambda c, x: F.concat(F.lstm(c, x)), normal(3, 4),
                normal(3, 16))


@pytest.mark.parametrize('dtype', [numpy.float16, numpy.float64])
def test_other_types_are_left_to_chainer(dtype, used):
    with chainer.using_config('use_ideep', 'always'):
        x = normal(5, 7).astype(dtype)
        y = F.relu(F.dropout(F.linear(x, normal(4, 7).astype(dtype))))
    assert y.dtype == dtype
    assert used == set()


def test_empty_batches_are_left_to_chainer(used):
    with chainer.using_config('use_ideep', 'always'):
        y = F.relu(F.dropout(F.linear(normal(0, 7), normal(4, 7))))
    assert y.shape == (0, 4)
    assert used == set()


def test_never_is_never(used):
    with chainer.using_config('use_ideep', 'never'):
        F.relu(F.linear(normal(5, 7), normal(4, 7)))
    assert used == set()
