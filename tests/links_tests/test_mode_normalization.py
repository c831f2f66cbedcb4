import copy

import chainer
from chainer import functions as F
from chainer import links as L
from chainer import testing
from chainer.utils import type_check
import numpy
import pytest

from functions_tests import mode_equations
from mixnorm.links import ModeGroupNormalization
from mixnorm.links import ModeNormalization


_SEED = 0
_KINDS = [ModeNormalization, ModeGroupNormalization]


def _kinds(function):
    return pytest.mark.parametrize(
        'kind', _KINDS, ids=lambda kind: kind.__name__)(function)


def _mode_link(n_modes=2, seed=_SEED, size=3, kind=ModeNormalization,
               **kwargs):
    """A link with random parameters."""
    link = kind(size, n_modes=n_modes, **kwargs)
    random = numpy.random.RandomState(seed)
    for _, parameter in sorted(link.namedparams()):
        parameter.array[...] = random.randn(*parameter.shape)
    return link


@testing.parameterize(*testing.product({
    'kind': _KINDS,
    'shape': [(6, 3), (5, 3, 4), (2, 3, 2, 2)],
    'mode_affine': [False, True],
    'dtype': [numpy.float32, numpy.float64],
}))
@testing.inject_backend_tests(None, [{}, {'use_cuda': True}])
class TestModeLinks(testing.LinkTestCase):

    """Value and gradients in training mode."""

    param_names = ('gamma', 'beta', 'gate_W', 'gate_b')
    n_modes = 2
    eps = 1e-2

    def setUp(self):
        # chainer.testing draws its upstream gradients from numpy.random.
        numpy.random.seed(_SEED)
        tolerances = {'rtol': 1e-3, 'atol': 1e-3}
        self.check_forward_options = tolerances
        self.check_backward_options = tolerances

    def generate_params(self):
        channels = self.shape[1:2]
        affine = (self.n_modes,) + channels if self.mode_affine else channels
        gate = (self.n_modes,)
        if self.kind is ModeNormalization:
            gate += channels
        return tuple(
            numpy.random.uniform(-1, 1, shape).astype(self.dtype)
            for shape in (affine, affine, gate, (self.n_modes,)))

    def create_link(self, initializers):
        gamma, beta, gate_W, gate_b = initializers
        link = self.kind(
            3, n_modes=self.n_modes, mode_affine=self.mode_affine,
            eps=self.eps, dtype=self.dtype, initial_gamma=gamma,
            initial_beta=beta)
        for name, value in (('gate_W', gate_W), ('gate_b', gate_b)):
            getattr(link, name).array[...] = (
                value.array if isinstance(value, chainer.Parameter)
                else value)
        return link

    def generate_inputs(self):
        return numpy.random.uniform(-2, 2, self.shape).astype(self.dtype),

    def forward_expected(self, link, inputs):
        x, gamma, beta, gate_W, gate_b = mode_equations.double(
            *inputs, *(chainer.get_device('@numpy').send(p.array) for p in (
                link.gamma, link.beta, link.gate_W, link.gate_b)))
        if self.kind is ModeNormalization:
            y = mode_equations.mode_normalization(
                x, mode_equations.sample_gates(x, gate_W, gate_b), gamma,
                beta, self.eps)
        else:
            y = mode_equations.mode_group_normalization(
                x, mode_equations.channel_gates(x, gate_W, gate_b), gamma,
                beta, self.eps)
        return y.array.astype(self.dtype),


# Input shape, size and axis, as L.BatchNormalization takes them.
@pytest.mark.parametrize('shape,size,axis', [
    ((8, 3), 3, None), ((6, 3), None, None), ((4, 3, 2, 3), None, None),
    ((6, 2, 3), (2, 3), None), ((4, 3, 2, 5), None, (0, 1, 2)),
    ((4, 3, 2, 5), 5, (0, 1, 2)), ((8, 3, 2), None, 0),
    ((3, 6, 2), None, 1), ((5, 2, 4, 3), (2, 3), (0, 2))], ids=str)
def test_one_mode_is_batch_normalization(shape, size, axis):
    random = numpy.random.RandomState(_SEED)
    bn_axis = axis
    if size is None and axis is None:
        bn_axis = (0,) + tuple(range(2, len(shape)))
    links = (ModeNormalization(size, n_modes=1, axis=axis),
             L.BatchNormalization(size, axis=bn_axis))
    outcomes = []
    x, gy = random.randn(2, *shape).astype('f')
    for link in links:
        v = chainer.Variable(x)
        y = link(v)
        link.cleargrads()
        y.grad = gy
        y.backward()
        outcomes.append([y.array, v.grad, link.gamma.grad, link.beta.grad])
    for a, e in zip(*outcomes):
        assert a.shape == e.shape
        numpy.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('shape', [(6, 4), (3, 4, 5), (2, 4, 3, 2)], ids=str)
