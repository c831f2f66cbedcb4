"""Saving, loading, copying and moving a link; recomputing its pass."""
import copy
import pickle

import chainer
from chainer import functions as F
from chainer import links as L
from chainer import serializers
import numpy
import pytest

from mixnorm.links import MixtureNormalization


_SEED = 0
_VARIANTS = [
    {}, {'affine': 'component'}, {'inference': 'samples'},
    {'queue_size': 1}, {'use_gamma': False, 'use_beta': False},
    {'dtype': 'd'}, {'dtype': 'e'}]


def _batches(n, shape=(12, 3, 4), dtype='f', seed=_SEED):
    random = numpy.random.RandomState(seed)
    return [random.randn(*shape).astype(dtype) + random.randint(
        2, size=shape[:1] + (1,) + shape[2:]).astype(dtype)
        for _ in range(n)]


def _trained(n_batches=12, size=3, seed=7, **kwargs):
    link = MixtureNormalization(size, seed=seed, **kwargs)
    for batch in _batches(n_batches):
        link(batch)
    for i, (_, parameter) in enumerate(sorted(link.namedparams())):
        parameter.array[...] = numpy.linspace(
            .5 + i, 1.5 + i, parameter.size).reshape(parameter.shape)
    return link


def _state(link):
    state = {name: numpy.array(getattr(link, name))
             for name in link._persistent}
    for name, parameter in link.namedparams():
        state[name] = numpy.array(parameter.array)
    return state


def _assert_same_state(actual, expected):
    assert sorted(actual) == sorted(expected)
    for name, value in expected.items():
        numpy.testing.assert_array_equal(actual[name], value, name)
        assert actual[name].dtype == value.dtype, name


def _assert_goes_on_alike(actual, expected):
    """In test mode, in training, and after it, to the last bit."""
    for batch in _batches(4, seed=1):
        for train in (False, True, False):
            with chainer.using_config('train', train):
                numpy.testing.assert_array_equal(
                    actual(batch).array, expected(batch).array)
    _assert_same_state(_state(actual), _state(expected))


def _npz(tmp_path, link, other):
    path = str(tmp_path / 'link.npz')
    serializers.save_npz(path, link)
    serializers.load_npz(path, other)


def _hdf5(tmp_path, link, other):
    pytest.importorskip('h5py')
    path = str(tmp_path / 'link.h5')
    serializers.save_hdf5(path, link)
    serializers.load_hdf5(path, other)


@pytest.mark.parametrize('round_trip', [_npz, _hdf5])
@pytest.mark.parametrize('size', [3, None])
@pytest.mark.parametrize('kwargs', _VARIANTS, ids=str)
@pytest.mark.parametrize('n_batches', [1, 12])
def test_loaded_link_goes_on_alike(
        tmp_path, n_batches, kwargs, size, round_trip):
    link = _trained(n_batches, **kwargs)
    other = MixtureNormalization(size, seed=1, **kwargs)
    round_trip(tmp_path, link, other)
    assert other.seed == 7 and other.size == (3,)
    _assert_same_state(_state(other), _state(link))
    _assert_goes_on_alike(other, link)


def test_loading_replaces_all_that_was_there(tmp_path):
    for kwargs in _VARIANTS:
        link = _trained(2, **kwargs)
        other = _trained(9, seed=8, **kwargs)
        _npz(tmp_path, link, other)
        _assert_goes_on_alike(other, link)


@pytest.mark.parametrize('kwargs', _VARIANTS, ids=str)
def test_link_that_has_seen_nothing(tmp_path, kwargs):
    # Neither deferred nor otherwise; what is loaded is that, not a wreck.
    for saved_size in (3, None):
        fresh = MixtureNormalization(saved_size, seed=3, **kwargs)
        for other in (MixtureNormalization(3, seed=1, **kwargs),
                      MixtureNormalization(None, seed=1, **kwargs),
                      _trained(2, **kwargs)):
            _npz(tmp_path, fresh, other)
            with chainer.using_config('train', False):
                with pytest.raises(RuntimeError, match='has seen no'):
                    other(_batches(1)[0])
            other(_batches(1)[0])
            with chainer.using_config('train', False):
                other(_batches(1)[0])


def test_several_channel_axes(tmp_path):
    link = MixtureNormalization((3, 4), seed=0)
    for batch in _batches(3):
        link(batch)
    for other in (MixtureNormalization(axis=0, seed=1),
                  MixtureNormalization((3, 4), seed=1)):
        _npz(tmp_path, link, other)
        assert other.size == (3, 4)
        _assert_goes_on_alike(other, copy.deepcopy(link))


