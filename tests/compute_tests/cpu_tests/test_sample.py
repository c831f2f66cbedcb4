import numpy
import pytest

from compute_tests.cpu_tests.activations import activation, rows_of
from mixnorm.compute import cpu
from mixnorm.compute.layout import stack


@pytest.mark.parametrize('shape', [(5000, 3), (40, 3, 11, 7)], ids=str)
def test_large_sample_is_the_small_one_read_block_by_block(
        monkeypatch, shape):
    x = stack(activation(shape, '', 'f', 0) * 3 + 2)
    n_points = x.shape[0] * x.shape[2]
    for indices in (None, numpy.arange(0, n_points, 3)):
        samples = []
        for limit in (1 << 24, 0):
            monkeypatch.setattr(cpu.sample, '_SAMPLE_BYTES', limit)
            monkeypatch.setattr(cpu.seeding, '_KEPT_BYTES', limit)
            sample, location, scale, center = cpu.sample.standardized_sample(
                x, indices)
            draws = numpy.random.RandomState(1).rand(7)
            centers, chosen = cpu.seeding.seed(sample, 4, draws)
            parameters, bound = cpu.mixture.em_step(
                sample, cpu.mixture.lloyd_step(sample, centers), 1e-6)
            samples.append(
                (location, scale, centers, chosen, *parameters, bound,
                 center))
        rows = rows_of(x)[:] if indices is None else rows_of(x)[indices]
        # 2 is within a few deviations of 3: nothing needs subtracting.
        numpy.testing.assert_array_equal(samples[0][0], 0)
        numpy.testing.assert_allclose(
            samples[0][1], rows.std(axis=0), rtol=1e-5)
        numpy.testing.assert_allclose(
            samples[0][-1], rows.mean(axis=0) / rows.std(axis=0), rtol=1e-5)
        for small, large in zip(*samples):
            numpy.testing.assert_allclose(small, large, rtol=1e-4, atol=1e-5)
