import numpy
import pytest
from scipy import stats

from mixnorm.compute import cpu
from mixnorm.compute.layout import stack
from mixnorm.compute.parameters import Parameters


_PARAMETERS = Parameters(
    numpy.array([.2, .5, .3]),
    numpy.array([[0., 1.], [2., -1.], [-3., 4.]]),
    numpy.array([[1., .5], [2., 3.], [.1, 1.]]))


def _posterior(x, parameters):
    tau, log_density = cpu.mixture.posterior(x, *(z[None] for z in parameters))
    return tau, log_density[0]


def _points(n_points=50, seed=0):
    return 3 * numpy.random.RandomState(seed).randn(n_points, 2)


def test_posterior_and_log_density():
    X = _points()
    joint = numpy.stack([
        weight * stats.norm.pdf(X, mean, variance ** .5).prod(axis=1)
        for weight, mean, variance in zip(*_PARAMETERS)], axis=1)
    tau, log_density = _posterior(stack(X), _PARAMETERS)
    numpy.testing.assert_allclose(
        tau[0].T, joint / joint.sum(axis=1, keepdims=True), atol=1e-12)
    numpy.testing.assert_allclose(
        log_density[0], numpy.log(joint.sum(axis=1)), rtol=1e-10)


def test_posterior_far_from_every_component():
    # All densities underflow; the nearest component in deviations has it.
    tau, log_density = _posterior(
        stack(numpy.array([[1e6, 0.]])), _PARAMETERS)
    numpy.testing.assert_array_equal(tau[0, :, 0], [0, 1, 0])
    assert numpy.isfinite(log_density).all()


@pytest.mark.parametrize('dtype,rtol', [('f', 2e-3), ('d', 1e-9)])
def test_posterior_is_exact_or_nothing(dtype, rtol):
    # From one half to less than the dtype holds in full digits.
    tiny = numpy.finfo(dtype).tiny
    parameters = Parameters(
        numpy.array([.5, .5], dtype), numpy.array([[-1], [1]], dtype),
        numpy.ones((2, 1), dtype))
    X = numpy.linspace(0, -.75 * numpy.log(tiny), 1000).astype(dtype)[:, None]
    tau, _ = _posterior(stack(X), parameters)
    expected = numpy.longdouble(1) / (1 + numpy.exp(2 * X[:, 0].astype('g')))
    held = expected > 4 * tiny
    assert 0 < held.sum() < len(X)
    numpy.testing.assert_allclose(
        tau[0, 0, held], expected[held], rtol=rtol)
    assert (tau[0, 0, expected < tiny] == 0).all()
    numpy.testing.assert_allclose(tau[0, 1], 1 - expected, rtol=1e-6)


@pytest.mark.parametrize('shift', [0, 1e3])
@pytest.mark.parametrize('n_components', [1, 3, 6])
def test_one_dimension(n_components, shift):
    # Narrow components in float32, so that variances are computed anew.
    random = numpy.random.RandomState(n_components)
    means = numpy.arange(n_components)[:, None] * 3. + shift
    X = (means[random.randint(n_components, size=3001)]
         + .1 * random.randn(3001, 1)).astype('f')
    centers = means.astype('f') + numpy.float32(.2)
    parameters = Parameters(
        numpy.full(n_components, 1 / n_components, 'f'), centers,
        numpy.full((n_components, 1), .3, 'f'))
    points = X.astype('d').T
    joint = stats.norm.pdf(
        points, centers.astype('d'), parameters.variances.astype('d') ** .5)
    tau, found = cpu.mixture.posterior_and_statistics(stack(X), parameters)
    clusters = cpu.mixture.lloyd_step(stack(X), centers)
    numpy.testing.assert_allclose(tau[0], joint / joint.sum(axis=0), atol=1e-4)
    nearest = abs(points - centers).argmin(axis=0)
    for (weights, mus, variances), coefficients in (
            (found, joint / joint.sum(axis=0)),
            (clusters, nearest == numpy.arange(n_components)[:, None])):
        share = coefficients / coefficients.sum(axis=1, keepdims=True)
        mean = (share * points).sum(axis=1, keepdims=True)
        variance = (share * (points - mean) ** 2).sum(axis=1, keepdims=True)
        numpy.testing.assert_allclose(
            weights, coefficients.mean(axis=1), rtol=1e-4)
        numpy.testing.assert_allclose(mus, mean, rtol=1e-6, atol=1e-5)
        numpy.testing.assert_allclose(variances, variance, rtol=1e-3)


