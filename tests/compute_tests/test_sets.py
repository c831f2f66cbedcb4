"""Arithmetic on sets of scalars, set by set against scikit-learn."""
import warnings

import numpy
import pytest
from sklearn import cluster, exceptions, mixture

from mixnorm.compute import sets
from mixnorm.compute.parameters import Parameters
from mixnorm.compute.scratch import Scratch


_SEED = 0
# Few points lie side by side in memory, many do not.
_SHAPES = [(3, 2, 20), (2, 3, 150), (1, 1, 50), (4, 1, 7)]


def _points(shape, seed=_SEED):
    """Of three groups in every set, which overlap."""
    random = numpy.random.RandomState(seed)
    groups = 3 * random.randn(*shape[:2], 3)
    labels = random.randint(3, size=shape)
    labels[..., :3] = numpy.arange(3)
    return (numpy.take_along_axis(groups, labels, 2)
            + random.uniform(.3, 1, shape) * random.randn(*shape))


def _load(z, few=40):
    temporaries = sets.Temporaries(Scratch(), z.shape, z.dtype, few)
    return temporaries.load(z, 'points'), temporaries


def _columns(parameters):
    return Parameters(*(
        numpy.moveaxis(z, -1, 0)[..., None] for z in parameters))


def _start(z, n_components, seed=_SEED):
    random = numpy.random.RandomState(seed)
    weights = random.uniform(.5, 1, z.shape[:2] + (n_components,))
    return Parameters(
        weights / weights.sum(axis=2, keepdims=True),
        z[..., :n_components].copy(),
        random.uniform(.5, 2, weights.shape))


def _assert_seeded(centers, points, draws, message):
    """Checks centres by Arthur & Vassilvitskii's seeding, trial by trial.

    Of candidates that are equally good but for rounding any will do.

    """
    assert centers[0] == points[int(draws[0] * len(points))], message
    n_trials = (len(draws) - 1) // max(1, len(centers) - 1)
    for k in range(1, len(centers)):
        trials = draws[1 + (k - 1) * n_trials:][:n_trials]
        closest = numpy.min(
            [(points - center) ** 2 for center in centers[:k]], axis=0)
        ends = closest.cumsum()
        candidates = [points[(ends < u * ends[-1]).sum()] for u in trials]
        left = [numpy.minimum(closest, (points - candidate) ** 2).sum()
                for candidate in candidates]
        chosen = candidates.index(centers[k])
        assert left[chosen] <= min(left) * (1 + 1e-12), message


@pytest.mark.parametrize('n_trials', [1, 3])
@pytest.mark.parametrize('n_clusters', [1, 2, 5])
@pytest.mark.parametrize('shape', _SHAPES, ids=str)
def test_seeds(shape, n_clusters, n_trials):
    for seed in range(3):
        z = _points(shape, seed)
        draws = numpy.random.RandomState(seed).random(
            1 + (n_clusters - 1) * n_trials)
        centers = sets.seed(*_load(z), n_clusters, draws)
        assert centers.shape == (n_clusters,) + shape[:2] + (1,)
        for i in numpy.ndindex(*shape[:2]):
            actual = centers[(slice(None),) + i].ravel()
            _assert_seeded(actual, z[i], draws, str((seed, i)))
            if shape[2] >= 50:
                # In smaller sets candidates may be equally good, which
                # scikit-learn rounds in another way.
                expected, _ = cluster.kmeans_plusplus(
                    z[i][:, None], n_clusters, random_state=seed,
                    n_local_trials=n_trials)
                numpy.testing.assert_array_equal(
                    actual, expected.ravel(), str((seed, i)))


@pytest.mark.parametrize('n_components', [1, 3])
@pytest.mark.parametrize('shape', _SHAPES, ids=str)
def test_iterations_of_em_are_scikit_learns(shape, n_components):
    z = _points(shape)
    start = _start(z, n_components)
    found = {}
    parameters = _columns(start)
    for n_iter in range(1, 6):
        parameters = sets.em_step(*_load(z), parameters, 1e-6)
        found[n_iter] = parameters
    for i in numpy.ndindex(*shape[:2]):
        for n_iter, parameters in found.items():
            gm = mixture.GaussianMixture(
                n_components, covariance_type='diag', tol=0,
                max_iter=n_iter, reg_covar=1e-6,
                weights_init=start.weights[i],
                means_init=start.means[i][:, None],
                precisions_init=1 / start.variances[i][:, None])
            with warnings.catch_warnings():
                warnings.simplefilter('ignore', exceptions.ConvergenceWarning)
                gm.fit(z[i][:, None])
            for actual, expected, name in zip(
                    parameters, (gm.weights_, gm.means_, gm.covariances_),
                    Parameters._fields):
                numpy.testing.assert_allclose(
                    actual[(slice(None),) + i].ravel(), expected.ravel(),
                    rtol=1e-7, atol=1e-9, err_msg=str((name, i, n_iter)))


