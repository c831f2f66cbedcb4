"""Chainer's links and optimizers under the running versions."""

import chainer
from chainer import exporters
import chainer.functions as F
from chainer import link_hooks
import chainer.links as L
from chainer.links import caffe
from chainer import optimizer_hooks
from chainer import optimizers
import numpy
import pytest

SEED = 30


def _random(*shape):
    return numpy.random.RandomState(SEED).randn(*shape).astype(numpy.float32)


def _sigmoid(x):
    return 1 / (1 + numpy.exp(-x))


def test_linear_of_deferred_size():
    link = L.Linear(None, 3)
    x = _random(5, 2, 2)
    numpy.testing.assert_allclose(
        link(x).array, x.reshape(5, 4).dot(link.W.array.T), rtol=1e-5)


def test_convolution_is_linear_in_each_tap():
    link = L.Convolution2D(2, 3, ksize=3, pad=1)
    x = numpy.zeros((1, 2, 5, 5), numpy.float32)
    x[0, 1, 2, 2] = 1
    y = link(x).array
    numpy.testing.assert_array_equal(
        y[0, :, 1:4, 1:4], link.W.array[:, 1, ::-1, ::-1])


def test_batch_normalization_running_statistics():
    link = L.BatchNormalization(3, decay=.5)
    x = _random(8, 3, 2, 2)
    link(x)
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
    unbiased = var * 32 / 31
    numpy.testing.assert_allclose(link.avg_mean, mean / 2, rtol=1e-4)
    numpy.testing.assert_allclose(link.avg_var, .5 + unbiased / 2, rtol=1e-4)
    with chainer.using_config('train', False):
        y = link(x).array
    expected = ((x - link.avg_mean[:, None, None])
                / numpy.sqrt(link.avg_var + 2e-5)[:, None, None])
    numpy.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_mixed16_keeps_statistics_and_scale_in_float32():
    with chainer.using_config('dtype', chainer.mixed16):
        link = L.BatchNormalization(3)
        y = link(_random(8, 3).astype(numpy.float16))
    assert y.dtype == numpy.float16
    assert link.gamma.dtype == link.avg_var.dtype == numpy.float32


def test_stateless_lstm():
    link = L.StatelessLSTM(2, 3)
    c, h, x = _random(3, 4, 3)[0], _random(4, 3), _random(4, 2)
    gates = (x.dot(link.upward.W.array.T) + link.upward.b.array
             + h.dot(link.lateral.W.array.T))
    a, i, f, o = gates.reshape(4, 3, 4).transpose(2, 0, 1)
    c_next = numpy.tanh(a) * _sigmoid(i) + c * _sigmoid(f)
    h_next = _sigmoid(o) * numpy.tanh(c_next)
    for y, expected in zip(link(c, h, x), (c_next, h_next)):
        numpy.testing.assert_allclose(
            y.array, expected, rtol=1e-4, atol=1e-6)


def test_n_step_gru_of_two_lengths():
    link = L.NStepGRU(1, 2, 3, dropout=0)
    xs = [_random(4, 2), _random(2, 2)]
    _, ys = link(None, xs)
    w = [getattr(link[0], f'w{i}').array for i in range(6)]
    b = [getattr(link[0], f'b{i}').array for i in range(6)]
    for x, y in zip(xs, ys):
        h = numpy.zeros(3)
        for t, row in enumerate(x):
            into = [row.dot(w[i].T) + b[i] for i in range(3)]
            back = [h.dot(w[i].T) + b[i] for i in range(3, 6)]
            r, z = _sigmoid(into[0] + back[0]), _sigmoid(into[1] + back[1])
            h = (1 - z) * numpy.tanh(into[2] + r * back[2]) + z * h
            numpy.testing.assert_allclose(
                y.array[t], h, rtol=1e-4, atol=1e-6)


def test_n_step_lstm_both_ways_and_backward():
    link = L.NStepBiLSTM(2, 2, 3, dropout=.5)
    hy, cy, ys = link(None, None, [_random(4, 2), _random(2, 2)])
    assert hy.shape == cy.shape == (4, 2, 3)
    assert [y.shape for y in ys] == [(4, 6), (2, 6)]
    link.cleargrads()
    F.sum(F.concat(ys, 0)).backward()
    assert all(numpy.isfinite(p.grad).all() for p in link.params())


