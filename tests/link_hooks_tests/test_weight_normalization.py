"""Weight normalization against its equation, written out in NumPy."""
import copy
import sys
import threading

import chainer
import chainer.functions as F
from chainer import gradient_check
import chainer.links as L
from chainer import optimizers
from chainer import testing
from chainer.testing import attr
import numpy
import pytest

import mixnorm
from mixnorm.link_hooks import WeightNormalization


SEED = 20180226

# Links, and their input's shape; deconvolutions' second axis of W is their
# units'.
LINKS = {
    'linear': (lambda: L.Linear(6, 4), (5, 6)),
    'deferred linear': (lambda: L.Linear(None, 4), (5, 2, 3)),
    'convolution': (lambda: L.Convolution2D(3, 4, 3), (5, 3, 6, 5)),
    'deferred convolution': (
        lambda: L.Convolution2D(None, 4, 3, groups=2), (5, 4, 6, 5)),
    'grouped convolution': (
        lambda: L.Convolution2D(4, 6, 3, groups=2), (5, 4, 6, 5)),
    '1-d convolution': (lambda: L.Convolution1D(3, 4, 3), (5, 3, 6)),
    'deconvolution': (lambda: L.Deconvolution2D(3, 4, 3), (5, 3, 6, 5)),
    'deferred deconvolution': (
        lambda: L.Deconvolution2D(None, 4, 3), (5, 3, 6, 5)),
    'grouped deconvolution': (
        lambda: L.Deconvolution2D(4, 6, 3, groups=2), (5, 4, 6, 5)),
    '3-d deconvolution': (
        lambda: L.Deconvolution3D(2, 3, 2), (4, 2, 3, 3, 3))}


@pytest.fixture(params=sorted(LINKS))
def case(request):
    make, shape = LINKS[request.param]
    numpy.random.seed(SEED)
    link = make()
    return link, numpy.random.normal(size=shape).astype('f')


def unit_weights(link):
    """Views of the weights of each output unit, one after another."""
    W = link.W.array
    if not isinstance(link, (L.Deconvolution2D, L.DeconvolutionND)):
        return [W[i] for i in range(len(W))]
    of_group = numpy.split(W, link.groups)
    return [w[:, i] for w in of_group for i in range(W.shape[1])]


def expected_weights(link):
    """``g v / ||v||`` in float64, in the order of units."""
    return [g * v.astype(numpy.float64) / numpy.sqrt(
        (v.astype(numpy.float64) ** 2).sum())
        for g, v in zip(link.W_g.array, unit_weights(link))]


def test_adding_the_hook_changes_no_output(case):
    link, x = case
    plain = link(x).array
    link.add_hook(WeightNormalization())
    assert numpy.array_equal(link(x).array, plain)


def test_weight_is_g_times_direction(case):
    link, x = case
    link.add_hook(WeightNormalization())
    link(x)
    rng = numpy.random.RandomState(SEED)
    link.W.array[...] = rng.normal(size=link.W.shape)
    link.W_g.array[...] = rng.normal(size=link.W_g.shape)
    y = link(x).array
    expected = expected_weights(link)
    for view, w in zip(unit_weights(link), expected):
        view[...] = w
    assert len(expected) == len(link.W_g.array)
    numpy.testing.assert_allclose(
        link.forward(x).array, y, rtol=1e-5, atol=1e-5)


def test_deleting_the_hook_leaves_the_weight(case):
    link, x = case
    link.add_hook(WeightNormalization())
    link(x)
    link.W_g.array[...] = numpy.random.RandomState(SEED).normal(
        size=link.W_g.shape)
    y = link(x).array
    expected = expected_weights(link)
    rule = link.W.update_rule = object()
    link.delete_hook('WeightNormalization')
    for view, w in zip(unit_weights(link), expected):
        numpy.testing.assert_allclose(view, w, rtol=1e-5, atol=1e-6)
    assert numpy.array_equal(link(x).array, y)
    assert isinstance(link.W, chainer.Parameter)
    assert link.W.update_rule is rule
    assert sorted(link._params) == ['W', 'b']
    assert not hasattr(link, 'W_g')