def test_links_of_a_model_keep_their_own_state(tmp_path):
    def model(seed):
        return chainer.Sequential(
            MixtureNormalization(3, seed=seed), F.relu,
            MixtureNormalization(3, n_components=2, seed=seed + 1))

    first, second = model(0), model(10)
    for batch in _batches(3):
        first(batch)
    _npz(tmp_path, first, second)
    assert [second[0].seed, second[2].seed] == [0, 1]
    _assert_goes_on_alike_model(second, first)


def _assert_goes_on_alike_model(actual, expected):
    for batch in _batches(3, seed=1):
        for train in (True, False):
            with chainer.using_config('train', train):
                numpy.testing.assert_array_equal(
                    actual(batch).array, expected(batch).array)


@pytest.mark.parametrize('other_size', [3, None, 4])
@pytest.mark.parametrize('saved,other', [
    ({}, {'n_components': 4}), ({'n_components': 1}, {}),
    ({}, {'queue_size': 9}), ({'queue_size': 1}, {}),
    ({}, {'affine': 'component'}), ({'affine': 'component'}, {}),
    ({}, {'inference': 'samples'}),
    ({'queue_size': 1}, {'inference': 'samples'}),
    ({'n_components': 1}, {'n_components': 1, 'affine': 'component'}),
    ({'use_gamma': False}, {}),
], ids=str)
def test_foreign_state_changes_nothing(tmp_path, saved, other, other_size):
    link = _trained(2, **saved)
    strange = MixtureNormalization(other_size, seed=5, **other)
    if other_size == 3:
        strange(_batches(1, seed=3)[0])
    before = _state(strange)
    path = str(tmp_path / 'link.npz')
    serializers.save_npz(path, link)
    # KeyError is Chainer's own for an array that the file has not.
    with pytest.raises((ValueError, KeyError)):
        serializers.load_npz(path, strange)
    _assert_same_state(_state(strange), before)
    # And works with input of any other size where none was fixed.
    shape = (12, other_size or 6, 4)
    for train in (True, False):
        with chainer.using_config('train', train):
            assert strange(_batches(1, shape)[0]).shape == shape


def test_foreign_size_says_what_is_wrong(tmp_path):
    path = str(tmp_path / 'link.npz')
    serializers.save_npz(path, _trained(1))
    for other, shapes in (
            (MixtureNormalization(4), r'\(10, 3, 3\).*\(10, 3, 4\)'),
            (MixtureNormalization(3, n_components=5),
             r'\(10, 3, 3\).*\(10, 5, 3\)'),
            (MixtureNormalization(3, queue_size=2),
             r'\(10, 3, 3\).*\(2, 3, 3\)')):
        with pytest.raises(ValueError, match=shapes):
            serializers.load_npz(path, other)


def test_state_of_batch_normalization(tmp_path):
    path = str(tmp_path / 'link.npz')
    serializers.save_npz(path, L.BatchNormalization(3))
    link = _trained(2)
    before = _state(link)
    with pytest.raises(KeyError):
        serializers.load_npz(path, link)
    _assert_same_state(_state(link), before)


@pytest.mark.parametrize('how', [
    copy.deepcopy, lambda link: link.copy('copy'),
    lambda link: pickle.loads(pickle.dumps(link))],
    ids=['deepcopy', 'copy', 'pickle'])
@pytest.mark.parametrize('kwargs', _VARIANTS, ids=str)
def test_copies(kwargs, how):
    link = _trained(**kwargs)
    other = how(link)
    before = _state(other)
    reference = how(link)
    _assert_goes_on_alike(link, reference)
    # What one does does not show in the other.
    _assert_same_state(_state(other), before)
    assert other.n_effective is not None
    assert repr(other) == repr(link)


def test_copy_before_training():
    link = MixtureNormalization(seed=3)
    for other in (copy.deepcopy(link), pickle.loads(pickle.dumps(link)),
                  link.copy(), link.copy('init')):
        reference = MixtureNormalization(3, seed=3)
        for batch in _batches(2):
            numpy.testing.assert_array_equal(
                other(batch).array, reference(batch).array)


def test_copy_shares_parameters_only():
    link = _trained()
    other = link.copy()  # mode='share'
    before = _state(link)
    other(_batches(1)[0])
    _assert_same_state(_state(link), before)
    assert other.gamma.array is link.gamma.array


