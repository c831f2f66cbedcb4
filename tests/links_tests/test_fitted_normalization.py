"""The Fisher vector of second order as an option of the link."""
import copy

import chainer
from chainer import functions as F
from chainer import links as L
from chainer import serializers
import numpy
import pytest

from functions_tests import equations
from mixnorm.links import MixtureNormalization


_SEED = 0


def _batch(shape=(40, 3, 4), dtype='d', seed=_SEED):
    random = numpy.random.RandomState(seed)
    return (random.randn(*shape)
            + 4 * random.randint(2, size=shape[:1] + (1,) + shape[2:])
            ).astype(dtype)


def _infer(link, x):
    with chainer.using_config('train', False):
        return link(x).array


@pytest.mark.parametrize('kwargs', [
    {}, {'affine': 'component'}, {'activation': F.tanh},
    {'use_gamma': False}, {'use_beta': False}], ids=str)
@pytest.mark.parametrize('size', [3, None, (3, 4)])
def test_at_first_it_changes_nothing(size, kwargs):
    first = MixtureNormalization(size, seed=0, **kwargs)
    assert first.delta is None
    assert 'delta' not in dict(first.namedparams())
    second = MixtureNormalization(size, seed=0, order=2, **kwargs)
    for seed in range(3):
        x = _batch(dtype='f', seed=seed)
        v = chainer.Variable(x)
        y = second(v)
        numpy.testing.assert_array_equal(y.array, first(x).array)
        assert second.delta.shape == (
            ((3,) if kwargs.get('affine') == 'component' else ()) + first.size)
        assert not second.delta.array.any()
        second.cleargrads()
        F.sum(y ** 2).backward()
        assert (second.delta.grad != 0).any()
        assert numpy.isfinite(v.grad).all()
        numpy.testing.assert_array_equal(_infer(second, x), _infer(first, x))


@pytest.mark.parametrize('mode', ['shared', 'inside', 'component'])
@pytest.mark.parametrize('f', [None, 'tanh'])
def test_training_and_inference_are_the_equations(f, mode):
    # Of groups so far apart that every posterior is 0 or 1.
    random = numpy.random.RandomState(_SEED)
    labels = random.choice(3, (60, 4), p=(.5, .3, .2))
    x = numpy.moveaxis(
        100. * labels[..., None] + random.uniform(-1, 1, (60, 4, 2)), -1, 1)
    order = (-numpy.bincount(labels.ravel())).argsort()
    tau = numpy.eye(3)[labels][..., order].reshape(-1, 3)
    affine = (3, 2) if mode == 'component' else (2,)
    gamma, beta, delta = random.randn(3, *affine)
    link = MixtureNormalization(
        2, seed=0, dtype='d', order=2, affine=mode,
        activation=f and getattr(F, f), initial_gamma=gamma,
        initial_beta=beta)
    link.delta.array[...] = delta
    if mode == 'inside':
        gamma, beta, delta = (
            numpy.tile(z, (3, 1)) for z in (gamma, beta, delta))
    rows = equations.points(x)
    statistics = equations.statistics(rows, tau)

    def expected(weights, means, variances):
        return equations.activation(equations.second_order_sum(
            rows, gamma, beta, delta, tau, weights, means, variances, 2e-5,
            f and getattr(numpy, f)), x.shape)

    numpy.testing.assert_allclose(
        link(x).array, expected(*statistics), rtol=1e-6)
    # One mini-batch in the queue, which is this one.
    numpy.testing.assert_allclose(
        _infer(link, x),
        expected(*equations.unbiased(*statistics, len(rows))), rtol=1e-6,
        atol=1e-9)


def test_one_component_is_batch_normalization_and_its_square():
    x = _batch()
    delta = numpy.array([.5, -1, 2.])
    link = MixtureNormalization(3, 1, seed=0, order=2, dtype='d')
    link.delta.array[...] = delta
    xhat = L.BatchNormalization(3, dtype='d')(x).array
    numpy.testing.assert_allclose(
        link(x).array,
        xhat + delta[:, None] / 2 ** .5 * (xhat ** 2 - 1), rtol=1e-9)


def test_it_is_learned():
    # What is even in x a line cannot follow.
    x = _batch((200, 2), seed=1)
    target = (x - x.mean(axis=0)) ** 2
    losses = {}
    for order in (1, 2):
        link = MixtureNormalization(2, 1, seed=0, dtype='d', order=order)
        optimizer = chainer.optimizers.SGD(.2).setup(link)
        for _ in range(100):
            optimizer.update(lambda: F.mean_squared_error(link(x), target))
        losses[order] = float(F.mean_squared_error(link(x), target).array)
    assert losses[2] < .01 * losses[1]


def test_half_precision():
    x = _batch(dtype='e') * numpy.float16(1e4 / 8)
    for dtype in ('e', 'f'):
        link = MixtureNormalization(3, seed=0, order=2, dtype=dtype)
        link.delta.array[...] = .1
        v = chainer.Variable(x)
        link.cleargrads()
        y = link(v)
        F.sum(y).backward()
        for z in (y.array, v.grad, link.delta.grad, _infer(link, x)):
            assert numpy.isfinite(z).all()
        assert y.dtype == 'e' and link.delta.grad.dtype == dtype


@pytest.mark.parametrize('size', [3, None])
@pytest.mark.parametrize('kwargs', [
    {}, {'affine': 'component'}], ids=str)
def test_saving_and_loading(tmp_path, kwargs, size):
    link = MixtureNormalization(3, seed=0, order=2, **kwargs)
    link(_batch(dtype='f'))
    link.delta.array[...] = numpy.linspace(
        -1, 1, link.delta.size).reshape(link.delta.shape)
    path = str(tmp_path / 'link.npz')
    serializers.save_npz(path, link)
    loaded = MixtureNormalization(size, seed=1, order=2, **kwargs)
    serializers.load_npz(path, loaded)
    x = _batch(dtype='f', seed=1)
    expected = _infer(link, x)
    for other in (loaded, copy.deepcopy(link)):
        numpy.testing.assert_array_equal(_infer(other, x), expected)

    # Without delta in the file, the link stays as it was.
    first = MixtureNormalization(3, seed=0, **kwargs)
    first(x)
    serializers.save_npz(path, first)
    with pytest.raises(KeyError, match='delta'):
        serializers.load_npz(path, loaded)
    numpy.testing.assert_array_equal(_infer(loaded, x), expected)


@pytest.mark.parametrize('order', [0, 3, 1.5, 2., True, '2', None])
def test_bad_order(order):
    with pytest.raises(ValueError, match='order is .*it must be 1 or 2'):
        MixtureNormalization(3, order=order)


def test_repr():
    assert 'order=2' in repr(MixtureNormalization(3, order=2))
