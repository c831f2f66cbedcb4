"""What changes nothing, over many inputs (section 5 of the method)."""
import chainer
from chainer import functions as F
import hypothesis
from hypothesis import strategies
from hypothesis.extra import numpy as arrays
import numpy

import mixnorm
from functions_tests import equations
from mixnorm.links import MixtureNormalization


# The same examples on every run.
_stable = hypothesis.settings(
    derandomize=True, database=None, deadline=None, max_examples=40,
    print_blob=True)

_SHAPES = strategies.one_of(
    strategies.tuples(strategies.integers(8, 40), strategies.integers(1, 5)),
    strategies.tuples(strategies.integers(2, 8), strategies.integers(1, 4),
                      strategies.integers(2, 6)),
    strategies.tuples(strategies.integers(2, 6), strategies.integers(1, 4),
                      strategies.integers(1, 4), strategies.integers(2, 3)))
_SEEDS = strategies.integers(0, 10000)


def _activations(random, shape, n_groups=3):
    groups = 2 * random.randn(n_groups, shape[1])
    labels = random.randint(n_groups, size=shape[:1] + shape[2:])
    return numpy.moveaxis(groups[labels], -1, 1) + random.randn(*shape)


def _problem(shape, n_components, per_component, seed):
    """Input of the functions: x, gamma, beta, posterior."""
    random = numpy.random.RandomState(seed)
    tau = random.uniform(0, 1, (shape[0], n_components) + shape[2:]) ** 2
    affine = (n_components,) if per_component else ()
    gamma, beta = random.randn(2, *affine + shape[1:2])
    return (_activations(random, shape), gamma, beta,
            tau / tau.sum(axis=1, keepdims=True))


def _queue(random, n_entries, n_components, n_channels):
    weights = random.uniform(.1, 1, (n_entries, n_components))
    means = 2 * random.randn(n_entries, n_components, n_channels)
    variances = random.uniform(.3, 2, means.shape)
    factors = random.uniform(.1, 1, n_entries)
    return (weights / weights.sum(axis=1, keepdims=True), means, variances,
            factors / factors.sum())


def _spread(channels, ndim):
    return channels.reshape((1, -1) + (1,) * (ndim - 2))


@_stable
@hypothesis.given(_SHAPES, strategies.integers(1, 4), strategies.booleans(),
                  _SEEDS)
def test_permuting_samples_permutes_outputs(
        shape, n_components, per_component, seed):
    x, gamma, beta, tau = _problem(shape, n_components, per_component, seed)
    random = numpy.random.RandomState(seed)
    order = random.permutation(shape[0])
    f = mixnorm.functions.mixture_normalization
    numpy.testing.assert_allclose(
        f(x[order], gamma, beta, tau[order]).array,
        f(x, gamma, beta, tau).array[order], rtol=1e-7, atol=1e-8)
    queue = _queue(random, 3, n_components, shape[1])
    f = mixnorm.functions.fixed_mixture_normalization
    numpy.testing.assert_allclose(
        f(x[order], gamma, beta, *queue).array,
        f(x, gamma, beta, *queue).array[order], rtol=1e-7, atol=1e-8)


@_stable
@hypothesis.given(_SHAPES, strategies.integers(1, 4), strategies.booleans(),
                  _SEEDS)
def test_permuting_components_changes_nothing(
        shape, n_components, per_component, seed):
    x, gamma, beta, tau = _problem(shape, n_components, per_component, seed)
    random = numpy.random.RandomState(seed)
    order = random.permutation(n_components)
    affine = ((gamma[order], beta[order]) if per_component
              else (gamma, beta))
    f = mixnorm.functions.mixture_normalization
    numpy.testing.assert_allclose(
        f(x, *affine, tau[:, order]).array,
        f(x, gamma, beta, tau).array, rtol=1e-7, atol=1e-8)
    weights, means, variances, factors = _queue(
        random, 3, n_components, shape[1])
    f = mixnorm.functions.fixed_mixture_normalization
    expected = f(x, gamma, beta, weights, means, variances, factors).array
    numpy.testing.assert_allclose(
        f(x, *affine, weights[:, order], means[:, order],
          variances[:, order], factors).array,
        expected, rtol=1e-7, atol=1e-8)
    # Nor does the order of the entries.
    order = random.permutation(3)
    numpy.testing.assert_allclose(
        f(x, gamma, beta, weights[order], means[order], variances[order],
          factors[order]).array, expected, rtol=1e-7, atol=1e-8)


@_stable
@hypothesis.given(_SHAPES, strategies.integers(1, 4), _SEEDS,
                  strategies.floats(-100, 100))
