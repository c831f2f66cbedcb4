"""Normalization layers of finished models, swapped in place."""
import collections
import copy
import dataclasses
import functools
import importlib.util
import types

import mixnorm
import chainer
import chainer.functions as F
import chainer.links as L
import numpy
import pytest

from compat_tests.programs import run_code


_SEED = 0


class _Inception(chainer.Chain):

    """Two branches, the second a list of layers, joined."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        with self.init_scope():
            self.conv1 = L.Convolution2D(in_channels, out_channels, 1)
            self.norm1 = L.BatchNormalization(out_channels)
            self.branch = chainer.Sequential(
                L.Convolution2D(in_channels, out_channels, 3, pad=1),
                L.BatchNormalization(out_channels), F.relu)

    def forward(self, x):
        return F.concat((F.relu(self.norm1(self.conv1(x))), self.branch(x)))


class _Model(chainer.Chain):

    """A small network in the style of GoogLeNet."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            # Not in alphabetical order.
            self.stem = L.Convolution2D(3, 4, 3, pad=1)
            self.norm = L.BatchNormalization(4)
            self.inc2 = _Inception(4, 3)
            self.inc1 = _Inception(6, 2)
            self.linear = L.Linear(4, 5)

    def forward(self, x):
        h = F.relu(self.norm(self.stem(x)))
        h = self.inc1(self.inc2(h))
        return self.linear(F.mean(h, axis=(2, 3)))


_PATHS = ['/inc1/branch/1', '/inc1/norm1', '/inc2/branch/1', '/inc2/norm1',
          '/norm']


def _images(seed=_SEED, n=6):
    return numpy.random.RandomState(seed).randn(n, 3, 5, 5).astype('f')


def _trained(model=None, optimizer=None, n_updates=3):
    """A model after a few updates, and what updates it."""
    numpy.random.seed(_SEED)
    model = _Model() if model is None else model
    optimizer = optimizer or chainer.optimizers.Adam()
    optimizer.setup(model)
    _train(model, optimizer, n_updates)
    return model, optimizer


def _train(model, optimizer, n_updates):
    for i in range(n_updates):
        x = _images(100 + i)
        t = numpy.arange(len(x), dtype='i') % 5
        optimizer.update(lambda: F.softmax_cross_entropy(model(x), t))


def _test_output(model, x=None):
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        return model(_images() if x is None else x).array


def _state(model):
    """Everything that a failed conversion must leave alone."""
    serializer = chainer.serializers.DictionarySerializer()
    model.serialize(serializer)
    return ([(path, id(link)) for path, link in model.namedlinks()],
            [(path, id(param), id(param.update_rule))
             for path, param in sorted(model.namedparams())],
            {key: copy.deepcopy(value)
             for key, value in serializer.target.items()})


def _assert_unchanged(model, before):
    after = _state(model)
    assert after[:2] == before[:2]
    assert sorted(after[2]) == sorted(before[2])
    for key, value in before[2].items():
        numpy.testing.assert_array_equal(after[2][key], value)


_NAMES = [*mixnorm.normalizer_names()]


@pytest.mark.parametrize('name', _NAMES)
def test_all_places(name):
    model, optimizer = _trained()
    x = _images()
    assert mixnorm.convert(model, name) == _PATHS
    links = dict(model.namedlinks())
    for path in _PATHS:
        assert type(links[path]) is type(mixnorm.normalizer(name, 4))
        assert links[path].name == path.split('/')[-1]
    # In their places, for each way there is to them.
    assert model.inc2.branch[1] is links['/inc2/branch/1']
    assert model.inc2.norm1 is links['/inc2/norm1']
    model(x)
    before = {path: p.array.copy() for path, p in model.namedparams()}
    _train(model, optimizer, 1)
    for path, p in model.namedparams():
        assert numpy.isfinite(p.array).all()
        # Adam's first step moves whatever has a gradient.
        if p.grad is not None and abs(p.grad).max() > 0:
            assert (p.array != before[path]).any(), path


