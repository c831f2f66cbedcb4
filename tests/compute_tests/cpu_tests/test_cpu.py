import numpy
import pytest

from compute_tests.cpu_tests.activations import activation, ACTIVATIONS
from mixnorm.compute import cpu
from mixnorm.compute.layout import stack


@pytest.mark.parametrize('dtype', ['e', 'f', 'd'])
@pytest.mark.parametrize('shape', ACTIVATIONS, ids=str)
def test_same_bits_whatever_the_number_of_threads(monkeypatch, shape, dtype):
    x = stack(activation(shape, '', dtype, 0))
    draws = numpy.random.RandomState(1).rand(5)
    found = []
    for n_threads in ('1', '2', '3'):
        monkeypatch.setenv('OMP_NUM_THREADS', n_threads)
        sample, location, scale, _ = cpu.sample.standardized_sample(
            x, numpy.arange(0, x.shape[0] * x.shape[2], 2))
        centers, indices = cpu.seeding.seed(sample, 3, draws)
        parameters = cpu.mixture.lloyd_step(sample, centers)
        parameters, bound = cpu.mixture.em_step(sample, parameters, 1e-6)
        parameters = cpu.mixture.discard_and_rescale(
            parameters, .01, location, scale)
        tau, statistics = cpu.mixture.posterior_and_statistics(x, parameters)
        found.append((centers, indices, *parameters, bound, tau, *statistics))
    for others in found[1:]:
        for first, other in zip(found[0], others):
            numpy.testing.assert_array_equal(first, other)
