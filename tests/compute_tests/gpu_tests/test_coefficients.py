"""The kernels between passes over points, against the equations."""
import numpy
import pytest

from compute_tests.gpu_tests import cases
from mixnorm.compute import gpu
from mixnorm.compute.carried import Carried, Queue, Start
from mixnorm.compute.parameters import Parameters


_EPS = 2e-5


def _carried(random, device, n_components, size, dtype, n_entries=3):
    matrix = (n_components,) + size
    queue = Queue(*(device.send(random.rand(*shape).astype(dtype))
                    for shape in ((n_entries,), (n_entries, n_components),
                                  (n_entries,) + matrix,
                                  (n_entries,) + matrix)))
    start = Start(*(device.send(random.rand(*shape).astype(dtype))
                    for shape in (matrix[:1], matrix, matrix)))
    return Carried(queue, .5, start)


def _run(device, case, gamma, beta, by_weight, carried=Carried()):
    return gpu.coefficients.of_batch(
        device.send(case.x, case.layout),
        Parameters(*map(device.send, case.parameters)), device.send(gamma),
        device.send(beta), _EPS, by_weight, carried)


@pytest.mark.parametrize('per_component', [False, True])
@pytest.mark.parametrize('by_weight', [False, True])
def test_coefficients_and_gradients(
        device, small_case, per_component, by_weight):
    case = small_case
    random = numpy.random.RandomState(0)
    weights, means, variances = (z.astype('d') for z in case.parameters)
    n_components, n_dims = means.shape
    shape = (n_components, n_dims) if per_component else (n_dims,)
    gamma, beta = random.randn(2, *shape).astype(case.working)
    (slope, offset, origin, shift), rank, _ = _run(
        device, case, gamma, beta, by_weight)
    slope, offset, origin = map(device.get, (slope, offset, origin))

    expected = numpy.arange(n_components)
    if by_weight:
        numpy.testing.assert_array_equal(
            weights[numpy.argsort(device.get(rank))],
            numpy.sort(weights)[::-1])
        expected = device.get(rank)
    else:
        assert rank is None
    own_gamma, own_beta = (
        z[expected] if per_component else z for z in (gamma, beta))
    factor = numpy.zeros_like(weights)
    factor[weights > 0] = weights[weights > 0] ** -.5
    inv_std = 1 / numpy.sqrt(variances + _EPS)
    # Any origin will do that lies amid the data.
    cases.assert_close(origin, weights @ means, 20 * case.rtol)
    cases.assert_close(
        slope, factor[:, None] * own_gamma * inv_std, 20 * case.rtol)
    own_shift = factor[:, None] * own_beta if per_component else 0
    cases.assert_close(
        offset, own_shift - slope * (means - origin), 20 * case.rtol)
    assert (shift is None) == per_component

    sums = (random.randn(n_components, n_dims),
            random.randn(n_components, n_dims), random.randn(n_dims))
    found = gpu.coefficients.batch_gradients(
        device.send(case.x), Parameters(*map(device.send, case.parameters)),
        device.send(gamma), _EPS, rank, device.send(origin),
        tuple(map(device.send, sums)))
    mean = means - origin
    sum_g = factor[:, None] * sums[0]
    sum_gxhat = inv_std * (factor[:, None] * sums[1] - mean * sum_g)
    count = weights[:, None] * case.x.shape[0] * case.x.shape[2]
    inverse = numpy.where(count > 0, 1 / numpy.where(count > 0, count, 1), 0)
    quadratic = -own_gamma * inv_std ** 2 * sum_gxhat * inverse
    affine = (sum_gxhat.sum(axis=0), sums[2])
    if per_component:
        affine = numpy.empty((2,) + shape)
        affine[0, expected], affine[1, expected] = sum_gxhat, sum_g
    for actual, value in zip(map(device.get, found), (
            quadratic, -own_gamma * inv_std * sum_g * inverse
            - quadratic * mean, *affine)):
        assert actual.dtype == case.working
        cases.assert_close(actual, value, 100 * case.rtol)


