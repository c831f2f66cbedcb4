import tracemalloc
import warnings

import chainer
from chainer import functions as F
from chainer import initializers
from chainer import links as L
from chainer import testing
from chainer.utils import type_check
import numpy
import pytest

from functions_tests import equations
from mixnorm.links import MixtureNormalization


_SEED = 0

# Input shape, size and axis; the channel dimensions are what
# L.BatchNormalization makes of them.
_LAYOUTS = [
    ((8, 3), 3, None), ((6, 3), None, None), ((5, 3, 4), 3, None),
    ((4, 3, 2, 3), None, None), ((2, 3, 2, 3, 2), 3, None),
    ((4, 3, 1, 1), 3, None),
    ((6, 2, 3), (2, 3), None), ((5, 2, 3, 4), (2, 3), None),
    ((4, 2, 3, 2), (2, 3, 2), None),
    ((4, 3, 2, 5), None, (0, 1, 2)), ((4, 3, 2, 5), 5, (0, 1, 2)),
    ((8, 3, 2), None, 0), ((3, 6, 2), None, 1), ((2, 4, 3, 3), 2, (1, 2, 3)),
    ((5, 2, 4, 3), (2, 3), (0, 2)), ((2, 5, 3), None, (1, 2)),
]


def _channel_axes(ndim, size, axis):
    if axis is not None:
        axis = axis if isinstance(axis, tuple) else (axis,)
        return tuple(a for a in range(ndim) if a not in axis)
    return tuple(range(1, 1 + (len(size) if isinstance(size, tuple) else 1)))


def _for_batch_normalization(x, size, axis):
    """``axis`` as L.BatchNormalization, which has no default, takes it."""
    if size is not None or axis is not None:
        return axis
    return (0,) + tuple(range(2, x.ndim))


@testing.parameterize(*testing.product_dict(
    [{'shape': shape, 'size': size, 'axis': axis}
     for shape, size, axis in _LAYOUTS],
    [{'dtype': numpy.float64}]) + testing.product({
        'shape': [(4, 3, 2, 3)], 'size': [3], 'axis': [None],
        'dtype': [numpy.float16, numpy.float32]}))
@testing.inject_backend_tests(None, [{}, {'use_cuda': True}])
class TestOneComponent(testing.LinkTestCase):

    """With one component the posterior is constant, as the graph takes it."""

    param_names = ('gamma', 'beta')
    eps = 1e-2

    def setUp(self):
        # chainer.testing draws its upstream gradients from numpy.random.
        numpy.random.seed(_SEED)
        tolerance = 5e-2 if self.dtype == numpy.float16 else 1e-4
        options = {'rtol': tolerance, 'atol': tolerance}
        self.check_forward_options = options
        self.check_backward_options = options
        self.channel_axes = _channel_axes(
            len(self.shape), self.size, self.axis)

    def generate_params(self):
        channels = tuple(self.shape[a] for a in self.channel_axes)
        return (numpy.random.uniform(.5, 1.5, channels).astype(self.dtype),
                numpy.random.uniform(-1, 1, channels).astype(self.dtype))

    def create_link(self, initializers):
        gamma, beta = initializers
        return MixtureNormalization(
            self.size, n_components=1, axis=self.axis, eps=self.eps, seed=0,
            dtype=self.dtype, initial_gamma=gamma, initial_beta=beta)

    def generate_inputs(self):
        return numpy.random.uniform(-2, 2, self.shape).astype(self.dtype),

    def forward_expected(self, link, inputs):
        x, = (z.astype('d') for z in inputs)
        axes = tuple(a for a in range(x.ndim) if a not in self.channel_axes)
        spread = tuple(n if a in self.channel_axes else 1
                       for a, n in enumerate(x.shape))
        xhat = (x - x.mean(axis=axes, keepdims=True)) / numpy.sqrt(
            x.var(axis=axes, keepdims=True) + self.eps)
        return (link.gamma.array.reshape(spread) * xhat
                + link.beta.array.reshape(spread)).astype(self.dtype),


@testing.parameterize(*testing.product({
    'affine': ['shared', 'component'], 'size': [3, None, (2, 3)]}))
@testing.inject_backend_tests(None, [{}, {'use_cuda': True}])
class TestInitializers(testing.LinkInitializersTestCase):

    param_names = ('gamma', 'beta')

    def setUp(self):
        numpy.random.seed(_SEED)

    def generate_params(self):
        return initializers.Constant(1), initializers.Constant(0)

    def create_link(self, initializers):
        gamma, beta = initializers
        return MixtureNormalization(
            self.size, n_components=2, seed=0, initial_gamma=gamma,
            initial_beta=beta, affine=self.affine)

    def generate_inputs(self):
        shape = (5, 2, 3, 4) if isinstance(self.size, tuple) else (5, 3, 4)
        return numpy.random.uniform(-1, 1, shape).astype('f'),

    def get_initializers(self):
        def default(value):
            return testing.InitializerArgument(None, value)

        return ([initializers.Constant(2), 3, default(1)],
                [initializers.Constant(2), 3, default(0)])


def _outcome(link, x, gy):
    """Output and gradients of a training step."""
    v = chainer.Variable(x)
    link(v)  # So that what is deferred is there.
    link.cleargrads()
    y = link(v)
    y.grad = gy
    y.backward()
    return dict({name: p.grad for name, p in link.namedparams()},
                y=y.array, x=v.grad)


@pytest.mark.parametrize('dtypes', [
    ('d', 'd'), ('f', 'f'), ('e', 'f'), ('e', 'e')], ids=''.join)
@pytest.mark.parametrize(
    'shape,size,axis', _LAYOUTS, ids=[str(layout) for layout in _LAYOUTS])