def test_one_mode_is_group_normalization(shape):
    random = numpy.random.RandomState(_SEED)
    outcomes = []
    x, gy = random.randn(2, *shape).astype('f')
    for link in (ModeGroupNormalization(4, n_modes=1),
                 L.GroupNormalization(1, 4, eps=2e-5)):
        v = chainer.Variable(x)
        y = link(v)
        link.cleargrads()
        y.grad = gy
        y.backward()
        outcomes.append([y.array, v.grad, link.gamma.grad, link.beta.grad])
    for a, e in zip(*outcomes):
        numpy.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-4)


def test_initial_gates():
    # 1 / K + 0.01 * randn, and nothing else; drawn from numpy.random.
    numpy.random.seed(_SEED)
    first = ModeNormalization(500, n_modes=4)
    assert first.gate_W.shape == (4, 500)
    noise = first.gate_W.array - .25
    assert abs(noise.mean()) < .001
    assert .009 < noise.std() < .011
    assert not first.gate_b.array.any()
    numpy.random.seed(_SEED)
    numpy.testing.assert_array_equal(
        ModeNormalization(500, n_modes=4).gate_W.array, first.gate_W.array)


@_kinds
def test_gates_of_the_last_batch(kind):
    random = numpy.random.RandomState(_SEED)
    link = _mode_link(3, size=4, kind=kind)
    assert link.gates is None
    gates = (mode_equations.sample_gates if kind is ModeNormalization
             else mode_equations.channel_gates)
    for train in (True, False):
        x = random.randn(5, 4, 3).astype('f')
        with chainer.using_config('train', train):
            link(x)
        numpy.testing.assert_allclose(link.gates, gates(
            *mode_equations.double(
                x, link.gate_W.array, link.gate_b.array)).array, rtol=1e-5)
        assert link.gates.dtype == numpy.float32


@_kinds
def test_mean_gates_are_those_of_training(kind):
    random = numpy.random.RandomState(_SEED)
    link = _mode_link(3, size=4, kind=kind)
    with chainer.using_config('train', False):
        link(random.randn(5, 4, 3).astype('f'))
    assert link.mean_gates is None
    link(random.randn(5, 4, 3).astype('f'))
    expected = link.gates.reshape(-1, 3).mean(axis=0)
    with chainer.using_config('train', False):
        link(random.randn(5, 4, 3).astype('f'))
    numpy.testing.assert_allclose(link.mean_gates, expected, rtol=1e-6)
    assert link.mean_gates.sum() == pytest.approx(1)


@pytest.mark.parametrize('decay', [.9, .5, 0, 1])
def test_running_averages(decay):
    # (4), with lambda = 1 - decay.
    random = numpy.random.RandomState(_SEED)
    link = _mode_link(decay=decay)
    mean, sqmean = numpy.zeros((2, 3)), numpy.ones((2, 3))
    for _ in range(3):
        x = (random.randn(6, 3, 4) + 2).astype('f')
        link(x)
        for k, gate in enumerate(link.gates.astype('d').T):
            weight = gate[:, None, None] / (gate.sum() * 4)
            for average, power in ((mean, 1), (sqmean, 2)):
                average[k] *= decay
                average[k] += (1 - decay) * (
                    weight * x.astype('d') ** power).sum(axis=(0, 2))
    numpy.testing.assert_allclose(link.avg_mean, mean, rtol=1e-5)
    numpy.testing.assert_allclose(link.avg_sqmean, sqmean, rtol=1e-5)

    x = random.randn(5, 3, 4).astype('f')
    with chainer.using_config('train', False):
        y = link(x)
    variables = mode_equations.double(
        x, link.gates, link.gamma.array, link.beta.array, mean,
        sqmean - mean ** 2)
    numpy.testing.assert_allclose(
        y.array, mode_equations.fixed_mode_normalization(
            *variables, link.eps).array, rtol=1e-4, atol=1e-4)
    numpy.testing.assert_allclose(link.avg_mean, mean, rtol=1e-5)


def test_inference_before_training_is_that_of_batch_normalization():
    random = numpy.random.RandomState(_SEED)
    x = random.randn(5, 3, 4).astype('f')
    with chainer.using_config('train', False):
        y = ModeNormalization(3, n_modes=2)(x)
        expected = L.BatchNormalization(3)(x)
    numpy.testing.assert_allclose(y.array, expected.array, rtol=1e-5)


