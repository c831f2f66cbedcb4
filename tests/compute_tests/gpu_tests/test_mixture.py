import numpy
import pytest

from compute_tests.gpu_tests import cases
from mixnorm.compute import gpu
from mixnorm.compute.parameters import Parameters


def test_em_step(device, case):
    x = device.send(case.x, case.layout)
    new, lower_bound = device.get(gpu.mixture.em_step(
        x, tuple(map(device.send, case.parameters)), 1e-3))
    tau, log_density = cases.posterior(case.x, case.parameters)
    weights, means, variances = cases.moments(case.x, tau)
    assert lower_bound.dtype == 'float64' and lower_bound.shape == ()
    cases.assert_close(lower_bound, log_density.mean(), case.rtol)
    cases.assert_parameters(
        new, (weights, means, variances + 1e-3), case)


def test_posterior_and_statistics(device, case):
    x = device.send(case.x, case.layout)
    tau, found = device.get(gpu.mixture.posterior_and_statistics(
        x, Parameters(*map(device.send, case.parameters))))
    expected, _ = cases.posterior(case.x, case.parameters)
    assert tau.shape == case.tau.shape and tau.dtype == case.working
    cases.assert_close(cases.rows(tau), expected, 20 * case.rtol)
    cases.assert_parameters(found, cases.moments(case.x, expected), case)


def test_statistics(device, case):
    tau = device.send(case.tau, case.layout)
    found = device.get(gpu.mixture.statistics(
        device.send(case.x, case.layout), tau))
    cases.assert_parameters(
        found, cases.moments(case.x, cases.rows(case.tau)), case)


def test_lloyd_step(device, case):
    centers = case.parameters.means
    found = device.get(gpu.mixture.lloyd_step(
        device.send(case.x, case.layout), device.send(centers)))
    distance = (cases.rows(case.x)[:, None] - centers.astype('d')) ** 2
    nearest = distance.sum(axis=2).argmin(axis=1)
    tau = (nearest[:, None] == numpy.arange(len(centers))).astype('d')
    with numpy.errstate(invalid='ignore'):
        weights, means, variances = cases.moments(case.x, tau)
    empty = weights == 0
    means[empty], variances[empty] = centers[empty], 0
    cases.assert_parameters(found, (weights, means, variances), case)


def _check_sums(device, case, found, tau, centers, log_density=None):
    """Compares sums with counts and moments about centres, in float64."""
    assert all(z.dtype == 'float64' for z in found)
    # A sum without axes is an array of CuPy's, but a scalar of NumPy's.
    found = device.get(tuple(found[:3])) + tuple(
        numpy.array(float(z)) for z in found[3:])
    deviations = cases.rows(case.x)[:, None] - centers.astype('d')
    expected = [tau.sum(axis=0), numpy.einsum('mk,mkc->kc', tau, deviations),
                numpy.einsum('mk,mkc->kc', tau, deviations ** 2)]
    if log_density is not None:
        expected.append(numpy.array(log_density))
    assert len(found) == len(expected)
    for actual, wanted in zip(found, expected):
        cases.assert_close(actual, wanted, 40 * case.rtol)


@pytest.mark.parametrize('weighted', [False, True])
def test_em_sums(device, case, weighted):
    weight = case.random.randint(0, 3, case.x[:, 0].shape).astype('d')
    found = gpu.mixture.em_sums(
        device.send(case.x, case.layout),
        Parameters(*map(device.send, case.parameters)),
        device.send(weight) if weighted else None)
    w = weight.ravel() if weighted else numpy.ones(weight.size)
    tau, log_density = cases.posterior(case.x, case.parameters)
    _check_sums(device, case, found, w[:, None] * tau,
                case.parameters.means, w @ log_density)


@pytest.mark.parametrize('weighted', [False, True])
def test_lloyd_sums(device, case, weighted):
    centers = case.parameters.means
    weight = case.random.randint(0, 3, case.x[:, 0].shape).astype('d')
    found = gpu.mixture.lloyd_sums(
        device.send(case.x, case.layout), device.send(centers),
        device.send(weight) if weighted else None)
    w = weight.ravel() if weighted else numpy.ones(weight.size)
    distance = (cases.rows(case.x)[:, None] - centers.astype('d')) ** 2
    nearest = distance.sum(axis=2).argmin(axis=1)
    tau = (nearest[:, None] == numpy.arange(len(centers))).astype('d')
    _check_sums(device, case, found, w[:, None] * tau, centers)


