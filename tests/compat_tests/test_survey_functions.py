"""Chainer's functions under the running versions, against NumPy.

Every case names a call, and what NumPy says of it.
"""

import math

import chainer
from chainer import distributions
import chainer.functions as F
from chainer import gradient_check
from chainer import initializers
import numpy
from numpy.lib.stride_tricks import as_strided
from numpy.lib.stride_tricks import sliding_window_view
import pytest

SEED = 20

TOLERANCES = {
    numpy.float16: dict(rtol=2e-2, atol=5e-3),
    numpy.float32: dict(rtol=1e-4, atol=1e-5),
    numpy.float64: dict(rtol=1e-10, atol=1e-10)}


def _sigmoid(x):
    return 1 / (1 + numpy.exp(-x))


def _logsumexp(x):
    return numpy.log(numpy.exp(x).sum(axis=1, keepdims=True))


def _standardized(x, axis, eps=2e-5):
    deviation = x - x.mean(axis=axis, keepdims=True)
    variance = (deviation ** 2).mean(axis=axis, keepdims=True)
    return deviation / numpy.sqrt(variance + eps)


def _columns(x, size, stride):
    """(N, C, H, W) -> (N, C, OH, OW, size, size)"""
    windows = sliding_window_view(x, (size, size), axis=(2, 3))
    return windows[:, :, ::stride, ::stride]


def _padded(x):
    return numpy.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))


def _nearest(x):
    return x.repeat(2, axis=2).repeat(2, axis=3)


MATRIX = (3, 4)
IMAGES = (2, 4, 6, 6)
KERNELS = (3, 4, 3, 3)
LABELS = numpy.array([2, 0, 3], numpy.int32)
PICK = (numpy.arange(3), LABELS)

