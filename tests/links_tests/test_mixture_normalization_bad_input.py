"""What a link refuses, and what it lets pass without harm."""
import warnings

import chainer
from chainer import functions as F
from chainer import links as L
from chainer.utils import type_check
import numpy
import pytest

from mixnorm.links import MixtureNormalization


_SEED = 0


def _batch(shape=(12, 3, 4), dtype='f', seed=_SEED):
    return numpy.random.RandomState(seed).randn(*shape).astype(dtype)


def _infer(link, x):
    with chainer.using_config('train', False):
        return link(x).array


@pytest.mark.parametrize('name,bad,allowed', [
    ('size', (0, -1, 2.5, True, '3', [3, 4], (3, 0), (3, 2.)),
     'None, a positive integer or a tuple of them'),
    ('n_components', (0, -1, 2.5, True, None), 'integer of at least 1'),
    ('n_iter', (0, -2, 1.5, None), 'integer of at least 1'),
    ('sample_ratio', (0, -.1, 1.01, float('nan'), '1', None), r'\(0, 1\]'),
    ('min_weight', (-.1, 1, float('nan'), None), r'\[0, 1\)'),
    ('queue_size', (0, -1, 2.5, None), 'integer of at least 1'),
    ('queue_decay', (0, -.5, 1.5, float('nan')), r'\(0, 1\]'),
    ('inference', ('queue', None, 1, ['samples']),
     "'parameters' or 'samples'"),
    ('activation', ('relu', 3), 'None or a function'),
    ('component_affine', ('no', 1, None), 'True or False'),
    ('seed', (-1, 1.5, 'a', True), 'integer of at least 0'),
    ('eps', (-1e-5, float('nan'), float('inf'), None), r'\[0, inf\)'),
    ('dtype', ('i', numpy.int32, bool, complex), 'floating'),
    ('axis', (-1, (0, -1), (2, 0), (0, 0), (), 1.5, 'a', True),
     'None, an axis from 0 or a tuple'),
])
def test_bad_arguments(name, bad, allowed):
    for value in bad:
        with pytest.raises(
                ValueError, match=f'{name} is .*{allowed}'):
            MixtureNormalization(**dict({'size': 3}, **{name: value}))


def test_unknown_arguments():
    with pytest.raises(TypeError, match='n_component'):
        MixtureNormalization(3, n_component=3)
    with pytest.raises(TypeError, match='tune'):
        MixtureNormalization(3)(_batch(), tune=True)
    with pytest.raises(ValueError, match='test argument is not supported'):
        MixtureNormalization(3)(_batch(), test=True)


def test_numbers_of_numpys_types():
    link = MixtureNormalization(
        numpy.int64(3), numpy.int32(2), numpy.int8(3), numpy.float32(.5),
        numpy.float64(.01), numpy.int64(4), numpy.float32(.5),
        seed=numpy.int64(3), eps=numpy.float32(1e-4),
        axis=(numpy.int64(0), numpy.int64(2)))
    for train in (True, False):
        with chainer.using_config('train', train):
            assert link(_batch()).dtype == numpy.float32


@pytest.mark.parametrize('kwargs,shape,dtype', [
    ({'size': 3}, (12, 4, 4), 'f'),  # Another number of channels.
    ({'size': 3}, (12, 1, 4), 'f'),
    ({'size': 3}, (12,), 'f'),  # Too few axes.
    ({'size': 3}, (), 'f'),
    ({'size': None}, (12,), 'f'),
    ({'size': (3, 4)}, (12, 3), 'f'),
    ({'size': (3, 4)}, (12, 3, 5), 'f'),
    ({'size': (3, 4)}, (12, 4, 3), 'f'),  # As many, but not those.
    ({'size': 3}, (12, 3, 4), 'i'),  # Not floating.
    ({'size': 3}, (12, 3, 4), '?'),
    ({'size': None}, (12, 3, 4), 'l'),
    ({'size': 3}, (0, 3, 4), 'f'),  # No point.
    ({'size': 3}, (12, 3, 0), 'f'),
    ({'size': 3, 'axis': (0, 2)}, (12, 4, 4), 'f'),
    ({'size': 3, 'axis': (0, 2)}, (12, 3), 'f'),
    ({'size': 3, 'axis': (0, 2)}, (12, 3, 4, 5), 'f'),
    ({'axis': (0, 2)}, (12, 3), 'f'),
], ids=str)
def test_type_errors(kwargs, shape, dtype):
    link = MixtureNormalization(seed=0, **kwargs)
    size = link.size
    with pytest.raises(type_check.InvalidType):
        link(numpy.ones(shape, dtype))
    # Nothing was kept of it.
    assert link.size == size
    assert link.n_fits == 0 and link.n_effective is None
    for name in ('queue_factors', 'samples'):
        value = getattr(link, name, None)
        assert value is None or not value.any()


@pytest.mark.parametrize('inference', ['parameters', 'samples'])
def test_wrong_channels_after_training(inference):
    link = MixtureNormalization(seed=0, inference=inference)
    link(_batch())
    expected = _infer(link, _batch())
    for train in (True, False):
        with chainer.using_config('train', train):
            with pytest.raises(type_check.InvalidType):
                link(_batch((12, 4, 4)))
    numpy.testing.assert_array_equal(_infer(link, _batch()), expected)


def _spoilt(n_bad=2):
    x = _batch(seed=1)
    x[3, 1, 2] = numpy.nan
    x[5, 0, 0] = numpy.inf
    if n_bad == 3:
        x[5, 0, 1] = -numpy.inf
    return x


