"""The CUDA kernels against NumPy in float64.

Every test runs on the CPU through cuda_on_cpu.h where there is a C++
compiler, and on a GPU where there is one.
"""
import chainer
import numpy
import pytest

from mixnorm import compute
from mixnorm.compute import gpu
from mixnorm.compute.parameters import Parameters
from mixnorm.links import MixtureNormalization


# Shape (B, C, L), components, dtype, order of memory, and how many blocks
# share the points at most.
_CASES = [
    ((1, 1, 1), 1, 'float32', 'contiguous', 512),
    ((1, 1, 130), 3, 'float64', 'contiguous', 512),
    ((5, 3, 1), 2, 'float32', 'contiguous', 512),
    ((1, 37, 300), 3, 'float32', 'channels last', 512),
    ((1, 7, 301), 16, 'float16', 'channels last', 512),
    ((3, 5, 49), 4, 'float32', 'strided', 512),
    ((9, 2, 3), 5, 'float64', 'strided', 512),
    ((4, 65, 16), 8, 'float16', 'contiguous', 512),
    ((2, 130, 17), 16, 'float32', 'contiguous', 512),
    ((3, 33, 2), 1, 'float16', 'strided', 512),
    ((1, 600, 40), 3, 'float32', 'contiguous', 512),
    ((2, 290, 9), 16, 'float64', 'channels last', 512),
    ((70, 3, 40), 3, 'float32', 'contiguous', 512),
    ((3, 9, 300), 3, 'float32', 'contiguous', 2),
    ((1, 130, 500), 6, 'float16', 'channels last', 3),
    ((2, 3, 700), 16, 'float64', 'contiguous', 1),
    ((1, 700, 100), 2, 'float32', 'contiguous', 2),
]


def _name(arguments):
    return '{}-{}-{}-{}-{}'.format(
        'x'.join(map(str, arguments[0])), *arguments[1:])


@pytest.fixture(params=_CASES, ids=_name)
def case(request, monkeypatch):
    *arguments, n_blocks = request.param
    monkeypatch.setattr(gpu, '_BLOCKS', n_blocks)
    return _Case(*arguments)


class _Case:

    """Points in loose groups, a mixture that may be theirs, and a posterior.

    The generator's seed is fixed: a failure is one of the case's name.

    """

    def __init__(self, shape, n_components, dtype, layout='contiguous',
                 seed=0):
        self.random = random = numpy.random.RandomState(seed)
        self.layout = layout
        n_batch, n_dims, length = shape
        groups = 2 * random.randn(n_components, n_dims)
        number = random.randint(n_components, size=(n_batch, length))
        x = groups[number].transpose(0, 2, 1) + random.randn(*shape)
        self.x = x.astype(dtype)
        self.working = numpy.promote_types(dtype, 'float32')
        self.parameters = self.mixture(groups)
        self.tau = random.dirichlet(
            numpy.ones(n_components), (n_batch, length)).transpose(
                0, 2, 1).astype(self.working)
        # Single precision, and float16's where that is what is returned.
        self.rtol = {'float64': 1e-11}.get(dtype, 2e-5)
        self.rtol_out = {'float16': 1e-3}.get(dtype, self.rtol)

    def mixture(self, means):
        n_components, n_dims = means.shape
        weights = self.random.dirichlet(3 * numpy.ones(n_components))
        means = means + .3 * self.random.randn(*means.shape)
        variances = self.random.uniform(.5, 4, means.shape)
        return Parameters(*(
            z.astype(self.working) for z in (weights, means, variances)))

    def matrix(self, n_rows):
        return self.random.randn(n_rows, self.x.shape[1]).astype(self.working)

    def row(self):
        return self.matrix(1)[0]


def _assert_close(actual, expected, rtol):
    """Compares in units of the expected values' size."""
    assert actual.shape == expected.shape
    finite = expected[numpy.isfinite(expected)]
    size = max(numpy.abs(finite).max(initial=0), 1e-3)
    numpy.testing.assert_allclose(actual, expected, rtol, rtol * size)


def _rows(x):
    """Points (M, C) of a stack, in float64."""
    return x.transpose(0, 2, 1).reshape(-1, x.shape[1]).astype('d')