# name: (Chainer, NumPy, shapes of the arguments)
ANY_FLOAT = {
    'exp': (F.exp, numpy.exp, [MATRIX]),
    'log1p': (F.log1p, numpy.log1p, [MATRIX]),
    'sin': (F.sin, numpy.sin, [MATRIX]),
    'arctan2': (F.arctan2, numpy.arctan2, [MATRIX, MATRIX]),
    'fix': (lambda x: F.fix(3 * x - 1), lambda x: numpy.trunc(3 * x - 1),
            [MATRIX]),
    'erf': (F.erf, numpy.vectorize(math.erf), [MATRIX]),
    'arithmetic': (lambda x, y: 2 * x ** 2 - y / 3 + 2 ** y - 1 / x,
                   lambda x, y: 2 * x ** 2 - y / 3 + 2 ** y - 1 / x,
                   [MATRIX, MATRIX]),
    'numpy scalars': (lambda x: numpy.float64(2.5) * x - numpy.float32(.5),
                      lambda x: 2.5 * x - .5, [MATRIX]),
    'sigmoid': (F.sigmoid, _sigmoid, [MATRIX]),
    'relu': (lambda x: F.relu(x - .5), lambda x: numpy.maximum(x - .5, 0),
             [MATRIX]),
    'elu': (lambda x: F.elu(x - .5), lambda x: numpy.where(
        x > .5, x - .5, numpy.expm1(x - .5)), [MATRIX]),
    'softplus': (F.softplus, lambda x: numpy.log1p(numpy.exp(x)), [MATRIX]),
    'softmax': (F.softmax, lambda x: numpy.exp(x - _logsumexp(x)), [MATRIX]),
    'log_softmax': (F.log_softmax, lambda x: x - _logsumexp(x), [MATRIX]),
    'maxout': (lambda x: F.maxout(x, 2),
               lambda x: x.reshape(3, 2, 2).max(2), [MATRIX]),
    'mean': (lambda x: F.mean(x, 1), lambda x: x.mean(1), [MATRIX]),
    'max': (lambda x: F.max(x, 0), lambda x: x.max(0), [MATRIX]),
    'prod': (F.prod, numpy.prod, [MATRIX]),
    'cumsum': (lambda x: F.cumsum(x, 1), lambda x: x.cumsum(1), [MATRIX]),
    'clip': (lambda x: F.clip(x, .3, .6), lambda x: x.clip(.3, .6), [MATRIX]),
    'get_item': (lambda x: x[[2, 0], 1:3], lambda x: x[[2, 0], 1:3],
                 [MATRIX]),
    'concat': (lambda x, y: F.concat([x, y], 0),
               lambda x, y: numpy.concatenate([x, y]), [MATRIX, MATRIX]),
    'pad': (lambda x: F.pad(x, ((1, 2), (0, 1)), 'constant'),
            lambda x: numpy.pad(x, ((1, 2), (0, 1))), [MATRIX]),
    'where': (lambda x, y: F.where(LABELS[:, None] > 1, x, y),
              lambda x, y: numpy.where(LABELS[:, None] > 1, x, y),
              [MATRIX, MATRIX]),
    'rollaxis': (lambda x: F.rollaxis(x, 2), lambda x: x.transpose(2, 0, 1),
                 [(2, 3, 4)]),
    'as_strided': (lambda x: F.as_strided(x, (4, 3), (2, 1)),
                   lambda x: as_strided(x, (4, 3), (2 * x.itemsize,
                                                    x.itemsize)), [(9,)]),
    'matmul': (lambda x, y: F.matmul(x, y, transb=True),
               lambda x, y: x.dot(y.T), [MATRIX, MATRIX]),
    'einsum': (lambda x, y: F.einsum('ij,kj->ik', x, y),
               lambda x, y: x.dot(y.T), [MATRIX, MATRIX]),
    'linear': (F.linear, lambda x, w, b: x.dot(w.T) + b,
               [MATRIX, (5, 4), (5,)]),
    'convolution_2d': (lambda x, w: F.convolution_2d(x, w, stride=2, pad=1),
                       lambda x, w: numpy.einsum(
                           'nchwij,ocij->nohw', _columns(_padded(x), 3, 2), w),
                       [IMAGES, KERNELS]),
    'dilated convolution': (
        lambda x, w: F.convolution_2d(x, w, dilate=2),
        lambda x, w: numpy.einsum(
            'nchwij,ocij->nohw', _columns(x, 5, 1)[..., ::2, ::2], w),
        [IMAGES, KERNELS]),
    'convolution_nd': (F.convolution_1d, lambda x, w: numpy.einsum(
        'nchi,oci->noh', sliding_window_view(x, 3, axis=2), w),
        [(2, 4, 6), (3, 4, 3)]),
    'deconvolution_2d': (
        lambda x, w: F.deconvolution_2d(x, w, stride=2),
        lambda x, w: (x[:, :, :, None, :, None]
                      * w[:, 0, None, :, None, :]
                      ).sum(1).reshape(2, 1, 12, 12),
        [IMAGES, (4, 1, 2, 2)]),
    'max_pooling_2d': (lambda x: F.max_pooling_2d(x, 3, 2, cover_all=False),
                       lambda x: _columns(x, 3, 2).max((-2, -1)), [IMAGES]),
    'average_pooling_2d': (lambda x: F.average_pooling_2d(x, 2),
                           lambda x: _columns(x, 2, 2).mean((-2, -1)),
                           [IMAGES]),
    'unpooling_2d': (lambda x: F.unpooling_2d(x, 2, cover_all=False),
                     _nearest, [IMAGES]),
    'batch_normalization': (
        lambda x: F.batch_normalization(
            x, numpy.ones(4, x.dtype), numpy.zeros(4, x.dtype)),
        lambda x: _standardized(x, (0, 2, 3)), [IMAGES]),
    'layer_normalization': (
        lambda x: F.layer_normalization(
            x, numpy.ones(4, x.dtype), numpy.zeros(4, x.dtype), eps=2e-5),
        lambda x: _standardized(x, 1), [MATRIX]),
    'group_normalization': (
        lambda x: F.group_normalization(
            x, 2, numpy.ones(4, x.dtype), numpy.zeros(4, x.dtype), eps=2e-5),
        lambda x: _standardized(x.reshape(2, 2, 2, 6, 6),
                                (2, 3, 4)).reshape(IMAGES), [IMAGES]),
    'normalize': (F.normalize, lambda x: x / (1e-5 + numpy.sqrt(
        (x ** 2).sum(1, keepdims=True))), [MATRIX]),
    'softmax_cross_entropy': (
        lambda x: F.softmax_cross_entropy(x, LABELS),
        lambda x: -(x - _logsumexp(x))[PICK].mean(), [MATRIX]),
    'weighted softmax_cross_entropy': (
        lambda x: F.softmax_cross_entropy(
            x, LABELS, class_weight=numpy.arange(4).astype(x.dtype)),
        lambda x: -(LABELS * (x - _logsumexp(x))[PICK]).mean(), [MATRIX]),
    'sigmoid_cross_entropy': (
        lambda x: F.sigmoid_cross_entropy(x, numpy.ones(MATRIX, 'i')),
        lambda x: -numpy.log(_sigmoid(x)).mean(), [MATRIX]),
    'mean_squared_error': (F.mean_squared_error,
                           lambda x, y: ((x - y) ** 2).mean(),
                           [MATRIX, MATRIX]),
    'gaussian_kl_divergence': (
        F.gaussian_kl_divergence,
        lambda m, v: .5 * (m ** 2 + numpy.exp(v) - v - 1).sum(),
        [MATRIX, MATRIX]),
    'embed_id': (lambda w: F.embed_id(LABELS, w), lambda w: w[LABELS],
                 [(4, 2)]),
}

