import chainer.links as L
import numpy
import pytest

import mixnorm


@pytest.mark.parametrize('name, kind', [
    ('batch', L.BatchNormalization),
    ('mixture', mixnorm.links.MixtureNormalization)])
def test_normalizer_makes_the_link(name, kind):
    link = mixnorm.normalizer(name, 5, eps=1e-3)
    assert type(link) is kind
    assert link.gamma.shape == (5,)
    assert link.eps == 1e-3


def test_none_returns_its_input():
    x = numpy.arange(12.).reshape(2, 3, 2)
    link = mixnorm.normalizer('none', 3)
    assert link(x) is x
    assert list(link.params()) == []


def test_every_name_makes_a_link_that_keeps_the_shape():
    x = numpy.random.RandomState(0).normal(size=(6, 4, 3, 3)).astype('f')
    assert mixnorm.normalizer_names() == sorted(mixnorm.normalizer_names())
    for name in mixnorm.normalizer_names():
        assert mixnorm.normalizer(name, 4)(x).shape == x.shape


@pytest.mark.parametrize('name', ['mixtrue', '', 'Batch', None])
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