def test_first_mini_batch_gives_zero_mean_and_unit_variance(case):
    link, x = case
    link.add_hook(WeightNormalization(data_dependent=True))
    with chainer.using_config('train', False):
        link(x)
        assert link.W_is_fitted == 0
    x = 3 * x + 1
    y = link(x).array
    over = (0,) + tuple(range(2, y.ndim))
    numpy.testing.assert_allclose(y.mean(axis=over), 0, atol=1e-5)
    numpy.testing.assert_allclose(y.std(axis=over), 1, rtol=1e-4)
    # Only the first one counts.
    g = link.W_g.array.copy()
    link(2 * x)
    assert numpy.array_equal(link.W_g.array, g)


def test_data_dependent_without_a_bias_sets_the_variance():
    numpy.random.seed(SEED)
    link = L.Linear(6, 4, nobias=True).add_hook(
        WeightNormalization(data_dependent=True))
    x = numpy.random.normal(2, size=(50, 6)).astype('f')
    numpy.testing.assert_allclose(
        link(x).array.std(axis=0), 1, rtol=1e-4)


def test_data_dependent_counts_the_last_axis_of_a_sequence():
    numpy.random.seed(SEED)
    link = L.Linear(6, 4).add_hook(WeightNormalization(data_dependent=True))
    x = numpy.random.normal(2, size=(9, 5, 6)).astype('f')
    y = link(x, n_batch_axes=2).array
    numpy.testing.assert_allclose(y.mean(axis=(0, 1)), 0, atol=1e-5)
    numpy.testing.assert_allclose(y.std(axis=(0, 1)), 1, rtol=1e-4)


def test_data_dependent_leaves_what_does_not_vary():
    link = L.Linear(2, 2, initialW=numpy.array([[3, 4], [1, 0]], 'f'))
    link.add_hook(WeightNormalization(data_dependent=True))
    x = numpy.array([[.1, -1], [.1, 1]], 'f')
    y = link(x).array
    # The second unit sees a constant: its g stays, its mean goes.
    numpy.testing.assert_allclose(y, [[-1, 0], [1, 0]], atol=1e-6)
    numpy.testing.assert_allclose(link.W_g.array, [1.25, 1], rtol=1e-6)


@pytest.mark.parametrize('bad', [numpy.nan, numpy.inf])
def test_data_dependent_waits_for_a_finite_mini_batch(bad):
    numpy.random.seed(SEED)
    link = L.Linear(6, 4).add_hook(WeightNormalization(data_dependent=True))
    x = numpy.random.normal(2, size=(50, 6)).astype('f')
    spoilt = x.copy()
    spoilt[3, 2] = bad
    link(spoilt)
    assert link.W_is_fitted == 0
    assert numpy.isfinite(link.W_g.array).all()
    link(x[:0])
    numpy.testing.assert_allclose(
        link(x).array.std(axis=0), 1, rtol=1e-4)


def test_data_dependent_on_what_has_no_such_outputs():
    link = L.EmbedID(5, 3).add_hook(WeightNormalization(data_dependent=True))
    with pytest.raises(ValueError, match='data_dependent'):
        link(numpy.array([1, 2], 'i'))


@pytest.mark.parametrize('name', [
    'linear', 'grouped convolution', 'grouped deconvolution'])
def test_gradients(name):
    make, shape = LINKS[name]
    rng = numpy.random.RandomState(SEED)
    with chainer.using_config('dtype', numpy.float64):
        numpy.random.seed(SEED)
        link = make()
    link.add_hook(WeightNormalization())
    x = rng.normal(size=shape)
    link.W_g.array[...] = rng.normal(size=link.W_g.shape)
    gy = rng.normal(size=link(x).shape)

    def f(x, W, g):
        # The graph goes from the arguments, not from the link's own.
        own = link.W, link.W_g
        link.W, link.W_g = W, g
        try:
            return link(x)
        finally:
            link.W, link.W_g = own

    inputs = x, link.W.array.copy(), link.W_g.array.copy()
    gradient_check.check_backward(
        f, inputs, gy, dtype=numpy.float64, rtol=1e-4, atol=1e-6)
    gradient_check.check_double_backward(
        f, inputs, gy, [rng.normal(size=z.shape) for z in inputs],
        dtype=numpy.float64, rtol=1e-4, atol=1e-6)


