import numpy
import pytest

from compute_tests.cpu_tests.activations import activation
from mixnorm.compute import cpu
from mixnorm.compute.layout import stack


@pytest.mark.parametrize('is_kept', [True, False])
@pytest.mark.parametrize('shift', [0, 500])
@pytest.mark.parametrize('shape', [(5000, 3), (40, 3, 11, 7)], ids=str)
def test_seeded_step_is_the_one_after_seeding(
        monkeypatch, shape, shift, is_kept):
    # Whether or not the distances of the seeding tell who is nearest, and
    # whether or not squares are kept.
    x = stack(activation(shape, '', 'f', 0) + numpy.float32(shift))
    draws = numpy.random.RandomState(1).rand(10)
    centers, _ = cpu.seeding.seed(x, 4, draws)
    expected = cpu.mixture.lloyd_step(x, centers)
    if not is_kept:
        monkeypatch.setattr(cpu.seeding, '_KEPT_BYTES', 0)
    for points in (x, cpu.sample.precompute(x)):
        for actual, value in zip(
                cpu.seeding.seeded_lloyd_step(points, 4, draws), expected):
            numpy.testing.assert_allclose(actual, value, rtol=1e-4)
