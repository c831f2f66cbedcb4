"""Passes that F.forget recomputes, with others in between."""
import copy

import chainer
from chainer import functions as F
import numpy
import pytest

import mixnorm


_KINDS = {
    'batch_renorm': {'rmax': 3, 'dmax': 5},
    'group_mixture': {'n_components': 4, 'seed': 0},
    'mixture': {'n_components': 4, 'seed': 0},
    'mode': {},
}


def _make(name):
    numpy.random.seed(0)
    link = mixnorm.normalizer(name, 3, **_KINDS[name])
    x = numpy.random.RandomState(1).randn(12, 3, 9).astype('f')
    for scale in (1, 2):
        link(scale * x + 1)
    return link


def _batches(*scales):
    random = numpy.random.RandomState(0)
    return [scale * random.randn(12, 3, 9).astype('f') - scale
            for scale in scales]


def _gradients(link, call, batches, weights):
    """Of a sum over several passes, as of real and made up images."""
    inputs = [chainer.Variable(x) for x in batches]
    link.cleargrads()
    sum(w * F.sum(call(v) ** 3) for v, w in zip(inputs, weights)).backward()
    return [v.grad for v in inputs] + [
        p.grad for _, p in sorted(link.namedparams())]


@pytest.mark.parametrize('weights', [(1, 1), (1, -2), (3, 1, 2)], ids=str)
@pytest.mark.parametrize('name', sorted(_KINDS))
def test_several_passes_before_the_backward_pass(name, weights):
    batches = _batches(*range(1, 1 + len(weights)))
    plain = _make(name)
    forgetful = copy.deepcopy(plain)
    expected = _gradients(plain, plain, batches, weights)
    actual = _gradients(
        forgetful, lambda v: F.forget(forgetful, v), batches, weights)
    for a, b in zip(actual, expected):
        numpy.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('name', sorted(_KINDS))
def test_passes_that_nobody_differentiates(name):
    plain = _make(name)
    forgetful = copy.deepcopy(plain)
    for x in _batches(*range(1, 100)):
        plain(x)
        F.forget(forgetful, x)
    expected = _gradients(plain, plain, _batches(.5), [1])
    actual = _gradients(
        forgetful, lambda v: F.forget(forgetful, v), _batches(.5), [1])
    for a, b in zip(actual, expected):
        numpy.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('name', sorted(_KINDS))
def test_forgotten_twice(name):
    plain = _make(name)
    forgetful = copy.deepcopy(plain)
    expected = _gradients(plain, plain, _batches(1, 2), [1, 2])
    actual = _gradients(
        forgetful, lambda v: F.forget(
            lambda z: F.forget(forgetful, z) * 1, v), _batches(1, 2), [1, 2])
    for a, b in zip(actual, expected):
        numpy.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('name', ['batch_renorm', 'group_mixture', 'mixture'])
def test_passes_that_cannot_be_told_apart(name):
    link, x = _make(name), _batches(1)[0]
    with pytest.raises(RuntimeError, match='2 of them had this input'):
        _gradients(link, lambda v: F.forget(link, v), [x, x], [1, 1])