def test_gradient_is_orthogonal_to_the_direction():
    """Their section 2.1: v's gradient is projected away from w."""
    numpy.random.seed(SEED)
    link = L.Linear(6, 4).add_hook(WeightNormalization())
    x = numpy.random.normal(size=(5, 6)).astype('f')
    link.cleargrads()
    F.sum(link(x) ** 2).backward()
    assert abs(link.W.grad).max() > .1
    numpy.testing.assert_allclose(
        (link.W.grad * link.W.array).sum(axis=1), 0, atol=1e-5)


def test_zero_weights_can_be_trained():
    link = L.Linear(3, 2, initialW=0).add_hook(WeightNormalization())
    x = numpy.arange(6).reshape(2, 3).astype('f')
    link.cleargrads()
    F.sum(link(x)).backward()
    # As if without the hook.
    numpy.testing.assert_allclose(link.W.grad, [x.sum(axis=0)] * 2, rtol=1e-4)


@pytest.mark.parametrize('before', [True, False])
@pytest.mark.parametrize('make', [
    lambda: optimizers.MomentumSGD(lr=.1), lambda: optimizers.Adam(alpha=.1)])
@pytest.mark.parametrize('in_size', [6, None])
def test_both_parameters_are_updated(before, make, in_size):
    numpy.random.seed(SEED)
    model = chainer.Sequential(L.Linear(in_size, 4))
    optimizer = make()
    if before:
        optimizer.setup(model)
    model[0].add_hook(WeightNormalization())
    if not before:
        optimizer.setup(model)
    x = numpy.random.normal(size=(5, 6)).astype('f')
    model(x)
    old = {name: p.array.copy() for name, p in model.namedparams()}
    optimizer.update(lambda: F.sum(model(x) ** 2))
    for name, parameter in model.namedparams():
        assert not numpy.array_equal(parameter.array, old[name]), name
    assert '/0/W_g' in old
    # The learning rate is the optimizer's, from now on, too.
    rules = {p.update_rule for p in model.params()}
    assert len(rules) == 3
    for key in optimizer.hyperparam.get_dict():
        setattr(optimizer.hyperparam, key, .5)
        assert {getattr(rule.hyperparam, key) for rule in rules} == {.5}


def test_update_rule_follows_the_weights():
    link = L.Linear(6, 4)
    optimizers.MomentumSGD(lr=.1).setup(link)
    link.W.update_rule.hyperparam.lr = .01
    link.W.update_rule.enabled = False
    link.add_hook(WeightNormalization())
    assert link.W_g.update_rule.hyperparam.lr == .01
    assert link.W_g.update_rule.hyperparam.momentum == .9
    assert not link.W_g.update_rule.enabled


@pytest.mark.parametrize('in_size', [6, None])
@pytest.mark.parametrize('data_dependent', [False, True])
def test_serialization(tmp_path, in_size, data_dependent):
    def make(size):
        return L.Linear(size, 4).add_hook(
            WeightNormalization(data_dependent=data_dependent))

    numpy.random.seed(SEED)
    saved, x = make(6), numpy.random.normal(size=(5, 6)).astype('f')
    y = saved(x).array
    chainer.serializers.save_npz(str(tmp_path / 'link.npz'), saved)
    loaded = make(in_size)
    chainer.serializers.load_npz(str(tmp_path / 'link.npz'), loaded)
    assert numpy.array_equal(loaded(x).array, y)


@pytest.mark.parametrize('duplicate', [
    copy.deepcopy, lambda link: link.copy('copy')])
def test_copies_are_independent(case, duplicate):
    link, x = case
    link.add_hook(WeightNormalization())
    y = link(x).array
    other = duplicate(link)
    other.W_g.array[...] *= 2
    other.b.array[...] = 0
    assert numpy.array_equal(link(x).array, y)
    numpy.testing.assert_allclose(other(x).array, 2 * y, rtol=1e-5, atol=1e-6)


def test_initialized_copy_has_lengths_of_its_own():
    numpy.random.seed(SEED)
    link = L.Linear(6, 4).add_hook(WeightNormalization())
    other = link.copy('init')
    assert not numpy.array_equal(other.W.array, link.W.array)
    numpy.testing.assert_allclose(
        other.W_g.array, numpy.linalg.norm(other.W.array, axis=1), rtol=1e-6)