@pytest.mark.parametrize('where,expected', [
    ('norm', ['/norm']),
    ('/norm', ['/norm']),
    (['/inc1/norm1', 'norm'], ['/inc1/norm1', '/norm']),
    ('inc1', ['/inc1/branch/1', '/inc1/norm1']),
    (['inc1', 'inc1/norm1'], ['/inc1/branch/1', '/inc1/norm1']),
    ('inc2/branch', ['/inc2/branch/1']),
    ('inc?/norm1', ['/inc1/norm1', '/inc2/norm1']),
    ('*norm1', ['/inc1/norm1', '/inc2/norm1']),
    ('inc[2]', ['/inc2/branch/1', '/inc2/norm1']),
    ('/', _PATHS), ('first', ['/norm']), (None, _PATHS)], ids=str)
def test_where(where, expected):
    model = _Model()
    assert mixnorm.convert(model, 'mixture', where) == expected
    for path, link in model.namedlinks():
        assert isinstance(link, mixnorm.links.MixtureNormalization) == (
            path in expected)


def test_first_is_by_definition_not_by_name():
    class Model(chainer.Chain):
        def __init__(self):
            super().__init__()
            with self.init_scope():
                self.z = chainer.Sequential(
                    L.Linear(3, 3), L.BatchNormalization(3),
                    L.Linear(3, 3), L.BatchNormalization(3))
                self.a = L.BatchNormalization(3)

    model = Model()
    assert len(mixnorm.convert(model, 'mode', 'first')) == 1
    assert isinstance(model.z[1], mixnorm.links.ModeNormalization)


@pytest.mark.parametrize('where,message', [
    ('inc3', r"where names 'inc3'.*there are .*/inc1/norm1"),
    (['norm', 'linear'], r"where names 'linear'.*normalization layer.*/norm"),
    ('*conv9*', r"where names '\*conv9\*'"),
    ('stem/', r"where names 'stem/'"),
    ([], r'where is \[\]'), (3, 'where is 3'),
    ([3], r'where is \[3\]')], ids=str)
def test_wrong_places(where, message):
    model, _ = _trained()
    before = _state(model)
    with pytest.raises(ValueError, match=message):
        mixnorm.convert(model, 'mixture', where)
    _assert_unchanged(model, before)


def test_error_lists_near_paths_first_and_not_all():
    model = chainer.ChainList(*[L.BatchNormalization(2) for _ in range(60)])
    with pytest.raises(ValueError) as raised:
        mixnorm.convert(model, 'mode', '/377')
    text = str(raised.value)
    assert '/37' in text.partition('there are ')[2][:30]
    assert 'and 40 more' in text


@pytest.mark.parametrize('name,options,message', [
    ('nothing', {}, "name is 'nothing'.*'batch'.*'weight'"),
    (None, {}, 'name is None'),
    (['mode'], {}, r"name is \['mode'\]"),
    ('mixture', {'seed': 'a'}, "/inc1/branch/1: seed is 'a'"),
    ('mixture', {'n_modes': 2}, "/inc1/branch/1: .*no option 'n_modes'"),
    ('mixture', {'n_components': 0}, '/inc1/branch/1: n_components is 0'),
    # Only one of the layers has a size that 4 divides.
    ('group', {'groups': 4}, 'groups is 4: it must divide'),
])
def test_all_or_nothing(name, options, message):
    model, optimizer = _trained()
    before = _state(model)
    with pytest.raises(ValueError, match=message):
        mixnorm.convert(model, name, **options)
    _assert_unchanged(model, before)
    _train(model, optimizer, 1)


def test_failure_while_swapping_is_undone(monkeypatch):
    model, _ = _trained()
    before = _state(model)
    module = mixnorm.conversion.swap
    replace_items = module._replace_items
    replaced = []

    def fail_late(container, old, new, undo, seen):
        replaced[:] = undo
        if len(replaced) == 2:
            raise MemoryError
        replace_items(container, old, new, undo, seen)

    monkeypatch.setattr(module, '_replace_items', fail_late)
    with pytest.raises(MemoryError):
        mixnorm.convert(model, 'mixture')
    assert len(replaced) == 2
    _assert_unchanged(model, before)


def test_model_that_is_a_layer():
    with pytest.raises(ValueError, match='is the model itself'):
        mixnorm.convert(L.BatchNormalization(3), 'mode')
    with pytest.raises(ValueError, match='must be a link'):
        mixnorm.convert(F.relu, 'mode')
    with pytest.raises(ValueError, match='the model has none'):
        mixnorm.convert(L.Linear(3, 3), 'mode')