def _posterior(x, parameters):
    """Eq. (31) and the log density, point by point: (M, K) and (M,)."""
    weights, means, variances = (z.astype('d') for z in parameters)
    present = weights > 0
    distance = (_rows(x)[:, None] - means[present]) ** 2
    joint = numpy.log(weights[present]) - .5 * (
        numpy.log(2 * numpy.pi * variances[present])
        + distance / variances[present]).sum(axis=2)
    log_density = numpy.logaddexp.reduce(joint, axis=1)
    tau = numpy.zeros((len(joint), len(weights)))
    tau[:, present] = numpy.exp(joint - log_density[:, None])
    return tau, log_density


def _moments(x, tau):
    """Eqs. (35) and (36): weights, means, variances in two passes."""
    x = _rows(x)
    counts = tau.sum(axis=0)
    means = tau.T @ x / counts[:, None]
    variances = numpy.stack([
        tau[:, k] @ (x - mean) ** 2 / counts[k]
        for k, mean in enumerate(means)])
    return counts / len(x), means, variances


def _assert_parameters(actual, expected, case):
    """Compares mixtures, but for what a vanishing mass determines."""
    assert all(z.dtype == case.working for z in actual)
    _assert_close(actual[0], expected[0], 20 * case.rtol)
    heavy = (expected[0] > 1e-6) | (expected[0] == 0)
    for a, e in zip(actual[1:], expected[1:]):
        _assert_close(a[heavy], e[heavy], 20 * case.rtol)


def test_em_step(backend, case):
    x = backend.send(case.x, case.layout)
    new, lower_bound = backend.get(gpu.em_step(
        x, tuple(map(backend.send, case.parameters)), 1e-3))
    tau, log_density = _posterior(case.x, case.parameters)
    weights, means, variances = _moments(case.x, tau)
    assert lower_bound.dtype == 'float64' and lower_bound.shape == ()
    _assert_close(lower_bound, log_density.mean(), case.rtol)
    _assert_parameters(
        new, (weights, means, variances + 1e-3), case)


def test_posterior_and_statistics(backend, case):
    x = backend.send(case.x, case.layout)
    tau, found = backend.get(gpu.posterior_and_statistics(
        x, Parameters(*map(backend.send, case.parameters))))
    expected, _ = _posterior(case.x, case.parameters)
    assert tau.shape == case.tau.shape and tau.dtype == case.working
    _assert_close(_rows(tau), expected, 20 * case.rtol)
    _assert_parameters(found, _moments(case.x, expected), case)


def test_statistics(backend, case):
    tau = backend.send(case.tau, case.layout)
    found = backend.get(gpu.statistics(
        backend.send(case.x, case.layout), tau))
    _assert_parameters(found, _moments(case.x, _rows(case.tau)), case)


def test_lloyd_step(backend, case):
    centers = case.parameters.means
    found = backend.get(gpu.lloyd_step(
        backend.send(case.x, case.layout), backend.send(centers)))
    distance = ((_rows(case.x)[:, None] - centers.astype('d')) ** 2).sum(2)
    nearest = distance.argmin(axis=1)
    tau = (nearest[:, None] == numpy.arange(len(centers))).astype('d')
    with numpy.errstate(invalid='ignore'):
        weights, means, variances = _moments(case.x, tau)
    empty = weights == 0
    means[empty], variances[empty] = centers[empty], 0
    _assert_parameters(found, (weights, means, variances), case)


@pytest.mark.parametrize('n_mixtures', [1, 3, 10])
def test_posterior_of_several_mixtures(backend, case, n_mixtures):
    mixtures = [case.mixture(case.parameters.means)
                for _ in range(n_mixtures)]
    tau, log_density = backend.get(gpu.posterior(
        backend.send(case.x, case.layout),
        *(backend.send(numpy.stack(z)) for z in zip(*mixtures))))
    n_batch, _, length = case.x.shape
    n_components = len(mixtures[0].weights)
    assert tau.shape == (n_batch, n_mixtures * n_components, length)
    assert log_density.shape == (n_mixtures, n_batch, length)
    for t, mixture in enumerate(mixtures):
        expected, expected_density = _posterior(case.x, mixture)
        part = tau[:, t * n_components:(t + 1) * n_components]
        _assert_close(_rows(part), expected, 20 * case.rtol)
        _assert_close(log_density[t].ravel(), expected_density, case.rtol)


