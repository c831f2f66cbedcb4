"""What all normalizers have in common, whatever they compute.

A name that the registry learns is tested without a line here, unless it needs
options or differs from the others: then :data:`_CASES` says so, and why. What
each of them computes is tested against its equations elsewhere.
"""
import copy
import typing

import chainer
import chainer.functions as F
from chainer import gradient_check
import chainer.links as L
from chainer import testing
from chainer.testing import attr
from chainer.utils import type_check
import numpy
import pytest

import mixnorm


_SEED = 0
_N_CHANNELS = 6
_SHAPES = [(8, 6), (5, 6, 4), (4, 6, 3, 2), (3, 6, 2, 1, 2)]
_IMAGES = (5, 6, 4, 3)


class _Case(typing.NamedTuple):

    """How a normalizer is made, and where it differs.

    Attributes:
        name (str or None): Its name, where the case has another.
        options (dict): Options that the tests give.
        deferred (callable): Makes the further options that it needs to leave
            the size to the first mini-batch, of the input's number of axes.
        permutes (bool): Whether permuting samples permutes outputs.
        smooth (bool): Whether gradients are those of the output as it moves.
        checks_input (bool): Whether it refuses inputs that do not fit.
        checks_first_input (bool): Whether it does so before it has seen one.
        bounds_vectors (bool): Whether outputs to ``(N, C)`` are small.
        greatest (float): Inputs of a channel above it have gradients beyond
            float32.
        ours (bool): Whether it is a normalization of mixnorm's own.

    """

    name: typing.Optional[str] = None
    options: dict[str, typing.Any] = {}
    deferred: typing.Callable = lambda ndim: {}
    permutes: bool = True
    smooth: bool = True
    checks_input: bool = True
    checks_first_input: bool = True
    bounds_vectors: bool = True
    greatest: float = numpy.inf
    ours: bool = True


def _point_axes(ndim):
    return {'axis': (0,) + tuple(range(2, ndim))}


_CASES = {
    # Batch normalizations learn the size only by their axes; Chainer's takes
    # whatever the first mini-batch has beside them.
    'batch': _Case(
        deferred=_point_axes, checks_first_input=False, ours=False),
    'batch_renorm': _Case(deferred=_point_axes),
    # Away from the bounds of [0, 1], where it is clipped.
    'batch_instance': _Case(options={'initial_rho': .5}),
    # How many groups is asked when it is made.
    'group': _Case(options={'groups': 3}),
    # The points that seed a fit are drawn by their place in the mini-batch,
    # anew in each pass, and the posterior is a constant to gradients.
    'mixture': _Case(options={'n_components': 2, 'seed': 0}, permutes=False,
                     smooth=False),
    'mixture of second order': _Case(
        'mixture', {'n_components': 2, 'seed': 0, 'order': 2},
        permutes=False, smooth=False),
    'group_mixture': _Case(
        options={'n_components': 2, 'seed': 0, 'groups': 3}, permutes=False,
        smooth=False),
    # A mode that one channel has to itself has no variance, and by equation
    # (5) all channels are divided by its deviation.
    'mode_group': _Case(bounds_vectors=False, greatest=1e15),
    'mode of own scales': _Case('mode', {'mode_affine': True}),
    'mode_group of own scales': _Case(
        'mode_group', {'mode_affine': True}, bounds_vectors=False,
        greatest=1e15),
    'divisive of learned smoother': _Case('divisive', {'learn_rho': True}),
    # It takes whatever it is given.
    'none': _Case(checks_input=False, ours=False),
}

_names = pytest.mark.parametrize(
    'name', sorted(set(mixnorm.normalizer_names()) | set(_CASES)))
_own_names = pytest.mark.parametrize('name', [
    name for name in _names.args[1] if _CASES.get(name, _Case()).ours])
pytestmark = pytest.mark.filterwarnings(
    # Chainer's batch normalization, of mini-batches of one.
    'ignore:A batch with no more than one sample',
    'ignore:F.batch_normalization received a batch with single')


def _case(name):
    return _CASES.get(name, _Case())