def test_finetuning_averages_evenly():
    random = numpy.random.RandomState(_SEED)
    link = ModeNormalization(3, n_modes=1)
    link(random.randn(4, 3).astype('f'))
    for _ in range(2):  # starting anew forgets what was before
        link.start_finetuning()
        batches = random.randn(4, 6, 3).astype('f')
        for x in batches:
            link(x, finetune=True)
        pooled = batches.reshape(-1, 3)
        numpy.testing.assert_allclose(
            link.avg_mean[0], pooled.mean(axis=0), rtol=1e-5, atol=1e-6)
        numpy.testing.assert_allclose(
            link.avg_sqmean[0], (pooled ** 2).mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize('value', [numpy.nan, numpy.inf])
def test_running_averages_are_never_poisoned(value):
    random = numpy.random.RandomState(_SEED)
    link = _mode_link()
    link(random.randn(4, 3).astype('f'))
    before = copy.deepcopy((link.avg_mean, link.avg_sqmean))
    x = random.randn(4, 3).astype('f')
    x[1, 2] = value
    with numpy.errstate(all='ignore'):
        y = link(x)
    assert not numpy.isfinite(y.array).all()
    for a, e in zip((link.avg_mean, link.avg_sqmean), before):
        numpy.testing.assert_array_equal(a, e)


def test_float32_far_from_zero():
    # The variance is a difference of the averages.
    random = numpy.random.RandomState(_SEED)
    link = ModeNormalization(2, n_modes=1, decay=0)
    x = (random.randn(500, 2, 4) + 3000).astype('f')
    link(x)
    with chainer.using_config('train', False):
        y = link(x)
    d = x.astype('d')
    expected = (d - d.mean(axis=(0, 2), keepdims=True)) / numpy.sqrt(
        d.var(axis=(0, 2), keepdims=True) + 2e-5)
    numpy.testing.assert_allclose(y.array, expected, atol=1e-3)


def test_recomputation_leaves_no_second_trace():
    random = numpy.random.RandomState(_SEED)
    x = random.randn(5, 3, 2).astype('f')
    plain, forgetful = _mode_link(), _mode_link()
    gradients = []
    for link, call in ((plain, plain), (
            forgetful, lambda x: F.forget(forgetful, x))):
        link.cleargrads()
        v = chainer.Variable(x)
        F.sum(call(v) ** 3).backward()
        gradients.append([v.grad, link.gate_W.grad, link.gamma.grad])
    numpy.testing.assert_array_equal(plain.avg_mean, forgetful.avg_mean)
    for a, e in zip(*gradients):
        numpy.testing.assert_allclose(a, e, rtol=1e-5)


@_kinds
@pytest.mark.parametrize('use_gamma', [False, True])
@pytest.mark.parametrize('use_beta', [False, True])
def test_without_scale_or_shift(use_gamma, use_beta, kind):
    random = numpy.random.RandomState(_SEED)
    x = random.randn(5, 3, 2).astype('f')
    numpy.random.seed(_SEED)
    link = kind(3, use_gamma=use_gamma, use_beta=use_beta)
    numpy.random.seed(_SEED)
    expected = kind(3)
    assert (link.gamma is None, link.beta is None) == (
        not use_gamma, not use_beta)
    numpy.testing.assert_array_equal(link(x).array, expected(x).array)


@_kinds
@pytest.mark.parametrize('dtype,x_dtype,expected', [
    (None, 'f', 'f'), (None, 'e', 'f'), (numpy.float16, 'e', 'e'),
    (numpy.float64, 'f', 'd')])
def test_dtypes(kind, dtype, x_dtype, expected):
    link = kind(3, dtype=dtype)
    assert all(p.dtype == expected for p in link.params())
    y = link(numpy.random.RandomState(_SEED).randn(4, 3, 2).astype(x_dtype))
    assert y.dtype == x_dtype


@_kinds
def test_mixed16(kind):
    with chainer.using_config('dtype', chainer.mixed16):
        assert kind(3).gamma.dtype == numpy.float32


@_kinds
@pytest.mark.parametrize('size', [3, None])
def test_loaded_link_goes_on_alike(tmp_path, kind, size):
    random = numpy.random.RandomState(_SEED)
    link = _mode_link(kind=kind)
    link(random.randn(4, 3, 2).astype('f'))
    path = str(tmp_path / 'link.npz')
    chainer.serializers.save_npz(path, link)
    other = kind(size)
    chainer.serializers.load_npz(path, other)
    assert other.size == (3,)
    for _ in range(2):
        x = random.randn(4, 3, 2).astype('f')
        numpy.testing.assert_array_equal(link(x).array, other(x).array)
        with chainer.using_config('train', False):
            numpy.testing.assert_array_equal(link(x).array, other(x).array)


@_kinds
def test_copyparams(kind):
    random = numpy.random.RandomState(_SEED)
    link = _mode_link(kind=kind)
    x = random.randn(4, 3, 2).astype('f')
    link(x)
    for size in (3, None):
        other = kind(size)
        other.copyparams(link)
        assert other.size == (3,)
        with chainer.using_config('train', False):
            numpy.testing.assert_array_equal(link(x).array, other(x).array)


@pytest.mark.parametrize('how', ['load', 'copyparams'])
def test_gates_outlive_the_first_batch(how, tmp_path):
    options = {'use_gamma': False, 'use_beta': False}
    source = _mode_link(kind=ModeGroupNormalization, **options)
    link = ModeGroupNormalization(**options)
    if how == 'load':
        path = str(tmp_path / 'link.npz')
        chainer.serializers.save_npz(path, source)
        chainer.serializers.load_npz(path, link)
    else:
        link.copyparams(source)
    x = numpy.random.RandomState(_SEED).randn(4, 3, 2).astype('f')
    numpy.testing.assert_array_equal(link(x).array, source(x).array)


def _penalty_gradients(function, x):
    """Gradients of the cubes' sum, and of their squares' sum."""
    x = chainer.Variable(x)
    gx, = chainer.grad(
        [F.sum(function(x) ** 3)], [x], enable_double_backprop=True)
    F.sum(gx ** 2).backward()
    return gx.array, x.grad


# The other mode has this share, or none at all.
@pytest.mark.parametrize('score', [0, 50, 150, 300, 350, 500, 650, 800])
@_kinds
def test_gradient_penalty_of_a_mode_of_tiny_gates(kind, score):
    x = numpy.random.RandomState(_SEED).randn(16, 6, 4, 4)
    link = kind(6, dtype='d')
    # All samples and channels alike, so that modes are, too.
    link.gate_W.array[...] = 0
    link.gate_b.array[1] = score

    def expected(x):
        axis = (0, 2, 3) if kind is ModeNormalization else (1, 2, 3)
        v = x - F.broadcast_to(F.mean(x, axis, keepdims=True), x.shape)
        square = F.mean(v * v, axis, keepdims=True) + 2e-5
        return v / F.broadcast_to(F.sqrt(square), x.shape)

    link.cleargrads()
    actual = _penalty_gradients(link, x)
    for parameter in link.gate_W, link.gate_b:
        assert numpy.isfinite(parameter.grad).all()
    if kind is ModeGroupNormalization and score == 800:
        # By (5) a mode of nothing counts as one of mean and variance 0.
        assert numpy.isfinite(actual).all()
        return
    for a, e in zip(actual, _penalty_gradients(expected, x)):
        numpy.testing.assert_allclose(a, e, rtol=1e-6, atol=1e-9)


@_kinds
@pytest.mark.parametrize('seed', range(4))
def test_gradient_penalty_far_from_zero(kind, seed):
    numpy.random.seed(seed)
    link = kind(64)
    x = (numpy.random.randn(16, 64, 2, 2) + 3000).astype('f')
    link.cleargrads()
    assert numpy.isfinite(_penalty_gradients(link, x)).all()
    for _, parameter in link.namedparams():
        assert numpy.isfinite(parameter.grad).all()


def _state(link):
    return {name: copy.deepcopy(getattr(getattr(link, name), 'array',
                                        getattr(link, name)))
            for name in link._params | link._persistent}


@_kinds
@pytest.mark.parametrize('n_modes,size', [(3, 3), (2, 4), (3, (3, 2))])
@pytest.mark.parametrize('how', ['load', 'copyparams'])
def test_foreign_state_changes_nothing(tmp_path, kind, n_modes, size, how):
    link = _mode_link(kind=kind)
    other = _mode_link(n_modes, seed=1, size=size, kind=kind)
    before = _state(link)
    path = str(tmp_path / 'link.npz')
    chainer.serializers.save_npz(path, other)
    with pytest.raises(ValueError, match='has shape .* needs'):
        if how == 'load':
            chainer.serializers.load_npz(path, link)
        else:
            link.copyparams(other)
    after = _state(link)
    for name in before:
        numpy.testing.assert_array_equal(before[name], after[name])


def test_foreign_gates_where_nothing_tells_the_size(tmp_path):
    path = str(tmp_path / 'link.npz')
    chainer.serializers.save_npz(path, ModeGroupNormalization(
        4, n_modes=3, use_gamma=False, use_beta=False))
    link = ModeGroupNormalization(
        n_modes=2, use_gamma=False, use_beta=False)
    with pytest.raises(ValueError, match=r'gate_W has shape \(3,\)'):
        chainer.serializers.load_npz(path, link)


@_kinds
def test_state_of_batch_normalization(tmp_path, kind):
    path = str(tmp_path / 'link.npz')
    chainer.serializers.save_npz(path, L.BatchNormalization(3))
    link = _mode_link(kind=kind)
    before = _state(link)
    with pytest.raises(KeyError):
        chainer.serializers.load_npz(path, link)
    after = _state(link)
    for name in before:
        numpy.testing.assert_array_equal(before[name], after[name])


@_kinds
def test_deepcopy_is_independent(kind):
    random = numpy.random.RandomState(_SEED)
    link = _mode_link(kind=kind)
    x = random.randn(4, 3, 2).astype('f')
    link(x)
    other = copy.deepcopy(link)
    before = _state(other)
    link(x + 1)
    link.gamma.array[...] = 7
    after = _state(other)
    for name in before:
        numpy.testing.assert_array_equal(before[name], after[name])


@_kinds
@pytest.mark.parametrize('name,bad,allowed', [
    ('n_modes', 0, 'at least 1'), ('n_modes', 2., 'integer'),
    ('n_modes', True, 'integer'), ('eps', -1e-5, r'\[0, inf\)'),
    ('eps', 'a', 'number'), ('mode_affine', 1, 'True or False'),
    ('size', 0, 'positive integer'), ('size', 2.5, 'positive integer'),
    ('axis', (1, 0), 'ascending'), ('dtype', numpy.int32, 'floating')])
def test_bad_arguments(kind, name, bad, allowed):
    with pytest.raises(ValueError, match=f'{name} is .*{allowed}'):
        kind(**dict({'size': 3}, **{name: bad}))


@pytest.mark.parametrize('bad', [-.1, 1.1, 'a', None])
def test_bad_decay(bad):
    with pytest.raises(ValueError, match=r'decay is .*\[0, 1\]'):
        ModeNormalization(3, decay=bad)


@_kinds
@pytest.mark.parametrize('kwargs,shape,dtype', [
    ({'size': 3}, (4, 4, 2), 'f'), ({'size': 3}, (4,), 'f'),
    ({'size': 3}, (4, 3, 2), 'i'), ({'size': (3, 2)}, (4, 3), 'f'),
    ({'axis': (0, 2)}, (4, 3), 'f'), ({'size': 3}, (0, 3), 'f')], ids=str)
def test_type_errors(kind, kwargs, shape, dtype):
    link = kind(**kwargs)
    before = _state(link)
    with pytest.raises(type_check.InvalidType):
        link(numpy.ones(shape, dtype))
    assert str(before) == str(_state(link))


@_kinds
def test_repr_says_what_it_was_built_with(kind):
    text = repr(kind(3, n_modes=5, eps=1e-3, mode_affine=True))
    for part in ('(3,)', 'n_modes=5', 'eps=0.001', 'mode_affine=True'):
        assert part in text


def _modes_of_images(random, n):
    """Samples of two modes, whose labels need each mode's own scale."""
    modes = random.randint(2, size=n)
    hidden = random.randn(n, 4)
    x = numpy.where(modes[:, None] == 1, 20 + 5 * hidden, .1 * hidden)
    labels = (hidden[:, 0] > 0).astype('i')
    return x.astype('f'), labels, modes


def test_gates_learn_to_tell_modes_apart():
    random = numpy.random.RandomState(_SEED)
    numpy.random.seed(_SEED)
    model = chainer.Sequential(
        ModeNormalization(4, n_modes=2), L.Linear(4, 2))
    optimizer = chainer.optimizers.Adam(.05).setup(model)
    for _ in range(150):
        x, labels, _ = _modes_of_images(random, 128)
        optimizer.update(
            lambda: F.softmax_cross_entropy(model(x), labels))
    x, labels, modes = _modes_of_images(random, 500)
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        accuracy = F.accuracy(model(x), labels).array
    assert accuracy > .9
    # Which of the gates is which mode is open.
    agreement = numpy.mean(model[0].gates.argmax(axis=1) == modes)
    assert max(agreement, 1 - agreement) > .9


testing.run_module(__name__, __file__)
