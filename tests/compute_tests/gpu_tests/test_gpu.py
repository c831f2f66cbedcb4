"""What all kernels have in common."""
import chainer
import numpy
import pytest

from compute_tests.gpu_tests import cases
from mixnorm import compute
from mixnorm.compute import gpu
from mixnorm.compute.parameters import Parameters
from mixnorm.links import MixtureNormalization


def test_same_bits_twice(device, small_case):
    expected = cases.run_all(device, small_case)
    assert cases.run_all(device, small_case) == expected


def test_same_bits_in_any_order_of_threads(emulated, small_case):
    # A race shows as a difference between orders.
    forward = cases.run_all(emulated, small_case)
    for order in 1, 2, 3:
        emulated.emulator.order = order
        assert cases.run_all(emulated, small_case) == forward, order


@pytest.mark.parametrize('value', [numpy.nan, numpy.inf, -numpy.inf])
@pytest.mark.parametrize('dtype', ['float16', 'float32', 'float64'])
def test_values_that_are_not_finite(device, dtype, value):
    # They end, stay within their arrays, and leave other points alone.
    case = cases.Case((3, 5, 49), 3, dtype)
    case.x[1, 2, 3] = value
    with numpy.errstate(invalid='ignore'):
        cases.run_all(device, case)
    x = device.send(case.x)
    draws = numpy.random.RandomState(0).uniform(size=1 + 2 * 3)
    _, indices = device.get(gpu.seeding.seed(x, 3, draws))
    assert ((0 <= indices) & (indices < 147)).all()
    tau, statistics = gpu.mixture.posterior_and_statistics(
        x, Parameters(*map(device.send, case.parameters)))
    tau, (_, means, _) = device.get(tau), device.get(statistics)
    with numpy.errstate(invalid='ignore'):
        expected, _ = cases.posterior(case.x, case.parameters)
    others = numpy.isfinite(cases.rows(case.x)).all(axis=1)
    cases.assert_close(cases.rows(tau)[others], expected[others], 1e-3)
    assert not numpy.isfinite(means[:, 2]).any()
    # What is infinite is as far from one component as from another.
    assert numpy.isnan(tau[1, :, 3]).all() == numpy.isnan(value)
    if not numpy.isnan(value):
        cases.assert_close(tau[1, :, 3], numpy.full(3, 1 / 3), 1e-6)


def test_everything_not_a_number(device):
    case = cases.Case((3, 5, 49), 3, 'float32')
    case.x[...] = numpy.nan
    nans = Parameters(*(numpy.full_like(z, numpy.nan)
                        for z in case.parameters))
    case.parameters = nans
    cases.run_all(device, case)
    found = device.get(gpu.mixture.discard_and_rescale(
        Parameters(*map(device.send, nans)), .01, None, None))
    assert all(numpy.isnan(z).all() for z in found)


@pytest.mark.parametrize('shape', [(0, 3, 4), (2, 3, 0)], ids=str)
def test_no_points(device, shape):
    x = device.send(numpy.empty(shape, 'f'))
    tau = device.send(numpy.empty((shape[0], 2, shape[2]), 'f'))
    matrix = device.send(numpy.ones((2, 3), 'f'))
    assert gpu.transform.affine(
        x, tau, matrix, matrix, None, None).shape == shape
    assert gpu.transform.gradient_input(
        x, x, tau, matrix, matrix, matrix, None).shape == shape
    for sums in device.get(gpu.transform.gradient_sums(x, x, tau, None)):
        numpy.testing.assert_array_equal(sums, 0 * sums)
    weights, means, variances = device.get(gpu.mixture.statistics(x, tau))
    numpy.testing.assert_array_equal(weights, [0, 0])
    assert numpy.isfinite(means).all() and numpy.isfinite(variances).all()


def test_too_many_components():
    x = numpy.zeros((1, 2, 40), 'f')
    matrix, tau = numpy.zeros((17, 2), 'f'), numpy.zeros((1, 17, 40), 'f')
    parameters = Parameters(matrix[:, 0], matrix, matrix)
    for call in [
            lambda: gpu.seeding.seed(x, 17, numpy.zeros(17)),
            lambda: gpu.seeding.seeded_lloyd_step(x, 17, numpy.zeros(17)),
            lambda: gpu.mixture.lloyd_step(x, matrix),
            lambda: gpu.mixture.em_step(x, parameters, 0),
            lambda: gpu.mixture.posterior_and_statistics(x, parameters),
            lambda: gpu.mixture.posterior(x, *(z[None] for z in parameters)),
            lambda: gpu.mixture.statistics(x, tau),
            lambda: gpu.mixture.discard_and_rescale(
                parameters, 0, None, None)]:
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
            gpu.transform.affine(points, tau, matrix, matrix, None, None),
            gpu.transform.affine(small, tau, matrix, matrix, None, None))
        numpy.testing.assert_array_equal(
            gpu.transform.gradient_input(
                points, upstream, tau, matrix, matrix, matrix, None),
            gpu.transform.gradient_input(
                small, small, tau, matrix, matrix, matrix, None))
        for a, b in zip(gpu.transform.gradient_sums(
                            points, upstream, tau, None),
                        gpu.transform.gradient_sums(small, small, tau, None)):
            numpy.testing.assert_array_equal(a, b)
    for a, b in zip(gpu.mixture.statistics(x, tau),
                    gpu.mixture.statistics(small, tau)):
        numpy.testing.assert_array_equal(a, b)
    for a, b in zip(gpu.sample.standardized_sample(x, None)[:3],
                    gpu.sample.standardized_sample(small, None)[:3]):
        numpy.testing.assert_array_equal(a, b)
    del x, memory
    (tmp_path / 'memory').unlink()


@pytest.mark.parametrize('shape', [(16, 5, 4, 4), (64, 7)], ids=str)
@pytest.mark.parametrize('dtype,tolerance', [
    ('float16', 5e-3), ('float32', 5e-4), ('float64', 1e-10)])
@pytest.mark.parametrize('options', [
    {}, {'affine': 'component', 'n_components': 5, 'n_iter': 4}], ids=str)
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
    monkeypatch.setattr(compute, 'arithmetic', lambda x: gpu)
    for actual, value in zip(run(), expected):
        assert actual.dtype == value.dtype
        cases.assert_close(actual, value, tolerance)