def _seed_centers(x, n_clusters, n_trials, draws):
    """K-means++ with local trials, by a plain cumulative sum."""
    points = _rows(x)
    indices = [min(int(draws[0] * len(points)), len(points) - 1)]
    closest = ((points - points[indices[0]]) ** 2).sum(axis=1)
    for uniform in draws[1:].reshape(n_clusters - 1, n_trials):
        ends = closest.cumsum()
        candidates = numpy.searchsorted(ends, uniform * ends[-1])
        candidates = numpy.minimum(candidates, len(points) - 1)
        remaining = [numpy.minimum(
            closest, ((points - points[i]) ** 2).sum(axis=1))
            for i in candidates]
        best = numpy.argmin([z.sum() for z in remaining])
        closest = remaining[best]
        indices.append(candidates[best])
    return indices


@pytest.mark.parametrize('n_trials', [1, 3, 18])
def test_seed(backend, case, n_trials):
    n_clusters = len(case.parameters.weights)
    draws = case.random.uniform(size=1 + (n_clusters - 1) * n_trials)
    centers, indices = backend.get(gpu.seed(
        backend.send(case.x, case.layout), n_clusters, draws))
    assert indices.dtype == 'int64' and centers.dtype == case.working
    numpy.testing.assert_array_equal(
        indices, _seed_centers(case.x, n_clusters, n_trials, draws))
    numpy.testing.assert_array_equal(centers, _rows(case.x)[indices])


def test_seed_of_many_points(backend):
    # More tiles than blocks.
    case = _Case((1, 2, 150000), 3, 'float32')
    draws = case.random.uniform(size=1 + 2 * 3)
    _, indices = backend.get(gpu.seed(backend.send(case.x), 3, draws))
    numpy.testing.assert_array_equal(
        indices, _seed_centers(case.x, 3, 3, draws))


@pytest.mark.parametrize('draw', [0, 1 - 1e-16])
def test_seed_from_equal_points(backend, draw):
    x = backend.send(numpy.full((2, 3, 50), 1.5, 'f'))
    centers, indices = backend.get(gpu.seed(
        x, 4, numpy.full(1 + 3 * 2, draw)))
    numpy.testing.assert_array_equal(centers, numpy.full((4, 3), 1.5))
    assert ((0 <= indices) & (indices < 100)).all()


def test_seed_takes_distinct_points_first(backend):
    # Equal points but for two: those are the only ones with a distance.
    x = numpy.zeros((1, 2, 400), 'f')
    x[0, :, 71] = 1
    x[0, :, 333] = -5
    for seed in range(10):
        draws = numpy.random.RandomState(seed).uniform(size=1 + 2 * 2)
        _, indices = backend.get(gpu.seed(backend.send(x), 3, draws))
        if indices[0] not in (71, 333):
            assert set(indices[1:]) == {71, 333}, seed


@pytest.mark.parametrize('ratio', [.3, 1])
def test_standardized_sample(backend, case, ratio):
    n_points = case.x.shape[0] * case.x.shape[2]
    indices = None
    chosen = _rows(case.x)
    if ratio < 1:
        indices = numpy.sort(case.random.permutation(n_points)[
            :max(1, int(ratio * n_points))])
        chosen = chosen[indices]
        indices = backend.send(indices)
    z, location, scale = backend.get(gpu.standardized_sample(
        backend.send(case.x, case.layout), indices))
    expected_scale = chosen.std(axis=0)
    expected_scale[expected_scale == 0] = 1
    assert z.shape == (1, case.x.shape[1], len(chosen))
    assert z.dtype == location.dtype == scale.dtype == case.working
    _assert_close(location, chosen.mean(axis=0), case.rtol)
    _assert_close(scale, expected_scale, case.rtol)
    _assert_close(
        _rows(z), (chosen - chosen.mean(axis=0)) / expected_scale,
        case.rtol)


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
def test_scale_of_channels_without_variation(backend, dtype):
    # Constant, with a deviation whose square underflows, and ordinary.
    x = numpy.zeros((1, 3, 90), dtype)
    x[0, 0] = 1234.5
    x[0, 1, ::2] = 1e2 * numpy.finfo(dtype).tiny ** .5
    x[0, 2] = numpy.arange(90)
    z, location, scale = backend.get(gpu.standardized_sample(
        backend.send(x), None))
    numpy.testing.assert_array_equal(scale[:2], [1, 1])
    numpy.testing.assert_array_equal(z[0, 0], numpy.zeros(90))
    numpy.testing.assert_allclose(scale[2], numpy.arange(90).std(), 1e-5)