def test_negative_sampling_avoids_no_word():
    numpy.random.seed(SEED)
    link = L.NegativeSampling(4, [1, 3, 4], sample_size=2, power=1)
    link.W.array[...] = 0  # every logit is 0, every loss log 2
    loss = link(_random(5, 4), numpy.array([0, 1, 2, 0, 1], numpy.int32))
    numpy.testing.assert_allclose(loss.array, 5 * 3 * numpy.log(2), rtol=1e-5)
    draws = link.sampler.sample(80000)
    numpy.testing.assert_allclose(
        numpy.bincount(draws) / 80000, [1 / 8, 3 / 8, 4 / 8], atol=.01)


@pytest.mark.parametrize('make, shape', [
    (lambda: L.Bias(1, (3,)), (2, 3)),
    (lambda: L.Scale(1, (3,)), (2, 3)),
    (lambda: L.PReLU((3,)), (2, 3)),
    (lambda: L.Highway(3), (2, 3)),
    (lambda: L.Maxout(3, 3, 2), (2, 3)),
    (lambda: L.LayerNormalization(3), (2, 3)),
    (lambda: L.GroupNormalization(3), (2, 3, 4, 4)),
    (lambda: L.DecorrelatedBatchNormalization(3, 1), (9, 3)),
    (lambda: L.Inception(3, 1, 1, 1, 1, 1, 1), (2, 3, 4, 4)),
    (lambda: L.DepthwiseConvolution2D(3, 2, 3), (2, 3, 4, 4)),
    (lambda: L.DeformableConvolution2D(3, 2, 3), (2, 3, 4, 4)),
    (lambda: L.LocalConvolution2D(3, 2, 4, 3), (2, 3, 4, 4)),
    (lambda: L.Deconvolution2D(3, 2, 3), (2, 3, 4, 4)),
    (lambda: L.LSTM(3, 2), (2, 3)),
    (lambda: L.StatefulGRU(3, 2), (2, 3)),
])
def test_copies_and_saves(make, shape, tmp_path):
    link, other = make(), make()
    x = _random(*shape)
    for p in link.params():
        if p.array is not None:
            p.array[...] += .1
    y = link.copy('copy')(x)
    link(x)  # deferred sizes
    chainer.serializers.save_npz(str(tmp_path / 'link.npz'), link)
    other(x)
    chainer.serializers.load_npz(str(tmp_path / 'link.npz'), other)
    if hasattr(other, 'reset_state'):
        other.reset_state()
    assert y.dtype == numpy.float32
    for (name, p), (_, q) in zip(sorted(link.namedparams()),
                                 sorted(other.namedparams())):
        numpy.testing.assert_array_equal(p.array, q.array, name)
    numpy.testing.assert_allclose(other(x).array, y.array, rtol=1e-5)


def test_spectral_normalization():
    link = L.Linear(4, 3)
    link.add_hook(link_hooks.SpectralNormalization(n_power_iteration=100))
    y = link(numpy.eye(4, dtype=numpy.float32)).array
    assert abs(numpy.linalg.svd(y)[1][0] - 1) < 1e-3


def test_weight_standardization():
    link = L.Convolution2D(4, 3, 3, nobias=True)
    link.add_hook(link_hooks.WeightStandardization())
    taps = link(numpy.eye(36, dtype=numpy.float32).reshape(36, 4, 3, 3))
    taps = taps.array.reshape(36, 3)
    numpy.testing.assert_allclose(taps.mean(0), 0, atol=1e-5)
    numpy.testing.assert_allclose(taps.std(0), 1, rtol=1e-2)


def test_caffe_model_there_and_back(tmp_path):
    pytest.importorskip('google.protobuf')
    net = chainer.Sequential(L.Convolution2D(2, 3, 3), F.relu, L.Linear(12, 5))
    x = _random(1, 2, 4, 4)
    expected = net(x)
    with chainer.using_config('train', False):
        exporters.caffe.export(net, [chainer.Variable(x)], str(tmp_path), True)
    model = caffe.CaffeFunction(str(tmp_path / 'chainer_model.caffemodel'))
    y, = model({'data': x}, outputs=[model.layers[-1][0]])
    numpy.testing.assert_allclose(y.array, expected.array, rtol=1e-5)