def _link(name, size, **options):
    return mixnorm.normalizer(
        _case(name).name or name, size,
        **dict(_case(name).options, **options))


def _make(name, size=_N_CHANNELS, ndim=4, **options):
    """A normalizer, with parameters moved at random if there are any yet."""
    if size is None:
        options.update(_case(name).deferred(ndim))
    numpy.random.seed(_SEED)
    link = _link(name, size, **options)
    for _, parameter in sorted(link.namedparams(include_uninit=False)):
        parameter.array[...] += .2 * numpy.random.uniform(
            -1, 1, parameter.shape)
    return link


def _data(*shape, scale=2, dtype=numpy.float32):
    return (scale * numpy.random.RandomState(_SEED).normal(
        .5, size=shape)).astype(dtype)


def _state(link):
    """Copies of all parameters and persistent values."""
    values = {name: p.array for name, p in link.namedparams()}
    values.update((name, getattr(link, name)) for name in link._persistent)
    return {name: numpy.array(chainer.get_device('@numpy').send(value))
            if isinstance(value, chainer.get_array_types()) else value
            for name, value in values.items()}


def _assert_same_state(actual, expected):
    assert actual.keys() == expected.keys()
    for name in expected:
        numpy.testing.assert_array_equal(
            actual[name], expected[name], err_msg=name)


def _train(link, x, gy=None):
    """One pass in training mode: the output and all gradients."""
    x = chainer.Variable(x)
    link.cleargrads()
    y = link(x)
    y.grad = y.xp.ones_like(y.array) if gy is None else gy
    y.backward()
    gradients = {'x': x.grad}
    gradients.update((name, p.grad) for name, p in link.namedparams())
    return y.array, gradients


def _test(link, x):
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        # 'none' gives an array for an array.
        return chainer.as_array(link(x))


def _assert_finite(y, gradients):
    assert numpy.isfinite(y).all()
    for name, gradient in gradients.items():
        assert numpy.isfinite(gradient).all(), name


@_names
@pytest.mark.parametrize('shape', _SHAPES, ids=str)
@pytest.mark.parametrize('dtype', ['e', 'f', 'd'])
def test_shape_and_dtype(name, shape, dtype):
    link = _make(name)
    x = _data(*shape, dtype=dtype)
    y, gradients = _train(link, x, _data(*shape, scale=1, dtype=dtype))
    _assert_finite(y, gradients)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    assert (gradients['x'].shape, gradients['x'].dtype) == (x.shape, x.dtype)
    for key, parameter in link.namedparams():
        assert gradients[key].shape == parameter.shape
        assert gradients[key].dtype == parameter.dtype
    y = _test(link, x)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    assert numpy.isfinite(y).all()


@_names
@pytest.mark.parametrize('config_dtype, expected', [
    (numpy.float16, (numpy.float16, numpy.float32)),
    (chainer.mixed16, (numpy.float32,)), (numpy.float32, (numpy.float32,)),
    (numpy.float64, (numpy.float64,))], ids=str)
def test_parameters_dtype(name, config_dtype, expected):
    with chainer.using_config('dtype', config_dtype):
        link = _make(name)
    for _, parameter in link.namedparams():
        assert parameter.dtype in expected


@_names
@pytest.mark.parametrize('shape', [(8, 6), _IMAGES], ids=str)
@pytest.mark.parametrize(
    'config_dtype', [numpy.float16, chainer.mixed16, numpy.float32], ids=str)
def test_large_activations_of_float16(name, shape, config_dtype):
    if len(shape) == 2 and not _case(name).bounds_vectors:
        pytest.skip('the true outputs are beyond float16')
    x = _data(*shape, scale=1e4, dtype='e')
    gy = _data(*shape, scale=1, dtype='e')
    with chainer.using_config('dtype', config_dtype):
        link = _make(name)
    wide = copy.deepcopy(link)
    y, gradients = _train(link, x, gy)
    _assert_finite(y, gradients)
    # The same link, given the same numbers in float64.
    expected, _ = _train(wide, x.astype('d'), gy.astype('d'))
    numpy.testing.assert_allclose(y, expected, rtol=1e-2, atol=1e-2)
    for key, value in _state(link).items():
        assert numpy.isfinite(value).all(), key
    numpy.testing.assert_allclose(
        _test(link, x), _test(wide, x.astype('d')), rtol=2e-2, atol=2e-2)