@pytest.mark.parametrize('name,options', [
    ('batch', {}), ('batch_renorm', {}), ('mode', {'n_modes': 1}),
    ('mode', {'n_modes': 3}), ('mixture', {}),
    ('mixture', {'inference': 'samples'})], ids=str)
def test_same_test_output_without_further_training(name, options):
    model, _ = _trained()
    expected = _test_output(model)
    mixnorm.convert(model, name, **options)
    numpy.testing.assert_allclose(
        _test_output(model), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('name', [
    'batch_renorm', 'batch_instance', 'mode', 'mixture'])
def test_there_and_back(name):
    model, optimizer = _trained()
    twin, twin_optimizer = _trained()
    mixnorm.convert(model, name)
    assert mixnorm.convert(model, 'batch') == _PATHS
    numpy.testing.assert_allclose(
        _test_output(model), _test_output(twin), rtol=1e-4, atol=1e-5)
    # gamma and beta kept what Adam knows of them.
    for m, o in ((model, optimizer), (twin, twin_optimizer)):
        _train(m, o, 2)
    for (path, p), (_, q) in zip(sorted(model.namedparams()),
                                 sorted(twin.namedparams())):
        numpy.testing.assert_allclose(
            p.array, q.array, rtol=1e-3, atol=1e-4, err_msg=path)


def test_scale_and_shift_are_the_same_parameters():
    model, optimizer = _trained()
    gamma, beta = model.norm.gamma, model.norm.beta
    rule = gamma.update_rule
    mixnorm.convert(model, 'mode', 'norm', n_modes=3)
    assert model.norm.gamma is gamma and model.norm.beta is beta
    assert gamma.update_rule is rule and rule.state['m'].any()
    # What is new has a rule of its own, of the same optimizer.
    new = model.norm.gate_W.update_rule
    assert type(new) is type(rule) and new is not rule and not new.state
    optimizer.alpha = .125
    assert new.hyperparam.alpha == .125


class _Bare(chainer.Chain):

    """Its normalization has no parameters of its own."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.conv = L.Convolution2D(3, 4, 3)
            self.norm = L.BatchNormalization(
                4, use_gamma=False, use_beta=False)
            self.linear = L.Linear(36, 5)

    def forward(self, x):
        return self.linear(F.relu(self.norm(self.conv(x))))


def test_new_parameters_are_not_frozen_with_others():
    model, optimizer = _trained(_Bare())
    model.conv.disable_update()
    mixnorm.convert(model, 'mode')
    before = model.norm.gate_b.array.copy()
    _train(model, optimizer, 1)
    assert (model.norm.gate_b.array != before).all()


def test_new_parameters_belong_to_the_nearest_optimizer():
    model = chainer.Chain(a=_Bare(), z=_Bare())
    slow = chainer.optimizers.Adam(alpha=1e-5).setup(model.z)
    chainer.optimizers.SGD(.5).setup(model.a)
    mixnorm.convert(model, 'mode')
    rule = model.z.norm.gate_W.update_rule
    assert rule.hyperparam.parent is slow.hyperparam


def test_settings_of_update_rules():
    model, optimizer = _trained()
    hook = chainer.optimizer_hooks.GradientHardClipping(-1, 1)
    model.norm.gamma.update_rule.add_hook(hook)
    model.norm.gamma.update_rule.hyperparam.alpha = .5
    model.norm.beta.update_rule.enabled = False
    mixnorm.convert(model, 'mode', 'norm', mode_affine=True)
    gamma, beta, gates = (
        p.update_rule for p in (
            model.norm.gamma, model.norm.beta, model.norm.gate_W))
    assert gamma.enabled and not beta.enabled and gates.enabled
    assert gamma.hyperparam.alpha == .5
    assert gates.hyperparam.alpha == optimizer.alpha
    with pytest.raises(KeyError, match='already exists'):
        gamma.add_hook(hook)
    gates.add_hook(hook)


def test_parameters_that_no_optimizer_has_stay_so():
    model, optimizer = _trained()
    model.norm.gamma.update_rule = None
    gamma = model.norm.gamma.array.copy()
    mixnorm.convert(model, 'mode', 'norm')
    _train(model, optimizer, 1)
    numpy.testing.assert_array_equal(model.norm.gamma.array, gamma)


def test_refused_conversion_adds_no_update_rule():
    model = chainer.Chain(
        a=L.BatchNormalization(8), b=L.BatchNormalization(6), c=L.Linear(3, 3))
    chainer.optimizers.SGD().setup(model.c)
    with pytest.raises(ValueError, match='/b: groups is 4'):
        mixnorm.convert(model, 'group', groups=4)
    assert model.a.gamma.update_rule is None


def test_float16_parameters_updated_in_float32():
    model = chainer.Sequential(L.BatchNormalization(4, dtype='e'))
    optimizer = chainer.optimizers.MomentumSGD()
    optimizer.use_fp32_update()
    optimizer.setup(model)
    mixnorm.convert(model, 'mode')
    x = _images().reshape(-1, 5)[:, :4].astype('e')
    optimizer.update(lambda: F.sum(model(x) ** 2))
    assert model[0].gate_W.update_rule.state['v'].dtype == numpy.float32


def test_scale_and_shift_for_each():
    model, optimizer = _trained()
    values = model.norm.gamma.array.copy()
    mixnorm.convert(model, 'mode', 'norm', n_modes=3, mode_affine=True)
    numpy.testing.assert_array_equal(
        model.norm.gamma.array, numpy.tile(values, (3, 1)))
    _train(model, optimizer, 1)
    model.norm.gamma.array[...] = numpy.arange(12).reshape(3, 4)
    mixnorm.convert(model, 'batch', 'norm')
    numpy.testing.assert_array_equal(model.norm.gamma.array, [4, 5, 6, 7])
    _train(model, optimizer, 1)


def test_moments_of_several_modes_and_components():
    model = chainer.Sequential(mixnorm.links.ModeNormalization(1, n_modes=2))
    model[0].avg_mean[:] = [[1], [3]]
    model[0].avg_sqmean[:] = [[2], [10]]
    mixnorm.convert(model, 'batch')
    numpy.testing.assert_allclose(model[0].avg_mean, [2])
    numpy.testing.assert_allclose(model[0].avg_var, [6 - 4])

    random = numpy.random.RandomState(_SEED)
    model = chainer.Sequential(mixnorm.links.MixtureNormalization(
        2, n_components=2, queue_decay=1.))
    # So many that it does not matter that variances are unbiased.
    batches = [random.randn(50000, 2).astype('f') + 3 * i for i in range(2)]
    for x in batches:
        model(x)
    mixnorm.convert(model, 'batch')
    pooled = numpy.concatenate(batches)
    numpy.testing.assert_allclose(
        model[0].avg_mean, pooled.mean(axis=0), rtol=1e-4)
    numpy.testing.assert_allclose(
        model[0].avg_var, pooled.var(axis=0), rtol=1e-4)


def test_untrained_averages_make_no_queue():
    model = _Model()
    mixnorm.convert(model, 'mixture')
    with pytest.raises(RuntimeError, match='seen no training mini-batch'):
        _test_output(model)


@pytest.mark.parametrize('kwargs,name,expected', [
    ({'size': 3, 'eps': 1e-3}, 'mode', {'eps': 1e-3}),
    ({'size': 3, 'use_gamma': False}, 'mixture', {'gamma': None}),
    ({'size': 3, 'use_beta': False}, 'instance', {'beta': None}),
    ({'size': (3, 2)}, 'mixture', {'size': (3, 2)}),
    ({'axis': (0, 1)}, 'mode', {'axis': (0, 1), 'size': None}),
    ({'axis': (0, 2, 3)}, 'layer', {}),
    ({'size': 3, 'axis': (0, 2)}, 'layer', {}),
    ({'size': 3, 'dtype': 'd'}, 'mode', {'_highprec_dtype': 'd'}),
], ids=str)
def test_what_carries_over(kwargs, name, expected):
    model = chainer.Sequential(L.BatchNormalization(**kwargs))
    mixnorm.convert(model, name)
    for key, value in expected.items():
        assert getattr(model[0], key) == value, key


def test_options_prevail():
    model = _Model()
    mixnorm.convert(model, 'mode', eps=.5)
    assert model.norm.eps == .5


def test_initializers_prevail():
    model, _ = _trained()
    beta = model.norm.beta
    mixnorm.convert(model, 'mode', 'norm', initial_gamma=.25)
    assert (model.norm.gamma.array == .25).all()
    assert model.norm.gamma.update_rule.enabled
    assert model.norm.beta is beta


@pytest.mark.parametrize('name', ['mode', 'batch_instance', 'batch_renorm'])
def test_averaging_carries_over(name):
    model = chainer.Sequential(L.BatchNormalization(3, decay=.75))
    model[0](_images(), finetune=True)
    mixnorm.convert(model, name)
    assert model[0].decay == .75
    assert model[0].N == 1


@pytest.mark.parametrize('dtype', ['e', 'd'])
def test_group_normalization_of_another_dtype(dtype):
    model = chainer.Sequential(L.BatchNormalization(4, dtype=dtype))
    gamma = model[0].gamma
    mixnorm.convert(model, 'group', groups=2)
    assert model[0].gamma is gamma


def test_no_normalization_whatever_the_axis():
    model = chainer.Sequential(L.BatchNormalization(6, axis=(0, 1, 2)))
    assert mixnorm.convert(model, 'none') == ['/0']


def test_neither_size_nor_axis():
    model = chainer.Sequential(mixnorm.links.ModeNormalization())
    with pytest.raises(ValueError, match='/0: its size is not known yet.*'
                                         'option axis'):
        mixnorm.convert(model, 'batch')
    mixnorm.convert(model, 'batch', axis=(0, 2, 3))
    model(_images())
    assert model[0].gamma.shape == (3,)


def test_axis_that_has_no_counterpart():
    model = chainer.Sequential(L.BatchNormalization(axis=(0, 1)))
    with pytest.raises(ValueError, match=r'/0: its axis is \(0, 1\)'):
        mixnorm.convert(model, 'layer')
    assert type(model[0]) is L.BatchNormalization


def test_size_to_come():
    model = chainer.Sequential(
        L.Linear(None, 4), L.BatchNormalization(axis=0))
    optimizer = chainer.optimizers.SGD().setup(model)
    mixnorm.convert(model, 'mixture', n_components=2)
    x = _images().reshape(6, -1)
    optimizer.update(lambda: F.sum(model(x) ** 3))
    assert model[1].size == (4,) and model[1].gamma.shape == (4,)


def test_link_in_several_places():
    norm = L.BatchNormalization(3)
    model = chainer.Sequential(norm, L.Linear(3, 3), norm)
    model.also = norm
    paths = [path for path, link in model.namedlinks() if link is norm]
    assert len(paths) == 2
    assert mixnorm.convert(model, 'mode') == paths
    assert model[0] is model[2] is model.also
    assert isinstance(model[0], mixnorm.links.ModeNormalization)


_Pair = collections.namedtuple('_Pair', ['name', 'link'])


@pytest.mark.parametrize('hold,get', [
    (lambda norm: [('norm', norm)], lambda held: held[0][1]),
    (lambda norm: (1, norm), lambda held: held[1]),
    (lambda norm: _Pair('norm', norm), lambda held: held.link),
    (lambda norm: [[norm]], lambda held: held[0][0]),
    (lambda norm: {'a': [norm], 'b': {}}, lambda held: held['a'][0]),
    (lambda norm: norm.forward, lambda held: held.__self__),
])
@pytest.mark.parametrize('fail', [False, True])
def test_references_however_deep(hold, get, fail):
    model, _ = _trained()
    old = model.norm
    model.held = hold(old)
    kind = type(model.held)
    if fail:
        # No place for it: the last link of the model is looked at last.
        model.linear.held = old.start_finetuning
        with pytest.raises(ValueError, match='start_finetuning'):
            mixnorm.convert(model, 'instance', 'norm')
        assert get(model.held) is model.norm is old
    else:
        mixnorm.convert(model, 'instance', 'norm')
        assert get(model.held) is model.norm is not old
    assert type(model.held) is kind


@dataclasses.dataclass
class _Record:

    layer: object


class _Slots:

    __slots__ = 'layer',

    def __init__(self, layer):
        self.layer = layer


def _in_object_array(link):
    array = numpy.empty((2, 2), object)
    array[1, 0] = link
    return array


def _in_closure(link):
    def call(x):
        return link(x)
    return call


def _in_default(link):
    def call(x, layer=link):
        return layer(x)
    return call


@pytest.mark.parametrize('hold, place', [
    (lambda link: functools.partial(link), 'model.held.func'),
    (lambda link: functools.partial(F.relu, link),
     r'model.held.args\[0\]'),
    (lambda link: functools.partial(F.relu, x=link),
     r"model.held.keywords\['x'\]"),
    (lambda link: collections.deque([link]), 'model.held: deque'),
    (lambda link: {link}, 'model.held: set'),
    (lambda link: frozenset([link]), 'model.held: frozenset'),
    (lambda link: types.SimpleNamespace(layer=link), 'model.held.layer'),
    (lambda link: _Record(link), 'model.held.layer'),
    (lambda link: _Slots(link), 'model.held: _Slots'),
    (lambda link: {link: 1}, r'model.held.keys\(\): BatchNormalization'),
    (_in_object_array, r'model.held.flat\[2\]'),
    (_in_closure, 'model.held.__closure__: link'),
    (_in_default, r'model.held.__defaults__\[0\]'),
    (lambda link: [{'a': (0, _Record(link))}],
     r"model.held\[0\]\['a'\]\[1\].layer"),
    (lambda link: iter([link]), 'model.held: list_iterator'),
])
def test_reference_that_cannot_be_replaced(hold, place):
    model, optimizer = _trained()
    model.held = hold(model.norm)
    before = _state(model)
    with pytest.raises(ValueError, match=f'refers to a layer .*{place}'):
        mixnorm.convert(model, 'mixture')
    _assert_unchanged(model, before)
    # Of a layer that stays where it is nothing is said.
    assert mixnorm.convert(model, 'mixture', 'inc1/norm1')


def test_graph_of_a_past_pass_is_no_reference():
    model = chainer.Chain(norm=L.BatchNormalization(3))
    x = numpy.random.RandomState(0).randn(4, 3).astype('f')
    model.y = F.forget(model.norm, x)
    assert mixnorm.convert(model, 'mixture') == ['/norm']


def test_rho_of_batch_instance_normalization_stays():
    model = chainer.Chain(
        norm=mixnorm.links.BatchInstanceNormalization(3, initial_rho=.25))
    rho = model.norm.rho
    mixnorm.convert(model, 'batch_instance', eps=1e-3)
    assert model.norm.rho is rho and model.norm.eps == 1e-3
    mixnorm.convert(model, 'batch_instance', initial_rho=.5)
    assert (model.norm.rho.array == .5).all()


def test_gates_stay_where_they_fit():
    model = chainer.Chain(norm=mixnorm.links.ModeNormalization(3, 2))
    W = model.norm.gate_W
    mixnorm.convert(model, 'mode', n_modes=2)
    assert model.norm.gate_W is W
    mixnorm.convert(model, 'mode', n_modes=3)
    assert model.norm.gate_W.shape == (3, 3)


def test_reference_to_itself():
    model, _ = _trained()
    model.held = [model.norm]
    model.held.append(model.held)
    mixnorm.convert(model, 'mode', 'norm')
    assert model.held[0] is model.norm and model.held[1] is model.held


def test_repeated_block():
    block = chainer.Sequential(L.Linear(3, 3), L.BatchNormalization(3))
    model = block.repeat(2)
    assert mixnorm.convert(model, 'mode') == ['/0/1', '/1/1']
    assert model[0][1] is not model[1][1]


def test_seeds_differ():
    model = _Model()
    mixnorm.convert(model, 'mixture', seed=5)
    assert [dict(model.namedlinks())[path].seed for path in _PATHS] == [
        5, 6, 7, 8, 9]


def test_identity_and_back():
    model, _ = _trained()
    mixnorm.convert(model, 'none')
    mixnorm.convert(model, 'batch')
    assert model.norm.avg_mean.shape == (4,)


def test_layer_with_hooks():
    model, _ = _trained()

    class Hook(chainer.LinkHook):
        name = 'watch'

    model.norm.add_hook(Hook())
    before = _state(model)
    with pytest.raises(ValueError, match="/norm: it has the hooks 'watch'"):
        mixnorm.convert(model, 'mode')
    _assert_unchanged(model, before)


def test_own_normalizer(monkeypatch):
    monkeypatch.setattr(mixnorm.registry, '_FACTORIES', dict(
        mixnorm.registry._FACTORIES))

    class Scale(L.Scale):
        def __init__(self, size, start=2.):
            super().__init__(1, (size,))
            self.size = size
            self.W.array[...] = start

    mixnorm.register_normalizer('scale', Scale)
    model = _Model()
    mixnorm.convert(model, 'scale', 'norm', start=3.)
    assert isinstance(model.norm, Scale) and model.norm.W.array[0] == 3
    mixnorm.convert(model, 'batch', 'norm')
    assert type(model.norm) is L.BatchNormalization


def test_layer_that_holds_layers(monkeypatch):
    monkeypatch.setattr(mixnorm.registry, '_FACTORIES', dict(
        mixnorm.registry._FACTORIES))

    class Scaled(chainer.Chain):
        def __init__(self, size):
            super().__init__(norm=L.BatchNormalization(size))
            self.size = size

        def forward(self, x):
            return 2 * self.norm(x)

    mixnorm.register_normalizer('scaled', Scaled)
    model = _Model()
    mixnorm.convert(model, 'scaled', 'norm')
    assert mixnorm.convert(model, 'mode', 'norm') == ['/norm']
    assert isinstance(model.norm, mixnorm.links.ModeNormalization)


def test_saved_copied_and_loaded(tmp_path):
    model, _ = _trained()
    mixnorm.convert(model, 'mixture')
    model(_images(3))
    path = str(tmp_path / 'model.npz')
    chainer.serializers.save_npz(path, model)
    other = _Model()
    mixnorm.convert(other, 'mixture')
    chainer.serializers.load_npz(path, other)
    for twin in (other, copy.deepcopy(model), model.copy('copy')):
        numpy.testing.assert_array_equal(
            _test_output(twin), _test_output(model))


def test_resnet50():
    numpy.random.seed(_SEED)
    model = L.ResNet50Layers(pretrained_model=None)
    paths = [path for path, link in model.namedlinks()
             if isinstance(link, L.BatchNormalization)]
    assert len(paths) == 53
    assert mixnorm.convert(model, 'mode', 'first') == ['/bn1']
    assert mixnorm.convert(model, 'mixture', ['res4', 'res5/a/bn?']) == [
        p for p in paths
        if p.startswith('/res4/') or p in (
            '/res5/a/bn1', '/res5/a/bn2', '/res5/a/bn3', '/res5/a/bn4')]
    x = numpy.random.rand(2, 3, 64, 64).astype('f')
    y = model(x, layers=['res5'])['res5']
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        z = model(x, layers=['res5'])['res5']
    assert y.shape == z.shape == (2, 2048, 2, 2)
    assert numpy.isfinite(y.array).all() and numpy.isfinite(z.array).all()
    assert isinstance(model.bn1, mixnorm.links.ModeNormalization)
    assert isinstance(
        model.res4.b1.bn2, mixnorm.links.MixtureNormalization)


@pytest.mark.skipif(
    importlib.util.find_spec('chainercv') is None, reason='needs ChainerCV')
def test_chainercv_resnet50():
    # In a new interpreter, because names are set in NumPy for good.
    run_code('''
        import mixnorm
        mixnorm.compat.restore_numpy_names()
        from chainercv.links import ResNet50
        import numpy
        model = ResNet50(n_class=10, arch='he')
        paths = mixnorm.convert(model, 'mixture', '*/conv2/bn', n_components=2)
        assert len(paths) == 16
        x = numpy.random.RandomState(0).rand(2, 3, 64, 64).astype('f')
        assert numpy.isfinite(model(x).array).all()
        ''')


# Hooks


def test_weight_hook():
    model, optimizer = _trained()
    expected = _test_output(model)
    paths = mixnorm.convert(model, 'weight')
    assert paths == ['/inc1/branch/0', '/inc1/conv1', '/inc2/branch/0',
                     '/inc2/conv1', '/linear', '/stem']
    numpy.testing.assert_allclose(
        _test_output(model), expected, rtol=1e-4, atol=1e-5)
    before = model.stem.W_g.array.copy()
    _train(model, optimizer, 1)
    assert (model.stem.W_g.array != before).all()


def test_spectral_hook():
    model, optimizer = _trained()
    paths = mixnorm.convert(model, 'spectral', ['stem', 'inc1/conv*'],
                            n_power_iteration=3)
    assert paths == ['/inc1/conv1', '/stem']
    _train(model, optimizer, 1)
    assert model.stem.local_link_hooks['SpectralNormalization']
    assert not model.linear.local_link_hooks


@pytest.mark.parametrize('name', ['weight', 'spectral'])
def test_hooks_of_links_with_units(name):
    model = chainer.Sequential(
        L.Linear(3, 4), L.PReLU((4,)), L.EmbedID(3, 4), L.PReLU(),
        L.Deconvolution2D(4, 2, 3))
    paths = {link: path for path, link in model.namedlinks()}
    expected = sorted(paths[model[i]] for i in (0, 4))
    assert sorted(mixnorm.convert(model, name)) == expected
    assert mixnorm.convert(
        model, name, paths[model[2]]) == [paths[model[2]]]


def test_trained_factor_of_spectral_normalization():
    model, optimizer = _trained()
    mixnorm.convert(model, 'spectral', 'stem', use_gamma=True)
    before = model.stem.gamma.array.copy()
    _train(model, optimizer, 1)
    assert model.stem.gamma.array != before


@pytest.mark.parametrize('name', ['weight', 'spectral'])
@pytest.mark.parametrize('n_in', [3, None])
def test_refused_hooks_leave_nothing(name, n_in):
    model = chainer.Chain(a=L.Linear(n_in, 4), b=L.PReLU())
    assert not model.a.local_link_hooks
    before = sorted(vars(model.a))
    with pytest.raises(ValueError, match='/b: '):
        mixnorm.convert(model, name, ['a', 'b'])
    assert not model.a.local_link_hooks and not model.b.local_link_hooks
    assert sorted(vars(model.a)) == before
    assert (type(model.a), type(model.b)) == (L.Linear, L.PReLU)
    assert model.b(model.a(numpy.ones((2, 3), 'f'))).shape == (2, 4)


@pytest.mark.parametrize('options,message', [
    ({'n_power_iteration': 0}, 'n_power_iteration is 0'),
    ({'eps': -1}, 'eps is -1'),
    ({'factor': 'a'}, "factor is 'a'"),
    ({'power': 1}, 'spectral: .*power'),
])
def test_wrong_spectral_hook(options, message):
    model = chainer.Sequential(L.Linear(3, 3))
    with pytest.raises(ValueError, match=message):
        mixnorm.convert(model, 'spectral', **options)
    assert not model[0].local_link_hooks


def test_factor_of_a_weight_to_come():
    model = chainer.Sequential(L.Linear(None, 3))
    mixnorm.convert(copy.deepcopy(model), 'spectral', use_gamma=True)
    chainer.optimizers.SGD().setup(model)
    with pytest.raises(ValueError, match='/0: use_gamma is True, but W'):
        mixnorm.convert(model, 'spectral', use_gamma=True)
    assert not model[0].local_link_hooks


@pytest.mark.parametrize('where,options,message', [
    ('norm', {}, "where names 'norm'.*parameter W.*/stem"),
    ('first', {}, "where is 'first'"),
    (None, {'epsilon': 1}, 'weight: .*epsilon'),
    (None, {'axis': -1}, 'axis is -1'),
    (None, {'weight_name': 3}, 'weight_name is 3'),
    # Linear layers have two axes, which is found out at the last of them.
    (None, {'axis': 3}, 'axis is 3'),
], ids=str)
def test_wrong_hooks(where, options, message):
    model, optimizer = _trained()
    before = _state(model)
    with pytest.raises(ValueError, match=message):
        mixnorm.convert(model, 'weight', where, **options)
    _assert_unchanged(model, before)
    _train(model, optimizer, 1)


def test_hook_that_is_there():
    model, _ = _trained()
    mixnorm.convert(model, 'weight', 'linear')
    before = _state(model)
    with pytest.raises(ValueError, match='/linear has a hook'):
        mixnorm.convert(model, 'weight')
    _assert_unchanged(model, before)
