"""Inference: what a link keeps of its training, and how it uses it."""
import copy
import pickle

import chainer
from chainer import functions as F
from chainer import serializers
import numpy
import pytest

from functions_tests import equations
from mixnorm.compute.parameters import Parameters
from mixnorm.links import MixtureNormalization
from mixnorm.links.queues import ParameterQueue


_SEED = 0


def _batches(n, shape=(20, 3, 4), dtype='d', seed=_SEED):
    """Mini-batches that are unlike one another, of mixtures."""
    random = numpy.random.RandomState(seed)
    return [
        (random.uniform(.5, 2) * random.randn(*shape) + random.randn()
         + 3 * random.randint(2, size=shape[:1] + (1,) + shape[2:])
         ).astype(dtype)
        for _ in range(n)]


def _infer(link, x):
    with chainer.using_config('train', False):
        return link(x).array


def _factors(n, decay):
    factors = decay ** numpy.arange(n)
    return factors / factors.sum()


def _by_queue(x, entries, factors, gamma=None, beta=None, f=None):
    """The sum of (38, 39), from entries (lambda, mu, var), newest first."""
    queue = [numpy.stack(z).astype('d') for z in zip(*entries)]
    gamma = numpy.ones(x.shape[1]) if gamma is None else gamma
    beta = numpy.zeros(x.shape[1]) if beta is None else beta
    return equations.fixed_mixture_normalization(
        x, gamma, beta, equations.queue_posteriors(x, *queue), *queue,
        factors, 2e-5, f)


@pytest.mark.parametrize('kwargs', [
    {}, {'queue_size': 3}, {'queue_size': 1}, {'queue_decay': .5},
    {'queue_decay': 1}, {'affine': 'component'}, {'activation': F.tanh},
    {'n_components': 1}, {'n_components': 5, 'min_weight': .1},
    {'dtype': 'f'}], ids=str)
@pytest.mark.parametrize('shape', [(120, 3), (30, 3, 4)], ids=str)
def test_inference_averages_over_the_last_batches(shape, kwargs):
    random = numpy.random.RandomState(_SEED)
    kwargs = dict(
        {'n_components': 3, 'dtype': 'd', 'sample_ratio': 1}, **kwargs)
    affine = ((kwargs['n_components'], 3)
              if kwargs.get('affine') == 'component' else (3,))
    gamma, beta = random.randn(2, *affine)
    link = MixtureNormalization(
        3, seed=0, initial_gamma=gamma, initial_beta=beta, **kwargs)
    size = kwargs.get('queue_size', 10)
    history = []  # The newest first, and never cut.
    x = _batches(1, shape, seed=1)[0]
    for n, batch in enumerate(_batches(13, shape), 1):
        link(batch)
        kept = min(n, size)
        assert [len(z) for z in link.queue] == [kept] * 3
        history.insert(0, [z[0].copy() for z in link.queue])
        # A component of one point has no density of its own.
        present = history[0][0] > 0
        assert history[0][2][present].min() > 1e-3
        for name, actual, expected in zip(
                link.queue._fields, link.queue, zip(*history[:kept])):
            numpy.testing.assert_array_equal(
                actual, numpy.stack(expected), name)
        tolerance = 1e-6 if kwargs['dtype'] == 'd' else 1e-3
        numpy.testing.assert_allclose(
            _infer(link, x), _by_queue(
                x, history[:kept],
                _factors(kept, kwargs.get('queue_decay', .9)), gamma, beta,
                numpy.tanh if 'activation' in kwargs else None),
            rtol=tolerance, atol=tolerance)


def test_entries_are_the_batches_moments():
    # With one component they can be had without any fit.
    link = MixtureNormalization(3, 1, seed=0, dtype='d')
    batches = _batches(4)
    for batch in batches:
        link(batch)
    weights, means, variances = link.queue
    numpy.testing.assert_array_equal(weights, 1)
    for mean, variance, batch in zip(means, variances, batches[::-1]):
        numpy.testing.assert_allclose(
            mean[0], batch.mean(axis=(0, 2)), rtol=1e-10)
        numpy.testing.assert_allclose(
            variance[0], batch.var(axis=(0, 2), ddof=1), rtol=1e-10)


def test_inference_changes_nothing():
    link = MixtureNormalization(3, seed=0)
    batch, x = _batches(2, dtype='f')
    link(batch)
    before = {name: numpy.copy(getattr(link, name))
              for name in link._persistent}
    n_effective = link.n_effective
    first = _infer(link, x)
    numpy.testing.assert_array_equal(_infer(link, x), first)
    for name, value in before.items():
        numpy.testing.assert_array_equal(getattr(link, name), value, name)
    assert link.n_effective == n_effective