def test_infinitely_wide_components_say_nothing(device, case):
    # As if the channel were not there, but for its share of the constant.
    wide = Parameters(*(z.copy() for z in case.parameters))
    wide.variances[:, 0] = numpy.inf
    tau, log_density = device.get(gpu.mixture.posterior(
        device.send(case.x, case.layout), *(
            device.send(z[None]) for z in wide)))
    if case.x.shape[1] == 1:
        expected = numpy.broadcast_to(
            wide.weights, (case.x.size, len(wide.weights)))
        expected_density = numpy.zeros(case.x.size)
    else:
        expected, expected_density = cases.posterior(
            case.x[:, 1:], Parameters(
                wide.weights, wide.means[:, 1:], wide.variances[:, 1:]))
    cases.assert_close(cases.rows(tau), expected, 20 * case.rtol)
    cases.assert_close(
        log_density.ravel(),
        expected_density - .5 * numpy.log(2 * numpy.pi), 20 * case.rtol)


@pytest.mark.parametrize('n_mixtures', [1, 3, 10])
def test_posterior_of_several_mixtures(device, case, n_mixtures):
    mixtures = [case.mixture(case.parameters.means)
                for _ in range(n_mixtures)]
    tau, log_density = device.get(gpu.mixture.posterior(
        device.send(case.x, case.layout),
        *(device.send(numpy.stack(z)) for z in zip(*mixtures))))
    n_batch, _, length = case.x.shape
    n_components = len(mixtures[0].weights)
    assert tau.shape == (n_batch, n_mixtures * n_components, length)
    assert log_density.shape == (n_mixtures, n_batch, length)
    for t, mixture in enumerate(mixtures):
        expected, expected_density = cases.posterior(case.x, mixture)
        part = tau[:, t * n_components:(t + 1) * n_components]
        cases.assert_close(cases.rows(part), expected, 20 * case.rtol)
        cases.assert_close(log_density[t].ravel(), expected_density, case.rtol)


def test_posterior_of_more_mixtures_than_shared_memory_holds(device):
    case = cases.Case((2, 3, 9), 16, 'float64')
    n_mixtures = 601
    mixtures = [case.mixture(case.parameters.means)
                for _ in range(n_mixtures)]
    tau, log_density = device.get(gpu.mixture.posterior(
        device.send(case.x),
        *(device.send(numpy.stack(z)) for z in zip(*mixtures))))
    assert tau.shape == (2, n_mixtures * 16, 9)
    assert log_density.shape == (n_mixtures, 2, 9)
    for t in 0, 299, 300, 301, 600:
        expected, expected_density = cases.posterior(case.x, mixtures[t])
        part = tau[:, 16 * t:16 * (t + 1)]
        cases.assert_close(cases.rows(part), expected, 20 * case.rtol)
        cases.assert_close(log_density[t].ravel(), expected_density, case.rtol)


@pytest.mark.parametrize('in_units', [True, False])
def test_discard_and_rescale(device, in_units):
    random = numpy.random.RandomState(0)
    weights = numpy.array([.1, .005, .4, .1, 0, .395], 'f')
    means, variances = random.rand(6, 300), random.rand(6, 300)
    location, scale = ((random.randn(300), 1 + random.rand(300))
                       if in_units else (None, None))
    found = device.get(gpu.mixture.discard_and_rescale(
        Parameters(*(device.send(z.astype('f'))
                     for z in (weights, means, variances))), .01,
        *(None if z is None else device.send(z.astype('f'))
          for z in (location, scale))))
    if not in_units:
        location, scale = 0, 1
    numpy.testing.assert_allclose(
        found[0], numpy.array([.1, 0, .4, .1, 0, .395]) / .995, 1e-6)
    numpy.testing.assert_allclose(
        found[1], means * scale + location, 1e-5, 1e-6)
    numpy.testing.assert_allclose(
        found[2], variances * scale ** 2, 1e-5)


def test_discard_keeps_the_heaviest(device):
    weights, means, variances = device.get(gpu.mixture.discard_and_rescale(
        Parameters(*(device.send(numpy.array(z, 'f'))
                     for z in ([.3, .7], [[1], [2]], [[3], [4]]))),
        .9, None, None))
    numpy.testing.assert_array_equal(weights, [0, 1])
    numpy.testing.assert_array_equal(means, [[1], [2]])
    numpy.testing.assert_array_equal(variances, [[3], [4]])