@pytest.mark.parametrize('n_columns', [None, 30])
@pytest.mark.parametrize('centered', [True, False])
def test_affine(backend, case, n_columns, centered):
    tau = case.tau
    if n_columns is not None:
        tau = case.random.uniform(size=(
            len(tau), n_columns, tau.shape[2])).astype(case.working)
    slope, offset = case.matrix(tau.shape[1]), case.matrix(tau.shape[1])
    origin, shift = (case.row(), case.row()) if centered else (None, None)
    y = gpu.affine(
        backend.send(case.x, case.layout), backend.send(tau, case.layout),
        backend.send(slope), backend.send(offset),
        *(None if z is None else backend.send(z) for z in (origin, shift)))
    expected = ((_rows(case.x) - (origin if centered else 0))
                * (_rows(tau) @ slope) + _rows(tau) @ offset
                + (shift if centered else 0))
    assert y.dtype == case.x.dtype
    if case.layout == 'channels last':
        assert y.strides[1] == y.itemsize
    _assert_close(_rows(backend.get(y)), expected, case.rtol_out)


@pytest.mark.parametrize('n_columns', [None, 30])
def test_gradient_sums(backend, case, n_columns):
    tau = case.tau
    if n_columns is not None:
        tau = case.random.uniform(size=(
            len(tau), n_columns, tau.shape[2])).astype(case.working)
    origin = case.row()
    gy = case.random.randn(*case.x.shape).astype(case.x.dtype)
    found = backend.get(gpu.gradient_sums(
        backend.send(case.x, case.layout), backend.send(gy),
        backend.send(tau), backend.send(origin)))
    g = _rows(gy)
    expected = (_rows(tau).T @ g,
                _rows(tau).T @ (g * (_rows(case.x) - origin)), g.sum(axis=0))
    for a, e in zip(found, expected):
        assert a.dtype == 'float64'
        _assert_close(a, e, case.rtol)


@pytest.mark.parametrize('through_statistics', [True, False])
def test_gradient_input(backend, case, through_statistics):
    slope, quadratic, offset = (
        case.matrix(case.tau.shape[1]) for _ in range(3))
    origin = case.row()
    gy = case.random.randn(*case.x.shape).astype(case.x.dtype)
    tau = _rows(case.tau)
    expected = _rows(gy) * (tau @ slope)
    terms = None, None
    if through_statistics:
        expected += (_rows(case.x) - origin) * (tau @ quadratic)
        expected += tau @ offset
        terms = backend.send(quadratic), backend.send(offset)
    gx = gpu.gradient_input(
        backend.send(case.x, case.layout), backend.send(gy),
        backend.send(case.tau), backend.send(slope), *terms,
        backend.send(origin))
    assert gx.dtype == case.x.dtype
    _assert_close(_rows(backend.get(gx)), expected, case.rtol_out)


@pytest.mark.parametrize('in_units', [True, False])
def test_finish(backend, in_units):
    random = numpy.random.RandomState(0)
    weights = numpy.array([.1, .005, .4, .1, 0, .395], 'f')
    means, variances = random.rand(6, 300), random.rand(6, 300)
    location, scale = ((random.randn(300), 1 + random.rand(300))
                       if in_units else (None, None))
    found = backend.get(gpu.finish(
        Parameters(*(backend.send(z.astype('f'))
                     for z in (weights, means, variances))), .01,
        *(None if z is None else backend.send(z.astype('f'))
          for z in (location, scale))))
    if not in_units:
        location, scale = 0, 1
    numpy.testing.assert_allclose(
        found[0], numpy.array([.1, 0, .4, .1, 0, .395]) / .995, 1e-6)
    numpy.testing.assert_allclose(
        found[1], means * scale + location, 1e-5, 1e-6)
    numpy.testing.assert_allclose(
        found[2], variances * scale ** 2, 1e-5)