def test_shifting_a_channel_changes_nothing(
        shape, n_components, seed, shift):
    # Of the link: fit, posterior, transform; and of inference after it.
    x = _activations(numpy.random.RandomState(seed), shape)
    moved = x.copy()
    moved[:, seed % shape[1]] += shift
    links = [MixtureNormalization(
        shape[1], n_components, seed=seed, dtype='d') for _ in range(2)]
    for train in (True, True, False):
        with chainer.using_config('train', train):
            numpy.testing.assert_allclose(
                links[1](moved).array, links[0](x).array,
                rtol=1e-5, atol=1e-5)


@_stable
@hypothesis.given(_SHAPES, strategies.integers(1, 4), _SEEDS,
                  strategies.floats(1e-3, 1e3))
def test_scaling_a_channel_changes_nothing_but_for_eps(
        shape, n_components, seed, scale):
    x = _activations(numpy.random.RandomState(seed), shape)
    scaled = x.copy()
    scaled[:, seed % shape[1]] *= scale
    links = [MixtureNormalization(
        shape[1], n_components, seed=seed, dtype='d', eps=0,
        # A single point has no deviation to be divided by.
        min_weight=.3) for _ in range(2)]
    for train in (True, True, False):
        with chainer.using_config('train', train):
            expected = links[0](x).array
            variances = links[0].queue.variances
            hypothesis.assume(
                (variances[links[0].queue.weights > 0] > 1e-6).all())
            numpy.testing.assert_allclose(
                links[1](scaled).array, expected, rtol=1e-5, atol=1e-5)


@_stable
@hypothesis.given(_SHAPES, _SEEDS)
def test_output_has_the_moments_of_its_components(shape, seed):
    # sum_i y_i = 0; and K = 1 has variance 1.
    x = _activations(numpy.random.RandomState(seed), shape)
    axes = (0,) + tuple(range(2, len(shape)))
    for n_components in (1, 3):
        y = MixtureNormalization(
            shape[1], n_components, seed=seed, dtype='d', eps=1e-12
        )(x).array
        numpy.testing.assert_allclose(y.mean(axis=axes), 0, atol=1e-6)
        if n_components == 1:
            numpy.testing.assert_allclose(y.var(axis=axes), 1, rtol=1e-6)


@_stable
@hypothesis.given(_SHAPES, strategies.integers(1, 4), _SEEDS)
def test_gradient_is_orthogonal_to_what_changes_nothing(
        shape, n_components, seed):
    # Shifts of a channel, and of its scale: in all gradients of x, with the
    # posterior held fixed.
    x, gamma, beta, tau = _problem(shape, n_components, False, seed)
    v = chainer.Variable(x)
    y = mixnorm.functions.mixture_normalization(
        v, gamma, beta, tau, eps=1e-12)
    y.grad = numpy.random.RandomState(seed).randn(*shape)
    y.backward()
    axes = (0,) + tuple(range(2, len(shape)))
    size = abs(v.grad).sum(axis=axes) * (1 + abs(x).max())
    assert (abs(v.grad.sum(axis=axes)) < 1e-8 * size + 1e-10).all()
    assert (abs((v.grad * x).sum(axis=axes)) < 1e-6 * size + 1e-10).all()


@_stable
@hypothesis.given(
    strategies.sampled_from(['e', 'f', 'd']).flatmap(
        lambda dtype: arrays.arrays(
            dtype, arrays.array_shapes(
                min_dims=2, max_dims=4, min_side=1, max_side=5),
            elements=strategies.floats(-1000, 1000, width=16))),
    strategies.integers(1, 4),
    strategies.sampled_from(['shared', 'inside', 'component']),
    strategies.sampled_from(['parameters', 'samples', 'warm']), _SEEDS)
def test_finite_input_gives_finite_output(
        x, n_components, affine, inference, seed):
    link = MixtureNormalization(
        x.shape[1], n_components, affine=affine, seed=seed,
        **{'warm_start': True} if inference == 'warm' else {
            'inference': inference})
    for _ in range(2 * (inference == 'warm')):
        link(x)
    v = chainer.Variable(x)
    link.cleargrads()
    y = link(v)
    F.sum(y).backward()
    assert y.dtype == v.grad.dtype == x.dtype
    assert numpy.isfinite(y.array).all()
    assert numpy.isfinite(link.gamma.grad).all()
    with chainer.using_config('train', False):
        assert numpy.isfinite(link(x).array).all()
    weights, means, variances = (z[0] for z in link.queue)
    numpy.testing.assert_allclose(weights.sum(), 1, rtol=1e-5)
    assert (variances >= 0).all()
    assert 1 <= link.n_effective <= n_components
    # Shares of all the points: their mean is that of the means.
    numpy.testing.assert_allclose(
        weights @ means, equations.points(x).mean(axis=0),
        rtol=1e-3, atol=1e-2)
