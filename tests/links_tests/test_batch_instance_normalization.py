"""The state of batch-instance normalization; its values have their own."""
import chainer
import chainer.functions as F
import chainer.links as L
from chainer import testing
from chainer.testing import attr
import numpy
import pytest

from mixnorm.links import BatchInstanceNormalization


_SEED = 0


def _data(*shape):
    return numpy.random.RandomState(_SEED).normal(
        1, 2, size=shape).astype('f')


def _channel(values):
    return numpy.array(values, 'f')[:, None]


def _expected(x, rho, mean=None, var=None, eps=2e-5):
    """(3) without scale and shift, for ``(N, C, L)``."""
    x = x.astype(numpy.float64)
    if mean is None:
        mean, var = x.mean(axis=(0, 2)), x.var(axis=(0, 2))
    batch = (x - _channel(mean)) / numpy.sqrt(_channel(var) + eps)
    instance = (x - x.mean(axis=2, keepdims=True)) / numpy.sqrt(
        x.var(axis=2, keepdims=True) + eps)
    return _channel(rho) * batch + (1 - _channel(rho)) * instance


def test_training_and_test_mode():
    x = _data(6, 3, 5)
    link = BatchInstanceNormalization(3, decay=.75, initial_rho=.25)
    numpy.testing.assert_allclose(
        link(x).array, _expected(x, [.25] * 3), rtol=1e-4, atol=1e-5)
    mean = .25 * x.mean(axis=(0, 2))
    var = .75 + .25 * x.var(axis=(0, 2)) * 30 / 29
    numpy.testing.assert_allclose(link.avg_mean, mean, rtol=1e-5)
    numpy.testing.assert_allclose(link.avg_var, var, rtol=1e-5)
    with chainer.using_config('train', False):
        numpy.testing.assert_allclose(
            link(x).array, _expected(x, [.25] * 3, mean, var), rtol=1e-4,
            atol=1e-5)


# Input shape, size and axis, as L.BatchNormalization takes them.
@pytest.mark.parametrize('shape,size,axis', [
    ((8, 3), 3, None), ((4, 3, 2, 3), 3, None), ((6, 2, 3), (2, 3), None),
    ((4, 3, 2, 5), 5, (0, 1, 2)), ((8, 3, 2), (3, 2), 0),
    ((3, 6, 2), (3, 2), 1), ((5, 2, 4, 3), (2, 3), (0, 2))], ids=str)
def test_starts_as_batch_normalization(shape, size, axis):
    x, gy = _data(2, *shape)
    outcomes = []
    for kind in BatchInstanceNormalization, L.BatchNormalization:
        link = kind(size, axis=axis)
        v = chainer.Variable(x)
        y = link(v)
        link.cleargrads()
        y.grad = gy
        y.backward()
        outcomes.append([y.array, v.grad, link.gamma.grad, link.beta.grad,
                         link.avg_mean, link.avg_var])
        with chainer.using_config('train', False):
            outcomes[-1].append(link(x).array)
    for actual, expected in zip(*outcomes):
        assert actual.shape == expected.shape
        numpy.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def test_shares_are_clipped():
    x = _data(6, 3, 5)
    link = BatchInstanceNormalization(3)
    link.rho.array[...] = [-.5, .5, 1.5]
    for train in False, True:
        link.rho.array[[0, 2]] = [-.5, 1.5]
        with chainer.using_config('train', train):
            y = link(x).array
        numpy.testing.assert_array_equal(link.rho.array, [0, .5, 1])
        if train:
            numpy.testing.assert_allclose(
                y, _expected(x, [0, .5, 1]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('bound, target', [(0., 1.), (1., 0.)])
def test_shares_come_back_from_a_bound(bound, target):
    x = _data(6, 3, 5)
    link = BatchInstanceNormalization(3, initial_rho=bound)
    optimizer = chainer.optimizers.SGD(lr=2).setup(link)
    goal = _expected(x, [target] * 3).astype('f')
    # Far beyond the bound, it would take many steps to come back.
    link.rho.array[...] += 50 * (bound - target)
    for _ in range(20):
        optimizer.update(lambda: F.mean_squared_error(link(x), goal))
    link(x)
    numpy.testing.assert_allclose(link.rho.array, target, atol=.05)


def test_finetuning_averages_evenly():
    x = _data(3, 6, 3, 5)
    link = BatchInstanceNormalization(3)
    link(100 * x[0])
    link.start_finetuning()
    for batch in x:
        link(batch, finetune=True)
    assert link.N == 3
    numpy.testing.assert_allclose(
        link.avg_mean, x.mean(axis=(0, 1, 3)), rtol=1e-4)
    numpy.testing.assert_allclose(
        link.avg_var, x.transpose(0, 2, 1, 3).reshape(3, 3, -1).var(
            axis=2, ddof=1).mean(axis=0), rtol=1e-4)


@pytest.mark.parametrize('bad', [numpy.nan, numpy.inf])
@pytest.mark.filterwarnings('ignore:invalid value')
def test_averages_stay_finite(bad):
    x = _data(6, 3, 5)
    link = BatchInstanceNormalization(3)
    link(x)
    mean, var = link.avg_mean.copy(), link.avg_var.copy()
    x[2, 1, 3] = bad
    assert not numpy.isfinite(link(x).array).all()
    numpy.testing.assert_array_equal(link.avg_mean, mean)
    numpy.testing.assert_array_equal(link.avg_var, var)


@attr.gpu
def test_averages_come_to_the_device_of_a_link_of_no_size_yet(tmp_path):
    x, path = _data(6, 3, 5), str(tmp_path / 'link.npz')
    link = BatchInstanceNormalization(3)
    link(x)
    chainer.serializers.save_npz(path, link)
    loaded = BatchInstanceNormalization()
    loaded.to_device('@cupy:0')
    chainer.serializers.load_npz(path, loaded)
    with chainer.using_config('train', False):
        testing.assert_allclose(
            loaded(loaded.device.send(x)).array, link(x).array, rtol=1e-4,
            atol=1e-5)


@pytest.mark.parametrize('decay', [-.1, 1.1, None, numpy.nan])
def test_decay_out_of_range(decay):
    with pytest.raises(ValueError, match='decay is'):
        BatchInstanceNormalization(3, decay=decay)


testing.run_module(__name__, __file__)