@pytest.mark.parametrize('dtype,far', [
    ('f', 1e25), ('d', 1e200), ('f', 3e38), ('d', 1.7e308)])
@pytest.mark.filterwarnings('error')
def test_posterior_beyond_every_component(dtype, far):
    # The squared distances are beyond the dtype: what is there is alike.
    parameters = Parameters(*(z.astype(dtype) for z in _PARAMETERS._replace(
        weights=numpy.array([.4, 0, .6]))))
    X = numpy.array([[far, -far], [0, 1], [-far, 0]], dtype)
    tau, log_density = _posterior(stack(X), parameters)
    numpy.testing.assert_array_equal(tau[0, :, ::2], [[.5] * 2, [0] * 2,
                                                      [.5] * 2])
    assert (log_density[0, ::2] == -numpy.inf).all()
    assert numpy.isfinite(log_density[0, 1])


def test_what_is_no_number_shows():
    # Beside a point that is merely beyond the dtype.
    X = numpy.array([[3e38, 0], [numpy.nan, 0], [0, 1]], 'f')
    parameters = Parameters(*(z.astype('f') for z in _PARAMETERS))
    tau, log_density = _posterior(stack(X), parameters)
    assert numpy.isnan(tau[0, :, 1]).all() and numpy.isnan(log_density[0, 1])
    assert numpy.isfinite(tau[0, :, ::2]).all()
    for name, k in ('weights', 1), ('means', (1, 0)), ('variances', (1, 0)):
        bad = Parameters(*(z.copy() for z in parameters))
        getattr(bad, name)[k] = numpy.nan
        tau, log_density = _posterior(stack(X), bad)
        assert numpy.isnan(tau).all() and numpy.isnan(log_density).all()


@pytest.mark.parametrize('far', [1e4, 1e7])
@pytest.mark.parametrize('first', [True, False])
def test_moments_whatever_stands_first(far, first):
    # One sample of 64 lies far from the others.
    x = numpy.random.RandomState(0).randn(64, 3, 64).astype('f')
    tau = numpy.zeros((64, 2, 64), 'f')
    i = 0 if first else 63
    x[i] += numpy.float32(far)
    tau[:, 1] = 1
    tau[i] = [[1], [0]]
    others = numpy.delete(x, i, axis=0).astype('d')
    weights, means, variances = cpu.mixture.statistics(x, tau)
    numpy.testing.assert_allclose(weights, [1 / 64, 63 / 64])
    numpy.testing.assert_allclose(
        means[1], others.mean(axis=(0, 2)), atol=1e-6)
    numpy.testing.assert_allclose(
        variances[1], others.var(axis=(0, 2)), rtol=1e-5)


def test_mean_and_variance_of_a_narrow_component():
    # Sums of terms near 1e5 are rounded; deviations of .01 show it.
    X = numpy.random.RandomState(0).randn(4000, 2).astype('f')
    X[1000:] = X[1000:] * numpy.float32(.01) + numpy.float32(1e5)
    tau = numpy.zeros((1, 2, 4000), 'f')
    tau[0, 0, :1000] = tau[0, 1, 1000:] = 1
    _, means, variances = cpu.mixture.statistics(stack(X), tau)
    narrow = X[1000:].astype('d')
    step = numpy.spacing(numpy.float32(1e5))
    numpy.testing.assert_allclose(
        means[1], narrow.mean(axis=0), rtol=0, atol=step)
    numpy.testing.assert_allclose(variances[1], narrow.var(axis=0), rtol=1e-4)