def test_absent_component(device):
    # Its mean and variance, whatever they are, take no part.
    case = cases.Case((3, 20, 25), 3, 'float32')
    weights, means, variances = case.parameters
    weights = numpy.array([.5, 0, .5], 'f')
    for variance in 1, 0:
        absent = variances.copy()
        absent[1] = variance
        parameters = Parameters(weights, means, absent)
        expected, _ = cases.posterior(case.x, parameters)
        tau, found = device.get(gpu.mixture.posterior_and_statistics(
            device.send(case.x), Parameters(*map(
                device.send, parameters))))
        cases.assert_close(cases.rows(tau), expected, 1e-4)
        assert found[0][1] == 0
        assert numpy.isfinite(found[1]).all()
        numpy.testing.assert_array_equal(found[2][1], 0)
        present = [0, 2]
        for a, e in zip(found, cases.moments(case.x, expected[:, present])):
            cases.assert_close(a[present], e, 1e-4)


@pytest.mark.parametrize('dtype,atol', [('float32', 2e-3), ('float64', 1e-7)])
def test_mean_far_beyond_deviation(device, dtype, atol):
    random = numpy.random.RandomState(0)
    shape = (8, 6, 200)
    group = random.randint(2, size=(8, 1, 200))
    x = (1e4 + .4 * group + .1 * random.randn(*shape)).astype(dtype)
    means = numpy.array([[1e4] * 6, [1e4 + .4] * 6], dtype)
    parameters = Parameters(
        numpy.array([.5, .5], dtype), means, numpy.full((2, 6), .01, dtype))
    expected_tau, _ = cases.posterior(x, parameters)
    expected = cases.moments(x, expected_tau)
    on_device = Parameters(*map(device.send, parameters))
    points = device.send(x)
    tau, found = device.get(
        gpu.mixture.posterior_and_statistics(points, on_device))
    lloyd = device.get(gpu.mixture.lloyd_step(points, on_device.means))
    given = device.get(gpu.mixture.statistics(points, device.send(tau)))
    for parameters in found, lloyd, given:
        numpy.testing.assert_allclose(parameters[0], expected[0], atol=1e-3)
        numpy.testing.assert_allclose(parameters[1], expected[1], atol=atol)
        numpy.testing.assert_allclose(parameters[2], expected[2], rtol=2e-2)
    # Of the same points' exact moments, to working precision.
    exact = cases.moments(x, cases.rows(tau))
    numpy.testing.assert_allclose(found[2], exact[2], 1e-4)
    numpy.testing.assert_allclose(given[2], exact[2], 1e-4)


def test_constant_channel_and_equal_points(device):
    x = numpy.random.RandomState(0).randn(4, 3, 30).astype('f')
    x[:, 1] = 1e4 / 3
    tau = numpy.full((4, 2, 30), .5, 'f')
    _, means, variances = device.get(gpu.mixture.statistics(
        device.send(x), device.send(tau)))
    numpy.testing.assert_array_equal(means[:, 1], x[0, 1, 0])
    numpy.testing.assert_array_equal(variances[:, 1], 0)
    x[...] = x[:1, :, :1]
    _, means, variances = device.get(gpu.mixture.lloyd_step(
        device.send(x), device.send(x[0, :, :2].T.copy())))
    numpy.testing.assert_array_equal(variances, 0)
    numpy.testing.assert_allclose(means[0], x[0, :, 0], 1e-6)


def test_component_without_mass(device):
    x = numpy.random.RandomState(0).randn(2, 5, 11).astype('f')
    tau = numpy.zeros((2, 3, 11), 'f')
    tau[:, 0] = 1
    weights, means, variances = device.get(gpu.mixture.statistics(
        device.send(x), device.send(tau)))
    numpy.testing.assert_array_equal(weights, [1, 0, 0])
    assert numpy.isfinite(means).all()
    numpy.testing.assert_array_equal(variances[1:], 0)
    numpy.testing.assert_allclose(
        variances[0], cases.rows(x).var(axis=0), 1e-5)


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
def test_points_beyond_all_components(device, dtype):
    case = cases.Case((3, 5, 49), 3, dtype)
    case.x[1, :, 3] = {'float32': 1e25, 'float64': 1e200}[dtype]
    weights = numpy.array([.4, .6, 0], dtype)
    tau, log_density = device.get(gpu.mixture.posterior(device.send(case.x), *(
        device.send(z[None])
        for z in (weights,) + case.parameters[1:])))
    numpy.testing.assert_array_equal(tau[1, :, 3], [.5, .5, 0])
    assert log_density[0, 1, 3] == -numpy.inf
    assert numpy.isfinite(numpy.delete(log_density[0, 1], 3)).all()