def test_copy_with_new_parameters():
    link = _trained()
    other = link.copy('init')
    numpy.testing.assert_array_equal(other.gamma.array, 1)
    numpy.testing.assert_array_equal(other.beta.array, 0)
    assert (link.gamma.array != 1).any()


def test_repeat():
    for mode in ('init', 'copy', 'share'):
        layers = MixtureNormalization(3, seed=0).repeat(3, mode)
        x = _batches(1)[0]
        y = layers(x)
        assert numpy.isfinite(y.array).all()
        assert [len(layer.queue.weights) for layer in layers] == [1, 1, 1]


@pytest.mark.parametrize('size', [3, None])
@pytest.mark.parametrize('kwargs', _VARIANTS, ids=str)
def test_copyparams(kwargs, size):
    link = _trained(**kwargs)
    other = MixtureNormalization(size, seed=1, **kwargs)
    other.copyparams(link)
    _assert_goes_on_alike(other, link)


def test_copyparams_without_state():
    link, other = _trained(), _trained(3, seed=8)
    queue = other.queue
    other.copyparams(link, copy_persistent=False)
    numpy.testing.assert_array_equal(other.gamma.array, link.gamma.array)
    for before, after in zip(queue, other.queue):
        numpy.testing.assert_array_equal(before, after)


@pytest.mark.parametrize('kwargs', [
    {'n_components': 4}, {'queue_size': 2}, {'affine': 'component'},
    {'inference': 'samples'}], ids=str)
def test_copyparams_of_another_kind_changes_nothing(kwargs):
    other = _trained(2, **kwargs)
    before = _state(other)
    with pytest.raises((ValueError, AttributeError, KeyError)):
        other.copyparams(_trained())
    _assert_same_state(_state(other), before)


@pytest.mark.parametrize('size', [3, None])
def test_copyparams_of_batch_normalization(size):
    link = MixtureNormalization(size, seed=1)
    before = repr(_state(link))
    with pytest.raises(ValueError, match='has no n_fits, queue_factors'):
        link.copyparams(L.BatchNormalization(3))
    assert repr(_state(link)) == before


def test_copyparams_of_deferred_link():
    other = _trained(2)
    other.copyparams(MixtureNormalization(seed=1))
    other(_batches(1)[0])
    assert len(other.queue.weights) >= 1


def test_to_device():
    for kwargs in _VARIANTS:
        link, reference = _trained(**kwargs), _trained(**kwargs)
        link.to_device('@numpy')
        _assert_goes_on_alike(link, reference)


def test_optimizer_target():
    link = _trained(1)
    optimizer = chainer.optimizers.SGD(.1).setup(link)
    before = link.gamma.array.copy()
    optimizer.update(lambda x: F.sum(link(x) ** 2), _batches(1)[0])
    assert (link.gamma.array != before).all()


def test_without_type_check():
    link, reference = (MixtureNormalization(3, seed=0) for _ in range(2))
    for batch in _batches(2):
        with chainer.using_config('type_check', False):
            y = link(batch)
        numpy.testing.assert_array_equal(y.array, reference(batch).array)


@pytest.mark.parametrize('kwargs', _VARIANTS, ids=str)
def test_recomputation_leaves_no_second_trace(kwargs):
    # F.forget runs the forward pass once more in the backward pass.
    batches = _batches(3)
    links = [MixtureNormalization(3, seed=0, **kwargs) for _ in range(2)]
    for batch in batches:
        grads = []
        for link, forget in zip(links, (False, True)):
            v = chainer.Variable(batch)
            link.cleargrads()
            y = F.forget(link, v) if forget else link(v)
            F.sum(y ** 3).backward()
            grads.append([v.grad] + [
                p.grad for _, p in sorted(link.namedparams())])
        for actual, expected in zip(*grads):
            numpy.testing.assert_array_equal(actual, expected)
    _assert_same_state(_state(links[1]), _state(links[0]))
    assert links[0].n_effective == links[1].n_effective
    _assert_goes_on_alike(*links)


def test_recomputation_of_a_model():
    # Each link of the model takes its own draws again.
    def model():
        return chainer.Sequential(
            MixtureNormalization(3, seed=0), F.relu,
            MixtureNormalization(3, seed=1))

    models = model(), model()
    batch = _batches(1)[0]
    grads = []
    for link, forget in zip(models, (False, True)):
        v = chainer.Variable(batch)
        link.cleargrads()
        y = F.forget(link, v) if forget else link(v)
        F.sum(y ** 3).backward()
        grads.append([v.grad] + [p.grad for p in link.params()])
    for actual, expected in zip(*grads):
        numpy.testing.assert_array_equal(actual, expected)