@pytest.mark.parametrize('shape', _SHAPES, ids=str)
def test_lloyd_step(shape):
    z = _points(shape)
    centers = numpy.random.RandomState(_SEED).randn(*shape[:2], 4)
    # One that is nearest to no point, one of the points themselves.
    centers[..., 0] = -1e3
    centers[..., 1] = z[..., 0]
    actual = sets.lloyd_step(
        *_load(z), numpy.moveaxis(centers, -1, 0)[..., None])
    for i in numpy.ndindex(*shape[:2]):
        ascending = numpy.sort(centers[i])
        nearest = abs(z[i][:, None] - ascending).argmin(axis=1)
        for k, center in enumerate(ascending):
            mine = z[i][nearest == k]
            expected = ((0, center, 0) if len(mine) == 0 else
                        (len(mine) / shape[2], mine.mean(), mine.var()))
            numpy.testing.assert_allclose(
                [z[(k,) + i + (0,)] for z in actual], expected, rtol=1e-9,
                atol=1e-12)


def test_lloyd_step_between_equal_distances():
    z = numpy.array([[[0., 1., 2., 3., 4.]]])
    weights, means, _ = sets.lloyd_step(
        *_load(z), numpy.array([4., 0.]).reshape(2, 1, 1, 1))
    numpy.testing.assert_allclose(weights.ravel(), [.6, .4])
    numpy.testing.assert_allclose(means.ravel(), [1, 3.5])


@pytest.mark.parametrize('shape', _SHAPES, ids=str)
def test_posteriors(shape):
    z = _points(shape)
    parameters = _start(z, 3)
    # Absent, and all the same with a density of its own.
    parameters.weights[0, 0] = [.4, 0, .6]
    parameters.means[0, 0, 1] = z[0, 0, 0]
    parameters.variances[0, 0, 1] = 0
    tau = sets.posteriors(z, parameters)
    for i in numpy.ndindex(*shape[:2]):
        variances = numpy.where(
            parameters.weights[i] > 0, parameters.variances[i], 1)
        density = parameters.weights[i] * numpy.exp(
            -(z[i][:, None] - parameters.means[i]) ** 2
            / (2 * variances)) / numpy.sqrt(variances)
        numpy.testing.assert_allclose(
            tau[(slice(None),) + i].T,
            density / density.sum(axis=1, keepdims=True), rtol=1e-9,
            atol=1e-12)


def test_variances_are_never_negative():
    deviation = numpy.broadcast_to(numpy.random.RandomState(_SEED).rand(
        1, 100, 1, 1).astype('f'), (1, 100, 1, 37))
    weights, means, variances = sets.moments(
        numpy.ones_like(deviation), deviation, sets.Temporaries(
            Scratch(), deviation.shape[1:], deviation.dtype, 40))
    numpy.testing.assert_array_equal(weights, 1)
    numpy.testing.assert_allclose(means, deviation[..., :1], rtol=1e-5)
    assert (variances >= 0).all()
    numpy.testing.assert_allclose(variances, 0, atol=1e-6)


def test_posterior_of_what_is_far_from_everything():
    # Where every density is 0 in floating point.
    z = numpy.array([[[0., 1., 1e4, -1e4]]], 'f')
    tau = sets.posteriors(z, Parameters(*(
        numpy.array([[values]], 'f')
        for values in ([.5, .5], [0, 1], [1e-6, 1e-6]))))
    numpy.testing.assert_allclose(
        tau[:, 0, 0], [[1, 0, 0, 1], [0, 1, 1, 0]])


@pytest.mark.parametrize('dtype', ['e', 'f', 'd'])
@pytest.mark.parametrize('indices', [None, [1, 4, 5]], ids=str)
@pytest.mark.parametrize('shape', _SHAPES, ids=str)
def test_standardized_sample(shape, indices, dtype):
    x = (5 * _points(shape) + 2).astype(dtype)
    x[0, 0] = .1  # Constant, and no binary fraction.
    z, location, scale, _ = sets.standardized_sample(
        x, indices and numpy.array(indices), Scratch())
    assert z.dtype == ('d' if dtype == 'd' else 'f')
    sample = x.astype('d') if indices is None else x[..., indices].astype('d')
    deviation = sample.std(axis=2, keepdims=True)
    deviation[0, 0] = 1
    tolerance = 1e-10 if dtype == 'd' else 1e-5
    numpy.testing.assert_allclose(scale, deviation, rtol=tolerance)
    numpy.testing.assert_allclose(
        z, (sample - sample.mean(axis=2, keepdims=True)) / deviation,
        rtol=tolerance, atol=tolerance)
    numpy.testing.assert_allclose(
        location, sample.mean(axis=2, keepdims=True), rtol=tolerance,
        atol=tolerance)
    assert not z[0, 0].any()


@pytest.mark.parametrize('n_elements', [1, 10, 1 << 17, 1 << 30])
@pytest.mark.parametrize('shape', [(5, 3, 2), (1, 7, 4), (3, 1, 1)], ids=str)
def test_blocks_cover_every_set_once(shape, n_elements):
    counts = numpy.zeros(shape[:2], int)
    results = sets.for_sets(
        lambda block, scratch: block, numpy.zeros(shape), n_elements)
    for block, result in results:
        assert block == result
        counts[block] += 1
    assert (counts == 1).all()