@_names
@pytest.mark.parametrize(
    'shape', [(1, 6), (1, 6, 1, 1), (1, 6, 4, 3)], ids=str)
def test_batch_of_one(name, shape):
    link = _make(name)
    x = _data(*shape)
    _assert_finite(*_train(link, x))
    for key, value in _state(link).items():
        assert numpy.isfinite(value).all(), key
    assert numpy.isfinite(_test(link, x)).all()


@_names
@pytest.mark.parametrize('shape', [(8, 6), _IMAGES], ids=str)
@pytest.mark.parametrize('constant', [0, 7, -1e4])
@pytest.mark.parametrize('channels', [slice(1), slice(None)],
                         ids=['one', 'all'])
def test_constant_channel(name, shape, constant, channels):
    link = _make(name)
    x = _data(*shape)
    x[:, channels] = constant
    y, gradients = _train(link, x, _data(*shape, scale=1))
    _assert_finite(y, gradients)
    if channels == slice(None):
        # Nothing is made of a mean's rounding.
        over = (0,) + tuple(range(2, x.ndim))
        assert (numpy.ptp(y, axis=over) < 1e-2 * (1 + abs(y).max())).all()
    assert numpy.isfinite(_test(link, x)).all()


@_names
@pytest.mark.parametrize('shape', _SHAPES, ids=str)
def test_deferred_size(name, shape):
    x = _data(*shape)
    options = _case(name).deferred(x.ndim)
    outcomes = []
    for size in _N_CHANNELS, None:
        # Parameters may be drawn now or at the first mini-batch.
        numpy.random.seed(_SEED)
        link = _link(name, size, **options)
        numpy.random.seed(_SEED)
        if size is not None:
            link = link.copy('init')
        y, gradients = _train(link, x)
        outcomes.append((y, gradients, _test(link, x), _state(link)))
    given, deferred = outcomes
    for i in 0, 2:
        numpy.testing.assert_array_equal(deferred[i], given[i])
    for i in 1, 3:
        _assert_same_state(deferred[i], given[i])


@_names
@pytest.mark.parametrize('deferred', [False, True])
def test_serialization(name, deferred, tmp_path):
    link, x = _make(name), _data(*_IMAGES)
    for i in range(3):
        link(x + i)
    path = str(tmp_path / 'link.npz')
    chainer.serializers.save_npz(path, link)
    loaded = _make(name, None if deferred else _N_CHANNELS)
    chainer.serializers.load_npz(path, loaded)
    numpy.testing.assert_array_equal(_test(loaded, x), _test(link, x))
    _assert_same_state(_state(loaded), _state(link))
    # Training goes on as it would have.
    numpy.testing.assert_array_equal(
        _train(loaded, x)[0], _train(link, x)[0])
    _assert_same_state(_state(loaded), _state(link))


@_names
@pytest.mark.parametrize('duplicate', [
    copy.deepcopy, lambda link: link.copy('copy')], ids=['deepcopy', 'copy'])
def test_copies_are_independent(name, duplicate):
    link, x = _make(name), _data(*_IMAGES)
    link(x)
    expected, before = _test(link, x), _state(link)
    other = duplicate(link)
    numpy.testing.assert_array_equal(_test(other, x), expected)
    for parameter in other.params():
        parameter.array[...] += 1
    other(3 * x + 1)
    _assert_same_state(_state(link), before)
    numpy.testing.assert_array_equal(_test(link, x), expected)


@_names
def test_initialized_copy(name):
    link, x = _make(name), _data(*_IMAGES)
    numpy.random.seed(_SEED)
    other = link.copy('init')
    assert [p.shape for p in other.params()] == [
        p.shape for p in link.params()]
    _assert_finite(*_train(other, x))