def test_inference_is_point_by_point():
    link = MixtureNormalization(3, seed=0, dtype='d')
    batch, x = _batches(2)
    link(batch)
    whole = _infer(link, x)
    for n in range(len(x)):
        numpy.testing.assert_allclose(
            _infer(link, x[n:n + 1]), whole[n:n + 1], rtol=1e-9, atol=1e-12)
    numpy.testing.assert_allclose(
        _infer(link, x[:, :, ::-1]), whole[:, :, ::-1], rtol=1e-9,
        atol=1e-12)
    assert _infer(link, x[:0]).shape == (0,) + x.shape[1:]


def test_inference_gives_gradients():
    # As for adversarial examples, or with frozen statistics.
    link = MixtureNormalization(3, 1, seed=0, dtype='d')
    batch, x = _batches(2)
    link(batch)
    v = chainer.Variable(x)
    link.cleargrads()
    with chainer.using_config('train', False):
        y = link(v)
    gy = numpy.random.RandomState(_SEED).randn(*x.shape)
    y.grad = gy
    y.backward()
    deviation = numpy.sqrt(batch.var(axis=(0, 2), ddof=1) + 2e-5)[:, None]
    numpy.testing.assert_allclose(v.grad, gy / deviation, rtol=1e-9)
    xhat = (x - batch.mean(axis=(0, 2))[:, None]) / deviation
    numpy.testing.assert_allclose(
        link.gamma.grad, (gy * xhat).sum(axis=(0, 2)), rtol=1e-9)
    numpy.testing.assert_allclose(
        link.beta.grad, gy.sum(axis=(0, 2)), rtol=1e-9)


@pytest.mark.parametrize('inference', ['parameters', 'samples'])
@pytest.mark.parametrize('size', [3, None])
def test_inference_before_training(size, inference):
    link = MixtureNormalization(size, seed=0, inference=inference)
    x = _batches(1, dtype='f')[0]
    message = 'MixtureNormalization.* has seen no training mini-batch'
    with pytest.raises(RuntimeError, match=message):
        _infer(link, x)
    # It can be trained all the same, on inputs of another size if none was
    # given.
    if size is None:
        x = numpy.concatenate([x, x], axis=1)
    link(x)
    assert _infer(link, x).shape == x.shape


def test_error_names_the_link_in_its_model():
    model = chainer.Chain()
    with model.init_scope():
        model.norm3 = MixtureNormalization(3)
    with pytest.raises(RuntimeError, match='norm3'):
        _infer(model.norm3, _batches(1, dtype='f')[0])


def test_queue_before_training():
    assert [len(z) for z in MixtureNormalization(3).queue] == [0, 0, 0]
    link = MixtureNormalization()
    assert link.queue.means is None or len(link.queue.means) == 0


def test_finetuning_averages_evenly():
    link = MixtureNormalization(3, 1, seed=0, dtype='d')
    *batches, x = _batches(6)
    link(batches[0] + 100)  # To be forgotten.
    link.start_finetuning()
    assert len(link.queue.weights) == 0
    with pytest.raises(RuntimeError, match='has seen no training'):
        _infer(link, x)
    for batch in batches:
        y = link(batch, finetune=True)
        numpy.testing.assert_allclose(
            y.array, F.batch_normalization(
                batch, numpy.ones(3), numpy.zeros(3)).array, rtol=1e-8,
            atol=1e-10)
    expected = numpy.mean([
        (x - batch.mean(axis=(0, 2))[:, None]) / numpy.sqrt(
            batch.var(axis=(0, 2), ddof=1)[:, None] + 2e-5)
        for batch in batches], axis=0)
    numpy.testing.assert_allclose(
        _infer(link, x), expected, rtol=1e-8, atol=1e-10)