def test_finish_keeps_the_heaviest(backend):
    weights, means, variances = backend.get(gpu.finish(Parameters(
        *(backend.send(numpy.array(z, 'f'))
          for z in ([.3, .7], [[1], [2]], [[3], [4]]))), .9, None, None))
    numpy.testing.assert_array_equal(weights, [0, 1])
    numpy.testing.assert_array_equal(means, [[1], [2]])
    numpy.testing.assert_array_equal(variances, [[3], [4]])


def test_orientation(backend, case):
    x = backend.send(case.x, case.layout)
    origin = backend.get(gpu.orientation(x))
    assert origin.dtype == case.working
    points = _rows(case.x)
    assert origin.shape == points.shape[1:]
    slack = 1e-3
    assert (points.min(axis=0) - slack <= origin).all()
    assert (origin <= points.max(axis=0) + slack).all()


def test_orientation_is_amid_most_points(backend):
    case = _Case((16, 5, 64), 3, 'float32')
    case.x[0] = 1e7
    case.x[3, 1, 7] = numpy.nan
    origin = backend.get(gpu.orientation(backend.send(case.x)))
    assert (abs(origin) < 20).all()


def test_absent_component(backend):
    # Its mean and variance, whatever they are, take no part.
    case = _Case((3, 20, 25), 3, 'float32')
    weights, means, variances = case.parameters
    weights = numpy.array([.5, 0, .5], 'f')
    for variance in 1, 0:
        absent = variances.copy()
        absent[1] = variance
        parameters = Parameters(weights, means, absent)
        expected, _ = _posterior(case.x, parameters)
        tau, found = backend.get(gpu.posterior_and_statistics(
            backend.send(case.x), Parameters(*map(
                backend.send, parameters))))
        _assert_close(_rows(tau), expected, 1e-4)
        assert found[0][1] == 0
        assert numpy.isfinite(found[1]).all()
        numpy.testing.assert_array_equal(found[2][1], 0)
        present = [0, 2]
        for a, e in zip(found, _moments(case.x, expected[:, present])):
            _assert_close(a[present], e, 1e-4)


@pytest.mark.parametrize('dtype,atol', [('float32', 2e-3), ('float64', 1e-7)])
def test_mean_far_beyond_deviation(backend, dtype, atol):
    random = numpy.random.RandomState(0)
    shape = (8, 6, 200)
    group = random.randint(2, size=(8, 1, 200))
    x = (1e4 + .4 * group + .1 * random.randn(*shape)).astype(dtype)
    means = numpy.array([[1e4] * 6, [1e4 + .4] * 6], dtype)
    parameters = Parameters(
        numpy.array([.5, .5], dtype), means, numpy.full((2, 6), .01, dtype))
    expected_tau, _ = _posterior(x, parameters)
    expected = _moments(x, expected_tau)
    on_device = Parameters(*map(backend.send, parameters))
    points = backend.send(x)
    tau, found = backend.get(gpu.posterior_and_statistics(points, on_device))
    lloyd = backend.get(gpu.lloyd_step(points, on_device.means))
    given = backend.get(gpu.statistics(points, backend.send(tau)))
    for parameters in found, lloyd, given:
        numpy.testing.assert_allclose(parameters[0], expected[0], atol=1e-3)
        numpy.testing.assert_allclose(parameters[1], expected[1], atol=atol)
        numpy.testing.assert_allclose(parameters[2], expected[2], rtol=2e-2)
    # Of the same points' exact moments, to working precision.
    exact = _moments(x, _rows(tau))
    numpy.testing.assert_allclose(found[2], exact[2], 1e-4)
    numpy.testing.assert_allclose(given[2], exact[2], 1e-4)