# Not for every type of float in Chainer: (Chainer, NumPy, shapes, type)
ONE_FLOAT = {
    'resize_images, nearest': (
        lambda x: F.resize_images(x, (12, 12), mode='nearest',
                                  align_corners=False),
        _nearest, [IMAGES], numpy.float32),
    'resize_images, bilinear': (
        lambda x: F.resize_images(x, (6, 11)),
        lambda x: numpy.stack(
            [x, numpy.append((x[..., 1:] + x[..., :-1]) / 2,
                             x[..., :1], axis=-1)],
            axis=-1).reshape(2, 4, 6, 12)[..., :11],
        [IMAGES], numpy.float32),
    'spatial transformer': (
        lambda x: F.spatial_transformer_sampler(
            x, F.spatial_transformer_grid(numpy.array(
                [[[-1, 0, 0], [0, 1, 0]]] * 2, numpy.float32), (6, 6))),
        lambda x: x[..., ::-1], [IMAGES], numpy.float32),
    'inv': (lambda x: F.inv(x + 4 * numpy.eye(4)),
            lambda x: numpy.linalg.inv(x + 4 * numpy.eye(4)),
            [(4, 4)], numpy.float64),
    'det': (F.det, numpy.linalg.det, [(4, 4)], numpy.float64),
    'cholesky': (
        lambda x: F.cholesky(F.matmul(x, x, transb=True) + numpy.eye(4)),
        lambda x: numpy.linalg.cholesky(x.dot(x.T) + numpy.eye(4)),
        [(4, 4)], numpy.float64),
    'fft': (lambda x, y: F.stack(F.fft((x, y))),
            lambda x, y: numpy.stack([numpy.fft.fft(x + 1j * y).real,
                                      numpy.fft.fft(x + 1j * y).imag]),
            [MATRIX, MATRIX], numpy.float64),
}

CASES = [pytest.param(chainers, numpys, shapes, dtype,
                      id=f'{name}, {dtype.__name__}')
         for name, (chainers, numpys, shapes) in ANY_FLOAT.items()
         for dtype in TOLERANCES]
CASES += [pytest.param(*case, id=name) for name, case in ONE_FLOAT.items()]


def _inputs(shapes):
    random = numpy.random.RandomState(SEED)
    return [random.uniform(.1, .9, shape) for shape in shapes]


@pytest.mark.parametrize('chainers, numpys, shapes, dtype', CASES)
def test_value(chainers, numpys, shapes, dtype):
    inputs = _inputs(shapes)
    arrays = [x.astype(dtype) for x in inputs]
    with chainer.using_config('debug', True):
        y = chainers(*[chainer.Variable(x) for x in arrays])
    assert y.dtype == dtype
    numpy.testing.assert_allclose(
        y.array, numpys(*[x.astype(numpy.float64) for x in arrays]),
        err_msg=f'seed {SEED}', **TOLERANCES[dtype])


NO_GRADIENT = ['fix', 'resize_images, nearest', 'resize_images, bilinear',
               'spatial transformer']


@pytest.mark.parametrize(
    'name', [name for name in [*ANY_FLOAT, *ONE_FLOAT]
             if name not in NO_GRADIENT])
def test_gradient(name):
    chainers, _, shapes = {**ANY_FLOAT, **ONE_FLOAT}[name][:3]
    inputs = _inputs(shapes)
    gy = numpy.random.RandomState(SEED).uniform(
        -1, 1, chainers(*map(chainer.Variable, inputs)).shape)
    numpy.random.seed(SEED)  # the direction of the derivative
    gradient_check.check_backward(
        chainers, tuple(inputs), gy, dtype=numpy.float64, rtol=1e-3, atol=1e-4)


def test_resize_images_gradient():
    # Its sum weighs every source pixel by the area that it covers.
    x = chainer.Variable(numpy.zeros(IMAGES, numpy.float32))
    y = F.resize_images(x, (12, 12), mode='nearest', align_corners=False)
    F.sum(y).backward()
    numpy.testing.assert_array_equal(x.grad, numpy.full(IMAGES, 4.))


def test_double_backward():
    x = chainer.Variable(numpy.array([1., 2., 3.], numpy.float32))
    gx, = chainer.grad([F.sum(x ** 3)], [x], enable_double_backprop=True)
    ggx, = chainer.grad([F.sum(gx)], [x])
    numpy.testing.assert_allclose(ggx.array, [6, 12, 18])


def test_dropout_keeps_the_rest_scaled():
    numpy.random.seed(SEED)
    y = F.dropout(numpy.ones(10000, numpy.float32), .2).array
    assert set(numpy.unique(y)) == {numpy.float32(0), numpy.float32(1.25)}
    assert abs((y == 0).mean() - .2) < .02


