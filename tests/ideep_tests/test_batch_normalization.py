import chainer
import chainer.functions as F
import chainer.links as L
import numpy
import pytest

from ideep_tests.comparison import assert_same, normal


# Chainer says that a single point is normalized to zero.
pytestmark = pytest.mark.filterwarnings('ignore:A batch with no more than one')

BOTH = {'batchNormalization.Forward', 'batchNormalization.Backward'}

SHAPES = [(4, 3, 5, 6), (7, 3), (1, 3, 2, 2), (1, 3)]


@pytest.mark.parametrize('shape', SHAPES)
def test_own_statistics(shape, used):
    assert_same(lambda x, gamma, beta: F.batch_normalization(
        2 * x + 1, gamma, beta, eps=1e-3),
        normal(*shape), normal(3), normal(3), rtol=1e-3)
    assert used == BOTH


@pytest.mark.parametrize('shape', SHAPES)
def test_given_statistics(shape, used):
    assert_same(
        lambda x, gamma, beta, mean, var: F.fixed_batch_normalization(
            x, gamma, beta, mean, var ** 2),
        normal(*shape), normal(3), normal(3), normal(3), 1 + normal(3) ** 2,
        rtol=1e-3)
    assert used == {'batchNormalization.Forward'}


@pytest.mark.parametrize('shape', SHAPES)
def test_running_averages(shape, used):
    found = {}
    for level in ('never', 'always'):
        link = L.BatchNormalization(3)
        with chainer.using_config('use_ideep', level), \
                chainer.using_config('train', True):
            link(3 * normal(*shape) + 2)
            link(normal(*shape, seed=1) - 1)
        found[level] = link.avg_mean, link.avg_var
    numpy.testing.assert_allclose(
        found['always'], found['never'], rtol=1e-5, atol=1e-6)
    assert used == {'batchNormalization.Forward'}


def test_constant_channels(used):
    assert_same(F.batch_normalization,
                numpy.full((2, 3, 4, 4), .1, numpy.float32), normal(3),
                normal(3), atol=1e-4)
    assert used == BOTH


@pytest.mark.parametrize('axis', [(0, 1, 2), (0, 1, 3)])
def test_other_axes_are_left_to_chainer(axis, used):
    assert_same(lambda x, gamma, beta: F.batch_normalization(
        x, gamma, beta, axis=axis), normal(4, 3, 3, 3), normal(3), normal(3),
        rtol=1e-3)
    assert_same(
        lambda x, gamma, beta, mean, var: F.fixed_batch_normalization(
            x, gamma, beta, mean, var ** 2, axis=axis),
        normal(4, 3, 3, 3), normal(3), normal(3), normal(3),
        1 + normal(3) ** 2, rtol=1e-3)
    assert used == set()