@_names
@pytest.mark.parametrize('train', [True, False])
def test_gradients_are_numerical_ones(name, train):
    if not _case(name).smooth:
        pytest.skip('its gradients hold something constant')
    with chainer.using_config('dtype', numpy.float64):
        link = _make(name)
    link(_data(*_IMAGES))
    x = _data(3, _N_CHANNELS, 2, 2, dtype='d')
    gy = numpy.random.RandomState(_SEED).normal(size=x.shape)
    with chainer.using_config('train', train):
        gradient_check.check_backward(
            lambda v, *parameters: F.identity(link(v)), x, gy,
            params=list(link.params()), dtype=numpy.float64, rtol=1e-3,
            atol=1e-4)


@_names
def test_gradient_penalty(name):
    """Gradients with respect to x alone can be differentiated."""
    link, x = _make(name), chainer.Variable(_data(*_IMAGES))
    y = F.identity(link(x))
    gx, = chainer.grad([F.sum(y ** 3)], [x], enable_double_backprop=True)
    link.cleargrads()
    F.sum(gx ** 2).backward()
    assert numpy.isfinite(x.grad).all()
    assert (x.grad != 0).any()
    # As far as they have a part in it.
    if hasattr(link, 'gamma'):
        assert numpy.isfinite(link.gamma.grad).all()
        assert (link.gamma.grad != 0).all()


@_own_names
@pytest.mark.parametrize('train', [True, False])
@pytest.mark.parametrize('dtype', ['e', 'f', 'd'])
@pytest.mark.parametrize('config_dtype', ['e', 'f', 'd'])
def test_gradient_penalty_of_other_dtypes(name, config_dtype, dtype, train):
    with chainer.using_config('dtype', numpy.dtype(config_dtype)):
        link = _make(name)
    link(_data(*_IMAGES))
    with chainer.using_config('dtype', numpy.float64):
        wide = _make(name)
    wide.copyparams(link)
    outcomes = []
    x = _data(*_IMAGES, dtype='e')
    for each, x in (link, x.astype(dtype)), (wide, x.astype('d')):
        v = chainer.Variable(x)
        with chainer.using_config('train', train):
            gx, = chainer.grad(
                [F.sum(.01 * each(v) ** 3)], [v], enable_double_backprop=True)
        each.cleargrads()
        F.sum(gx ** 2).backward()
        assert (gx.dtype, v.grad.dtype) == (x.dtype, x.dtype)
        outcomes.append([gx.array, v.grad])
    for actual, expected in zip(*outcomes):
        numpy.testing.assert_allclose(
            actual, expected, atol=1e-2 * abs(expected).max())


@_names
def test_update(name):
    link, x = _make(name), _data(*_IMAGES)
    optimizer = chainer.optimizers.SGD(lr=.1).setup(link)
    before = _state(link)
    target = numpy.random.RandomState(_SEED).normal(size=x.shape).astype('f')

    def loss():
        return F.mean_squared_error(link(x), target)

    first = loss().array
    for _ in range(5):
        optimizer.update(loss)
    for key, parameter in link.namedparams():
        assert (parameter.array != before[key]).any(), key
    # 'none' has nothing to learn with.
    assert loss().array < first or not before


@_own_names
@pytest.mark.parametrize('train', [True, False])
@pytest.mark.parametrize('order', [1, 2])
@pytest.mark.parametrize('dtype', ['f', 'd'])
def test_update_hooks_may_write_to_gradients(name, dtype, order, train):
    with chainer.using_config('dtype', numpy.dtype(dtype)):
        link = _make(name)
    x = chainer.Variable(_data(*_IMAGES, dtype=dtype))
    link(x)
    optimizer = chainer.optimizers.SGD(lr=.1).setup(link)
    optimizer.add_hook(chainer.optimizer_hooks.WeightDecay(.5))
    optimizer.add_hook(chainer.optimizer_hooks.GradientClipping(1))

    def loss():
        y = F.identity(link(x))
        if order == 1:
            return F.sum(y)
        gx, = chainer.grad([F.sum(y ** 3)], [x], enable_double_backprop=True)
        return F.sum(gx ** 2)

    before = _state(link)
    with chainer.using_config('train', train):
        optimizer.update(loss)
    for key, parameter in link.namedparams():
        assert parameter.grad.flags.writeable, key
        assert numpy.isfinite(parameter.array).all(), key
        assert (parameter.array != before[key]).any(), key