def _after_one_step(optimizer, w=3., g=2.):
    target = chainer.Link()
    with target.init_scope():
        target.w = chainer.Parameter(numpy.array([w], numpy.float32))
    optimizer.setup(target)
    target.w.grad = numpy.array([g], numpy.float32)
    optimizer.update()
    assert target.w.dtype == numpy.float32
    return float(target.w.array[0])


@pytest.mark.parametrize('optimizer, step', [
    (optimizers.SGD(.1), .1 * 2),
    (optimizers.MomentumSGD(.1, .9), .1 * 2),
    (optimizers.AdaGrad(.1, eps=0), .1),
    (optimizers.RMSprop(.1, alpha=.9, eps=0), .1 / .1 ** .5),
    (optimizers.RMSpropGraves(.1, alpha=.9, eps=0),
     .1 * 2 / (.1 * 4 - .04) ** .5),
    (optimizers.Adam(.1, eps=0), .1),
    (optimizers.AdaDelta(rho=.5, eps=1e-2),
     2 * (1e-2 / (2 + 1e-2)) ** .5),
    (optimizers.SMORMS3(.1, eps=0), .1 * 2 / 2 ** .5),
], ids=lambda value: type(value).__name__)
def test_first_step(optimizer, step):
    assert abs(_after_one_step(optimizer) - (3 - step)) < 1e-5


@pytest.mark.parametrize('hook, g', [
    (optimizer_hooks.WeightDecay(.5), 2 + .5 * 3),
    (optimizer_hooks.Lasso(.5), 2 + .5),
    (optimizer_hooks.GradientClipping(.5), .5),
    (optimizer_hooks.GradientHardClipping(-1, 1), 1),
    (optimizer_hooks.GradientLARS(threshold=.01, weight_decay=0.), 3),
], ids=lambda value: type(value).__name__)
def test_hook(hook, g):
    optimizer = optimizers.SGD(1)
    target = chainer.Link()
    with target.init_scope():
        target.w = chainer.Parameter(numpy.array([3.], numpy.float32))
    optimizer.setup(target).add_hook(hook)
    target.w.grad = numpy.array([2.], numpy.float32)
    optimizer.update()
    assert abs(target.w.grad[0] - g) < 1e-5


def test_clipping_of_float16_gradients():
    # 30 * 60 ** 2 is more than float16 can hold.
    target = chainer.Link()
    with target.init_scope():
        for i in range(30):
            setattr(target, f'w{i}', chainer.Parameter(
                numpy.zeros(1, numpy.float16)))
    optimizer = optimizers.SGD(1).setup(target)
    optimizer.add_hook(optimizer_hooks.GradientClipping(1.))
    for p in target.params():
        p.grad = numpy.full(1, 60, numpy.float16)
    optimizer.update()
    numpy.testing.assert_allclose(
        [p.grad[0] for p in target.params()], 30 ** -.5, rtol=1e-3)


@pytest.mark.parametrize('name', [
    'SGD', 'MomentumSGD', 'CorrectedMomentumSGD', 'NesterovAG', 'AdaDelta',
    'AdaGrad', 'RMSprop', 'RMSpropGraves', 'SMORMS3', 'Adam', 'AdamW',
    'AMSGrad', 'AdaBound', 'AMSBound', 'MSVAG'])
@pytest.mark.parametrize('dtype', ['float32', 'mixed16'])
def test_optimizer_learns_in_its_own_precision(name, dtype):
    with chainer.using_config('dtype', chainer.mixed16 if dtype == 'mixed16'
                              else numpy.dtype(dtype)):
        numpy.random.seed(SEED)
        net = L.Linear(4, 1)
    x = _random(16, 4).astype(net.W.dtype)
    t = x.dot(numpy.ones((4, 1), x.dtype))
    optimizer = getattr(optimizers, name)().setup(net)
    if dtype == 'mixed16':
        optimizer.use_fp32_update()
        optimizer.loss_scaling(scale=8.)
    losses = []
    for _ in range(10):
        optimizer.update(
            lambda: losses.append(F.mean_squared_error(net(x), t))
            or losses[-1])
    assert losses[-1].array < losses[0].array
    assert net.W.dtype == net.W.grad.dtype == x.dtype
    state = net.W.update_rule.state or {}
    assert all(value.dtype == numpy.float32 for value in state.values()
               if isinstance(value, numpy.ndarray))
