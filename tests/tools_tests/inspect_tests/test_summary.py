import json
import math

import chainer
import chainer.links as L
import numpy
import pytest
import scipy.stats
from sklearn.mixture import GaussianMixture

import mixnorm
from tools.inspect import summary
from tools.inspect.layers import Layer
from train.run_model import find_layers, layer_inputs, load_run


def _layer(link, x, kind='mixture'):
    return Layer(link, kind, x, mixnorm.inspection.posterior(link, x))


def _mixture(x, n_updates=10, **options):
    link = mixnorm.links.MixtureNormalization(
        x.shape[1], **{'n_components': 2, 'n_iter': 6, 'seed': 0, **options})
    for _ in range(n_updates):
        link(x)
    return link


def _points(gap=8., n=400):
    random = numpy.random.RandomState(0)
    x = random.normal(size=(n, 3))
    x[: n // 4] += gap
    return x.astype('f')


def test_shares_are_those_of_scikit_learn(runs):
    run = load_run(str(runs / 'mixture'))
    layers = find_layers(run.model, 'conv2')
    x = layer_inputs(run.model, layers, [run.test.images])['/conv2/norm'][0]
    link = layers['/conv2/norm']
    reference = GaussianMixture(2, covariance_type='diag')
    weights, means, variances = (z[0].astype(float) for z in link.queue)
    reference.weights_, reference.means_ = weights / weights.sum(), means
    reference.covariances_ = variances
    reference.precisions_cholesky_ = 1 / numpy.sqrt(variances)
    tau = reference.predict_proba(
        x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1]))
    row, = summary.summarize({'/conv2/norm': _layer(link, x)})
    assert row['certain'] == pytest.approx(
        (tau.max(axis=1) > .95).mean(), abs=1e-3)
    assert row['entropy'] == pytest.approx(
        scipy.stats.entropy(tau, axis=1).mean(), abs=1e-4)
    assert row['weights'] == pytest.approx(weights)
    assert row['n_components'] == 2 and row['n_effective'] == 2
    assert row['distance'] == pytest.approx(numpy.linalg.norm(
        (means[0] - means[1]) / numpy.sqrt(variances.mean(axis=0))))


def test_distance_of_the_nearest():
    means = numpy.array([[0., 0.], [3., 4.], [100., 0.], [1., 0.]])
    variances = numpy.array([[1., 1.], [3., 3.], [1., 1.], [1., 1.]])
    # The last one is not there.
    weights = numpy.array([.5, .3, .2, 0.])
    assert summary.distance(weights, means, variances) == pytest.approx(
        5 / math.sqrt(2))
    assert summary.distance(weights[:1], means, variances) is None


def test_difference_of_test_and_training():
    x = _points()
    link = L.BatchNormalization(3, decay=0)
    link(x)
    saved = link.avg_mean.copy()
    # Averages hold the unbiased variance: of 400 points, 1 / 800 more.
    assert summary.difference(link, x) == pytest.approx(
        1 / 800, rel=1e-2)
    # In training 5 times wider and 10 away changes nothing; in the test,
    # y = 5 x + 10 for x standardized.
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    far = mean + (5 * (x - mean) / deviation + 10) * deviation
    assert summary.difference(link, far.astype('f')) == pytest.approx(
        math.sqrt(4 ** 2 + 10 ** 2), rel=1e-2)
    numpy.testing.assert_array_equal(link.avg_mean, saved)


def _warnings(link, x, kind='mixture'):
    row, = summary.summarize({'/a': _layer(link, x, kind)})
    return row['warnings']


def test_nothing_to_warn_of():
    x = _points()
    assert _warnings(_mixture(x), x) == []


def test_warnings():
    x = _points()
    words = {
        'the queue holds 3 of 10': _warnings(_mixture(x, 3), x),
        'component 1 of 2 holds less than 1 %': _warnings(
            _mixture(x, min_weight=.4), x),
        'component 0 has 100.0% of the points': _warnings(
            _mixture(x, min_weight=.4), x),
        'are at the floor': _warnings(
            _mixture(x * [1, 1, 1e-4]), x * numpy.float32([1, 1, 1e-4])),
        'the test output is far': _warnings(_mixture(x), x * 3 + 20)}
    for text, found in words.items():
        assert any(text in warning for warning in found), (text, found)


def test_modes_that_hold_nothing():
    x = _points()
    link = mixnorm.links.ModeNormalization(3, 2)
    link.gate_b.array[...] = 0, -20
    for _ in range(100):
        link(x)
    found = _warnings(link, x, 'mode')
    assert any('mode 1 of 2 holds less than 1 %' in one for one in found)
    assert any('mode 0 has 100.0% of the points' in one for one in found)


def test_modes_that_are_the_same():
    x = _points()
    link = mixnorm.links.ModeNormalization(3, 2)
    link.gate_W.array[...] = 0
    for _ in range(100):
        link(x)
    assert any('two modes are 0.00 deviations apart' in one
               for one in _warnings(link, x, 'mode'))


def test_table(runs, inspect):
    status, output, errors = inspect('summary', runs / 'mixture')
    assert status == 0 and errors == ''
    lines = output.splitlines()
    assert [line.split()[:2] for line in lines[1:5]] == [
        ['/conv1/norm', 'MixtureNormalization'],
        ['/conv2/norm', 'MixtureNormalization'],
        ['/conv3/norm', 'MixtureNormalization'],
        ['/conv4/norm', 'BatchNormalization']]
    rows = json.loads(inspect('summary', runs / 'mixture', '--json')[1])
    assert lines[1].split()[2:4] == ['2', '2']
    assert lines[1].split()[-1] == f"{rows[0]['test_difference']:.2f}"
    assert rows[3]['weights'] is None
    modes = json.loads(inspect(
        'summary', runs / 'mode', '--json', '--where', 'conv4')[1])
    assert [row['path'] for row in modes] == ['/conv4/norm']
    assert sum(modes[0]['weights']) == pytest.approx(1)


def test_snapshot_that_stands_alone(runs, inspect, tmp_path):
    snapshot = tmp_path / 'any.npz'
    snapshot.write_bytes((runs / 'mixture' / 'snapshot.npz').read_bytes())
    status, output, _ = inspect('summary', snapshot)
    assert status == 0
    assert output == inspect('summary', runs / 'mixture')[1]


def test_test_images_do_not_depend_on_how_they_are_grouped(runs, monkeypatch):
    from tools.inspect import layers
    run = load_run(str(runs / 'mode'))
    found = []
    for size in (7, 100):
        monkeypatch.setattr(layers, '_BATCH', size)
        found.append(layers.read_layers(run, ['conv1'], 25)['/conv1/norm'])
    assert found[0].x.shape[0] == 20 and found[0].posterior.shape == (25, 3)
    for name in ('x', 'posterior'):
        numpy.testing.assert_allclose(*(getattr(one, name) for one in found),
                                      rtol=1e-4, atol=1e-5)
    assert chainer.config.train