@_names
def test_no_backprop_mode(name):
    link, x = _make(name), _data(*_IMAGES)
    other = copy.deepcopy(link)
    x = chainer.Variable(x)
    with chainer.no_backprop_mode():
        y = other(x)
    assert y.creator is None
    numpy.testing.assert_array_equal(y.array, link(x).array)
    _assert_same_state(_state(other), _state(link))


@_names
def test_test_mode_leaves_no_trace(name):
    link, x = _make(name), _data(*_IMAGES)
    link(x)
    before = _state(link)
    expected = _test(link, x)
    # Nor does it depend on the rest of the mini-batch.
    numpy.testing.assert_allclose(
        _test(link, x[1:3]), expected[1:3], rtol=1e-4, atol=1e-5)
    _assert_same_state(_state(link), before)


@_names
@pytest.mark.parametrize('train', [True, False])
def test_samples_are_exchangeable(name, train):
    if train and not _case(name).permutes:
        pytest.skip('it draws samples by their place')
    link, x = _make(name), _data(*_IMAGES)
    link(x)
    order = numpy.random.RandomState(_SEED).permutation(len(x))
    with chainer.using_config('train', train):
        y, permuted = F.identity(link(x)), F.identity(link(x[order]))
    numpy.testing.assert_allclose(
        permuted.array, y.array[order], rtol=1e-4, atol=1e-5)


@_names
def test_recomputation(name):
    """F.forget changes neither outputs, nor gradients, nor state."""
    link, x = _make(name), _data(*_IMAGES)
    link(x + 1)
    other = copy.deepcopy(link)
    gy = _data(*_IMAGES, scale=1)
    y, gradients = _train(link, x, gy)
    v = chainer.Variable(x)
    other.cleargrads()
    forgotten = F.forget(lambda z: F.identity(other(z)), v)
    forgotten.grad = gy
    forgotten.backward()
    numpy.testing.assert_array_equal(forgotten.array, y)
    numpy.testing.assert_allclose(
        v.grad, gradients['x'], rtol=1e-5, atol=1e-6)
    for key, parameter in other.namedparams():
        numpy.testing.assert_allclose(
            parameter.grad, gradients[key], rtol=1e-5, atol=1e-6)
    _assert_same_state(_state(other), _state(link))


@_names
def test_description(name):
    link = _make(name)
    assert str(link).startswith(f'{type(link).__name__}(')
    if list(link.params()):
        assert f'size={_N_CHANNELS}' in str(link).replace(
            f'({_N_CHANNELS},)', str(_N_CHANNELS))


@_names
@pytest.mark.parametrize('deferred', [False, True])
@pytest.mark.parametrize('train', [True, False])
@pytest.mark.parametrize('x', [
    numpy.ones((4, 6, 3, 2), 'i'), numpy.ones(6, 'f'),
    numpy.ones((4, 5, 3, 2), 'f')],
    ids=['integers', 'one axis', 'other channels'])
def test_bad_input_is_refused(name, deferred, train, x):
    if not _case(name).checks_input:
        pytest.skip('it takes whatever it is given')
    good = _data(*_IMAGES)
    link = _make(name, None if deferred else _N_CHANNELS)
    # Before the first mini-batch any number of channels is right.
    if not deferred or x.shape[1:2] == (5,) or not _case(
            name).checks_first_input:
        link(good)
    before = _state(link) if list(link.params(False)) else None
    with chainer.using_config('train', train):
        with pytest.raises(type_check.InvalidType):
            link(x)
    if before is not None:
        _assert_same_state(_state(link), before)
    assert numpy.isfinite(link(good).array).all()


@_own_names
def test_empty_batch(name):
    link, x = _make(name), _data(*_IMAGES)
    link(x)
    for shape in (0, 6), (0, 6, 4), (0, 6, 4, 3):
        v = chainer.Variable(numpy.ones(shape, 'f'))
        before = _state(link)
        with pytest.raises(type_check.InvalidType):
            link(v)
        _assert_same_state(_state(link), before)
        with chainer.using_config('train', False):
            y = link(v)
        assert (y.shape, y.dtype) == (v.shape, v.dtype)
        link.cleargrads()
        y.grad = y.array
        y.backward()
        assert v.grad.shape == shape
        for key, parameter in link.namedparams():
            assert not parameter.grad.any(), key


