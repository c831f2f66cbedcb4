"""The link of mixtures of each sample's groups of channels."""
import copy
import pickle
import warnings

import chainer
from chainer import functions as F
from chainer import links as L
from chainer import serializers
from chainer import testing
from chainer.utils import type_check
import numpy
import pytest

from functions_tests import equations
from mixnorm.links import GroupMixtureNormalization, MixtureNormalization


_SEED = 0
# The layer variant, groups, and the instance variant of 4 channels.
_GROUPS = [1, 2, 4]


def _batch(shape=(6, 4, 5, 5), dtype='f', seed=_SEED):
    random = numpy.random.RandomState(seed)
    return (random.randn(*shape) + 3 * random.randint(2, size=shape)
            ).astype(dtype)


def _infer(link, x):
    with chainer.using_config('train', False):
        return link(x).array


def _outcome(link, x, gy):
    """Output and gradients."""
    v = chainer.Variable(x)
    y = link(v)
    link.cleargrads()
    y.grad = gy
    y.backward()
    return dict({name: p.grad for name, p in link.namedparams()},
                y=y.array, x=v.grad)


@pytest.mark.parametrize('train', [True, False])
@pytest.mark.parametrize('dtype', ['e', 'f', 'd'])
@pytest.mark.parametrize('shape', [
    (5, 4), (3, 4, 6), (3, 4, 5, 5), (2, 4, 2, 2, 3), (3, 4, 1, 1),
    (2, 4, 12, 13)], ids=str)
@pytest.mark.parametrize('groups', _GROUPS)
def test_one_component_is_group_normalization(groups, shape, dtype, train):
    random = numpy.random.RandomState(_SEED)
    x, gy = random.randn(2, *shape).astype(dtype)
    gamma, beta = random.uniform(.5, 1.5, (2, 4)).astype(dtype)
    link = GroupMixtureNormalization(
        groups, 4, 1, seed=0, dtype=dtype, eps=1e-3, initial_gamma=gamma,
        initial_beta=beta)
    with chainer.using_config('dtype', dtype):
        expected = L.GroupNormalization(
            groups, 4, eps=1e-3, initial_gamma=gamma,
            initial_beta=beta)
    tolerance = {'e': 2e-2, 'f': 1e-4, 'd': 1e-9}[dtype]
    with chainer.using_config('train', train):
        actual = _outcome(link, x, gy)
        for name, wanted in _outcome(expected, x, gy).items():
            assert actual[name].dtype == wanted.dtype
            numpy.testing.assert_allclose(
                actual[name], wanted, rtol=tolerance, atol=tolerance,
                err_msg=name)


@pytest.mark.parametrize('kwargs', [
    {}, {'affine': 'component'}, {'activation': F.tanh},
    {'activation': F.tanh, 'affine': 'component', 'order': 2},
    {'order': 2}, {'sample_ratio': 1.}, {'n_iter': 5}], ids=str)
