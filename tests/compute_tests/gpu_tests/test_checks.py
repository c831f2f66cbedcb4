"""The kernels do nothing that a CPU forgives and a GPU does not.

See ``cuda_checks.h`` for what that is; any of it raises an error.
"""
import functools

import chainer
import numpy
import pytest

from compute_tests.gpu_tests import cases
from mixnorm import compute
from mixnorm.compute import gpu
from mixnorm.compute.gpu import tile
from mixnorm.links import (
    MixtureNormalization, ModeGroupNormalization, ModeNormalization)

# Shape, components, order of memory, and thread blocks that share the points:
# with one, it has several tiles.
_CASES = [
    ((2, 70, 20), 5, 'contiguous', 512),
    ((3, 5, 49), 1, 'channels last', 512),
    ((2, 3, 320), 4, 'contiguous', 1),
    ((1, 7, 270), 6, 'strided', 1),
    ((1, 700, 24), 3, 'contiguous', 1),
]

_LINKS = [
    MixtureNormalization,
    functools.partial(
        MixtureNormalization, affine='component', warm_start=True),
    ModeNormalization,
    ModeGroupNormalization,
]


def _run_functions(device, case, n_blocks, monkeypatch):
    monkeypatch.setattr(tile, 'THREAD_BLOCKS', n_blocks)
    cases.run_all(device, case)
    random = numpy.random.RandomState(0)
    n = case.x.shape[0] * case.x.shape[2]
    draws = random.uniform(size=1 + (len(case.parameters.weights) - 1) * 3)
    for indices in None, numpy.sort(
            random.choice(n, n // 2, replace=False)):
        gpu.fit.at_once(device.send(case.x, case.layout), indices, draws,
                        len(case.parameters.weights), 2, 2, 1e-6, .01)


def _run_link(kind, shape, dtype, monkeypatch, value=0):
    monkeypatch.setattr(compute, 'arithmetic', lambda x: gpu)
    random = numpy.random.RandomState(0)
    link = kind(shape[1])
    for is_training, added in (True, 0), (True, value), (False, 0):
        x = chainer.Variable(random.randn(*shape).astype(dtype))
        x.array[1, 2] += added
        link.cleargrads()
        with chainer.using_config('train', is_training), numpy.errstate(
                invalid='ignore'):
            y = link(x)
        y.grad = random.randn(*shape).astype(dtype)
        y.backward()


@pytest.mark.parametrize('shape,n_components,layout,n_blocks', _CASES, ids=str)
def test_functions(
        checked, monkeypatch, shape, n_components, layout, n_blocks):
    _run_functions(checked, cases.Case(shape, n_components, 'float32', layout),
                   n_blocks, monkeypatch)


@pytest.mark.parametrize('shape', [(16, 5, 4, 4), (64, 7)], ids=str)
@pytest.mark.parametrize('kind', _LINKS)
def test_links(checked, monkeypatch, kind, shape):
    _run_link(kind, shape, 'float32', monkeypatch)


@pytest.mark.parametrize('kind', _LINKS)
def test_values_that_are_not_finite(checked, monkeypatch, kind):
    _run_link(kind, (16, 5, 4, 4), 'float32', monkeypatch, numpy.nan)


@pytest.mark.slow
@pytest.mark.parametrize('dtype', ['float16', 'float32', 'float64'])
def test_all_types(checked, monkeypatch, dtype):
    for shape, n_components, layout, n_blocks in _CASES:
        _run_functions(
            checked, cases.Case(shape, n_components, dtype, layout),
            n_blocks, monkeypatch)
    for kind in _LINKS:
        for shape in (6, 10, 8, 8), (16, 5, 4, 4), (16, 3, 5, 3), (64, 7):
            _run_link(kind, shape, dtype, monkeypatch)