_AVERAGING = pytest.mark.parametrize(
    'name', ['batch_instance', 'batch_renorm', 'mode'])


@_AVERAGING
@pytest.mark.parametrize('bad', [numpy.nan, numpy.inf])
@pytest.mark.filterwarnings('ignore:invalid value')
def test_batch_that_is_not_finite_is_not_averaged(name, bad):
    links, (x, spoilt, z) = [_make(name) for _ in range(2)], _data(3, *_IMAGES)
    spoilt[2, 1, 3, 1] = bad
    for finetune in False, True:
        for link, batches in zip(links, ([x, spoilt, z], [x, z])):
            link.start_finetuning()
            for batch in batches:
                y = link(batch, finetune=finetune).array
                assert numpy.isfinite(y).all() == (batch is not spoilt)
            assert link.N == 2 * finetune
        _assert_same_state(*map(_state, links))


def _persistent(link):
    state = _state(link)
    return {name: state[name] for name in link._persistent}


def _copy(source, target, tmp_path):
    target.copyparams(source)


def _save_and_load(source, target, tmp_path, strict=True, lacking=()):
    path = str(tmp_path / 'link.npz')
    chainer.serializers.save_npz(path, source)
    with numpy.load(path, allow_pickle=True) as values:
        rest = {key: values[key] for key in values if key not in lacking}
    numpy.savez(path, **rest)
    chainer.serializers.load_npz(path, target, strict=strict)


@_own_names
@pytest.mark.parametrize('take', [_copy, _save_and_load])
def test_state_of_a_link_that_has_seen_nothing(name, take, tmp_path):
    x = _data(*_IMAGES)
    link, fresh = _make(name), _make(name, None)
    initial = _persistent(link)
    link(x)
    take(fresh, link, tmp_path)
    _assert_same_state(_persistent(link), initial)
    _assert_finite(*_train(link, x))
    assert numpy.isfinite(_test(link, x)).all()
    # What it was taken from can still have any size.
    assert fresh(_data(5, 9, 4, 3)).shape == (5, 9, 4, 3)


@_own_names
def test_state_that_lacks_something(name, tmp_path):
    link, x = _make(name), _data(*_IMAGES)
    link(x)
    expected = _state(link)
    for lacking in sorted(link._params | link._persistent):
        other = _make(name, None)
        _save_and_load(link, other, tmp_path, False, [lacking])
        state = _state(other)
        for key in link._persistent - {lacking}:
            numpy.testing.assert_array_equal(state[key], expected[key])
        y, _ = _train(other, x)
        assert numpy.isfinite(y).all()
        assert numpy.isfinite(_test(other, x)).all()
        for key in link._params - {lacking}:
            numpy.testing.assert_array_equal(
                getattr(other, key).array, getattr(link, key).array)


@pytest.mark.parametrize('name', [
    name for name in _own_names.args[1]
    if 'axis' in mixnorm.registry.option_names(_case(name).name or name)])
def test_all_axes_are_of_points(name, tmp_path):
    options = {'groups': 1} if 'groups' in _case(name).options else {}
    x = _data(20, 5)

    def outputs(x, axis):
        links = [_link(name, None, axis=axis, **options) for _ in range(2)]
        numpy.random.seed(_SEED)
        trained = links[0](x).array
        _save_and_load(*links, tmp_path)
        return trained, _test(links[1], x)

    one_channel = outputs(x[:, None], (0, 2))
    for actual, expected in zip(outputs(x, (0, 1)), one_channel):
        numpy.testing.assert_allclose(
            actual, expected[:, 0], rtol=1e-5, atol=1e-6)


