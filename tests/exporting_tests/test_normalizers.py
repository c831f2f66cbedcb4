"""All normalizers, exported to ONNX."""

import chainer
import chainer.functions as F
import mixnorm
import numpy
import pytest

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')

from exporting_tests.runtimes import (  # NOQA
    assert_close, export, in_onnxruntime, in_reference, in_test_mode)

# Names and options beside the names themselves.
_CASES = {
    **{name: (name, {}) for name in mixnorm.normalizer_names()
       if name != 'group_mixture'},
    'batch without scale': ('batch', {'use_gamma': False, 'use_beta': False}),
    'group of three': ('group', {'groups': 3}),
    'mixture of samples': ('mixture', {'inference': 'samples'}),
    'mixture inside': ('mixture', {'affine': 'inside'}),
    'mixture of own scales': ('mixture', {'affine': 'component'}),
    'mixture without scale': (
        'mixture', {'use_gamma': False, 'use_beta': False}),
    'mixture of one component': ('mixture', {'n_components': 1}),
    'mixture with activation': ('mixture', {'activation': F.relu}),
    'mixture with activation and own scales': (
        'mixture', {'activation': F.tanh, 'affine': 'component'}),
    'mixture of second order': ('mixture', {'order': 2}),
    'mixture of second order with activation': (
        'mixture', {'order': 2, 'activation': F.relu}),
    'mode of own scales': ('mode', {'mode_affine': True}),
    'mode_group of own scales': ('mode_group', {'mode_affine': True}),
    'divisive of learned smoother': ('divisive', {'learn_rho': True}),
}

_every_case = pytest.mark.parametrize('name', sorted(_CASES))


def _data(*shape, dtype=numpy.float32, seed=0):
    """Samples of two kinds, of unlike channels."""
    random = numpy.random.RandomState(seed)
    x = random.normal(size=shape)
    x[::2] = 3 * x[::2] + 2
    x += random.normal(size=(shape[1],) + (1,) * (len(shape) - 2))
    return x.astype(dtype)


def _trained(name, x, size=6, **options):
    """A link with moved parameters that has seen some mini-batches."""
    name, own = _CASES[name]
    numpy.random.seed(0)
    link = mixnorm.normalizer(name, size, **own, **options)
    for _, parameter in sorted(link.namedparams()):
        parameter.array[...] += .2 * numpy.random.normal(
            size=parameter.shape)
    for seed in range(3):
        link(x + .1 * numpy.random.RandomState(seed).normal(
            size=x.shape).astype(x.dtype))
    return link


def _check(link, x, tolerance, runtimes=(in_onnxruntime, in_reference)):
    expected = in_test_mode(link, x)
    exported = export(link, x)
    for run in runtimes:
        assert_close(run(exported, x), expected, tolerance)


@pytest.mark.parametrize('shape', [(8, 6), (8, 6, 5), (8, 6, 4, 5)])
@_every_case
def test_float32(name, shape):
    x = _data(*shape)
    _check(_trained(name, x), x, 5e-6)


@_every_case
def test_float64(name):
    x = _data(8, 6, 4, 5, dtype=numpy.float64)
    # onnxruntime has no average pooling of float64.
    runtimes = (in_reference,) if 'divisive' in name else (
        in_onnxruntime, in_reference)
    # Parameters of batch normalization are float32.
    _check(_trained(name, x), x, 1e-6 if name.split()[0] == 'batch' else 1e-12,
           runtimes)


@_every_case
def test_float16(name):
    x = _data(8, 6, 4, 5, dtype=numpy.float16)
    # Two units in the last place.
    _check(_trained(name, x), x, 2e-3)


@pytest.mark.parametrize('name', [
    'batch', 'batch_renorm', 'instance', 'mixture', 'mode', 'mode_group'])
@pytest.mark.parametrize('size, axis', [
    (6, (0, 1, 3)), ((3, 6), None), ((3, 6), (0, 3))])
def test_other_axes(name, size, axis):
    x = _data(8, 3, 6, 4)
    _check(_trained(name, x, size, axis=axis), x, 5e-6)


@_every_case
def test_link_in_two_places(name):
    x = _data(8, 6, 4, 5)
    link = _trained(name, x)
    _check(chainer.Sequential(link, F.tanh, link), x, 5e-6)


@pytest.mark.parametrize('name', ['spectral', 'weight'])
def test_hooks(name):
    x = _data(8, 6, 4, 5)
    numpy.random.seed(0)
    model = chainer.Sequential(
        chainer.links.Convolution2D(6, 4, 3))
    mixnorm.convert(model, name)
    model(x)
    # The hook has not seen these weights.
    model[0].W.array[...] = numpy.random.normal(size=model[0].W.shape)
    _check(model, x, 5e-6)


@pytest.mark.parametrize('name', sorted(
    name for name in _CASES if 'divisive' not in name))
def test_other_lengths_of_spatial_axes(name):
    x = _data(8, 6, 4, 5)
    link = _trained(name, x)
    exported = export(link, x, ('h', 'w'))
    other = _data(3, 6, 7, 2, seed=1)
    assert_close(in_onnxruntime(exported, other), in_test_mode(link, other),
                 5e-6)


@pytest.mark.parametrize('name, version', [
    ('batch', 7), ('group', 7), ('mode', 7), ('mixture', 8), ('mixture', 10)])
def test_older_opsets(name, version):
    x = _data(8, 6, 4, 5)
    link = _trained(name, x)
    exported = export(link, x, opset_version=version)
    assert exported.opset_import[0].version == version
    assert_close(in_onnxruntime(exported, x), in_test_mode(link, x), 5e-6)


def test_opset_that_is_too_old():
    x = _data(8, 6)
    with pytest.raises(ValueError, match='opset_version is 7: .* 8 at least'):
        export(_trained('mixture', x), x, opset_version=7)


def test_group_mixture_is_refused():
    x = _data(8, 6)
    link = mixnorm.normalizer('group_mixture', 6, activation=F.relu)
    with pytest.raises(ValueError, match='cannot be exported .* each sample'):
        export(link, x)
    # Only then.
    assert link(x).shape == x.shape


@pytest.mark.parametrize('name', [
    'batch_renorm', 'mixture', 'mixture with activation', 'mode'])
def test_training_mode_is_refused(name):
    x = _data(8, 6)
    link = _trained(name, x)
    with pytest.raises(ValueError, match='ormalization can .* in test mode'):
        export(link, x, train=True)


def test_link_without_state():
    with pytest.raises(RuntimeError, match='has seen no training mini-batch'):
        export(mixnorm.normalizer('mixture', 6), _data(8, 6))


def test_gradient_goes_on_after_an_export():
    """What the exporter replaces is back in its place."""
    x = _data(8, 6)
    link = _trained('mixture with activation', x)
    export(link, x)
    variable = chainer.Variable(x)
    with chainer.using_config('train', False):
        F.sum(link(variable)).backward()
    assert numpy.isfinite(variable.grad).all() and variable.grad.any()
