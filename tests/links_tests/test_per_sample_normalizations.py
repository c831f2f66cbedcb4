"""Instance, group and divisive normalization: links without statistics."""
import chainer
import chainer.functions as F
import chainer.links as L
from chainer import testing
from chainer.utils import type_check
import numpy
import pytest

import mixnorm
from mixnorm.links import DivisiveNormalization
from mixnorm.links import GroupNormalization
from mixnorm.links import InstanceNormalization


_SEED = 0


def _data(*shape):
    return numpy.random.RandomState(_SEED).normal(
        1, 2, size=shape).astype('f')


def _randomize(link):
    random = numpy.random.RandomState(_SEED)
    for _, parameter in sorted(link.namedparams()):
        parameter.array[...] = random.normal(size=parameter.shape)
    return link


@pytest.mark.parametrize('shape', [(6, 4), (3, 4, 5), (2, 4, 3, 2)], ids=str)
@pytest.mark.parametrize('make, groups', [
    (lambda: InstanceNormalization(4, eps=1e-3), 4),
    (lambda: GroupNormalization(2, 4, eps=1e-3), 2),
    (lambda: GroupNormalization(1, 4, eps=1e-3), 1)])
def test_chainers_group_normalization(shape, make, groups):
    x, gy = _data(2, *shape)
    outcomes = []
    for link in make(), L.GroupNormalization(groups, 4, eps=1e-3):
        _randomize(link)
        v = chainer.Variable(x)
        y = link(v)
        link.cleargrads()
        y.grad = gy
        y.backward()
        outcomes.append([y.array, v.grad, link.gamma.grad, link.beta.grad])
    for actual, expected in zip(*outcomes):
        numpy.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings('error')
def test_instances_without_positions_are_beta():
    link = _randomize(InstanceNormalization(3))
    numpy.testing.assert_array_equal(
        link(_data(5, 3)).array, [link.beta.array] * 5)


@pytest.mark.parametrize('kind', [
    InstanceNormalization, DivisiveNormalization])
@pytest.mark.parametrize('size', [(4, 2), None])
def test_axis(kind, size):
    # Samples first, channels in both others but the third, of positions.
    x = _data(5, 4, 3, 2)
    y = kind(size, axis=(0, 2))(x).array
    expected = kind(8)(
        x.transpose(0, 1, 3, 2).reshape(5, 8, 3)).array
    numpy.testing.assert_allclose(
        y, expected.reshape(5, 4, 2, 3).transpose(0, 1, 3, 2), rtol=1e-5)


@pytest.mark.parametrize('kind', [
    InstanceNormalization, DivisiveNormalization])
def test_without_scale_and_shift(kind):
    x = _data(5, 4, 3)
    link = kind(4, use_gamma=False, use_beta=False)
    assert list(link.params()) == []
    numpy.testing.assert_array_equal(link(x).array, kind(4)(x).array)
    link = kind(4, initial_gamma=3, initial_beta=2)
    numpy.testing.assert_allclose(
        link(x).array, 3 * kind(4)(x).array + 2, rtol=1e-5)


@pytest.mark.parametrize('learn_rho', [False, True])
def test_divisive_link_is_the_function(learn_rho):
    x = _data(2, 3, 5, 4)
    link = _randomize(DivisiveNormalization(
        3, window=3, rho=.5, learn_rho=learn_rho, eps=1e-3))
    rho = link.rho.array if learn_rho else .5
    numpy.testing.assert_array_equal(
        link(x).array, mixnorm.functions.divisive_normalization(
            x, link.gamma, link.beta, rho, 3, 1e-3).array)


def test_description_tells_the_smoother():
    assert 'window=3, rho=0.5, learn_rho=False' in repr(
        DivisiveNormalization(3, window=3, rho=.5))
    # It is what training makes of it.
    assert 'window=3, learn_rho=True' in repr(
        DivisiveNormalization(3, window=3, rho=.5, learn_rho=True))


