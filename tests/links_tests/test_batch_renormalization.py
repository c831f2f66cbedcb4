"""Batch renormalization against its equations and Chainer's own."""
import chainer
import chainer.functions as F
import chainer.links as L
from chainer.exporters import caffe
from chainer import testing
import numpy
import pytest

from mixnorm.links import BatchRenormalization


_SEED = 0


def _data(*shape):
    return numpy.random.RandomState(_SEED).normal(
        1, 2, size=shape).astype('f')


def _expected(x, gamma, beta, avg_mean, avg_var, rmax, dmax, eps=2e-5):
    """Ioffe's algorithm 1 in float64, for ``(N, C, L)``."""
    x = x.astype(numpy.float64)
    y = numpy.empty(x.shape)
    for c in range(x.shape[1]):
        deviation = numpy.sqrt(x[:, c].var() + eps)
        running = numpy.sqrt(avg_var[c] + eps)
        r = min(max(deviation / running, 1 / rmax), rmax)
        d = min(max((x[:, c].mean() - avg_mean[c]) / running, -dmax), dmax)
        y[:, c] = gamma[c] * (
            (x[:, c] - x[:, c].mean()) / deviation * r + d) + beta[c]
    return y


def _link(rmax, dmax, kind=BatchRenormalization, **options):
    link = kind(3, rmax=rmax, dmax=dmax, **options)
    random = numpy.random.RandomState(_SEED)
    for _, parameter in sorted(link.namedparams()):
        parameter.array[...] = random.normal(size=parameter.shape)
    # The first channel is within both limits, the others beyond some.
    link.avg_mean[...] = [1.1, -5, 2]
    link.avg_var[...] = [3.9, .1, 60]
    return link


@pytest.mark.parametrize('rmax, dmax', [
    (1, 0), (3, 5), (1.5, .1), (100, 0), (1, 100),
    (numpy.inf, numpy.inf)])