def test_shared_copy_of_a_deferred_link():
    numpy.random.seed(SEED)
    link = L.Linear(None, 4).add_hook(WeightNormalization())
    other = link.copy('share')
    x = numpy.random.normal(size=(5, 6)).astype('f')
    assert numpy.array_equal(other(x).array, link(x).array)
    link.W_g.array[...] = 3
    assert numpy.array_equal(other(x).array, link(x).array)


def test_one_hook_serves_several_links():
    numpy.random.seed(SEED)
    hook = WeightNormalization()
    first, second = L.Linear(6, 4), L.Linear(4, 3)
    x = numpy.random.normal(size=(5, 6)).astype('f')
    y = second(first(x)).array
    first.add_hook(hook)
    second.add_hook(hook)
    assert numpy.array_equal(second(first(x)).array, y)
    assert (first.W_g.shape, second.W_g.shape) == ((4,), (3,))


def test_several_hooks_on_a_link():
    numpy.random.seed(SEED)
    link = L.Bilinear(3, 4, 2)
    left = numpy.random.normal(size=(5, 3)).astype('f')
    right = numpy.random.normal(size=(5, 4)).astype('f')
    y = link(left, right).array
    link.add_hook(WeightNormalization(axis=2))
    link.add_hook(WeightNormalization('V1', axis=1, name='of V1'))
    numpy.testing.assert_allclose(link(left, right).array, y, rtol=1e-5)
    link.V1_g.array[...] = 0
    numpy.testing.assert_allclose(
        link(left, right).array, y - left @ link.V1.array, rtol=1e-4,
        atol=1e-5)
    assert 'forward' not in vars(link)
    assert all(isinstance(p, chainer.Parameter) for p in link.params())


def test_threads_that_test_one_link():
    numpy.random.seed(SEED)
    link = L.Linear(30, 20).add_hook(WeightNormalization())
    x = numpy.random.normal(size=(5, 30)).astype('f')
    expected = link(x).array
    parameter, interval = link.W, sys.getswitchinterval()
    outputs = []

    def work():
        for _ in range(100):
            outputs.append(link(x).array)

    threads = [threading.Thread(target=work) for _ in range(4)]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        # The parameter is there at any time, for an optimizer to update.
        while any(thread.is_alive() for thread in threads):
            assert link.W is parameter
    finally:
        sys.setswitchinterval(interval)
        for thread in threads:
            thread.join()
    assert link.W is parameter
    assert len(outputs) == 400
    for y in outputs:
        numpy.testing.assert_array_equal(y, expected)


def test_link_that_is_not_called_by_its_forward():
    class Mixin:

        def __call__(self, x):
            return 2 * self.forward(x)

    class Doubled(L.Linear, Mixin):
        pass

    link = Doubled(6, 4)
    before = vars(link).copy()
    with pytest.raises(ValueError, match='in place of its forward'):
        link.add_hook(WeightNormalization())
    assert type(link) is Doubled
    assert {**vars(link), '_local_link_hooks': None} == {
        **before, '_local_link_hooks': None}


def test_link_that_is_never_called():
    layer, = L.NStepLSTM(1, 4, 3, 0)
    before = sorted(layer.namedparams())
    with pytest.raises(ValueError, match="weight_name is 'w0': .* no forward"):
        layer.add_hook(WeightNormalization('w0'))
    assert sorted(layer.namedparams()) == before
    assert not layer.local_link_hooks


def test_state_of_a_pass_comes_back():
    class Counting(L.Linear):

        n_calls = 0

        def forward(self, x):
            self.n_calls += 1
            return super().forward(x)

    link = Counting(6, 4).add_hook(WeightNormalization())
    for _ in range(3):
        link(numpy.ones((2, 6), 'f'))
    assert link.n_calls == 3


def test_failed_pass_leaves_no_trace():
    numpy.random.seed(SEED)
    link = L.Linear(6, 4).add_hook(WeightNormalization())
    x = numpy.random.normal(size=(5, 6)).astype('f')
    y, before = link(x).array, vars(link).copy()
    with pytest.raises(chainer.utils.type_check.InvalidType):
        link(x[:, :3])
    assert vars(link) == before
    assert numpy.array_equal(link(x).array, y)