def test_constant_channel_and_equal_points(backend):
    x = numpy.random.RandomState(0).randn(4, 3, 30).astype('f')
    x[:, 1] = 1e4 / 3
    tau = numpy.full((4, 2, 30), .5, 'f')
    _, means, variances = backend.get(gpu.statistics(
        backend.send(x), backend.send(tau)))
    numpy.testing.assert_array_equal(means[:, 1], x[0, 1, 0])
    numpy.testing.assert_array_equal(variances[:, 1], 0)
    x[...] = x[:1, :, :1]
    _, means, variances = backend.get(gpu.lloyd_step(
        backend.send(x), backend.send(x[0, :, :2].T.copy())))
    numpy.testing.assert_array_equal(variances, 0)
    numpy.testing.assert_allclose(means[0], x[0, :, 0], 1e-6)


def test_component_without_mass(backend):
    x = numpy.random.RandomState(0).randn(2, 5, 11).astype('f')
    tau = numpy.zeros((2, 3, 11), 'f')
    tau[:, 0] = 1
    weights, means, variances = backend.get(gpu.statistics(
        backend.send(x), backend.send(tau)))
    numpy.testing.assert_array_equal(weights, [1, 0, 0])
    assert numpy.isfinite(means).all()
    numpy.testing.assert_array_equal(variances[1:], 0)
    numpy.testing.assert_allclose(variances[0], _rows(x).var(axis=0), 1e-5)


def _run_all(backend, case):
    """Calls every function; returns the bytes of everything it returns."""
    x = backend.send(case.x, case.layout)
    n_components = len(case.parameters.weights)
    parameters = Parameters(*map(backend.send, case.parameters))
    matrices = [backend.send(numpy.random.RandomState(i).randn(
        n_components, x.shape[1]).astype(case.working)) for i in range(3)]
    tau = backend.send(case.tau)
    origin = gpu.orientation(x)
    draws = numpy.random.RandomState(0).uniform(
        size=1 + (n_components - 1) * 3)
    indices = backend.send(numpy.arange(0, x.shape[0] * x.shape[2], 3))
    results = [
        gpu.seed(x, n_components, draws),
        gpu.seeded_lloyd_step(x, n_components, draws),
        gpu.lloyd_step(x, parameters.means),
        gpu.em_step(x, parameters, 1e-6),
        gpu.posterior(x, *(backend.xp.stack(4 * [z]) for z in parameters)),
        gpu.posterior_and_statistics(x, parameters),
        gpu.statistics(x, tau),
        gpu.affine(x, tau, matrices[0], matrices[1], origin, origin),
        gpu.gradient_sums(x, x, tau, origin),
        gpu.gradient_input(x, x, tau, *matrices, origin),
        gpu.gradient_input(x, x, tau, matrices[0], None, None, origin),
        gpu.standardized_sample(x, indices),
        gpu.finish(parameters, .1, origin, origin),
    ]

    def flatten(value):
        if isinstance(value, tuple):
            return [array for item in value for array in flatten(item)]
        return [backend.get(value)]

    return [array.tobytes() for array in flatten(tuple(results))]


_SMALL_CASES = [
    ((2, 130, 17), 5, 'float32', 'contiguous', 512),
    ((3, 5, 49), 3, 'float64', 'channels last', 512),
    ((1, 2, 400), 16, 'float16', 'strided', 512),
    ((3, 70, 200), 6, 'float32', 'contiguous', 2),
]


@pytest.fixture(params=_SMALL_CASES, ids=_name)
def small_case(request, monkeypatch):
    *arguments, n_blocks = request.param
    monkeypatch.setattr(gpu, '_BLOCKS', n_blocks)
    return _Case(*arguments)


def test_same_bits_twice(backend, small_case):
    assert _run_all(backend, small_case) == _run_all(backend, small_case)


def test_same_bits_in_any_order_of_threads(emulated, small_case):
    # A race shows as a difference between orders.
    forward = _run_all(emulated, small_case)
    for order in 1, 2, 3:
        emulated.emulator.order = order
        assert _run_all(emulated, small_case) == forward, order