@_own_names
@pytest.mark.parametrize('size', [_N_CHANNELS, None])
def test_what_is_added_from_outside_has_a_shape_of_its_own(
        name, size, tmp_path):
    # By a derived class or a link hook.
    links = link, loaded, copied = [_make(name, size) for _ in range(3)]
    for other in links:
        with other.init_scope():
            other.factor = chainer.Parameter(numpy.ones(2, 'f'))
            other.later = chainer.Parameter(1)
        other.add_persistent('counts', numpy.zeros((3, 2)))
    link(_data(*_IMAGES))
    assert not link.later.is_initialized
    link.later.initialize((5,))
    link.factor.array[...] = 2
    link.counts[...] = 3
    _save_and_load(link, loaded, tmp_path)
    copied.copyparams(link)
    for other in loaded, copied:
        _assert_same_state(_state(other), _state(link))


@_own_names
@pytest.mark.parametrize('size', [_N_CHANNELS, None])
def test_parameters_alone_are_copied(name, size):
    link, other = _make(name), _make(name, size)
    other.copyparams(link, copy_persistent=False)
    other(_data(*_IMAGES))
    for key in link._params:
        numpy.testing.assert_array_equal(
            getattr(other, key).array, getattr(link, key).array)


@_own_names
@pytest.mark.parametrize('size', [_N_CHANNELS, None])
def test_copying_from_what_lacks_something(name, size):
    link = _make(name, size)
    before = _state(link)
    sources = [chainer.links.Linear(6, 6)]
    if 'use_beta' in mixnorm.registry.option_names(
            _case(name).name or name):
        sources.append(_make(name, use_beta=False))
    for source in sources:
        with pytest.raises(ValueError, match='has no .*beta'):
            link.copyparams(source)
        _assert_same_state(_state(link), before)


@_own_names
@pytest.mark.parametrize('option, bad', [
    ('dtype', 'x'), ('dtype', 3), ('dtype', 'int32'), ('dtype', object()),
    ('use_gamma', 'no'), ('use_gamma', 1), ('use_beta', None),
    ('initial_gamma', 'x'), ('initial_gamma', [1] * 6),
    ('initial_gamma', numpy.ones(5)), ('initial_gamma', numpy.ones((3, 1))),
    ('initial_gamma', numpy.array(['x'] * 6)),
    ('initial_gamma', chainer.initializers.HeNormal),
    ('initial_gamma', chainer.initializers.Identity()),
    ('initial_beta', numpy.ones(5)), ('initial_beta', True),
    ('initial_beta', chainer.initializers.Constant(numpy.ones(5))),
    ('initial_rho', 'x'), ('initial_rho', numpy.ones(5)),
    ('initial_avg_mean', 'x'),
    ('initial_avg_mean', chainer.initializers.Identity()),
    ('initial_avg_var', numpy.ones(5))], ids=repr)
def test_bad_options(name, option, bad):
    if option not in mixnorm.registry.option_names(_case(name).name or name):
        pytest.skip('it has no such option')
    with pytest.raises(ValueError, match=f'^{option} '):
        _link(name, _N_CHANNELS, **{option: bad})


@_own_names
def test_initial_values_of_another_size_than_the_first_batch(name):
    random = numpy.random.RandomState(_SEED)
    gamma = random.uniform(1, 2, 6)
    link = _make(name, None, initial_gamma=gamma)
    with pytest.raises(ValueError, match=r'^initial_gamma has shape \(6,\)'):
        link(_data(5, 9, 4, 3))
    assert not list(link.params(include_uninit=False))
    link(_data(*_IMAGES))
    numpy.testing.assert_allclose(
        numpy.broadcast_to(gamma, link.gamma.shape), link.gamma.array,
        rtol=1e-6)


@_names
@pytest.mark.parametrize(
    'size', [0, -3, 2.5, '6', (6, 0), True, ()], ids=repr)
def test_bad_size(name, size):
    with pytest.raises(ValueError, match='size is'):
        _link(name, size)