def test_absent_component_takes_no_part():
    absent = _PARAMETERS._replace(weights=numpy.array([.4, 0, .6]))
    others = Parameters(*(z[[0, 2]] for z in absent))
    X = stack(_points())
    tau, log_density = _posterior(X, absent)
    expected, expected_density = _posterior(X, others)
    numpy.testing.assert_array_equal(tau[:, 1], 0)
    numpy.testing.assert_allclose(tau[:, [0, 2]], expected, rtol=1e-12)
    numpy.testing.assert_allclose(log_density, expected_density)


@pytest.mark.parametrize('shape', [
    (7, 3), (5, 3, 4), (60000, 4), (2, 3, 250, 300), (900, 40, 2, 3)], ids=str)
@pytest.mark.parametrize('dtype', ['e', 'f', 'd'])
def test_statistics_are_weighted_moments(shape, dtype):
    random = numpy.random.RandomState(0)
    x = (random.randn(*shape) + 5).astype(dtype)
    x[shape[0] // 2:] *= 2
    tau = random.uniform(0, 1, (shape[0], 3) + shape[2:])
    tau /= tau.sum(axis=1, keepdims=True)
    working = 'f' if dtype == 'e' else dtype
    found = cpu.mixture.statistics(stack(x), stack(tau.astype(working)))

    rows = numpy.moveaxis(x.astype('d'), 1, -1).reshape(-1, shape[1])
    share = numpy.moveaxis(tau, 1, -1).reshape(-1, 3)
    tolerance = 1e-10 if dtype == 'd' else 2e-5
    numpy.testing.assert_allclose(
        found.weights, share.mean(axis=0), rtol=tolerance)
    for k in range(3):
        mean = numpy.average(rows, axis=0, weights=share[:, k])
        variance = numpy.average(
            (rows - mean) ** 2, axis=0, weights=share[:, k])
        numpy.testing.assert_allclose(
            found.means[k], mean, rtol=tolerance, err_msg=str(k))
        numpy.testing.assert_allclose(
            found.variances[k], variance, rtol=tolerance, err_msg=str(k))
    assert all(z.dtype == working for z in found)


def test_float32_moments_far_from_the_origin():
    random = numpy.random.RandomState(0)
    x = (1e4 + .1 * random.randn(64, 3, 8, 8)).astype('f')
    tau = numpy.ones((64, 1, 8, 8), 'f')
    found = cpu.mixture.statistics(stack(x), stack(tau))
    exact = x.astype('d')
    numpy.testing.assert_allclose(
        found.means[0], exact.mean(axis=(0, 2, 3)), rtol=1e-7)
    numpy.testing.assert_allclose(
        found.variances[0], exact.var(axis=(0, 2, 3)), rtol=1e-4)


def test_component_without_points():
    x = stack(_points(4))
    tau = numpy.zeros((1, 2, 4))
    tau[:, 0] = 1
    found = cpu.mixture.statistics(x, tau)
    numpy.testing.assert_array_equal(found.weights, [1, 0])
    numpy.testing.assert_array_equal(found.variances[1], 0)
    assert numpy.isfinite(found.means).all()


def test_narrow_components_far_apart_in_float32():
    # (means / deviations)^2 is 1e8: no digit of an expanded square is left.
    random = numpy.random.RandomState(0)
    x = (.1 * random.randn(2000, 3)).astype('f')
    x[::2] += 1e3
    tau = numpy.zeros((1, 2, 2000), 'f')
    tau[0, 0, ::2] = tau[0, 1, 1::2] = 1
    found = cpu.mixture.statistics(stack(x), tau)
    for k, members in enumerate((x[::2].astype('d'), x[1::2].astype('d'))):
        numpy.testing.assert_allclose(
            found.variances[k], members.var(axis=0), rtol=1e-3)
    expected, log_density = _posterior(stack(x), found)
    numpy.testing.assert_array_equal(expected, tau)
    exact = stats.norm.logpdf(
        x.astype('d'), numpy.where(
            tau[0, 0, :, None] > 0, *found.means.astype('d')),
        numpy.where(tau[0, 0, :, None] > 0, *found.variances) ** .5).sum(
            axis=1) + numpy.log(.5)
    numpy.testing.assert_allclose(log_density[0], exact, atol=1e-3)


def test_step_raises_the_likelihood():
    X = stack(_points())
    parameters, bounds = _PARAMETERS, []
    for _ in range(8):
        parameters, bound = cpu.mixture.em_step(X, parameters, 0)
        bounds.append(float(bound))
    assert (numpy.diff(bounds) > -1e-12).all(), bounds


@pytest.mark.parametrize('weights,min_weight,expected', [
    ([.5, .495, .005], .01, [.5 / .995, .495 / .995, 0]),
    ([.5, .49, .01], .01, [.5, .49, .01]),  # Not smaller.
    ([0, .4, .6], 0, [0, .4, .6]),
    ([.3, .4, .3], .9, [0, 1, 0]),  # The heaviest stays.
    ([1.], .99, [1.]),
])
def test_discard_and_rescale(weights, min_weight, expected):
    means = numpy.arange(len(weights))[:, None] + numpy.zeros(2)
    location, scale = numpy.array([10., 20.]), numpy.array([2., 3.])
    found = cpu.mixture.discard_and_rescale(
        Parameters(numpy.array(weights), means, means + 1), min_weight,
        location, scale)
    numpy.testing.assert_allclose(found.weights, expected, rtol=1e-12)
    numpy.testing.assert_allclose(found.means, means * scale + location)
    numpy.testing.assert_allclose(found.variances, (means + 1) * scale ** 2)


@pytest.mark.parametrize('dtype', ['f', 'd'])
def test_infinitely_wide_components_say_nothing(dtype):
    # As if the channel were not there, even where squares overflow.
    random = numpy.random.RandomState(0)
    x = random.randn(2, 4, 50).astype(dtype)
    x[:, 1] *= numpy.sqrt(numpy.finfo(dtype).max)
    weights = numpy.array([[.2, .3, .5]], dtype)
    means = random.randn(1, 3, 4).astype(dtype)
    variances = random.uniform(.5, 2, (1, 3, 4)).astype(dtype)
    variances[:, :, 1] = numpy.inf
    others = [0, 2, 3]
    tau, log_density = cpu.mixture.posterior(x, weights, means, variances)
    expected = cpu.mixture.posterior(
        x[:, others], weights, means[:, :, others], variances[:, :, others])
    numpy.testing.assert_allclose(tau, expected[0], rtol=1e-4, atol=1e-6)
    numpy.testing.assert_allclose(
        log_density, expected[1] - .5 * numpy.log(2 * numpy.pi), rtol=1e-4)


@pytest.mark.parametrize('shift', [0, 1e6])
@pytest.mark.parametrize('n_points', [1, 50, 200000])
@pytest.mark.parametrize('weighted', [False, True])
def test_sums_by_the_equations(weighted, n_points, shift):
    X = _points(n_points) + shift
    parameters = _PARAMETERS._replace(means=_PARAMETERS.means + shift)
    w = numpy.random.RandomState(1).uniform(size=n_points)
    weight = w[None] if weighted else None
    w = w if weighted else numpy.ones(n_points)
    deviation = X[:, None] - parameters.means
    joint = numpy.log(parameters.weights) - .5 * (
        deviation ** 2 / parameters.variances
        + numpy.log(2 * numpy.pi * parameters.variances)).sum(axis=2)
    log_density = numpy.logaddexp.reduce(joint, axis=1)
    tau = w[:, None] * numpy.exp(joint - log_density[:, None])
    nearest = (deviation ** 2).sum(axis=2).argmin(axis=1)
    one_hot = w[:, None] * (nearest[:, None] == numpy.arange(3))
    for found, t in [
            (cpu.mixture.em_sums(stack(X), parameters, weight), tau),
            (cpu.mixture.lloyd_sums(stack(X), parameters.means, weight),
             one_hot)]:
        expected = (t.sum(axis=0), numpy.einsum('mk,mkc->kc', t, deviation),
                    numpy.einsum('mk,mkc->kc', t, deviation ** 2))
        for actual, wanted in zip(found, expected):
            numpy.testing.assert_allclose(
                actual, wanted, rtol=1e-7,
                atol=1e-8 * (1 + abs(wanted).max()))
    numpy.testing.assert_allclose(
        cpu.mixture.em_sums(stack(X), parameters, weight)[3],
        w @ log_density, rtol=1e-7)