@pytest.mark.parametrize('value', [numpy.nan, numpy.inf, -numpy.inf])
@pytest.mark.parametrize('dtype', ['float16', 'float32', 'float64'])
def test_values_that_are_not_finite(backend, dtype, value):
    # They end, stay within their arrays, and leave other points alone.
    case = _Case((3, 5, 49), 3, dtype)
    case.x[1, 2, 3] = value
    with numpy.errstate(invalid='ignore'):
        _run_all(backend, case)
    x = backend.send(case.x)
    draws = numpy.random.RandomState(0).uniform(size=1 + 2 * 3)
    _, indices = backend.get(gpu.seed(x, 3, draws))
    assert ((0 <= indices) & (indices < 147)).all()
    tau, statistics = gpu.posterior_and_statistics(
        x, Parameters(*map(backend.send, case.parameters)))
    tau, (_, means, _) = backend.get(tau), backend.get(statistics)
    with numpy.errstate(invalid='ignore'):
        expected, _ = _posterior(case.x, case.parameters)
    others = numpy.isfinite(_rows(case.x)).all(axis=1)
    _assert_close(_rows(tau)[others], expected[others], 1e-3)
    assert not numpy.isfinite(means[:, 2]).any()
    # What is infinite is as far from one component as from another.
    assert numpy.isnan(tau[1, :, 3]).all() == numpy.isnan(value)
    if not numpy.isnan(value):
        _assert_close(tau[1, :, 3], numpy.full(3, 1 / 3), 1e-6)


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
def test_points_beyond_all_components(backend, dtype):
    case = _Case((3, 5, 49), 3, dtype)
    case.x[1, :, 3] = {'float32': 1e25, 'float64': 1e200}[dtype]
    weights = numpy.array([.4, .6, 0], dtype)
    tau, log_density = backend.get(gpu.posterior(backend.send(case.x), *(
        backend.send(z[None])
        for z in (weights,) + case.parameters[1:])))
    numpy.testing.assert_array_equal(tau[1, :, 3], [.5, .5, 0])
    assert log_density[0, 1, 3] == -numpy.inf
    assert numpy.isfinite(numpy.delete(log_density[0, 1], 3)).all()


def test_everything_not_a_number(backend):
    case = _Case((3, 5, 49), 3, 'float32')
    case.x[...] = numpy.nan
    nans = Parameters(*(numpy.full_like(z, numpy.nan)
                        for z in case.parameters))
    case.parameters = nans
    _run_all(backend, case)
    found = backend.get(gpu.finish(
        Parameters(*map(backend.send, nans)), .01, None, None))
    assert all(numpy.isnan(z).all() for z in found)


def test_every_number_of_half_precision(backend):
    # y = x * 1 for all of them; what is not finite as well.
    bits = numpy.arange(1 << 16).astype('u2')
    x = bits.view('f2').reshape(1, 1, -1)
    ones = numpy.ones((1, 1), 'f')
    y = backend.get(gpu.affine(
        backend.send(x), backend.send(numpy.ones(x.shape, 'f')),
        backend.send(ones), backend.send(0 * ones), None, None))
    number = ~numpy.isnan(x)
    numpy.testing.assert_array_equal(y[number], x[number])
    assert numpy.isnan(y[~number]).all()


def test_rounding_to_half_precision(backend):
    random = numpy.random.RandomState(0)
    tau = (2. ** random.uniform(-27, 17, (1, 1, 5000))).astype('f')
    x = numpy.ones(tau.shape, 'f2')
    ones = numpy.ones((1, 1), 'f')
    y = backend.get(gpu.affine(
        backend.send(x), backend.send(tau), backend.send(ones),
        backend.send(0 * ones), None, None))
    with numpy.errstate(over='ignore'):
        numpy.testing.assert_array_equal(y, tau.astype('f2'))


@pytest.mark.parametrize('shape', [(0, 3, 4), (2, 3, 0)], ids=str)
def test_no_points(backend, shape):
    x = backend.send(numpy.empty(shape, 'f'))
    tau = backend.send(numpy.empty((shape[0], 2, shape[2]), 'f'))
    matrix = backend.send(numpy.ones((2, 3), 'f'))
    assert gpu.affine(x, tau, matrix, matrix, None, None).shape == shape
    assert gpu.gradient_input(
        x, x, tau, matrix, matrix, matrix, None).shape == shape
    for sums in backend.get(gpu.gradient_sums(x, x, tau, None)):
        numpy.testing.assert_array_equal(sums, 0 * sums)
    weights, means, variances = backend.get(gpu.statistics(x, tau))
    numpy.testing.assert_array_equal(weights, [0, 0])
    assert numpy.isfinite(means).all() and numpy.isfinite(variances).all()