@pytest.mark.parametrize('dtype', [numpy.float16, numpy.float32])
def test_sparse_matmul(dtype):
    pytest.importorskip('scipy')
    a = numpy.array([[0, 2, 0], [1, 0, 3]], dtype)
    b = chainer.Variable(numpy.arange(6, dtype=dtype).reshape(3, 2))
    y = F.sparse_matmul(chainer.utils.to_coo(a), b)
    F.sum(y).backward()
    assert y.dtype == dtype
    numpy.testing.assert_array_equal(y.array, a.dot(b.array))
    numpy.testing.assert_array_equal(b.grad, a.T.dot(numpy.ones((2, 2))))


def test_connectionist_temporal_classification():
    # Two steps, three symbols (blank 0), label 1: 1-1, 1-blank or blank-1.
    p = numpy.array([[.2, .5, .3], [.6, .3, .1]], numpy.float32)
    loss = F.connectionist_temporal_classification(
        list(numpy.log(p)[:, None]), numpy.array([[1]], numpy.int32), 0)
    expected = -numpy.log(.5 * .3 + .5 * .6 + .2 * .3)
    numpy.testing.assert_allclose(loss.array, expected, rtol=1e-5)


def test_conditional_random_field():
    cost = numpy.random.RandomState(SEED).randn(2, 2).astype(numpy.float32)
    xs = numpy.random.RandomState(SEED + 1).randn(2, 1, 2).astype(
        numpy.float32)
    scores = {(i, j): xs[0, 0, i] + cost[i, j] + xs[1, 0, j]
              for i in range(2) for j in range(2)}
    label = numpy.array([1], numpy.int32), numpy.array([0], numpy.int32)
    loss = F.crf1d(cost, list(xs), list(label))
    expected = numpy.log(sum(map(math.exp, scores.values()))) - scores[1, 0]
    numpy.testing.assert_allclose(loss.array, expected, rtol=1e-5)
    _, path = F.argmax_crf1d(cost, list(xs))
    assert tuple(int(p[0]) for p in path) == max(scores, key=scores.get)


@pytest.mark.parametrize('name, std', [
    ('LeCunNormal', (1 / 300) ** .5), ('GlorotNormal', (2 / 500) ** .5),
    ('HeNormal', (2 / 300) ** .5), ('HeUniform', (2 / 300) ** .5)])
def test_initializer(name, std):
    numpy.random.seed(SEED)
    w = initializers.generate_array(
        getattr(initializers, name)(), (200, 300), numpy, numpy.float32)
    assert w.dtype == numpy.float32
    assert abs(w.std() / std - 1) < .02
    assert abs(w.mean()) < std / 50


def test_orthogonal_initializer():
    numpy.random.seed(SEED)
    w = initializers.generate_array(
        initializers.Orthogonal(scale=1), (4, 9), numpy, numpy.float64)
    numpy.testing.assert_allclose(w.dot(w.T), numpy.eye(4), atol=1e-12)


@pytest.mark.parametrize('dtype', [numpy.float32, numpy.float64])
def test_distributions(dtype):
    loc, scale, x = numpy.array(
        [[0, 1, 2], [1, 2, 3], [.5, 1, 4]]).astype(dtype)
    p = numpy.array([[.2, .8], [.7, .3]], dtype)
    normal = distributions.Normal(loc, scale)
    numpy.testing.assert_allclose(
        normal.log_prob(x).array,
        -(x - loc) ** 2 / 2 / scale ** 2 - numpy.log(scale)
        - .5 * math.log(2 * math.pi), rtol=1e-5)
    numpy.testing.assert_allclose(
        chainer.kl_divergence(
            normal, distributions.Normal(loc + 1, scale)).array,
        1 / (2 * scale ** 2), rtol=1e-5)
    numpy.testing.assert_allclose(
        distributions.Categorical(p).log_prob(numpy.array([1, 0])).array,
        numpy.log([.8, .7]), rtol=1e-5)
    numpy.testing.assert_allclose(
        distributions.Bernoulli(p).entropy.array,
        -p * numpy.log(p) - (1 - p) * numpy.log(1 - p), rtol=1e-5)
    numpy.random.seed(SEED)
    assert normal.sample((5,)).dtype == dtype


@pytest.mark.parametrize('dtype', ['u1', 'u2', 'u4', 'u8', 'i1', 'f'])
def test_pad_sequence(dtype):
    xs = [numpy.array(x, dtype) for x in ([1, 2, 3], [4], [])]
    y = F.pad_sequence(xs, padding=-1).array
    # What C makes of -1.
    n_bits = 8 * numpy.dtype(dtype).itemsize
    pad = -1 if dtype in ('i1', 'f') else 2 ** n_bits - 1
    assert y.tolist() == [[1, 2, 3], [4, pad, pad], [pad, pad, pad]]
    assert y.dtype == dtype