def test_one_component_is_batch_normalization(shape, size, axis, dtypes):
    x_dtype, dtype = dtypes
    random = numpy.random.RandomState(_SEED)
    x, gy = random.randn(2, *shape).astype(x_dtype)
    channels = tuple(
        shape[a] for a in _channel_axes(x.ndim, size, axis))
    kwargs = {
        'eps': 1e-2, 'dtype': dtype,
        'initial_gamma': random.uniform(.5, 2, channels).astype(dtype),
        'initial_beta': random.randn(*channels).astype(dtype)}
    actual = _outcome(MixtureNormalization(
        size, 1, axis=axis, **kwargs), x, gy)
    expected = _outcome(L.BatchNormalization(
        size, axis=_for_batch_normalization(x, size, axis), **kwargs), x, gy)
    assert sorted(actual) == ['/beta', '/gamma', 'x', 'y']
    tolerance = {'d': 1e-10, 'f': 1e-4, 'e': 3e-2}[x_dtype]
    for name, wanted in expected.items():
        assert actual[name].dtype == wanted.dtype, name
        assert actual[name].shape == wanted.shape, name
        numpy.testing.assert_allclose(
            actual[name], wanted, rtol=tolerance,
            atol=tolerance * (1 + abs(wanted).max()), err_msg=name)