@attr.gpu
@_names
@pytest.mark.parametrize('shape', _SHAPES, ids=str)
@pytest.mark.parametrize('dtype', ['e', 'f', 'd'])
def test_devices_agree(name, shape, dtype):
    tolerance = {'e': 1e-2, 'f': 1e-4, 'd': 1e-6}[dtype]
    host, x = _make(name), _data(*shape, dtype=dtype)
    link = copy.deepcopy(host)
    link.to_device('@cupy:0')
    gy = _data(*shape, scale=1, dtype=dtype)
    y, gradients = _train(link, link.device.send(x), link.device.send(gy))
    expected, expected_gradients = _train(host, x, gy)
    testing.assert_allclose(y, expected, rtol=tolerance, atol=tolerance)
    for key, gradient in gradients.items():
        testing.assert_allclose(
            gradient, expected_gradients[key], rtol=10 * tolerance,
            atol=10 * tolerance)
    testing.assert_allclose(
        _test(link, link.device.send(x)), _test(host, x), rtol=tolerance,
        atol=tolerance)
    # And back.
    link.to_cpu()
    testing.assert_allclose(
        _test(link, x), _test(host, x), rtol=tolerance, atol=tolerance)


@attr.gpu
@_names
@pytest.mark.parametrize('first', ['device', 'input'])
def test_size_is_deferred_on_a_device(name, first):
    link, x = _make(name, None), _data(*_IMAGES)
    if first == 'device':
        link.to_device('@cupy:0')
    else:
        link(x)
        link.to_device('@cupy:0')
    on_device = link.device.send(x)
    assert link.device.send(link(on_device).array) is not None
    for value in _state(link).values():
        assert numpy.isfinite(value).all()
    assert isinstance(_test(link, on_device), link.xp.ndarray)


@attr.gpu
@_names
@pytest.mark.parametrize('config_dtype', [numpy.float16, chainer.mixed16],
                         ids=str)
def test_large_activations_of_float16_on_a_device(name, config_dtype):
    with chainer.using_config('dtype', config_dtype):
        link = _make(name)
    link.to_device('@cupy:0')
    y, gradients = _train(
        link, link.device.send(_data(*_IMAGES, scale=1e4, dtype='e')))
    assert link.xp.isfinite(y).all()
    for key, gradient in gradients.items():
        assert link.xp.isfinite(gradient).all(), key


_MAGNITUDES = [
    1e-45, 1e-38, 1e-22, 1e-21, 1e-18, 1e-13, 1., 1e12, 1e19, 1e29, 1e36]


@pytest.mark.parametrize('what', ['all', 'a channel', 'a constant'])
@pytest.mark.parametrize('dtype', ['e', 'f', 'd'])
@_own_names
@pytest.mark.filterwarnings('ignore:overflow', 'ignore:invalid value')
def test_finite_where_batch_normalization_is(name, dtype, what):
    random = numpy.random.RandomState(_SEED)
    plain = random.randn(*_IMAGES) + 2 * random.randint(
        2, size=_IMAGES[:1] + (1,) + _IMAGES[2:])
    gy = random.randn(*_IMAGES).astype(dtype)
    for magnitude in _MAGNITUDES:
        if dtype == 'f' and magnitude > _case(name).greatest:
            continue
        x = plain.copy()
        x[(slice(None), 1) if what != 'all' else ()] *= magnitude
        if what == 'a constant':
            x[:, 1] = magnitude
        with numpy.errstate(over='ignore'):
            x = x.astype(dtype)
        links = L.BatchNormalization(
            _N_CHANNELS, dtype='d' if dtype == 'd' else 'f'), _make(name)
        if not numpy.isfinite(x).all() or not _is_finite(
                links[0], x, gy, True):
            continue
        assert _is_finite(links[1], x, gy, True), magnitude
        # Mini-batches whose variance the queue cannot hold do not enter it.
        if name.startswith('mixture') and len(links[1].queue.weights) == 0:
            assert magnitude > 1e17
        elif _is_finite(links[0], x, gy, False):
            assert _is_finite(links[1], x, gy, False), magnitude


def _is_finite(link, x, gy, train):
    """Whether output and gradient of the input are; in test mode, output."""
    v = chainer.Variable(x)
    with chainer.using_config('train', train), numpy.errstate(all='ignore'):
        y = link(v)
        if not train:
            return numpy.isfinite(y.array).all()
        y.grad = gy
        y.backward()
    return numpy.isfinite(y.array).all() and numpy.isfinite(v.grad).all()