@pytest.mark.parametrize('groups', _GROUPS)
def test_separate_groups_are_the_components(groups, kwargs):
    # The posterior is the groups' own then, whatever was drawn.
    random = numpy.random.RandomState(_SEED)
    shape = (3, 4, 6, 7)
    labels = random.choice(3, shape, p=(.5, .3, .2))
    x = 60. * labels + random.uniform(-1, 1, shape)
    affine = (3, 4) if kwargs.get('affine') == 'component' else (4,)
    gamma, beta, delta = random.uniform(.5, 1.5, (3,) + affine)
    link = GroupMixtureNormalization(
        groups, 4, 3, seed=0, dtype='d', initial_gamma=gamma,
        initial_beta=beta, **kwargs)
    if kwargs.get('order') == 2:
        link.delta.array[...] = delta
    else:
        delta = numpy.zeros(affine)
    rows = x.reshape(3, groups, -1, 1)
    labels = labels.reshape(rows.shape[:3])
    expected = numpy.empty(rows.shape)
    for n, g in numpy.ndindex(3, groups):
        tau = numpy.eye(3)[labels[n, g]]  # The lowest comes first.
        statistics = equations.statistics(rows[n, g], tau)
        for c in range(4 // groups):
            here = slice(42 * c, 42 * c + 42)
            channel = 4 // groups * g + c
            expected[n, g, here] = equations.second_order_sum(
                rows[n, g, here], *(z[..., channel:channel + 1]
                                    for z in (gamma, beta, delta)),
                tau[here], *statistics, 2e-5,
                numpy.tanh if 'activation' in kwargs else None)
    for train in (True, False):
        with chainer.using_config('train', train):
            y = link(x)
        numpy.testing.assert_allclose(
            y.array, expected.reshape(shape), rtol=1e-6, atol=1e-6)
    assert link.n_effective == 3


@pytest.mark.parametrize('groups', _GROUPS)
@pytest.mark.parametrize('shape', [(8, 4, 5, 5), (8, 4, 12, 12)], ids=str)
def test_samples_are_by_themselves(shape, groups):
    x = _batch(shape, 'd')
    link = GroupMixtureNormalization(groups, 4, seed=0, dtype='d')
    y = _infer(link, x)
    order = numpy.random.RandomState(_SEED).permutation(len(x))
    numpy.testing.assert_allclose(
        _infer(link, x[order]), y[order], rtol=1e-9, atol=1e-12)
    for n in range(len(x)):
        numpy.testing.assert_allclose(
            _infer(link, x[n:n + 1]), y[n:n + 1], rtol=1e-9, atol=1e-12)
    # In training, too, where the draws are of the mini-batch.
    links = [GroupMixtureNormalization(groups, 4, seed=0) for _ in range(2)]
    for _ in range(2):
        numpy.testing.assert_allclose(
            links[0](x[order]).array, links[1](x).array[order], rtol=1e-5,
            atol=1e-6)


@pytest.mark.parametrize('values', ['continuous', 'integers'])
@pytest.mark.parametrize('dtype', ['f', 'd'])
@pytest.mark.parametrize('n_components, n_iter', [(2, 1), (3, 2), (9, 4)])
@pytest.mark.parametrize('groups, shape', [
    (1, (1, 5, 5)), (1, (4, 3)), (1, (4, 12, 12)), (2, (4, 5, 5)),
    (4, (4, 5, 5)), (4, (4, 7, 9)), (4, (4, 12, 12)), (96, (96, 5, 5)),
    (32, (96, 2))], ids=str)
def test_output_is_the_samples_own_to_the_bit(
        groups, shape, n_components, n_iter, dtype, values):
    random = numpy.random.RandomState(_SEED)
    x = random.randn(6, *shape)
    if values == 'integers':
        # Ties, which a last bit would decide.
        x = random.randint(4, size=x.shape)
    x = x.astype(dtype)
    link = GroupMixtureNormalization(
        groups, shape[0], n_components, n_iter, seed=0)
    expected = _infer(link, x)
    order = random.permutation(6)
    numpy.testing.assert_array_equal(_infer(link, x[order]), expected[order])
    numpy.testing.assert_array_equal(
        _infer(link, numpy.concatenate([x[::-1]] * 3))[-6:], expected[::-1])
    for n in range(6):
        numpy.testing.assert_array_equal(
            _infer(link, x[n:n + 1]), expected[n:n + 1])


@pytest.mark.parametrize('groups', _GROUPS)
def test_test_mode_is_always_the_same(groups):
    x = _batch((6, 4, 12, 12))
    link = GroupMixtureNormalization(groups, 4, 4, seed=0)
    before = _infer(link, x)  # It needs no training.
    trained = [link(x).array for _ in range(3)]
    assert link.n_fits == 3
    assert abs(trained[0] - trained[1]).max() > 1e-3  # Fresh draws.
    for _ in range(2):
        numpy.testing.assert_array_equal(_infer(link, x), before)
    assert link.n_fits == 3
    other = GroupMixtureNormalization(groups, 4, 4, seed=0)
    for y in trained:
        _infer(other, x)
        numpy.testing.assert_array_equal(other(x).array, y)
    assert abs(_infer(GroupMixtureNormalization(groups, 4, 4, seed=1), x)
               - before).max() > 1e-3


@pytest.mark.parametrize('groups', _GROUPS)
def test_moving_and_scaling_a_set_changes_nothing(groups):
    x = _batch((3, 4, 6, 6), 'd')
    link = GroupMixtureNormalization(groups, 4, seed=0, dtype='d', eps=0)
    expected = link(x).array
    sets = x.reshape(3, groups, -1)
    random = numpy.random.RandomState(_SEED)
    for scale in (1e-4, 1, 1e4):
        moved = scale * random.uniform(.5, 2, sets.shape[:2] + (1,)) * (
            sets + 10 * random.randn(*sets.shape[:2], 1))
        again = GroupMixtureNormalization(groups, 4, seed=0, dtype='d', eps=0)
        numpy.testing.assert_allclose(
            again(moved.reshape(x.shape)).array, expected, rtol=1e-6,
            atol=1e-6)


@pytest.mark.parametrize('dtype', ['e', 'f', 'd'])
@pytest.mark.parametrize('groups', _GROUPS)
@pytest.mark.parametrize('x', [
    numpy.zeros((3, 4, 5)), numpy.full((3, 4, 5), .1),
    numpy.arange(60.).reshape(3, 4, 5) % 2, numpy.ones((1, 4)),
    numpy.arange(12.).reshape(3, 4),
    numpy.maximum(numpy.random.RandomState(0).randn(3, 4, 40) - 1, 0),
    1e4 * numpy.random.RandomState(0).randn(3, 4, 40),
    1e4 + numpy.random.RandomState(0).randn(3, 4, 40)],
    ids=['zeros', 'constant', 'two values', 'one sample', 'vectors', 'sparse',
         'large', 'far'])
def test_degenerate_batches(x, groups, dtype):
    link = GroupMixtureNormalization(groups, 4, 3, seed=0, order=2)
    v = chainer.Variable(x.astype(dtype))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for train in (True, False):
            with chainer.using_config('train', train):
                link.cleargrads()
                v.cleargrad()
                y = link(v)
                F.sum(y).backward()
            for z in (y.array, v.grad, link.gamma.grad, link.delta.grad):
                assert numpy.isfinite(z).all()
            assert y.dtype == v.grad.dtype == dtype


@pytest.mark.parametrize('shape,groups', [
    ((3, 4), 4), ((3, 4, 1, 1), 4), ((3, 1), 1)], ids=str)
def test_set_of_one_point_becomes_beta(shape, groups):
    beta = numpy.arange(1., 1 + shape[1]).astype('f')
    link = GroupMixtureNormalization(
        groups, shape[1], seed=0, initial_beta=beta)
    x = _batch(shape)
    y = link(x).array
    numpy.testing.assert_array_equal(
        y.reshape(3, -1), numpy.broadcast_to(beta, (3, shape[1])))


def test_constant_set_becomes_beta():
    x = _batch((3, 4, 5))
    x[1, 2] = .1
    link = GroupMixtureNormalization(4, 4, seed=0, initial_beta=2)
    y = link(x).array
    numpy.testing.assert_array_equal(y[1, 2], 2)
    assert (y[0] != 2).any()


@pytest.mark.parametrize('groups', _GROUPS)
def test_half_precision(groups):
    x = (_batch(dtype='d') * 1e4 / 4).astype('e')
    half, double = (
        GroupMixtureNormalization(groups, 4, seed=0, dtype=dtype)
        for dtype in 'fd')
    y = half(x)
    assert y.dtype == 'e'
    numpy.testing.assert_allclose(
        y.array, double(x.astype('d')).array, rtol=2e-2, atol=2e-2)


def test_bad_values_spoil_only_their_set():
    x = _batch()
    links = [GroupMixtureNormalization(2, 4, seed=0)
             for _ in range(2)]
    expected = links[0](x).array
    x[1, 2, 3, 3] = numpy.nan
    x[4, 0, 1, 0] = numpy.inf
    y = links[1](x).array
    spoilt = numpy.zeros(x.shape, bool)
    spoilt[1, 2:] = spoilt[4, :2] = True
    numpy.testing.assert_allclose(
        y[~spoilt], expected[~spoilt], rtol=1e-5, atol=1e-6)
    assert not numpy.isfinite(y[1, 2:]).any()
    with chainer.using_config('debug', True):
        with pytest.raises(ValueError, match='holds 2 of 600 values'):
            links[0](x)


def test_n_effective_is_the_mean_over_the_sets():
    # Half of the samples have two values, half have one.
    x = numpy.zeros((4, 2, 30), 'f')
    x[:2, :, ::2] = 1
    link = GroupMixtureNormalization(1, 2, 2, seed=0)
    assert link.n_effective is None
    _infer(link, x)
    assert link.n_effective is None
    link(x)
    assert type(link.n_effective) is float
    assert link.n_effective == 1.5


@pytest.mark.parametrize('groups', _GROUPS)
def test_there_is_no_queue(groups):
    link = GroupMixtureNormalization(groups, 4, seed=0)
    link(_batch())
    assert not hasattr(link, 'queue')
    serializer = serializers.DictionarySerializer()
    serializer.save(link)
    assert sorted(serializer.target) == ['beta', 'gamma', 'n_fits', 'seed']


@pytest.mark.parametrize('groups', _GROUPS)
def test_axes(groups):
    # Channels last, and two axes of channels.
    x = _batch((3, 5, 6, 4))
    plain = GroupMixtureNormalization(groups, 4, seed=0)
    last = GroupMixtureNormalization(groups, axis=(0, 1, 2), seed=0)
    two = GroupMixtureNormalization(groups, (2, 2), seed=0)
    for train in (True, False):
        with chainer.using_config('train', train):
            expected = plain(x.transpose(0, 3, 1, 2)).array
            numpy.testing.assert_allclose(
                last(x).array.transpose(0, 3, 1, 2), expected, rtol=1e-5,
                atol=1e-6)
            numpy.testing.assert_allclose(
                two(x.transpose(0, 3, 1, 2).reshape(3, 2, 2, 5, 6)).array,
                expected.reshape(3, 2, 2, 5, 6), rtol=1e-5, atol=1e-6)
    assert last.size == (4,) and two.gamma.shape == (2, 2)


def test_noncontiguous_input_and_gradient():
    wide = _batch((6, 4, 10, 5))
    x = wide[::2, ::-1, ::2].transpose(0, 1, 3, 2)
    gy = numpy.broadcast_to(_batch((1, 4, 1, 5)), x.shape)
    links = [GroupMixtureNormalization(2, 4, seed=0)
             for _ in range(2)]
    expected = _outcome(links[0], x.copy(), gy.copy())
    for name, value in _outcome(links[1], x, gy).items():
        numpy.testing.assert_allclose(
            value, expected[name], rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize('groups', _GROUPS)
def test_number_of_threads_changes_nothing(groups, monkeypatch):
    random = numpy.random.RandomState(_SEED)
    x, gy = random.randn(2, 30, 16, 24, 24).astype('f')
    outcomes = []
    for n in ('1', '3'):
        monkeypatch.setenv('OMP_NUM_THREADS', n)
        outcomes.append(_outcome(
            GroupMixtureNormalization(groups, 16, seed=0), x, gy))
    for name, value in outcomes[0].items():
        numpy.testing.assert_array_equal(outcomes[1][name], value, name)


@pytest.mark.parametrize('kwargs', [
    {}, {'affine': 'component'}, {'use_gamma': False},
    {'use_gamma': False, 'use_beta': False}, {'order': 2}], ids=str)
@pytest.mark.parametrize('size', [4, None])
@pytest.mark.parametrize('groups', _GROUPS)
def test_saving_and_loading(tmp_path, groups, size, kwargs):
    x = _batch()
    link = GroupMixtureNormalization(groups, 4, seed=3, **kwargs)
    for _ in range(2):
        link(x)
    for parameter in link.params():
        parameter.array[...] = numpy.linspace(.5, 1.5, parameter.size).reshape(
            parameter.shape)
    path = str(tmp_path / 'link.npz')
    serializers.save_npz(path, link)
    with numpy.load(path) as saved:
        assert sorted(saved) == sorted(
            ['n_fits', 'seed'] + [*link._params])
    loaded = GroupMixtureNormalization(groups, size, seed=1, **kwargs)
    serializers.load_npz(path, loaded)
    for other in (loaded, copy.deepcopy(link),
                  pickle.loads(pickle.dumps(link))):
        reference = copy.deepcopy(link)
        for train in (False, True, True, False):
            with chainer.using_config('train', train):
                numpy.testing.assert_array_equal(
                    other(x).array, reference(x).array)
        assert other.n_fits == 4 and other.size == (4,)


def test_foreign_state_changes_nothing(tmp_path):
    path = str(tmp_path / 'link.npz')
    for saved, kind, other in (
            ({}, MixtureNormalization, {}),
            ({}, MixtureNormalization, {'size': None}),
            ({'size': 8}, GroupMixtureNormalization, {'groups': 1}),
            ({}, GroupMixtureNormalization, {'groups': 3, 'size': None}),
            ({}, GroupMixtureNormalization, {
                'groups': 1, 'size': None, 'affine': 'component'}),
            ({}, GroupMixtureNormalization, {'groups': 1, 'order': 2}),
            ({'affine': 'component'}, GroupMixtureNormalization,
             {'groups': 1})):
        link = GroupMixtureNormalization(1, **{'size': 4, 'seed': 3, **saved})
        serializers.save_npz(path, link)
        strange = kind(**{'size': 4, 'seed': 5, 'initial_gamma': 2, **other})
        size = strange.size
        with pytest.raises((ValueError, KeyError)):
            serializers.load_npz(path, strange)
        assert strange.size == size and strange.seed == 5, (saved, other)
        assert strange.gamma.array is None or (strange.gamma.array == 2).all()


def test_copyparams():
    link = GroupMixtureNormalization(1, 4, seed=3)
    link(_batch())
    link.gamma.array[...] = 2
    for size in (4, None):
        other = GroupMixtureNormalization(4, size, seed=5)
        other.copyparams(link)
        assert (other.gamma.array == 2).all()
        assert (other.seed, other.n_fits, other.size) == (3, 1, (4,))
    batch = MixtureNormalization(4, seed=5)
    with pytest.raises(ValueError, match='has no queue_factors'):
        batch.copyparams(link)
    assert batch.seed == 5
    batch.copyparams(link, copy_persistent=False)
    assert (batch.gamma.array == 2).all() and batch.seed == 5


def test_recomputation():
    x = _batch((6, 4, 12, 12))
    gy = _batch((6, 4, 12, 12), seed=1)
    outcomes = []
    for forget in (False, True):
        link = GroupMixtureNormalization(1, 4, 4, seed=0)
        outcomes.append(_outcome(link, x, gy) if not forget else _forgotten(
            link, x, gy))
        assert link.n_fits == 1
    for name, value in outcomes[0].items():
        numpy.testing.assert_allclose(
            outcomes[1][name], value, rtol=1e-5, atol=1e-6, err_msg=name)


def _forgotten(link, x, gy):
    v = chainer.Variable(x)
    y = F.forget(link, v)
    link.cleargrads()
    y.grad = gy
    y.backward()
    return dict({name: p.grad for name, p in link.namedparams()},
                y=y.array, x=v.grad)


@pytest.mark.parametrize('groups', _GROUPS)
def test_double_backward(groups):
    # As a gradient penalty needs it; numbers are the function's own tests'.
    x = _batch((3, 4, 6), 'd')
    link = GroupMixtureNormalization(groups, 4, seed=0, dtype='d')
    v = chainer.Variable(x)
    gx, = chainer.grad([F.sum(link(v) ** 3)], [v],
                       enable_double_backprop=True)
    link.cleargrads()
    F.sum(gx ** 2).backward()
    assert numpy.isfinite(v.grad).all() and (link.gamma.grad != 0).all()


def test_no_backprop_mode():
    x = _batch()
    link, other = (GroupMixtureNormalization(1, 4, seed=0)
                   for _ in range(2))
    with chainer.no_backprop_mode():
        y = link(x)
    assert y.creator is None
    numpy.testing.assert_array_equal(y.array, other(x).array)


@pytest.mark.parametrize('groups', _GROUPS)
def test_empty_batch_in_test_mode(groups):
    link = GroupMixtureNormalization(groups, 4, seed=0)
    for shape in ((0, 4, 5), (3, 4, 0)):
        assert _infer(link, numpy.empty(shape, 'f')).shape == shape
        with pytest.raises(type_check.InvalidType):
            link(numpy.empty(shape, 'f'))


@pytest.mark.parametrize('groups', [
    0, -2, 2., True, '2', None, (2,), [1], {}], ids=str)
def test_bad_groups(groups):
    with pytest.raises(ValueError, match='groups is .*integer of at least 1'):
        GroupMixtureNormalization(groups, 4)


def test_groups_that_do_not_divide_the_channels():
    message = 'groups is 3: it must divide the number of channels, which is 4'
    for size in (4, (2, 2)):
        with pytest.raises(ValueError, match=message):
            GroupMixtureNormalization(3, size)
    link = GroupMixtureNormalization(3, seed=0)
    with pytest.raises(ValueError, match=message):
        link(_batch())
    # Nothing was kept of it.
    assert link.size is None and link.gamma.array is None
    assert link(_batch((5, 6))).shape == (5, 6)


def test_numpys_integers():
    x = _batch()
    links = [GroupMixtureNormalization(groups, 4, seed=0)
             for groups in (2, numpy.int64(2))]
    numpy.testing.assert_array_equal(*(link(x).array for link in links))


def test_repr():
    for groups in _GROUPS:
        assert f'(groups={groups}, size=(4,), n_components=3' in repr(
            GroupMixtureNormalization(groups, 4))


@testing.attr.gpu
@pytest.mark.parametrize('kwargs', [
    {}, {'n_iter': 6, 'n_components': 5}, {'affine': 'component'},
    {'activation': F.relu}, {'order': 2}, {'sample_ratio': 1}], ids=str)
@pytest.mark.parametrize('dtype', ['e', 'f', 'd'])
@pytest.mark.parametrize('shape', [(5, 4), (6, 4, 3, 3), (16, 4, 16, 16)],
                         ids=str)
@pytest.mark.parametrize('groups', _GROUPS)
def test_gpu_gives_the_same_numbers(groups, shape, dtype, kwargs):
    cpu, gpu = (chainer.get_device(name) for name in ('@numpy', '@cupy:0'))
    x, gy = _batch(shape, dtype), _batch(shape, dtype, 1)
    links = [GroupMixtureNormalization(
        groups, 4, seed=0, dtype='d' if dtype == 'd' else 'f', **kwargs
    ).to_device(device) for device in (cpu, gpu)]
    tolerance = {'e': 2e-2, 'f': 1e-3, 'd': 1e-8}[dtype]
    for train in (True, False):
        with chainer.using_config('train', train):
            expected, actual = (
                _outcome(link, device.send(x), device.send(gy))
                for link, device in zip(links, (cpu, gpu)))
        for name, value in expected.items():
            numpy.testing.assert_allclose(
                cpu.send(actual[name]), value, rtol=tolerance, atol=tolerance,
                err_msg=name)
    assert links[0].n_effective == pytest.approx(links[1].n_effective)
