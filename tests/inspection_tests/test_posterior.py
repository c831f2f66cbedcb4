import chainer
from chainer.utils import type_check
import numpy
import pytest
from sklearn.mixture import GaussianMixture

import mixnorm
from mixnorm.inspection import posterior
from mixnorm.inspection.posterior import of_samples
from mixnorm.links import MixtureNormalization, ModeGroupNormalization
from inspection_tests.layers import make_mixture, make_modes, make_points


@pytest.mark.parametrize('n_components', [1, 2, 4])
def test_it_is_that_of_scikit_learn(n_components):
    x = make_points()
    link = make_mixture(x, n_components=n_components)
    weights, means, variances = (
        z[0].astype(numpy.float64) for z in link.queue)
    reference = GaussianMixture(n_components, covariance_type='diag')
    reference.weights_, reference.means_ = weights / weights.sum(), means
    reference.precisions_cholesky_ = 1 / numpy.sqrt(variances)
    reference.covariances_ = variances
    points = x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1])
    expected = reference.predict_proba(points).reshape(
        (48, 4, 4, n_components)).transpose(0, 3, 1, 2)
    tau = posterior(link, x)
    numpy.testing.assert_allclose(tau, expected, atol=2e-5)
    numpy.testing.assert_allclose(
        of_samples(tau), expected.mean(axis=(2, 3)), atol=2e-5)


def test_half_precision():
    x = make_points(dtype=numpy.float16)
    # Beyond float16 when squared.
    link = make_mixture(300 * x.astype('f'))
    numpy.testing.assert_allclose(
        posterior(link, 300 * x), posterior(link, (300 * x).astype('f')),
        atol=2e-3)


def test_axis_and_size():
    x = make_points()
    link = make_mixture(x)
    last = MixtureNormalization(axis=(0, 1, 2), n_components=2, n_iter=10,
                                sample_ratio=1., seed=0)
    for i in range(3):
        last(x.transpose(0, 2, 3, 1) + .01 * i)
    numpy.testing.assert_allclose(
        posterior(last, x.transpose(0, 2, 3, 1)), posterior(link, x),
        atol=1e-5)


def test_gates_of_samples():
    x = make_points()
    link = make_modes(x)
    before = link.gates
    found = posterior(link, x[:7])
    scores = x[:7].mean(axis=(2, 3)) @ link.gate_W.array.T + link.gate_b.array
    expected = numpy.exp(scores) / numpy.exp(scores).sum(
        axis=1, keepdims=True)
    numpy.testing.assert_allclose(found, expected, rtol=1e-5)
    assert link.gates is before


def test_gates_of_channels_are_averaged():
    x = make_points()
    link = ModeGroupNormalization(5, 3)
    link.gate_W.array[...] = [1, 0, -1]
    link(x)
    found = posterior(link, x)
    assert found.shape == (48, 3)
    numpy.testing.assert_allclose(found, link.gates.mean(axis=1), rtol=1e-6)


@pytest.mark.parametrize('link, words', [
    (chainer.links.BatchNormalization(5), 'it must be one of mixture'),
    (mixnorm.links.GroupMixtureNormalization(1, 5), 'it must be one of'),
    (MixtureNormalization(5), 'has seen no training mini-batch'),
    (MixtureNormalization(), 'has seen no training mini-batch')])
def test_link_that_has_none(link, words):
    with pytest.raises(ValueError, match=f'link is .*{words}'):
        posterior(link, make_points())


@pytest.mark.parametrize('make', [make_mixture, make_modes])
def test_input(make):
    x = make_points()
    link = make(x)
    numpy.testing.assert_array_equal(
        posterior(link, chainer.Variable(x)), posterior(link, x))
    assert posterior(link, x[:0]).shape[0] == 0
    with pytest.raises(type_check.InvalidType, match='3 != 5'):
        posterior(link, x[:, :3])