def test_smoother_is_learned():
    x = .1 * _data(6, 3, 5)
    # What the smoother would have to be for outputs of such a scale.
    goal = DivisiveNormalization(3, rho=.3)(x).array
    link = DivisiveNormalization(3, rho=1, learn_rho=True, use_gamma=False)
    optimizer = chainer.optimizers.Adam(alpha=.05).setup(link)
    for _ in range(100):
        optimizer.update(lambda: F.mean_squared_error(link(x), goal))
    numpy.testing.assert_allclose(abs(link.rho.array), .3, rtol=.05)


def test_learned_smoother_is_saved(tmp_path):
    x, path = _data(6, 3, 5), str(tmp_path / 'link.npz')
    link = _randomize(DivisiveNormalization(3, learn_rho=True))
    chainer.serializers.save_npz(path, link)
    for size in 3, None:
        loaded = DivisiveNormalization(size, learn_rho=True)
        chainer.serializers.load_npz(path, loaded)
        numpy.testing.assert_array_equal(loaded(x).array, link(x).array)
        assert loaded.rho.shape == ()


@pytest.mark.parametrize('how', ['load', 'copyparams'])
def test_learned_smoother_outlives_the_first_batch(how, tmp_path):
    options = {'learn_rho': True, 'use_gamma': False, 'use_beta': False}
    source = DivisiveNormalization(3, rho=.25, **options)
    link = DivisiveNormalization(**options)
    if how == 'load':
        path = str(tmp_path / 'link.npz')
        chainer.serializers.save_npz(path, source)
        chainer.serializers.load_npz(path, link)
    else:
        link.copyparams(source)
    link(_data(6, 3, 5))
    assert link.rho.array == .25


@pytest.mark.parametrize('make', [
    lambda size: InstanceNormalization(size),
    lambda size: DivisiveNormalization(size, learn_rho=True),
    lambda size: mixnorm.links.BatchInstanceNormalization(size)])
def test_state_of_another_size(make, tmp_path):
    path = str(tmp_path / 'link.npz')
    chainer.serializers.save_npz(path, make(4))
    link = _randomize(make(3))
    before = {name: p.array.copy() for name, p in link.namedparams()}
    with pytest.raises(ValueError, match=r'has shape \(4,\) where'):
        chainer.serializers.load_npz(path, link)
    with pytest.raises(ValueError, match=r'has shape \(4,\) where'):
        link.copyparams(make(4))
    for name, parameter in link.namedparams():
        numpy.testing.assert_array_equal(parameter.array, before[name])
    # A link of no size yet takes it.
    link = make(None)
    link.copyparams(_randomize(make(3)))
    for name, parameter in link.namedparams():
        numpy.testing.assert_array_equal(parameter.array, before[name])
    assert link.size == (3,)


@pytest.mark.parametrize('name, value', [
    ('window', 4), ('window', 0), ('window', None), ('rho', -1),
    ('rho', 'x'), ('learn_rho', 1), ('eps', -1), ('dtype', 'i'),
    ('axis', (1, 0)), ('size', 0)])
def test_divisive_arguments_out_of_range(name, value):
    with pytest.raises(ValueError, match=f'{name} is'):
        DivisiveNormalization(**{name: value})


def test_window_that_does_not_fit_the_input():
    link = DivisiveNormalization(window=(3, 3))
    with pytest.raises(ValueError, match='window is'):
        link(_data(2, 3, 5))
    assert link(_data(2, 3, 5, 5)).shape == (2, 3, 5, 5)


@pytest.mark.parametrize('arguments, match', [
    ({'groups': 0}, 'groups is 0'), ({'groups': '2'}, "groups is '2'"),
    ({'groups': 4, 'size': 6}, 'groups is 4.* which is 6'),
    ({'groups': 1, 'size': 0}, 'size is 0'),
    ({'groups': 1, 'eps': -1}, 'eps is -1')])
def test_group_arguments_out_of_range(arguments, match):
    with pytest.raises(ValueError, match=match):
        GroupNormalization(**arguments)


def test_first_input_that_groups_do_not_divide():
    link = GroupNormalization(4)
    with pytest.raises(ValueError, match='groups is 4.* which is 6'):
        link(_data(2, 6))
    with pytest.raises(type_check.InvalidType):
        link(_data(4))
    assert link(_data(2, 8)).shape == (2, 8)


testing.run_module(__name__, __file__)
