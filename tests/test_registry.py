import chainer
import chainer.functions as F
import chainer.links as L
import numpy
import pytest

import mixnorm


_KINDS = {
    'batch': L.BatchNormalization,
    'batch_instance': mixnorm.links.BatchInstanceNormalization,
    'batch_renorm': L.BatchRenormalization,
    'divisive': mixnorm.links.DivisiveNormalization,
    'group': L.GroupNormalization,
    'group_mixture': mixnorm.links.GroupMixtureNormalization,
    'instance': mixnorm.links.InstanceNormalization,
    'layer': L.GroupNormalization,
    'mixture': mixnorm.links.MixtureNormalization,
    'mode': mixnorm.links.ModeNormalization,
    'mode_group': mixnorm.links.ModeGroupNormalization}


@pytest.fixture
def registry(monkeypatch):
    """Lets a test register names, and forgets them."""
    monkeypatch.setattr(
        'mixnorm.registry._FACTORIES', dict(mixnorm.registry._FACTORIES))


@pytest.mark.parametrize('name', sorted(_KINDS))
def test_normalizer_makes_the_link(name):
    link = mixnorm.normalizer(name, 6, eps=1e-3)
    assert isinstance(link, _KINDS[name])
    assert link.gamma.shape == (6,)
    assert link.eps == 1e-3


def test_batch_is_chainers_own():
    assert type(mixnorm.normalizer('batch', 6)) is L.BatchNormalization


@pytest.mark.parametrize('name, groups', [('layer', 1), ('group', 6)])
def test_groups_of_six_channels(name, groups):
    assert mixnorm.normalizer(name, 6).groups == groups


# The largest divisor up to 32.
@pytest.mark.parametrize('size, groups', [
    (64, 32), (48, 24), (37, 1), (1, 1), (96, 32), (66, 22), (17, 17)])
def test_default_groups(size, groups):
    link = mixnorm.normalizer('group', size)
    assert link.groups == groups
    assert link(numpy.ones((2, size, 3), 'f')).shape == (2, size, 3)


@pytest.mark.parametrize('groups', [4, 0, 12, 1.5, True])
def test_groups_that_do_not_divide(groups):
    with pytest.raises(ValueError, match=f'groups is {groups}'):
        mixnorm.normalizer('group', 6, groups=groups)


def test_groups_of_unknown_size():
    with pytest.raises(ValueError, match='groups is None'):
        mixnorm.normalizer('group', None)
    link = mixnorm.normalizer('group', None, groups=3)
    assert link(numpy.ones((2, 6), 'f')).shape == (2, 6)


@pytest.mark.parametrize('name', sorted(set(_KINDS) - {'layer', 'group'}))
def test_shape_of_channels(name):
    x = numpy.random.RandomState(0).normal(size=(8, 2, 3, 4)).astype('f')
    link = mixnorm.normalizer(name, (2, 3))
    assert link(x).shape == x.shape
    assert link.gamma.shape == (2, 3)


@pytest.mark.parametrize('name', ['layer', 'group'])
def test_several_axes_of_channels_where_there_can_be_one(name):
    assert mixnorm.normalizer(name, (6,)).gamma.shape == (6,)
    with pytest.raises(ValueError, match=r'size is \(2, 3\).*' + name):
        mixnorm.normalizer(name, (2, 3))


def test_none_returns_its_input():
    x = numpy.arange(12.).reshape(2, 3, 2)
    link = mixnorm.normalizer('none', 3)
    assert link(x) is x
    assert list(link.params()) == []


def test_names():
    assert mixnorm.normalizer_names() == sorted([*_KINDS, 'none'])


@pytest.mark.parametrize('name', ['mixtrue', '', 'Batch', None, []])
def test_unknown_name(name):
    with pytest.raises(ValueError) as error:
        mixnorm.normalizer(name, 4)
    assert repr(name) in str(error.value)
    for known in mixnorm.normalizer_names():
        assert repr(known) in str(error.value)