def test_too_many_components():
    x = numpy.zeros((1, 2, 40), 'f')
    matrix, tau = numpy.zeros((17, 2), 'f'), numpy.zeros((1, 17, 40), 'f')
    parameters = Parameters(matrix[:, 0], matrix, matrix)
    for call in [
            lambda: gpu.seed(x, 17, numpy.zeros(17)),
            lambda: gpu.seeded_lloyd_step(x, 17, numpy.zeros(17)),
            lambda: gpu.lloyd_step(x, matrix),
            lambda: gpu.em_step(x, parameters, 0),
            lambda: gpu.posterior_and_statistics(x, parameters),
            lambda: gpu.posterior(x, *(z[None] for z in parameters)),
            lambda: gpu.statistics(x, tau),
            lambda: gpu.finish(parameters, 0, None, None)]:
        with pytest.raises(ValueError, match='n_components is 17.*at most 16'):
            call()


@pytest.mark.parametrize('axis', ['batch', 'channel'])
def test_more_than_two_to_the_31_elements(emulated, tmp_path, axis):
    # What lies so far apart in a file of holes, beside it side by side.
    small = numpy.random.RandomState(0).randn(2, 2, 30).astype('f2')
    far = (1 << 31) + 1000
    memory = numpy.memmap(
        str(tmp_path / 'memory'), 'f2', 'w+', shape=(far + 100,))
    strides = (far, 40, 1) if axis == 'batch' else (40, far, 1)
    x = numpy.lib.stride_tricks.as_strided(
        memory, small.shape, tuple(2 * s for s in strides))
    x[...] = small
    tau = numpy.full((2, 1, 30), .5, 'f')
    matrix = numpy.array([[1, 2]], 'f')
    for points, upstream in (x, small), (small, x), (x, x):
        numpy.testing.assert_array_equal(
            gpu.affine(points, tau, matrix, matrix, None, None),
            gpu.affine(small, tau, matrix, matrix, None, None))
        numpy.testing.assert_array_equal(
            gpu.gradient_input(
                points, upstream, tau, matrix, matrix, matrix, None),
            gpu.gradient_input(
                small, small, tau, matrix, matrix, matrix, None))
        for a, b in zip(gpu.gradient_sums(points, upstream, tau, None),
                        gpu.gradient_sums(small, small, tau, None)):
            numpy.testing.assert_array_equal(a, b)
    for a, b in zip(gpu.statistics(x, tau), gpu.statistics(small, tau)):
        numpy.testing.assert_array_equal(a, b)
    for a, b in zip(gpu.standardized_sample(x, None),
                    gpu.standardized_sample(small, None)):
        numpy.testing.assert_array_equal(a, b)
    del x, memory
    (tmp_path / 'memory').unlink()


@pytest.mark.parametrize('shape', [(16, 5, 4, 4), (64, 7)], ids=str)
@pytest.mark.parametrize('dtype,tolerance', [
    ('float16', 5e-3), ('float32', 5e-4), ('float64', 1e-10)])
@pytest.mark.parametrize('options', [
    {}, {'component_affine': True, 'n_components': 5, 'n_iter': 4}], ids=str)
def test_layer_as_on_the_cpu(
        emulated, monkeypatch, shape, dtype, tolerance, options):
    # The whole layer, by the kernels and by NumPy.
    def run():
        random = numpy.random.RandomState(0)
        link = MixtureNormalization(shape[1], seed=3, **options)
        values = []
        for is_training in True, True, False:
            group = random.randint(3, size=(shape[0], 1) + shape[2:])
            x = chainer.Variable(
                (random.randn(*shape) + 3 * group).astype(dtype))
            link.cleargrads()
            with chainer.using_config('train', is_training):
                y = link(x)
            y.grad = random.randn(*shape).astype(dtype)
            y.backward()
            values += [y.array, x.grad, link.gamma.grad, link.beta.grad]
        return values + list(link.queue)

    expected = run()
    monkeypatch.setattr(compute, 'of', lambda x: gpu)
    for actual, value in zip(run(), expected):
        assert actual.dtype == value.dtype
        _assert_close(actual, value, tolerance)
