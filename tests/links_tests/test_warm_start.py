"""Mixture normalization whose fits go on from mini-batch to mini-batch."""
import copy
import pickle

import chainer
from chainer import functions as F
from chainer import links as L
from chainer import serializers
import numpy
import pytest

from functions_tests import equations
from mixnorm.links import MixtureNormalization


_CENTERS = numpy.array([[0., 0, 0], [2.5, 0, 1], [0, 2.5, -1]])


def _batch(seed, n=60, scale=1., shift=0., dtype='d'):
    """Points of three groups that overlap, ``(n, 3, 5)``."""
    random = numpy.random.RandomState(seed)
    labels = random.choice(3, (n, 5), p=(.5, .3, .2))
    x = _CENTERS[labels] + random.randn(n, 5, 3)
    return numpy.moveaxis(scale * x + shift, -1, 1).astype(dtype)


def _link(**kwargs):
    options = {'seed': 3, 'dtype': 'd', 'sample_ratio': 1, 'warm_start': True}
    return MixtureNormalization(3, **dict(options, **kwargs))


def _infer(link, x):
    with chainer.using_config('train', False):
        return link(x).array


def _in_deviations(rows, weights, means, variances):
    return (weights, (means - rows.mean(axis=0)) / rows.std(axis=0),
            variances / rows.var(axis=0))


def _em_from(rows, start, n_iter, reg_covar=.05):
    """EM as it is written, from a mixture in deviations of other points."""
    weights, means, variances = start
    means = rows.mean(axis=0) + means * rows.std(axis=0)
    variances = (variances + reg_covar) * rows.var(axis=0)
    for _ in range(n_iter):
        tau = equations.posterior(rows, weights, means, variances)
        weights, means, variances = equations.statistics(rows, tau)
        variances += reg_covar * rows.var(axis=0)
    return equations.posterior(rows, weights, means, variances)


@pytest.mark.parametrize('kwargs', [
    {}, {'n_iter': 1, 'kmeans_iter': 0}, {'kmeans_iter': 0},
    {'n_iter': 5, 'kmeans_iter': 2},
    {'affine': 'inside'}, {'affine': 'component'}, {'activation': F.tanh}],
    ids=str)
def test_fit_goes_on_from_the_last_batch(kwargs):
    random = numpy.random.RandomState(0)
    affine = (3, 3) if kwargs.get('affine') == 'component' else (3,)
    gamma, beta = random.randn(2, *affine)
    link = _link(initial_gamma=gamma, initial_beta=beta, **kwargs)
    if kwargs.get('affine') == 'inside':
        gamma, beta = (numpy.tile(z, (3, 1)) for z in (gamma, beta))
    link(_batch(0))
    (weights,), (means,), (variances,) = (
        z.astype('d') for z in link.queue)
    rows = equations.points(_batch(0))
    # Undo n / (n - 1).
    counts = weights[:, None] * len(rows)
    start = _in_deviations(
        rows, weights, means, variances * (counts - 1) / counts)
    # The channels may move and grow: what is carried is relative to them.
    for n, (scale, shift) in enumerate(
            [(1, 0), (1, .3), (3, -2), (.01, 1), (1, 1000)], 1):
        x = _batch(n, scale=scale, shift=shift)
        rows = equations.points(x)
        n_iter = {'n_iter': 2, 'kmeans_iter': 1, **kwargs}
        tau = _em_from(
            rows, start, n_iter['n_iter'] - n_iter['kmeans_iter'])
        assert ((tau > .1) & (tau < .9)).any()
        found = equations.statistics(rows, tau)
        numpy.testing.assert_allclose(
            link(x).array, equations.activation(equations.weighted_sum(
                rows, gamma, beta, tau, *found, 2e-5,
                numpy.tanh if 'activation' in kwargs else None), x.shape),
            rtol=1e-5, atol=1e-6)
        for actual, expected in zip(
                link.queue, equations.unbiased(*found, len(rows))):
            numpy.testing.assert_allclose(actual[0], expected, rtol=1e-5)
        start = _in_deviations(rows, *found)