def test_unknown_option():
    with pytest.raises(ValueError, match="'batch' has no option 'n_iter'"):
        mixnorm.normalizer('batch', 4, n_iter=2)
    with pytest.raises(ValueError, match='n_components') as error:
        mixnorm.normalizer('mixture', 4, components=2)
    assert "'components'" in str(error.value)
    with pytest.raises(ValueError, match='it has none'):
        mixnorm.normalizer('none', 4, eps=1.)


def test_option_out_of_range_is_the_links_error():
    with pytest.raises(ValueError, match='n_components'):
        mixnorm.normalizer('mixture', 4, n_components=0)


@pytest.mark.parametrize('options', [
    {'eps': -1}, {'eps': 'x'}, {'decay': 2}, {'decay': 'x'}, {'axis': (2, 0)},
    {'axis': 'x'}, {'dtype': 'int32'}, {'dtype': 'x'}, {'use_gamma': 'no'},
    {'use_beta': 3}, {'initial_gamma': 'x'}, {'initial_beta': numpy.ones(5)},
    {'initial_avg_var': 'x'}], ids=str)
@pytest.mark.parametrize('name', ['batch', 'batch_renorm'])
def test_options_out_of_range(name, options):
    (key, _), = options.items()
    with pytest.raises(ValueError, match=f'{key} '):
        mixnorm.normalizer(name, 6, **options)


@pytest.mark.parametrize('name', ['batch', 'batch_renorm'])
def test_size_to_come(name):
    with pytest.raises(ValueError, match='size is None'):
        mixnorm.normalizer(name, None)
    link = mixnorm.normalizer(name, None, axis=[0, 2])
    assert link(numpy.ones((2, 6, 3), 'f')).shape == (2, 6, 3)
    assert link.gamma.shape == (6,)


@pytest.mark.parametrize('name', sorted([*_KINDS, 'none']))
@pytest.mark.parametrize('size', [0, -3, 2.5, True, (), (3, 0), 'x'], ids=str)
def test_size_out_of_range(name, size):
    with pytest.raises(ValueError, match='size is '):
        mixnorm.normalizer(name, size)


def test_own_normalizer(registry):
    made = []

    def scale(size, factor=2.):
        link = chainer.Sequential(lambda x: factor * x)
        made.append((size, factor, link))
        return link

    mixnorm.register_normalizer('scale', scale)
    assert 'scale' in mixnorm.normalizer_names()
    link = mixnorm.normalizer('scale', 5, factor=3.)
    assert made == [(5, 3., link)]
    assert link(2.) == 6.
    with pytest.raises(ValueError, match="'scale' has no option 'power'.*"
                                         'it has factor'):
        mixnorm.normalizer('scale', 5, power=2)


def test_own_normalizer_of_any_options(registry):
    def batch(n_channels, **options):
        return L.BatchNormalization(n_channels, **options)

    mixnorm.register_normalizer('own', batch)
    assert mixnorm.normalizer('own', 5, decay=.5).decay == .5


def test_link_class_as_factory(registry):
    mixnorm.register_normalizer(
        'decorrelated', L.DecorrelatedBatchNormalization)
    link = mixnorm.normalizer('decorrelated', 6, groups=2)
    assert type(link) is L.DecorrelatedBatchNormalization
    assert link.groups == 2


@pytest.mark.parametrize('name', ['batch', 'none', 'weight', '', None, 3])
def test_name_that_cannot_be_registered(registry, name):
    with pytest.raises(ValueError, match=f'name is {name!r}'):
        mixnorm.register_normalizer(name, L.BatchNormalization)
    assert mixnorm.normalizer_names() == sorted([*_KINDS, 'none'])


@pytest.mark.parametrize('factory', [
    None, 'batch', L.BatchNormalization(3), lambda: None,
    lambda size, groups: None])
def test_factory_that_cannot_be_registered(registry, factory):
    with pytest.raises(ValueError, match='factory is'):
        mixnorm.register_normalizer('own', factory)
    assert 'own' not in mixnorm.normalizer_names()


def test_factory_that_makes_no_link(registry):
    mixnorm.register_normalizer('own', lambda size: F.relu)
    with pytest.raises(ValueError, match="'own' made .*relu"):
        mixnorm.normalizer('own', 4)