def test_value(rmax, dmax):
    x, link = _data(6, 3, 5), _link(rmax, dmax)
    expected = _expected(
        x, link.gamma.array, link.beta.array, link.avg_mean.copy(),
        link.avg_var.copy(), rmax, dmax)
    numpy.testing.assert_allclose(
        link(x).array, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('use_gamma', [True, False])
@pytest.mark.parametrize('shape', [(6, 3), (6, 3, 5), (4, 3, 2, 2)], ids=str)
def test_chainers_own_where_that_works(shape, use_gamma):
    outcomes = []
    x, gy = _data(2, *shape)
    for kind in BatchRenormalization, L.BatchRenormalization:
        link = _link(1.5, .5, kind, use_gamma=use_gamma)
        v = chainer.Variable(x)
        y = link(v)
        link.cleargrads()
        y.grad = gy
        y.backward()
        outcomes.append([y.array, v.grad, link.beta.grad, link.avg_mean,
                         link.avg_var])
        if use_gamma:
            outcomes[-1].append(link.gamma.grad)
        with chainer.using_config('train', False):
            outcomes[-1].append(link(x).array)
    for actual, expected in zip(*outcomes):
        assert actual.dtype == expected.dtype
        numpy.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def test_without_limits_training_is_inference():
    x, link = _data(6, 3, 5), _link(numpy.inf, numpy.inf)
    with chainer.using_config('train', False):
        expected = link(x).array
    numpy.testing.assert_allclose(
        link(x).array, expected, rtol=1e-4, atol=1e-4)


def test_recomputation_has_the_corrections_of_the_first_pass():
    x, outcomes = _data(6, 3, 5), []
    for wrap in lambda f, v: f(v), F.forget:
        link, v = _link(3, 5), chainer.Variable(x)
        link.cleargrads()
        F.sum(wrap(link, v) ** 2).backward()
        outcomes.append([
            v.grad, link.gamma.grad, link.beta.grad, link.avg_mean,
            link.avg_var])
    for actual, expected in zip(*outcomes):
        numpy.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize('train', [True, False])
@pytest.mark.parametrize('x_dtype', ['e', 'f', 'd'])
@pytest.mark.parametrize('dtype', ['e', 'f', 'd'])
def test_gradient_penalty_is_that_of_batch_normalization(
        dtype, x_dtype, train):
    # With the default limits it is that.
    x, outcomes = _data(6, 3, 5).astype('e'), []
    for link, x in ((BatchRenormalization(3, dtype=dtype), x.astype(x_dtype)),
                    (L.BatchNormalization(3, dtype='d'), x.astype('d'))):
        v = chainer.Variable(x)
        with chainer.using_config('train', train):
            gx, = chainer.grad(
                [F.sum(.01 * link(v) ** 3)], [v],
                enable_double_backprop=True)
        link.cleargrads()
        F.sum(gx ** 2).backward()
        outcomes.append([gx.array, v.grad, link.gamma.grad])
    for actual, expected in zip(*outcomes):
        numpy.testing.assert_allclose(
            actual, expected, atol=5e-3 * abs(expected).max())
    assert outcomes[0][1].dtype == x_dtype


@pytest.mark.parametrize('use_gamma', [True, False])
def test_large_activations_in_half_precision(use_gamma):
    x = (1e4 * _data(6, 3, 5)).astype('e')
    options = {'use_gamma': use_gamma, 'use_beta': use_gamma}
    with chainer.using_config('dtype', numpy.float16):
        link = BatchRenormalization(3, 3, 5, **options)
    wide = BatchRenormalization(3, 3, 5, dtype='d', **options)
    for train in True, False:
        with chainer.using_config('train', train):
            numpy.testing.assert_allclose(
                link(x).array, wide(x.astype('d')).array, rtol=1e-2)
    for name in 'avg_mean', 'avg_var':
        numpy.testing.assert_allclose(
            getattr(link, name), getattr(wide, name), rtol=1e-4)


def test_description_of_a_link_of_no_size_yet():
    link = BatchRenormalization(axis=(0, 2), rmax=3)
    assert 'size=None' in repr(link)
    link(_data(6, 3, 5))
    assert 'size=(3,)' in repr(link) and 'rmax=3' in repr(link)


def test_initial_averages():
    link = BatchRenormalization(3, initial_avg_mean=4, initial_avg_var=5)
    numpy.testing.assert_array_equal(link.avg_mean, [4] * 3)
    numpy.testing.assert_array_equal(link.avg_var, [5] * 3)


def test_finetuning_averages_evenly():
    x = _data(3, 6, 3, 5)
    link = BatchRenormalization(3)
    link(100 * x[0])
    link.start_finetuning()
    for batch in x:
        link(batch, finetune=True)
    numpy.testing.assert_allclose(
        link.avg_mean, x.mean(axis=(0, 1, 3)), rtol=1e-4)


@pytest.mark.parametrize('shape, size, axis', [
    ((4, 3, 2, 5), None, (0, 1, 2)), ((4, 3, 2, 5), 5, (0, 1, 2)),
    ((8, 3, 2), None, 0), ((6, 2, 3), (2, 3), None)], ids=str)
def test_axes_are_those_of_batch_normalization(shape, size, axis):
    x = _data(*shape)
    actual, expected = (
        kind(size, axis=axis)(x).array
        for kind in (BatchRenormalization, L.BatchNormalization))
    numpy.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('name, value', [
    ('rmax', .5), ('rmax', None), ('dmax', -1), ('decay', 2),
    ('eps', -1e-5), ('axis', (1, 0)), ('size', ()), ('size', 0)])
def test_arguments_out_of_range(name, value):
    with pytest.raises(ValueError, match=f'{name} is'):
        BatchRenormalization(**dict({'size': 3}, **{name: value}))


def test_neither_size_nor_axis():
    with pytest.raises(ValueError, match='size is None and axis is None'):
        BatchRenormalization()


def test_state_of_batch_normalization():
    x, source = _data(6, 3, 5), L.BatchNormalization(3)
    source(x)
    for link in BatchRenormalization(3), BatchRenormalization(axis=(0, 2)):
        link.copyparams(source)
        with chainer.using_config('train', False):
            numpy.testing.assert_allclose(
                link(x).array, source(x).array, rtol=1e-6)
    link.copyparams(L.BatchNormalization(axis=(0, 2)))
    numpy.testing.assert_array_equal(link.avg_mean, 0)
    numpy.testing.assert_array_equal(link.avg_var, 1)


testing.run_module(__name__, __file__)


def test_export_to_caffe(tmp_path):
    """In test mode, Chainer's exporter takes it for batch normalization."""
    link = _link(3, 5)
    with chainer.using_config('train', False):
        caffe.export(chainer.Sequential(link, F.relu),
                     [chainer.Variable(_data(2, 3, 4, 4))], str(tmp_path))
    text = (tmp_path / 'chainer_model.prototxt').read_text()
    assert [line.split()[1] for line in text.splitlines()
            if line.strip().startswith('type:')][-3:] == [
                '"BatchNorm"', '"Scale"', '"ReLU"']