def test_first_batch_is_seeded_as_without():
    x = _batch(0)
    warm, cold = _link(), _link(warm_start=False)
    numpy.testing.assert_array_equal(warm(x).array, cold(x).array)
    assert not numpy.array_equal(warm(x).array, cold(x).array)


def _noise(link, batches, probe):
    """How far outputs of the same points move from batch to batch."""
    outputs = []
    for batch in batches:
        link(batch)
        outputs.append((copy.deepcopy(link)(probe).array,
                        _infer(link, probe)))
    outputs = numpy.array(outputs[3:])
    return numpy.sqrt((numpy.diff(outputs, axis=0) ** 2).mean(
        axis=(0, 2, 3, 4, 5)) / (outputs ** 2).mean(axis=(0, 2, 3, 4, 5)))


def test_outputs_move_little_from_batch_to_batch():
    # Rectified features of a convolution, with many values that are 0.
    random = numpy.random.RandomState(0)
    convolution = L.Convolution2D(8, 32, 3, pad=1, nobias=True)
    convolution.W.array[...] = random.randn(32, 8, 3, 3) / 72 ** .5
    with chainer.no_backprop_mode():
        *batches, probe = (
            F.relu(convolution(random.randn(256, 8, 8, 8).astype('f'))).array
            for _ in range(10))
        kwargs = {'seed': 0, 'queue_size': 1}
        warm = _noise(MixtureNormalization(
            32, warm_start=True, **kwargs), batches, probe)
        cold = _noise(MixtureNormalization(32, **kwargs), batches, probe)
    assert (warm < .15).all()
    assert (cold > .3).all()


def test_component_keeps_its_number():
    # Its share shrinks from the greatest to the smallest: numbers stay.
    random = numpy.random.RandomState(0)
    link = _link(affine='component')
    centers = numpy.array([[0., 0, 0], [40, 0, 9], [0, 40, 9]])
    means = []
    for shares in ((60, 40, 30), (45, 40, 35), (30, 40, 60), (9, 50, 90)):
        rows = numpy.repeat(centers, shares, axis=0)
        link(rows + random.randn(*rows.shape))
        numpy.testing.assert_allclose(
            link.queue.weights[0], numpy.array(shares) / sum(shares),
            rtol=1e-6)
        means.append(link.queue.means[0].copy())
    for found in means[1:]:
        numpy.testing.assert_allclose(found, means[0], atol=2)


@pytest.mark.parametrize('lost', ['a component', 'all but one'])
def test_seeded_anew_after_a_component_is_lost(lost):
    random = numpy.random.RandomState(0)
    centers = numpy.array([[0., 0, 0], [40, 0, 9], [0, 40, 9]])

    def batch(*shares):
        rows = numpy.repeat(centers, shares, axis=0)
        return rows + random.randn(*rows.shape)

    link = _link(min_weight=.1)
    link(batch(60, 40, 30))
    assert link.n_effective == 3
    # What has too small a share is dropped.
    link(batch(60, 40, 9) if lost == 'a component' else batch(108, 6, 5))
    assert link.n_effective < 3
    x = batch(20, 40, 60)
    link(x)
    assert link.n_effective == 3
    # The heaviest comes first again.
    numpy.testing.assert_allclose(
        link.queue.weights[0], numpy.array([60, 40, 20]) / 120, rtol=1e-6)


def test_bad_batch_is_not_what_the_next_starts_from():
    links = _link(), _link()
    for link in links:
        link(_batch(0))
    bad = _batch(1)
    bad[3, 1, 2] = numpy.nan
    links[0](bad)
    assert numpy.isfinite(links[0].queue.means).all()
    # All points are drawn: the number of the fit makes no difference.
    numpy.testing.assert_array_equal(
        links[0](_batch(2)).array, links[1](_batch(2)).array)


@pytest.mark.parametrize('way', ['npz', 'copyparams', 'deepcopy', 'pickle'])
@pytest.mark.parametrize('size', [3, None])
@pytest.mark.parametrize('kwargs', [
    {}, {'affine': 'component'}, {'sample_ratio': .25}], ids=str)
