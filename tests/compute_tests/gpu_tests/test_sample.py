import numpy
import pytest

from compute_tests.gpu_tests import cases
from mixnorm.compute import gpu


@pytest.mark.parametrize('ratio', [.3, 1])
def test_standardized_sample(device, case, ratio):
    n_points = case.x.shape[0] * case.x.shape[2]
    indices = None
    chosen = cases.rows(case.x)
    if ratio < 1:
        indices = numpy.sort(case.random.permutation(n_points)[
            :max(1, int(ratio * n_points))])
        chosen = chosen[indices]
        indices = device.send(indices)
    z, location, scale = device.get(gpu.sample.standardized_sample(
        device.send(case.x, case.layout), indices)[:3])
    expected_scale = chosen.std(axis=0)
    expected_scale[expected_scale == 0] = 1
    assert z.shape == (1, case.x.shape[1], len(chosen))
    assert z.dtype == location.dtype == scale.dtype == case.working
    cases.assert_close(location, chosen.mean(axis=0), case.rtol)
    cases.assert_close(scale, expected_scale, case.rtol)
    cases.assert_close(
        cases.rows(z), (chosen - chosen.mean(axis=0)) / expected_scale,
        case.rtol)


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
def test_scale_of_channels_without_variation(device, dtype):
    # Constant, with a deviation whose square underflows, and ordinary.
    x = numpy.zeros((1, 3, 90), dtype)
    x[0, 0] = 1234.5
    x[0, 1, ::2] = 1e2 * numpy.finfo(dtype).tiny ** .5
    x[0, 2] = numpy.arange(90)
    z, location, scale = device.get(gpu.sample.standardized_sample(
        device.send(x), None)[:3])
    numpy.testing.assert_array_equal(scale[:2], [1, 1])
    numpy.testing.assert_array_equal(z[0, 0], numpy.zeros(90))
    numpy.testing.assert_allclose(scale[2], numpy.arange(90).std(), 1e-5)