@pytest.mark.parametrize('size', [3, None, (3, 2)])
@pytest.mark.parametrize('use_gamma', [False, True])
@pytest.mark.parametrize('use_beta', [False, True])
def test_without_scale_or_shift(use_gamma, use_beta, size):
    x, gy = numpy.random.RandomState(_SEED).randn(2, 6, 3, 2).astype('f')
    kwargs = {'use_gamma': use_gamma, 'use_beta': use_beta}
    link = MixtureNormalization(size, 1, **kwargs)
    actual = _outcome(link, x, gy)
    expected = _outcome(L.BatchNormalization(
        size, axis=_for_batch_normalization(x, size, None), **kwargs), x, gy)
    assert (link.gamma is not None) == use_gamma
    assert (link.beta is not None) == use_beta
    assert sorted(actual) == sorted(expected)
    for name, wanted in expected.items():
        numpy.testing.assert_allclose(
            actual[name], wanted, rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.parametrize('affine', ['shared', 'inside', 'component'])
@pytest.mark.parametrize('axis,order', [
    ((0, 1, 2), (0, 3, 1, 2)), ((0, 2, 3), (0, 1, 2, 3)),
    ((0, 1, 3), (0, 2, 1, 3)), ((1, 2, 3), (1, 0, 2, 3))])
def test_axis_is_a_transposition(axis, order, affine):
    # ``order`` brings the channels to the second axis.
    random = numpy.random.RandomState(_SEED)
    x = random.randn(5, 4, 3, 6).astype('f')
    kwargs = {'seed': 0, 'affine': affine}
    by_axis = MixtureNormalization(axis=axis, **kwargs)
    plain = MixtureNormalization(x.transpose(order).shape[1], **kwargs)
    for train in (True, True, False):
        with chainer.using_config('train', train):
            numpy.testing.assert_allclose(
                by_axis(x).array.transpose(order),
                plain(x.transpose(order)).array, rtol=1e-5, atol=1e-6)
    for actual, expected in zip(by_axis.queue, plain.queue):
        numpy.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_size_of_several_dimensions_is_one_channel_per_entry():
    x = numpy.random.RandomState(_SEED).randn(16, 2, 3, 5).astype('f')
    both = MixtureNormalization((2, 3), seed=0, affine='component')
    flat = MixtureNormalization(6, seed=0, affine='component')
    assert both.gamma.shape == (3, 2, 3)
    for train in (True, False):
        with chainer.using_config('train', train):
            numpy.testing.assert_allclose(
                both(x).array.reshape(16, 6, 5),
                flat(x.reshape(16, 6, 5)).array, rtol=1e-5, atol=1e-6)
    assert both.queue.means.shape == (1, 3, 2, 3)


def _three_groups(random, shape, weights=(.5, .3, .2)):
    """Points in groups 20 deviations apart, and which group each is in."""
    means = 20 * numpy.array([[0, 1], [1, 0], [-1, -1]])
    deviations = numpy.array([[1, .5], [.3, 1], [.5, 2]])
    labels = random.choice(3, shape[:1] + shape[2:], p=weights)
    x = numpy.moveaxis(means[labels], -1, 1) + numpy.moveaxis(
        deviations[labels], -1, 1) * random.uniform(-1.7, 1.7, shape)
    return x, labels


def _one_hot(labels):
    return numpy.moveaxis(numpy.eye(3)[labels], -1, 1)


@pytest.mark.parametrize('kwargs', [
    {}, {'n_iter': 5}, {'sample_ratio': 1}, {'affine': 'component'},
    {'activation': F.tanh},
    {'activation': F.tanh, 'affine': 'component'},
    {'seeding': 'k-means||'}, {'seeding': 'afk-mc2'}], ids=str)
@pytest.mark.parametrize('shape', [(200, 2), (20, 2, 3, 4)], ids=str)
def test_separate_groups_are_the_components(shape, kwargs):
    # The posterior is the groups' own then, whatever was drawn.
    random = numpy.random.RandomState(_SEED)
    x, labels = _three_groups(random, shape)
    order = (-numpy.bincount(labels.ravel())).argsort()  # The heaviest first.
    tau = _one_hot(labels)[:, order]
    affine = (3, 2) if kwargs.get('affine') == 'component' else (2,)
    gamma = random.uniform(.5, 1.5, affine)
    beta = random.randn(*affine)
    gy = random.randn(*shape)
    link = MixtureNormalization(
        2, seed=1, dtype='d', initial_gamma=gamma, initial_beta=beta,
        **kwargs)
    y = link(x)
    numpy.testing.assert_allclose(
        y.array, equations.mixture_normalization(
            x, gamma, beta, tau, 2e-5,
            numpy.tanh if 'activation' in kwargs else None),
        rtol=1e-6, atol=1e-6)
    assert link.n_effective == 3
    rows = equations.points(x)
    for actual, expected in zip(link.queue, equations.unbiased(
            *equations.statistics(rows, equations.points(tau)), len(rows))):
        numpy.testing.assert_allclose(actual, expected[None], rtol=1e-6)

    if 'activation' not in kwargs:
        actual = _outcome(link, x, gy)
        for name, expected in zip(
                ('x', '/gamma', '/beta'),
                equations.mixture_normalization_gradients(
                    x, gamma, tau, 2e-5, gy)):
            numpy.testing.assert_allclose(
                actual[name], expected, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize('shape,sample_ratio', [
    ((2400000, 2), 1), ((30, 2, 200, 400), .9)], ids=str)
def test_large_batch(shape, sample_ratio):
    # The points of the fit alone are more than is kept in memory twice.
    x, labels = _three_groups(numpy.random.RandomState(_SEED), shape)
    x = x.astype('f')
    link = MixtureNormalization(2, sample_ratio=sample_ratio, seed=1)
    y = link(x).array
    tau = _one_hot(labels)  # By weight: .5, .3, .2.
    part = (slice(0, 1000), slice(None), slice(0, 2))[:x.ndim]
    weights, means, variances = equations.statistics(
        equations.points(x), equations.points(tau))
    numpy.testing.assert_allclose(
        equations.points(y[part]), equations.weighted_sum(
            equations.points(x[part]), numpy.ones(2), numpy.zeros(2),
            equations.points(tau[part]), weights, means, variances, 2e-5),
        rtol=1e-3, atol=1e-3)
    for actual, expected in zip(link.queue, (weights, means, variances)):
        numpy.testing.assert_allclose(
            actual[0], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('n_iter', [2, 3, 4, 5, 7])
def test_iterations_of_a_fit(n_iter):
    # Two groups of points each nearer to all of their own than to any other,
    # so that Lloyd's first iteration finds them from any point of each; their
    # Gaussians overlap, so that every iteration of EM counts.
    x = numpy.repeat([-1., 1., 3.1, 5.1], [30, 30, 20, 20])[:, None]
    random = numpy.random.RandomState(_SEED)
    random.shuffle(x)
    link = MixtureNormalization(
        1, 2, n_iter=n_iter, sample_ratio=1, dtype='d', seed=0)
    y = link(x).array

    total = x.var()
    # n_iter // 2 iterations of Lloyd's, the rest EM; distances and the
    # variances' regularization are in units of the channel's deviation.
    tau = numpy.concatenate([x < 2, x > 2], axis=1).astype('d')
    weights, means, variances = equations.statistics(x, tau)
    variances += 1e-6 * total
    for _ in range(n_iter - n_iter // 2):
        tau = equations.posterior(x, weights, means, variances)
        weights, means, variances = equations.statistics(x, tau)
        variances += 1e-6 * total
    tau = equations.posterior(x, weights, means, variances)
    assert tau.max(axis=1).min() < .999  # No hard assignment.
    numpy.testing.assert_allclose(
        y, equations.mixture_normalization(
            x, numpy.ones(1), numpy.zeros(1), tau, 2e-5), rtol=1e-6)
    numpy.testing.assert_allclose(
        link.queue.weights, tau.mean(axis=0)[None], rtol=1e-6)


def test_one_iteration_is_one_of_em():
    # From the seeds themselves: three distinct points, which K-means++ cannot
    # miss, with equal weights and the variances of the whole.
    x = numpy.repeat([[0., 1.], [2., 0.], [-1., -3.]], [20, 10, 5], axis=0)
    link = MixtureNormalization(
        2, 3, n_iter=1, sample_ratio=1, min_weight=0, dtype='d', seed=0)
    link(x)
    total = x.var(axis=0)
    centers = numpy.array([[0., 1.], [2., 0.], [-1., -3.]])
    tau = equations.posterior(
        x, numpy.ones(3) / 3, centers, numpy.tile((1 + 1e-6) * total, (3, 1)))
    weights, means, variances = equations.statistics(x, tau)
    tau = equations.posterior(x, weights, means, variances + 1e-6 * total)
    tau = tau[:, (-weights).argsort()]
    for actual, expected in zip(link.queue, equations.unbiased(
            *equations.statistics(x, tau), len(x))):
        numpy.testing.assert_allclose(actual, expected[None], rtol=1e-4)


def test_posterior_is_of_all_points_though_a_part_was_drawn():
    # Whatever the posterior: it sums to 1, so the components' moments make
    # up those of the whole.
    x = numpy.random.RandomState(_SEED).randn(40, 3, 5).astype('d') + 2
    for seed in range(5):
        link = MixtureNormalization(3, 4, seed=seed, dtype='d')
        link(x)
        (weights,), (means,), (variances,) = link.queue
        counts = weights[:, None] * 200
        variances *= (counts - 1) / counts
        numpy.testing.assert_allclose(weights.sum(), 1)
        numpy.testing.assert_allclose(
            weights @ means, x.mean(axis=(0, 2)), err_msg=str(seed))
        numpy.testing.assert_allclose(
            weights @ (variances + means ** 2), (x ** 2).mean(axis=(0, 2)),
            err_msg=str(seed))


def test_heaviest_component_comes_first():
    # Of all points, of which the fit sees a quarter.
    random = numpy.random.RandomState(_SEED)
    link = MixtureNormalization(3, 4, seed=0, queue_size=20)
    for _ in range(20):
        link(random.randn(30, 3, 4).astype('f'))
    assert (numpy.diff(link.queue.weights, axis=1) <= 1e-6).all()


def _reveal_posterior(x, **kwargs):
    """The posterior of a link's fit, read from its output.

    With gamma 0 and beta_kc = [c = k], y_k = tau_k / sqrt(lambda_k), whose
    mean is sqrt(lambda_k).
    """
    n_dims = x.shape[1]
    link = MixtureNormalization(
        n_dims, n_dims, affine='component', initial_gamma=0,
        initial_beta=numpy.eye(n_dims), dtype='d', **kwargs)
    y = equations.points(link(x).array)
    return equations.activation(y * y.mean(axis=0), x.shape)


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('shape', [(60, 3), (10, 3, 2, 4)], ids=str)
def test_transform_under_soft_posterior(shape, seed):
    random = numpy.random.RandomState(seed)
    x = numpy.maximum(random.randn(*shape), -.5)
    tau = _reveal_posterior(x, seed=seed)
    numpy.testing.assert_allclose(tau.sum(axis=1), 1)
    assert (tau >= 0).all() and ((tau > .1) & (tau < .9)).any()
    link = MixtureNormalization(3, 3, seed=seed, dtype='d')
    numpy.testing.assert_allclose(
        link(x).array, equations.mixture_normalization(
            x, numpy.ones(3), numpy.zeros(3), tau, 2e-5),
        rtol=1e-6, atol=1e-6)
    rows = equations.points(x)
    for actual, expected in zip(link.queue, equations.unbiased(
            *equations.statistics(rows, equations.points(tau)), len(rows))):
        numpy.testing.assert_allclose(
            actual, expected[None], rtol=1e-6, atol=1e-9)


def test_small_components_are_discarded():
    # Of 1000 points, 5 are far away: a component of weight 0.005.
    random = numpy.random.RandomState(_SEED)
    x = numpy.r_[random.uniform(-1, 1, (600, 1)),
                 random.uniform(9, 11, (395, 1)),
                 random.uniform(99, 101, (5, 1))]
    labels = numpy.repeat([0, 1, 2], [600, 395, 5])
    kept = MixtureNormalization(
        1, 3, sample_ratio=1, min_weight=0, seed=0, dtype='d')
    y = kept(x).array
    assert kept.n_effective == 3
    numpy.testing.assert_allclose(
        y, equations.mixture_normalization(
            x, numpy.ones(1), numpy.zeros(1), _one_hot(labels), 2e-5),
        rtol=1e-6, atol=1e-6)

    # Its points go to the component whose density is greatest there.
    link = MixtureNormalization(1, 3, sample_ratio=1, seed=0, dtype='d')
    y = link(x).array
    assert link.n_effective == 2
    numpy.testing.assert_allclose(
        link.queue.weights, [[.6, .4, 0]], atol=1e-9)
    labels[-5:] = 1
    numpy.testing.assert_allclose(
        y, equations.mixture_normalization(
            x, numpy.ones(1), numpy.zeros(1), _one_hot(labels), 2e-5),
        rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('affine', ['shared', 'inside', 'component'])
@pytest.mark.parametrize('shift', [0, 100])
def test_fewer_points_than_components(affine, shift):
    # A fit draws two of the eight points: of eight components six are absent.
    random = numpy.random.RandomState(_SEED)
    x = chainer.Variable(random.randn(8, 5) + shift)
    link = MixtureNormalization(5, 8, seed=0, dtype='d', affine=affine)
    link.cleargrads()
    y = link(x)
    y.grad = numpy.ones_like(y.array)
    y.backward()
    weights, means, variances = (z[0] for z in link.queue)
    assert link.n_effective == (weights > 0).sum() == 2
    assert means.shape == variances.shape == (8, 5)
    assert not weights[2:].any()
    # Every point is shared out among those that are there.
    numpy.testing.assert_allclose(weights.sum(), 1)
    numpy.testing.assert_allclose(weights @ means, x.array.mean(axis=0))
    counts = numpy.maximum(8 * weights[:, None], 1)
    biased = variances * numpy.maximum(counts - 1, 1) / counts
    numpy.testing.assert_allclose(
        weights @ (biased + means ** 2), (x.array ** 2).mean(axis=0))
    # By (37) with gradients of 1; beta is outside the sum if it is shared.
    inside = numpy.repeat(8 * numpy.sqrt(weights)[:, None], 5, 1)
    numpy.testing.assert_allclose(link.beta.grad, {
        'shared': numpy.full(5, 8.), 'inside': inside.sum(axis=0),
        'component': inside}[affine])
    # All components shift alike: nothing changes with the points.
    numpy.testing.assert_allclose(
        x.grad.sum(axis=0), numpy.zeros(5), atol=1e-10)


def test_n_effective_of_one_distinct_point():
    link = MixtureNormalization(2, 4, seed=0)
    assert link.n_effective is None
    link(numpy.full((8, 2, 3), 5, 'f'))
    assert 1 <= link.n_effective <= 4
    assert type(link.n_effective) is int


@pytest.mark.parametrize('x', [
    numpy.zeros((4, 3, 5)), numpy.full((4, 3, 5), -7.),
    numpy.repeat(numpy.eye(3), 4, 0), numpy.ones((1, 3)),
    numpy.arange(6.).reshape(2, 3),
    numpy.maximum(numpy.random.RandomState(0).randn(50, 3) - 1, 0),
    numpy.c_[numpy.arange(30.), numpy.full(30, 2.), numpy.arange(30.) % 2],
], ids=['zeros', 'constant', 'few distinct', 'one point', 'two points',
        'sparse', 'constant channel'])
@pytest.mark.parametrize('dtype', ['e', 'f', 'd'])
def test_degenerate_batches(x, dtype):
    link = MixtureNormalization(3, 4, seed=0)
    v = chainer.Variable(x.astype(dtype))
    for _ in range(3):
        link.cleargrads()
        y = link(v)
        y.grad = numpy.ones_like(y.array)
        y.backward()
        with chainer.using_config('train', False):
            inferred = link(v)
        for z in (y.array, v.grad, link.gamma.grad, inferred.array,
                  *link.queue):
            assert numpy.isfinite(z).all()
        v.cleargrad()


def test_float32_far_from_the_origin():
    random = numpy.random.RandomState(_SEED)
    x, _ = _three_groups(random, (64, 2, 4, 4))
    x = (1e4 + .4 * x).astype('f')  # Deviations from 0.1.
    double = MixtureNormalization(2, 3, seed=0, dtype='d')
    single = MixtureNormalization(2, 3, seed=0)
    expected = double(x.astype('d')).array
    numpy.testing.assert_allclose(single(x).array, expected, atol=2e-2)
    with chainer.using_config('train', False):
        numpy.testing.assert_allclose(
            single(x).array, double(x.astype('d')).array, atol=2e-2)


@pytest.mark.parametrize('x_dtype', ['e', 'f', 'd'])
@pytest.mark.parametrize('dtype,expected', [
    (None, 'f'), ('e', 'e'), ('f', 'f'), ('d', 'd'),
    (chainer.mixed16, 'f')], ids=str)
def test_dtypes(dtype, expected, x_dtype):
    x, _ = _three_groups(numpy.random.RandomState(_SEED), (8, 2, 6))
    x = (x / 4).astype(x_dtype)
    reference = MixtureNormalization(2, seed=0, dtype='d')
    link = MixtureNormalization(2, seed=0, dtype=dtype)
    assert link.gamma.dtype == link.beta.dtype == expected
    v = chainer.Variable(x)
    y = link(v)
    F.sum(y).backward()
    assert y.dtype == v.grad.dtype == x_dtype
    assert link.gamma.grad.dtype == expected
    # Statistics are never kept in half precision.
    assert all(z.dtype == ('d' if expected == 'd' else 'f')
               for z in link.queue)
    tolerance = 2e-2 if 'e' in (x_dtype, expected) else 1e-3
    wanted = reference(x.astype('d'))
    numpy.testing.assert_allclose(
        y.array, wanted.array, rtol=tolerance, atol=tolerance)
    with chainer.using_config('train', False):
        y, wanted = link(x), reference(x.astype('d'))
    assert y.dtype == x_dtype
    numpy.testing.assert_allclose(
        y.array, wanted.array, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize('dtype,parameters', [
    (chainer.mixed16, 'f'), (numpy.float16, 'e'), (numpy.float64, 'd')])
def test_configured_dtype(dtype, parameters):
    with chainer.using_config('dtype', dtype):
        link = MixtureNormalization(2, seed=0)
        sequence = chainer.Sequential(
            L.Linear(3, 2), link, F.relu, L.Linear(2, 1))
        x = numpy.random.RandomState(_SEED).randn(9, 3).astype(
            chainer.get_dtype())
        y = sequence(x)
        sequence.cleargrads()
        F.sum(y).backward()
    assert link.gamma.dtype == parameters
    assert y.dtype == x.dtype
    assert numpy.isfinite(link.gamma.grad).all()


def test_double_backward():
    # As a gradient penalty needs it; numbers are the function's own tests'.
    x = numpy.random.RandomState(_SEED).randn(12, 3, 2)
    for n_components in (1, 3):
        v = chainer.Variable(x)
        link = MixtureNormalization(3, n_components, seed=0, dtype='d')
        gx, = chainer.grad([F.sum(link(v) ** 3)], [v],
                           enable_double_backprop=True)
        link.cleargrads()
        v.cleargrad()
        F.sum(gx ** 2).backward()
        assert v.grad.shape == x.shape
        if n_components == 1:
            w = chainer.Variable(x)
            bn = L.BatchNormalization(3, dtype='d')
            gw, = chainer.grad([F.sum(bn(w) ** 3)], [w],
                               enable_double_backprop=True)
            bn.cleargrads()
            F.sum(gw ** 2).backward()
            numpy.testing.assert_allclose(v.grad, w.grad, rtol=1e-8)
            numpy.testing.assert_allclose(
                link.gamma.grad, bn.gamma.grad, rtol=1e-8)


def test_input_is_not_modified():
    x = numpy.random.RandomState(_SEED).randn(8, 3, 4).astype('f')
    before = x.copy()
    x.flags.writeable = False
    for inference in ('parameters', 'samples'):
        link = MixtureNormalization(3, seed=0, inference=inference)
        link(x)
        with chainer.using_config('train', False):
            link(x)
    numpy.testing.assert_array_equal(x, before)


def test_noncontiguous_input():
    wide = numpy.random.RandomState(_SEED).randn(8, 5, 3, 4).astype('f')
    x = wide[::2].transpose(0, 2, 3, 1)[..., ::-1]
    assert not x.flags.c_contiguous and not x.flags.f_contiguous
    numpy.testing.assert_allclose(
        MixtureNormalization(3, seed=0)(x).array,
        MixtureNormalization(3, seed=0)(x.copy()).array,
        rtol=1e-5, atol=1e-6)


def test_input_and_gradient_without_memory_of_their_own():
    # What F.broadcast_to makes: strides of 0.
    random = numpy.random.RandomState(_SEED)
    for shape, axis in (((8, 3, 4), 2), ((8, 3, 4), 0), ((8, 3), 1),
                        ((8, 3, 4, 5), 3)):
        few = list(shape)
        few[axis] = 1
        x = numpy.broadcast_to(random.randn(*few).astype('f'), shape)
        gy = numpy.broadcast_to(random.randn(*few).astype('f'), shape)
        links = [MixtureNormalization(3, seed=0) for _ in range(2)]
        actual = _outcome(links[0], x, gy)
        expected = _outcome(links[1], x.copy(), gy.copy())
        for name, value in expected.items():
            numpy.testing.assert_allclose(
                actual[name], value, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize('shape', [
    (64, 32, 12, 12), (9000, 24), (2, 3, 200, 150)], ids=str)
def test_number_of_threads_changes_nothing(shape, monkeypatch):
    random = numpy.random.RandomState(_SEED)
    x, gy = random.randn(2, *shape).astype('f')
    outcomes = []
    for n in ('1', '3'):
        monkeypatch.setenv('OMP_NUM_THREADS', n)
        link = MixtureNormalization(shape[1], seed=0)
        outcome = _outcome(link, x, gy)
        with chainer.using_config('train', False):
            outcome['inferred'] = link(x).array
        outcomes.append(outcome)
    for name, value in outcomes[0].items():
        numpy.testing.assert_array_equal(outcomes[1][name], value, name)


def test_input_needs_no_gradient():
    x = numpy.random.RandomState(_SEED).randn(8, 3, 4).astype('f')
    needed = chainer.Variable(x)
    for v in (x, needed, chainer.Variable(x, requires_grad=False)):
        link = MixtureNormalization(3, seed=0)
        link.cleargrads()
        F.sum(link(v) ** 2).backward()
        assert numpy.isfinite(link.gamma.grad).all()
        if v is not x and v is not needed:
            assert v.grad is None
    assert needed.grad is not None


def test_no_backprop_mode():
    x = numpy.random.RandomState(_SEED).randn(8, 3, 4).astype('f')
    link, other = (MixtureNormalization(3, seed=0) for _ in range(2))
    with chainer.no_backprop_mode():
        y = link(x)
        numpy.testing.assert_array_equal(y.array, other(x).array)
    assert y.creator is None
    assert len(link.queue.weights) == 1


def test_seeds():
    x = numpy.random.RandomState(_SEED).randn(50, 3).astype('f')

    def outputs(seed, n=2):
        link = MixtureNormalization(3, 4, seed=seed)
        return numpy.stack([link(x).array for _ in range(n)])

    numpy.testing.assert_array_equal(outputs(0), outputs(0))
    first, second = outputs(0)
    assert abs(first - second).max() > 1e-3  # Fresh draws for every batch.
    assert abs(outputs(1)[0] - first).max() > 1e-3


def test_unseeded_link_follows_numpys_seed():
    x = numpy.random.RandomState(_SEED).randn(50, 3).astype('f')

    def outputs(seed):
        numpy.random.seed(seed)
        links = [MixtureNormalization(3, 4) for _ in range(2)]
        assert links[0].seed != links[1].seed
        return numpy.stack([link(x).array for link in links])

    numpy.testing.assert_array_equal(outputs(0), outputs(0))
    assert abs(outputs(0) - outputs(1)).max() > 1e-3


def test_fits_leave_numpys_generator_alone():
    link = MixtureNormalization(3, seed=0)
    numpy.random.seed(0)
    expected = numpy.random.rand()
    numpy.random.seed(0)
    link(numpy.eye(3, dtype='f'))
    assert numpy.random.rand() == expected


def test_repr_says_what_it_was_built_with():
    link = MixtureNormalization(
        3, 4, n_iter=6, sample_ratio=.5, min_weight=.02, queue_size=7,
        queue_decay=.8, inference='samples', activation=F.relu,
        affine='component', seed=11, eps=1e-3, dtype='d', use_beta=False,
        axis=(0, 2), seeding='afk-mc2')
    for spec in ('size=(3,)', 'n_components=4', 'n_iter=6',
                 'sample_ratio=0.5', 'min_weight=0.02', 'queue_size=7',
                 'queue_decay=0.8', 'inference=samples', 'activation=relu',
                 'affine=component', 'seed=11', 'eps=0.001',
                 'dtype=float64', 'use_gamma=True', 'use_beta=False',
                 'axis=(0, 2)', 'seeding=afk-mc2'):
        assert spec in repr(link), spec
    assert repr(link) == str(link)
    assert 'size=None' in repr(MixtureNormalization())


def test_arguments_in_the_documented_order():
    by_place = MixtureNormalization(
        None, 4, 6, .5, .02, 7, .8, 'samples', F.relu, 'component', 11, 1e-3,
        'd', False, True, None, 2, (0, 2))
    by_name = MixtureNormalization(
        size=None, n_components=4, n_iter=6, sample_ratio=.5,
        min_weight=.02, queue_size=7, queue_decay=.8, inference='samples',
        activation=F.relu, affine='component', seed=11, eps=1e-3,
        dtype='d', use_gamma=False, use_beta=True, initial_gamma=None,
        initial_beta=2, axis=(0, 2))
    assert repr(by_place) == repr(by_name)


@testing.attr.gpu
@pytest.mark.parametrize('kwargs', [
    {}, {'n_iter': 6, 'n_components': 5}, {'inference': 'samples'},
    {'affine': 'component'}, {'activation': F.relu},
    {'sample_ratio': 1}, {'seeding': 'k-means||'}, {'seeding': 'afk-mc2'}],
    ids=str)
@pytest.mark.parametrize('dtype', ['e', 'f', 'd'])
@pytest.mark.parametrize('shape', [(200, 3), (16, 3, 8, 9)], ids=str)
def test_gpu_gives_the_same_numbers(shape, dtype, kwargs):
    cpu, gpu = (chainer.get_device(name) for name in ('@numpy', '@cupy:0'))
    random = numpy.random.RandomState(_SEED)
    x = (numpy.maximum(random.randn(3, *shape), -.3) + 2).astype(dtype)
    gy = random.randn(*shape).astype(dtype)
    # Statistics of the same precision as the input's, or better.
    links = [MixtureNormalization(
        3, seed=0, dtype='d' if dtype == 'd' else 'f', **kwargs).to_device(
            device) for device in (cpu, gpu)]
    tolerance = {'e': 2e-2, 'f': 1e-3, 'd': 1e-8}[dtype]

    def assert_same(actual, expected, name):
        numpy.testing.assert_allclose(
            cpu.send(actual), expected, rtol=tolerance, atol=tolerance,
            err_msg=name)

    for batch in x:
        expected, actual = (
            _outcome(link, device.send(batch), device.send(gy))
            for link, device in zip(links, (cpu, gpu)))
        for name, value in expected.items():
            assert_same(actual[name], value, name)
        assert links[0].n_effective == links[1].n_effective
    with chainer.using_config('train', False):
        assert_same(links[1](gpu.send(x[0])).array, links[0](x[0]).array,
                    'inferred')
        for name, actual, expected in zip(
                links[0].queue._fields, links[1].queue, links[0].queue):
            assert_same(actual, expected, name)
        # And after a move to the other device.
        links[1].to_device(cpu)
        assert_same(links[1](x[0]).array, links[0](x[0]).array, 'moved')


class _Model(chainer.Chain):

    def __init__(self, normalizer):
        super().__init__()
        with self.init_scope():
            self.conv = L.Convolution2D(1, 6, 3, pad=1)
            self.norm = normalizer
            self.linear = L.Linear(None, 2)

    def forward(self, x):
        return self.linear(F.average_pooling_2d(
            F.relu(self.norm(self.conv(x))), 4))


@pytest.mark.parametrize('kwargs', [
    {}, {'inference': 'samples'}, {'affine': 'component'},
    {'activation': F.relu}], ids=str)
def test_model_learns(kwargs):
    # Left or right: which half is brighter.
    numpy.random.seed(_SEED)
    random = numpy.random.RandomState(_SEED)
    x = random.randn(64, 1, 8, 8).astype('f')
    t = random.randint(2, size=64).astype('i')
    x[t == 0, :, :, :4] += 1
    x[t == 1, :, :, 4:] += 1
    model = _Model(MixtureNormalization(seed=0, **kwargs))
    optimizer = chainer.optimizers.Adam(.01).setup(model)
    losses = []
    for _ in range(25):
        loss = F.softmax_cross_entropy(model(x), t)
        model.cleargrads()
        loss.backward()
        optimizer.update()
        losses.append(float(loss.array))
    assert losses[-1] < .5 * losses[0], losses
    with chainer.using_config('train', False):
        accuracy = F.accuracy(model(x), t).array
    assert accuracy > .8


testing.run_module(__name__, __file__)


@pytest.mark.parametrize('affine', ['shared', 'inside', 'component'])
def test_memory_beyond_input_output_and_posterior(affine):
    x = numpy.random.RandomState(_SEED).randn(10, 1, 512, 512).astype('f')
    link = MixtureNormalization(
        1, 5, seed=0, affine=affine)
    tracemalloc.start()
    try:
        link(x)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    posterior = 5 * x.nbytes
    assert most < x.nbytes + posterior + (40 << 20)
    assert posterior > 40 << 20  # A second one would be seen.


# Bad input


def _batch(shape=(12, 3, 4), dtype='f', seed=_SEED):
    return numpy.random.RandomState(seed).randn(*shape).astype(dtype)


def _infer(link, x):
    with chainer.using_config('train', False):
        return link(x).array


@pytest.mark.parametrize('name,bad,allowed', [
    ('size', (0, -1, 2.5, True, '3', [3, 4], (3, 0), (3, 2.)),
     'None, a positive integer or a tuple of them'),
    ('n_components', (0, -1, 2.5, True, None), 'integer of at least 1'),
    ('n_iter', (0, -2, 1.5, None), 'integer of at least 1'),
    ('sample_ratio', (0, -.1, 1.01, float('nan'), '1', None), r'\(0, 1\]'),
    ('min_weight', (-.1, 1, float('nan'), None), r'\[0, 1\)'),
    ('queue_size', (0, -1, 2.5, None), 'integer of at least 1'),
    ('queue_decay', (0, -.5, 1.5, float('nan')), r'\(0, 1\]'),
    ('inference', ('queue', None, 1, ['samples']),
     "'parameters' or 'samples'"),
    ('activation', ('relu', 3), 'None or a function'),
    ('affine', ('no', 1, None, True), "'shared' or 'inside' or 'component'"),
    ('seed', (-1, 1.5, 'a', True), 'integer of at least 0'),
    ('seeding', ('random', None, 1), "'k-means\\+\\+' or .* or 'afk-mc2'"),
    ('eps', (-1e-5, float('nan'), float('inf'), None), r'\[0, inf\)'),
    ('dtype', ('i', numpy.int32, bool, complex), 'floating'),
    ('axis', (-1, (0, -1), (2, 0), (0, 0), (), 1.5, 'a', True),
     'None, an axis from 0 or a tuple'),
])
def test_bad_arguments(name, bad, allowed):
    for value in bad:
        with pytest.raises(
                ValueError, match=f'{name} is .*{allowed}'):
            MixtureNormalization(**dict({'size': 3}, **{name: value}))


def test_unknown_arguments():
    with pytest.raises(TypeError, match='n_component'):
        MixtureNormalization(3, n_component=3)
    with pytest.raises(TypeError, match='tune'):
        MixtureNormalization(3)(_batch(), tune=True)
    with pytest.raises(ValueError, match='test argument is not supported'):
        MixtureNormalization(3)(_batch(), test=True)


def test_numbers_of_numpys_types():
    link = MixtureNormalization(
        numpy.int64(3), numpy.int32(2), numpy.int8(3), numpy.float32(.5),
        numpy.float64(.01), numpy.int64(4), numpy.float32(.5),
        seed=numpy.int64(3), eps=numpy.float32(1e-4),
        axis=(numpy.int64(0), numpy.int64(2)))
    for train in (True, False):
        with chainer.using_config('train', train):
            assert link(_batch()).dtype == numpy.float32


@pytest.mark.parametrize('kwargs,shape,dtype', [
    ({'size': 3}, (12, 4, 4), 'f'),  # Another number of channels.
    ({'size': 3}, (12, 1, 4), 'f'),
    ({'size': 3}, (12,), 'f'),  # Too few axes.
    ({'size': 3}, (), 'f'),
    ({'size': None}, (12,), 'f'),
    ({'size': (3, 4)}, (12, 3), 'f'),
    ({'size': (3, 4)}, (12, 3, 5), 'f'),
    ({'size': (3, 4)}, (12, 4, 3), 'f'),  # As many, but not those.
    ({'size': 3}, (12, 3, 4), 'i'),  # Not floating.
    ({'size': 3}, (12, 3, 4), '?'),
    ({'size': None}, (12, 3, 4), 'l'),
    ({'size': 3}, (0, 3, 4), 'f'),  # No point.
    ({'size': 3}, (12, 3, 0), 'f'),
    ({'size': 3, 'axis': (0, 2)}, (12, 4, 4), 'f'),
    ({'size': 3, 'axis': (0, 2)}, (12, 3), 'f'),
    ({'size': 3, 'axis': (0, 2)}, (12, 3, 4, 5), 'f'),
    ({'axis': (0, 2)}, (12, 3), 'f'),
], ids=str)
def test_type_errors(kwargs, shape, dtype):
    link = MixtureNormalization(seed=0, **kwargs)
    size = link.size
    with pytest.raises(type_check.InvalidType):
        link(numpy.ones(shape, dtype))
    # Nothing was kept of it.
    assert link.size == size
    assert link.n_fits == 0 and link.n_effective is None
    for name in ('queue_factors', 'samples'):
        value = getattr(link, name, None)
        assert value is None or not value.any()


@pytest.mark.parametrize('inference', ['parameters', 'samples'])
def test_wrong_channels_after_training(inference):
    link = MixtureNormalization(seed=0, inference=inference)
    link(_batch())
    expected = _infer(link, _batch())
    for train in (True, False):
        with chainer.using_config('train', train):
            with pytest.raises(type_check.InvalidType):
                link(_batch((12, 4, 4)))
    numpy.testing.assert_array_equal(_infer(link, _batch()), expected)


def _spoilt(n_bad=2):
    x = _batch(seed=1)
    x[3, 1, 2] = numpy.nan
    x[5, 0, 0] = numpy.inf
    if n_bad == 3:
        x[5, 0, 1] = -numpy.inf
    return x


_SPOILT = [
    _spoilt(), _spoilt(3), numpy.full((12, 3, 4), numpy.nan, 'f'),
    numpy.full((12, 3, 4), numpy.inf, 'f'),
    # Finite, with moments that are not.
    numpy.where(_batch(seed=1) > 0, 3e38, -3e38).astype('f')]


@pytest.mark.filterwarnings('ignore::RuntimeWarning')
@pytest.mark.parametrize('x', _SPOILT, ids=[
    'a few', 'with -inf', 'nan', 'inf', 'overflow'])
@pytest.mark.parametrize('kwargs', [
    {}, {'inference': 'samples'}, {'n_components': 1}, {'n_iter': 1},
    {'activation': F.relu}, {'seeding': 'k-means||'},
    {'seeding': 'afk-mc2'}], ids=str)
def test_queue_is_never_poisoned(kwargs, x):
    if kwargs.get('inference') == 'samples' and numpy.isfinite(x).all():
        pytest.skip('the sample queue keeps values, which are finite')
    good = [_batch(seed=s) for s in range(2, 5)]
    link = MixtureNormalization(3, seed=0, **kwargs)
    for finetune in (False, True):
        link(good[0])
        link(good[1])
        before = _infer(link, good[2])
        queue = [z.copy() for z in link.queue]
        y = link(chainer.Variable(x), finetune=finetune)
        assert y.shape == x.shape
        for name, old, new in zip(link.queue._fields, queue, link.queue):
            numpy.testing.assert_array_equal(new, old, name)
        numpy.testing.assert_array_equal(_infer(link, good[2]), before)
        # Training goes on.
        assert numpy.isfinite(link(good[2]).array).all()
        assert numpy.isfinite(_infer(link, good[2])).all()


@pytest.mark.filterwarnings('ignore::RuntimeWarning')
@pytest.mark.parametrize('inference', ['parameters', 'samples'])
@pytest.mark.parametrize('size', [3, None])
def test_first_batch_is_spoilt(size, inference):
    link = MixtureNormalization(size, seed=0, inference=inference)
    y = link(_spoilt())
    # As batch normalization says it: there, too, one bad value is enough.
    assert not numpy.isfinite(y.array).all()
    with pytest.raises(RuntimeError, match='mini-batch of finite '):
        _infer(link, _batch())
    link(_batch())
    assert numpy.isfinite(_infer(link, _batch())).all()


@pytest.mark.filterwarnings('ignore::RuntimeWarning')
def test_spoilt_points_spoil_only_themselves_in_inference():
    link = MixtureNormalization(3, seed=0)
    link(_batch())
    x = _spoilt()
    y = _infer(link, x)
    bad = ~numpy.isfinite(x).all(axis=1)
    good = numpy.moveaxis(y, 1, -1)[~bad]
    expected = numpy.moveaxis(
        _infer(link, numpy.where(numpy.isfinite(x), x, 0)), 1, -1)[~bad]
    numpy.testing.assert_allclose(good, expected, rtol=1e-5, atol=1e-6)
    assert not numpy.isfinite(numpy.moveaxis(y, 1, -1)[bad]).all()


@pytest.mark.parametrize('train', [True, False])
@pytest.mark.parametrize('inference', ['parameters', 'samples'])
def test_debug_mode_counts_bad_values(inference, train):
    model = chainer.Sequential(L.Linear(3, 3), MixtureNormalization(
        3, seed=0, inference=inference))
    link = model[1]
    link(_batch())
    n_fits, queue = link.n_fits, [z.copy() for z in link.queue]
    with chainer.using_config('train', train), \
            chainer.using_config('debug', True), warnings.catch_warnings():
        warnings.simplefilter('error')
        for x, n_bad in ((_spoilt(), 2), (_spoilt(3), 3)):
            with pytest.raises(ValueError, match=(
                    f'MixtureNormalization.*holds {n_bad} of 144 values that '
                    'are not finite')):
                link(x)
        link(_batch())
    if not train:
        assert link.n_fits == n_fits
        for old, new in zip(queue, link.queue):
            numpy.testing.assert_array_equal(old, new)


def test_debug_mode_names_the_link():
    class Model(chainer.Chain):
        def __init__(self):
            super().__init__()
            with self.init_scope():
                self.third_norm = MixtureNormalization()

    model = Model()
    with chainer.using_config('debug', True):
        with pytest.raises(ValueError, match='third_norm'):
            model.third_norm(_spoilt())
    # A deferred link has not taken its size from what was refused.
    assert model.third_norm.size is None
    assert model.third_norm(_batch((12, 5))).shape == (12, 5)


def test_debug_mode_passes_good_batches():
    with chainer.using_config('debug', True):
        link = MixtureNormalization(3, seed=0)
        v = chainer.Variable(_batch())
        link.cleargrads()
        F.sum(link(v) ** 2).backward()
        assert numpy.isfinite(v.grad).all()
        _infer(link, _batch())


@pytest.mark.parametrize('kwargs', [
    {}, {'activation': F.relu}, {'affine': 'component'},
    {'n_components': 8, 'min_weight': .1}, {'inference': 'samples'}],
    ids=str)
@pytest.mark.parametrize('x', [
    _batch(), numpy.zeros((12, 3, 4), 'f'),
    numpy.maximum(_batch((50, 3)), 0), _batch((1, 3)),
    _batch(dtype='e')], ids=['plain', 'zeros', 'rectified', 'one', 'half'])
def test_good_batches_give_no_warning(x, kwargs):
    # A user's ``-W error`` is not tripped by absent or empty components.
    link = MixtureNormalization(3, seed=0, **kwargs)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        v = chainer.Variable(x)
        link.cleargrads()
        F.sum(link(v) ** 2).backward()
        _infer(link, x)