def test_state_goes_on(tmp_path, way, size, kwargs):
    link = _link(**kwargs)
    for n in range(3):
        link(_batch(n))
    other = _link(**dict(kwargs, seed=99))
    if size is None:
        options = dict(kwargs, seed=99, dtype='d', warm_start=True)
        options.setdefault('sample_ratio', 1)
        other = MixtureNormalization(**options)
    if way == 'npz':
        serializers.save_npz(tmp_path / 'link.npz', link)
        serializers.load_npz(tmp_path / 'link.npz', other)
    elif way == 'copyparams':
        other.copyparams(link)
    elif way == 'deepcopy':
        other = copy.deepcopy(link)
    else:
        other = pickle.loads(pickle.dumps(link))
    for n in range(3, 6):
        numpy.testing.assert_array_equal(
            link(_batch(n)).array, other(_batch(n)).array)
        numpy.testing.assert_array_equal(
            _infer(link, _batch(9)), _infer(other, _batch(9)))


def test_snapshot_from_before_starts_cold(tmp_path):
    before = _link(warm_start=False)
    before(_batch(0))
    serializers.save_npz(tmp_path / 'link.npz', before)
    loaded, copied = _link(), _link()
    loaded(_batch(5))
    serializers.load_npz(tmp_path / 'link.npz', loaded)
    copied.copyparams(before)
    numpy.testing.assert_array_equal(
        _infer(loaded, _batch(9)), _infer(copied, _batch(9)))
    expected = _link(warm_start=False)
    expected(_batch(0))
    expected = expected(_batch(1)).array
    for link in (loaded, copied):
        numpy.testing.assert_array_equal(link(_batch(1)).array, expected)
    # A link without warm starts loads what a warm one has saved.
    serializers.save_npz(tmp_path / 'warm.npz', loaded)
    serializers.load_npz(tmp_path / 'warm.npz', before)


def test_finetuning_goes_on_from_the_last_batch():
    links = _link(), _link()
    for link in links:
        link(_batch(0))
    links[1].start_finetuning()
    for link in links:
        link(_batch(1))
    numpy.testing.assert_array_equal(
        links[0].queue.means[0], links[1].queue.means[0])


def test_recomputation_starts_where_its_pass_did():
    def gradients(forget):
        link = _link(sample_ratio=.5)
        link(_batch(0))
        link.cleargrads()
        inputs = [chainer.Variable(_batch(n)) for n in (1, 2)]
        outputs = [F.forget(link, x) if forget else link(x) for x in inputs]
        F.sum(sum(y ** 3 for y in outputs)).backward()
        return [x.grad for x in inputs] + [link.gamma.grad, link.beta.grad]

    for actual, expected in zip(gradients(True), gradients(False)):
        numpy.testing.assert_allclose(actual, expected, rtol=1e-12)


def test_inference_leaves_the_start_alone():
    links = _link(), _link()
    for link in links:
        link(_batch(0))
    _infer(links[0], _batch(7))
    numpy.testing.assert_array_equal(
        links[0](_batch(1)).array, links[1](_batch(1)).array)


def test_one_component_is_batch_normalization():
    link, batch_link = _link(n_components=1), L.BatchNormalization(
        3, dtype='d')
    for n in range(3):
        numpy.testing.assert_allclose(
            link(_batch(n)).array, batch_link(_batch(n)).array, rtol=1e-10)


def test_component_of_less_than_one_point_is_lost():
    # Two points, three components: what is left for one is no mixture.
    link = _link(min_weight=0, n_iter=4)
    link(numpy.array([[0., 0, 0], [1, 1, 1]]))
    assert link._start.read() is None


def test_samples_are_refused():
    with pytest.raises(ValueError, match="warm_start is True: inference must "
                                         "be 'parameters'"):
        MixtureNormalization(3, warm_start=True, inference='samples')


@pytest.mark.parametrize('value', [1, None, 'yes'])
def test_bad_flag_is_refused(value):
    with pytest.raises(ValueError, match='warm_start'):
        MixtureNormalization(3, warm_start=value)


def test_repr_says_so():
    assert 'warm_start=True' in repr(_link())