def test_training_after_finetuning_decays_again():
    link = MixtureNormalization(3, 1, seed=0, dtype='d')
    batches = _batches(4)
    for batch, finetune in zip(batches, (True, True, False, True)):
        link(batch, finetune=finetune)
    factors = numpy.array([1, 1, .9, .9])
    x = _batches(1, seed=5)[0]
    entries = [
        (numpy.ones(1), batch.mean(axis=(0, 2))[None],
         batch.var(axis=(0, 2), ddof=1)[None]) for batch in batches[::-1]]
    numpy.testing.assert_allclose(
        _infer(link, x), _by_queue(x, entries, factors / factors.sum()),
        rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize('inference', ['parameters', 'samples'])
def test_start_finetuning_before_training(inference):
    for size in (3, None):
        link = MixtureNormalization(size, seed=0, inference=inference)
        link.start_finetuning()
        link(_batches(1, dtype='f')[0])
        assert len(link.queue.weights) == 1


def _pool(batches):
    return numpy.concatenate([
        numpy.moveaxis(batch, 1, -1).reshape(-1, batch.shape[1])
        for batch in batches])


def test_sample_queue_pools_the_last_batches():
    link = MixtureNormalization(
        3, 1, seed=0, queue_size=3, inference='samples', dtype='d')
    x = _batches(1, seed=5)[0]
    batches = [batch[:, :, :n] for batch, n in zip(
        _batches(7), (4, 1, 3, 2, 4, 4, 1))]  # Of several sizes.
    for n, batch in enumerate(batches, 1):
        link(batch)
        pool = _pool(batches[max(0, n - 3):n])
        expected = (x - pool.mean(axis=0)[:, None]) / numpy.sqrt(
            pool.var(axis=0, ddof=1)[:, None] + 2e-5)
        for _ in range(2):
            numpy.testing.assert_allclose(
                _infer(link, x), expected, rtol=1e-8, atol=1e-10)
        assert [len(z) for z in link.queue] == [1, 1, 1]
        numpy.testing.assert_allclose(
            link.queue.means[0, 0], pool.mean(axis=0), rtol=1e-9)


def test_sample_queue_fits_one_mixture_to_the_pool():
    # Groups that no single batch shows: each has one of them.
    random = numpy.random.RandomState(_SEED)
    centers = numpy.array([[0, 0], [30, 0], [0, 30]])
    batches = [c + random.uniform(-1, 1, (n, 2))
               for c, n in zip(centers, (50, 30, 20))]
    link = MixtureNormalization(
        2, 3, sample_ratio=1, seed=0, inference='samples', dtype='d')
    for batch in batches:
        link(batch)
    x = numpy.concatenate([batch[:5] for batch in batches])
    entry = (numpy.array([.5, .3, .2]),
             numpy.stack([batch.mean(axis=0) for batch in batches]),
             numpy.stack([batch.var(axis=0, ddof=1) for batch in batches]))
    numpy.testing.assert_allclose(
        _infer(link, x), _by_queue(x, [entry], [1]), rtol=1e-6, atol=1e-6)
    for actual, expected in zip(link.queue, entry):
        numpy.testing.assert_allclose(actual[0], expected, rtol=1e-6)


def test_sample_queue_does_not_depend_on_how_it_was_asked():
    # Nor on how the pool was divided into batches; the fit is the same at
    # every call, and training goes on as if there had been none.
    batches = _batches(4)
    x = _batches(1, seed=5)[0]
    links = [MixtureNormalization(
        3, seed=0, inference='samples', dtype='d') for _ in range(2)]
    outputs = []
    for link, asks in zip(links, (True, False)):
        for batch in batches:
            y = link(batch).array
            if asks:
                _infer(link, x)
        outputs.append((y, _infer(link, x), _infer(link, x[:1])))
    for actual, expected in zip(*outputs):
        numpy.testing.assert_array_equal(actual, expected)
    numpy.testing.assert_allclose(
        outputs[0][2], outputs[0][1][:1], rtol=1e-9, atol=1e-12)

    single = MixtureNormalization(
        3, 1, seed=0, inference='samples', dtype='d')
    split = MixtureNormalization(
        3, 1, seed=0, inference='samples', dtype='d')
    single(batches[0])
    split(batches[0][:7])
    split(batches[0][7:])
    numpy.testing.assert_allclose(
        _infer(single, x), _infer(split, x), rtol=1e-9, atol=1e-12)


def test_sample_queue_of_several_channel_axes():
    random = numpy.random.RandomState(_SEED)
    batches = random.randn(3, 10, 2, 3, 4)
    both = MixtureNormalization(
        (2, 3), 1, inference='samples', seed=0, dtype='d')
    flat = MixtureNormalization(
        6, 1, inference='samples', seed=0, dtype='d')
    for batch in batches:
        both(batch)
        flat(batch.reshape(10, 6, 4))
    numpy.testing.assert_allclose(
        _infer(both, batches[0]).reshape(10, 6, 4),
        _infer(flat, batches[0].reshape(10, 6, 4)), rtol=1e-9)
    assert both.queue.means.shape == (1, 1, 2, 3)


def test_sample_queue_keeps_no_reference_to_the_batch():
    link = MixtureNormalization(3, 1, inference='samples', dtype='d')
    batch, x = _batches(2)
    link(batch)
    expected = _infer(link, x)
    link.start_finetuning()
    link(batch)
    batch[...] = 1000  # The user's buffer is used again.
    numpy.testing.assert_allclose(_infer(link, x), expected)


def test_training_statistics_serve_inference():
    # On data like that of training, test mode is close to training mode.
    link = MixtureNormalization(3, 2, seed=0, dtype='d')
    random = numpy.random.RandomState(_SEED)
    for _ in range(10):
        labels = numpy.arange(2000)[:, None] % 2
        x = 10 * labels + random.randn(2000, 3)
        y = link(x).array
    difference = abs(_infer(link, x) - y)
    assert difference.mean() < .15, difference.mean()


def _saved(link):
    serializer = serializers.DictionarySerializer()
    serializer.save(link)
    return serializer.target


def test_samples_are_the_links_own():
    x = numpy.random.RandomState(0).randn(40, 3)
    link = MixtureNormalization(3, 2, seed=0, inference='samples', dtype='d')
    link(x)
    kept = x.copy()
    x[...] = 0
    numpy.testing.assert_array_equal(
        _saved(link)['samples'], kept)


def test_queue_is_complete_when_another_thread_sees_it():
    class Watched(MixtureNormalization):

        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            if watching:
                state = _saved(self)
                seen.append((float(state['queue_factors'][0]) > 0,
                             bool((state['queue_means'][0] != 0).all())))

    seen, watching = [], False
    link = Watched(3, 1, seed=0, inference='samples', dtype='d')
    link(numpy.random.RandomState(0).randn(40, 3) + 1)
    watching = True
    with chainer.using_config('train', False):
        link(numpy.ones((2, 3)))
    assert seen[-1] == (True, True)
    assert (True, False) not in seen


@pytest.mark.parametrize('inference', ['parameters', 'samples'])
def test_moments_beyond_the_queues_dtype_are_left_out(inference):
    # Finite in float64, and not in float32.
    x = numpy.random.RandomState(0).randn(40, 3)
    link = MixtureNormalization(3, 2, seed=0, inference=inference, dtype='f')
    link(x)
    before = _infer(link, x)
    assert numpy.isfinite(link(1e25 * x).array).all()
    assert len(link.queue.weights) == 1
    numpy.testing.assert_array_equal(_infer(link, x), before)


@pytest.mark.parametrize('missing', ['samples', 'sample_counts'])
def test_part_of_a_sample_queue(missing, tmp_path):
    path = str(tmp_path / 'link.npz')
    x = numpy.random.RandomState(0).randn(40, 3).astype('f')
    link = MixtureNormalization(3, 2, seed=0, inference='samples')
    link(x)
    state = _saved(link)
    del state[missing]
    numpy.savez(path, **state)
    with pytest.raises(KeyError):
        serializers.load_npz(path, MixtureNormalization(
            3, 2, inference='samples'))
    loaded = MixtureNormalization(3, 2, inference='samples')
    serializers.load_npz(path, loaded, strict=False)
    # Nothing can be made of it, which the link says, and it goes on.
    with pytest.raises(RuntimeError, match='no training mini-batch'):
        _infer(loaded, x)
    loaded(x)
    assert len(loaded.queue.weights) == 1
    assert numpy.isfinite(_infer(loaded, x)).all()


@pytest.mark.parametrize('inference', ['parameters', 'samples'])
@pytest.mark.parametrize('deviation', [1e-18, 1e-20, 1e-21, 1e-22, 1e-40])
def test_dying_channel_is_as_a_constant_one(deviation, inference):
    # Its variance is a number that float32 cannot invert, or none at all.
    outputs = []
    for scale in (deviation, 0):
        link = MixtureNormalization(3, 3, seed=0, inference=inference)
        for x in _batches(4, (40, 3, 5)):
            x[:, 1] = scale * numpy.random.RandomState(1).randn(40, 5)
            link(x.astype('f'))
        x = _batches(1, (40, 3, 5), seed=5)[0].astype('f')
        outputs.append(_infer(link, x))
    numpy.testing.assert_allclose(*outputs, rtol=1e-4, atol=1e-4)
    assert numpy.isfinite(outputs[0]).all()


def _parameters(n_components, size, seed):
    random = numpy.random.RandomState(seed)
    return Parameters(
        random.rand(n_components),
        *random.rand(2, n_components, int(numpy.prod(size))))


def _arrays(queue):
    return [z.copy() for z in queue.arrays.values()]


@pytest.mark.parametrize('size', [(2,), (2, 3)], ids=str)
def test_queue_of_mixtures_of_fewer_components(size):
    queue = ParameterQueue.empty(numpy, numpy.dtype('f'), 3, 4, size)
    pushed = [_parameters(k, size, k) for k in (4, 1, 3, 2)]
    for mixture in pushed:
        queue = queue.push(mixture, .5)
    expected = [numpy.zeros(shape) for shape in (
        (3,), (3, 4), (3, 4) + size, (3, 4) + size)]
    for t, mixture in enumerate(reversed(pushed[1:])):
        expected[0][t] = .5 ** t
        for out, value in zip(expected[1:], mixture):
            out[t, :len(value)] = value.reshape((-1,) + out.shape[2:])
    for actual, value in zip(queue.arrays.values(), expected):
        assert actual.dtype == 'f'
        numpy.testing.assert_allclose(actual, value, rtol=1e-6)


def test_queue_never_changes():
    queue = ParameterQueue.empty(numpy, numpy.dtype('d'), 2, 3, (2,))
    mixture = _parameters(3, (2,), 0)
    queues, contents = [queue], [_arrays(queue)]
    for read_first in (True, False, True, False):
        queue = queue.push(mixture, .5)
        queues.append(queue)
        # A copy reads, so that the queue itself need not have been read.
        contents.append(_arrays(queue if read_first else copy.copy(queue)))
        for z in mixture:
            z += 1
    for queue, expected in zip(queues, contents):
        for actual, value in zip(queue.arrays.values(), expected):
            numpy.testing.assert_array_equal(actual, value)
    mixture.means[1, 1] = numpy.nan
    assert _arrays(queue.push(mixture, .5))[0].tolist() == [1, .5]
    for actual, value in zip(
            queue.push(mixture, .5).arrays.values(), contents[-1]):
        numpy.testing.assert_array_equal(actual, value)


def _trained(n_batches=3):
    link = MixtureNormalization(4, n_components=2, seed=0)
    random = numpy.random.RandomState(0)
    for _ in range(n_batches):
        link(random.randn(8, 4, 3).astype('f'))
    return link, random.randn(6, 4, 3)


@pytest.mark.parametrize('change', [
    'train', 'eps', 'reload', 'start_finetuning', 'set_inference_moments'])
def test_what_is_kept_of_a_queue_follows_it(change):
    # A link that was used in test mode before, and one that was not.
    outputs = []
    for is_used in False, True:
        link, x = _trained()
        if is_used:
            _infer(link, x)
            _infer(link, x.astype('f'))
        if change == 'eps':
            link.eps = .5
        elif change == 'reload':
            other, _ = _trained(5)
            link.copyparams(other)
        elif change == 'set_inference_moments':
            link.set_inference_moments(numpy.full(4, .5), numpy.full(4, 2.))
        else:
            if change == 'start_finetuning':
                link.start_finetuning()
            link(x.astype('f'), finetune=change == 'start_finetuning')
        outputs += [_infer(link, x), _infer(link, x)]
    plain, _ = _trained()
    assert abs(outputs[0] - _infer(plain, x)).max() > 1e-3
    for y in outputs[1:]:
        numpy.testing.assert_array_equal(y, outputs[0])


@pytest.mark.parametrize('make', [
    copy.copy, copy.deepcopy, lambda link: pickle.loads(pickle.dumps(link))],
    ids=['copy', 'deepcopy', 'pickle'])
def test_copies_of_a_link_used_infer(make):
    link, x = _trained()
    expected = _infer(link, x)
    copied = make(link)
    numpy.testing.assert_array_equal(_infer(copied, x), expected)
    copied(x.astype('f'))
    assert (_infer(copied, x) != expected).any()
    numpy.testing.assert_array_equal(_infer(link, x), expected)


def test_dtypes_of_test_mode_by_turns():
    link, x = _trained()
    for dtype in 'd', 'f', 'd', 'e':
        fresh, _ = _trained()
        numpy.testing.assert_array_equal(
            _infer(link, x.astype(dtype)),
            _infer(fresh, x.astype(dtype)))