_SPOILT = [
    _spoilt(), _spoilt(3), numpy.full((12, 3, 4), numpy.nan, 'f'),
    numpy.full((12, 3, 4), numpy.inf, 'f'),
    # Finite, with moments that are not.
    numpy.where(_batch(seed=1) > 0, 3e38, -3e38).astype('f')]


@pytest.mark.filterwarnings('ignore::RuntimeWarning')
@pytest.mark.parametrize('x', _SPOILT, ids=[
    'a few', 'with -inf', 'nan', 'inf', 'overflow'])
@pytest.mark.parametrize('kwargs', [
    {}, {'inference': 'samples'}, {'n_components': 1}, {'n_iter': 1},
    {'activation': F.relu}], ids=str)
def test_queue_is_never_poisoned(kwargs, x):
    if kwargs.get('inference') == 'samples' and numpy.isfinite(x).all():
        pytest.skip('the sample queue keeps values, which are finite')
    good = [_batch(seed=s) for s in range(2, 5)]
    link = MixtureNormalization(3, seed=0, **kwargs)
    for finetune in (False, True):
        link(good[0])
        link(good[1])
        before = _infer(link, good[2])
        queue = [z.copy() for z in link.queue]
        y = link(chainer.Variable(x), finetune=finetune)
        assert y.shape == x.shape
        for name, old, new in zip(link.queue._fields, queue, link.queue):
            numpy.testing.assert_array_equal(new, old, name)
        numpy.testing.assert_array_equal(_infer(link, good[2]), before)
        # Training goes on.
        assert numpy.isfinite(link(good[2]).array).all()
        assert numpy.isfinite(_infer(link, good[2])).all()


@pytest.mark.filterwarnings('ignore::RuntimeWarning')
@pytest.mark.parametrize('inference', ['parameters', 'samples'])
@pytest.mark.parametrize('size', [3, None])
def test_first_batch_is_spoilt(size, inference):
    link = MixtureNormalization(size, seed=0, inference=inference)
    y = link(_spoilt())
    # As batch normalization says it: there, too, one bad value is enough.
    assert not numpy.isfinite(y.array).all()
    with pytest.raises(RuntimeError, match='has seen no training'):
        _infer(link, _batch())
    link(_batch())
    assert numpy.isfinite(_infer(link, _batch())).all()


@pytest.mark.filterwarnings('ignore::RuntimeWarning')
def test_spoilt_points_spoil_only_themselves_in_inference():
    link = MixtureNormalization(3, seed=0)
    link(_batch())
    x = _spoilt()
    y = _infer(link, x)
    bad = ~numpy.isfinite(x).all(axis=1)
    good = numpy.moveaxis(y, 1, -1)[~bad]
    expected = numpy.moveaxis(
        _infer(link, numpy.where(numpy.isfinite(x), x, 0)), 1, -1)[~bad]
    numpy.testing.assert_allclose(good, expected, rtol=1e-5, atol=1e-6)
    assert not numpy.isfinite(numpy.moveaxis(y, 1, -1)[bad]).all()


@pytest.mark.parametrize('train', [True, False])
@pytest.mark.parametrize('inference', ['parameters', 'samples'])
def test_debug_mode_counts_bad_values(inference, train):
    model = chainer.Sequential(L.Linear(3, 3), MixtureNormalization(
        3, seed=0, inference=inference))
    link = model[1]
    link(_batch())
    n_fits, queue = link.n_fits, [z.copy() for z in link.queue]
    with chainer.using_config('train', train), \
            chainer.using_config('debug', True), warnings.catch_warnings():
        warnings.simplefilter('error')
        for x, n_bad in ((_spoilt(), 2), (_spoilt(3), 3)):
            with pytest.raises(ValueError, match=(
                    f'MixtureNormalization.*holds {n_bad} of 144 values that '
                    'are not finite')):
                link(x)
        link(_batch())
    if not train:
        assert link.n_fits == n_fits
        for old, new in zip(queue, link.queue):
            numpy.testing.assert_array_equal(old, new)


def test_debug_mode_names_the_link():
    class Model(chainer.Chain):
        def __init__(self):
            super().__init__()
            with self.init_scope():
                self.third_norm = MixtureNormalization()

    model = Model()
    with chainer.using_config('debug', True):
        with pytest.raises(ValueError, match='third_norm'):
            model.third_norm(_spoilt())
    # A deferred link has not taken its size from what was refused.
    assert model.third_norm.size is None
    assert model.third_norm(_batch((12, 5))).shape == (12, 5)


def test_debug_mode_passes_good_batches():
    with chainer.using_config('debug', True):
        link = MixtureNormalization(3, seed=0)
        v = chainer.Variable(_batch())
        link.cleargrads()
        F.sum(link(v) ** 2).backward()
        assert numpy.isfinite(v.grad).all()
        _infer(link, _batch())


@pytest.mark.parametrize('kwargs', [
    {}, {'activation': F.relu}, {'component_affine': True},
    {'n_components': 8, 'min_weight': .1}, {'inference': 'samples'}],
    ids=str)
@pytest.mark.parametrize('x', [
    _batch(), numpy.zeros((12, 3, 4), 'f'),
    numpy.maximum(_batch((50, 3)), 0), _batch((1, 3)),
    _batch(dtype='e')], ids=['plain', 'zeros', 'rectified', 'one', 'half'])
def test_good_batches_give_no_warning(x, kwargs):
    # A user's ``-W error`` is not tripped by absent or empty components.
    link = MixtureNormalization(3, seed=0, **kwargs)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        v = chainer.Variable(x)
        link.cleargrads()
        F.sum(link(v) ** 2).backward()
        _infer(link, x)