def test_forget():
    numpy.random.seed(SEED)
    link = L.Linear(6, 4).add_hook(WeightNormalization())
    x = numpy.random.normal(size=(5, 6)).astype('f')
    gradients = []
    for call in link, lambda z: F.forget(link, z):
        link.cleargrads()
        F.sum(call(chainer.Variable(x)) ** 2).backward()
        gradients.append([p.grad for p in link.params()])
    for plain, forgotten in zip(*gradients):
        numpy.testing.assert_allclose(forgotten, plain, rtol=1e-5)


@pytest.mark.parametrize('dtype', [numpy.float16, chainer.mixed16])
def test_half_precision(dtype):
    numpy.random.seed(SEED)
    with chainer.using_config('dtype', dtype):
        link = L.Linear(200, 4, initialW=chainer.initializers.Normal(100))
        link.add_hook(WeightNormalization())
    x = numpy.random.normal(scale=.01, size=(5, 200)).astype('e')
    y = link(x)
    assert link.W.dtype == y.dtype == numpy.float16
    assert link.W_g.dtype == numpy.float32
    numpy.testing.assert_allclose(
        y.array, x.astype('f') @ link.W.array.T.astype('f'), rtol=1e-2,
        atol=1e-1)
    link.cleargrads()
    F.sum(y).backward()
    assert numpy.isfinite(link.W.grad).all()
    assert numpy.isfinite(link.W_g.grad).all()


@pytest.mark.parametrize('arguments, match', [
    ({'axis': -1}, 'axis is -1'), ({'axis': 'W'}, "axis is 'W'"),
    ({'data_dependent': 1}, 'data_dependent is 1'),
    ({'eps': 0}, 'eps is 0'), ({'eps': numpy.nan}, 'eps is nan')])
def test_bad_arguments(arguments, match):
    with pytest.raises(ValueError, match=match):
        WeightNormalization(**arguments)


@pytest.mark.parametrize('arguments, match', [
    ({'weight_name': 'w'}, "weight_name is 'w': .* has W, b"),
    ({'weight_name': 'out_size'}, "weight_name is 'out_size'"),
    ({'axis': 2}, 'axis is 2: W has 2 axes')])
def test_link_that_does_not_fit_stays_as_it_was(arguments, match):
    link = L.Linear(6, 4)
    attributes = sorted(set(vars(link)) | {'_local_link_hooks'})
    with pytest.raises(ValueError, match=match):
        link.add_hook(WeightNormalization(**arguments))
    assert sorted(vars(link)) == attributes
    assert not link.local_link_hooks
    link.add_hook(WeightNormalization())
    with pytest.raises(ValueError, match="'W_g' already"):
        link.add_hook(WeightNormalization(name='again'))
    assert list(link.local_link_hooks) == ['WeightNormalization']


def test_context_manager_is_refused():
    with pytest.raises(NotImplementedError):
        with WeightNormalization():
            pass
    L.Linear(2, 2)(numpy.zeros((1, 2), 'f'))


@attr.gpu
@pytest.mark.parametrize('in_size', [6, None])
@pytest.mark.parametrize('first', ['hook', 'device'])
def test_gpu(in_size, first):
    numpy.random.seed(SEED)
    link = L.Linear(in_size, 4)
    host = copy.deepcopy(link)
    x = numpy.random.normal(size=(5, 6)).astype('f')
    if first == 'hook':
        link.add_hook(WeightNormalization(data_dependent=True))
    link.to_device('@cupy:0')
    if first == 'device':
        link.add_hook(WeightNormalization(data_dependent=True))
    y = link(link.device.send(x))
    host.add_hook(WeightNormalization(data_dependent=True))
    if in_size is None:
        link.to_cpu()
        testing.assert_allclose(y.array.std(axis=0), 1, rtol=1e-4)
    else:
        testing.assert_allclose(y.array, host(x).array, rtol=1e-4)


def test_mixnorm_lists_the_hook():
    assert mixnorm.link_hooks.WeightNormalization is WeightNormalization