@pytest.mark.parametrize('dtype', ['f', 'd'])
@pytest.mark.parametrize('size', [(6,), (2, 3)], ids=str)
def test_what_is_carried(device, size, dtype):
    random = numpy.random.RandomState(0)
    case = cases.Case((3, 6, 50), 4, 'float32')
    # Equal weights keep their order; one component has less than a point.
    weights = numpy.array([.2, .597, .2, .003], 'f')
    order = [1, 0, 2, 3]
    case.parameters = case.parameters._replace(weights=weights)
    before = _carried(random, device, 4, size, dtype)
    gamma = numpy.ones(6, 'f')
    _, _, (queue, decay, start) = _run(
        device, case, gamma, gamma, True, before)
    assert decay == .5
    w, m, v = (z[order].astype('d') for z in case.parameters)
    n = numpy.maximum(150 * w, 1)
    unbiased = v * (n / numpy.maximum(n - 1, 1))[:, None]
    factors, *entries = (device.get(z) for z in queue)
    cases.assert_close(
        factors, numpy.append(
            1, .5 * device.get(before.queue.factors)[:-1]), 1e-6)
    for actual, old, new in zip(entries, before.queue[1:], (w, m, unbiased)):
        assert actual.dtype == dtype and actual.shape == old.shape
        cases.assert_close(actual[0], new.reshape(old.shape[1:]), 1e-5)
        numpy.testing.assert_array_equal(actual[1:], device.get(old)[:-1])

    mean = w @ m
    total = w @ (v + (m - mean) ** 2)
    *found, is_whole = (device.get(z) for z in start)
    for actual, old, new in zip(found, before.start, (
            numpy.array([*w[:3], 0]), (m - mean) / numpy.sqrt(total),
            v / total)):
        assert actual.dtype == dtype
        cases.assert_close(actual, new.reshape(old.shape), 1e-5)
    assert not is_whole
    case.parameters = case.parameters._replace(
        weights=numpy.array([.2, .3, .1, .4], 'f'))
    *_, (_, _, start) = _run(device, case, gamma, gamma, True, before)
    assert device.get(start.is_whole)


@pytest.mark.parametrize('part', ['weights', 'means', 'variances'])
@pytest.mark.parametrize('value', [numpy.nan, numpy.inf])
def test_what_is_not_finite_is_not_carried(device, part, value):
    case = cases.Case((3, 300, 7), 4, 'float32')
    getattr(case.parameters, part)[(2,) * (1 if part == 'weights' else 2)] = (
        value)
    before = _carried(numpy.random.RandomState(0), device, 4, (300,), 'f')
    gamma = numpy.ones((4, 300), 'f')
    _, rank, (queue, _, start) = _run(
        device, case, gamma, gamma, True, before)
    assert sorted(device.get(rank)) == [0, 1, 2, 3]
    for new, old in zip((*queue, *start[:3]),
                        (*before.queue, *before.start[:3])):
        numpy.testing.assert_array_equal(device.get(new), device.get(old))
    assert device.get(start.is_whole)


def test_too_large_for_the_queue(device):
    # Finite in float64, and not in float32.
    case = cases.Case((3, 5, 7), 2, 'float64')
    case.parameters.variances[1, 3] = 1e50
    before = _carried(numpy.random.RandomState(0), device, 2, (5,), 'f')
    _, _, (queue, _, _) = _run(
        device, case, numpy.ones(5), numpy.ones(5), True, before)
    for new, old in zip(queue, before.queue):
        numpy.testing.assert_array_equal(device.get(new), device.get(old))


def test_same_bits_in_any_order_of_threads(emulated):
    case = cases.Case((3, 300, 7), 5, 'float32')
    gamma, beta = numpy.random.RandomState(1).randn(2, 5, 300).astype('f')
    before = _carried(numpy.random.RandomState(0), emulated, 5, (300,), 'f')

    def bits():
        coefficients, rank, (queue, _, start) = _run(
            emulated, case, gamma, beta, True, before)
        return [z.tobytes() for z in (
            *coefficients[:3], rank, *queue, *start)]

    forward = bits()
    for order in 1, 2, 3:
        emulated.emulator.order = order
        assert bits() == forward, order
