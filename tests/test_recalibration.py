import copy

import chainer
import chainer.functions as F
from chainer.link_hooks import SpectralNormalization
import chainer.links as L
import numpy
import pytest

import mixnorm


_SEED = 0

# Every link of Chainer's and of mixnorm's whose test mode depends on training.
_MAKERS = {
    'batch': lambda: L.BatchNormalization(4),
    'batch of unknown size': lambda: L.BatchNormalization(axis=(0, 2, 3)),
    'batch_renorm of Chainer': lambda: L.BatchRenormalization(4, 2, 1),
    'decorrelated': lambda: L.DecorrelatedBatchNormalization(4, groups=2),
    'batch_renorm': lambda: mixnorm.links.BatchRenormalization(4, 2, 1),
    'batch_instance': lambda: mixnorm.links.BatchInstanceNormalization(
        4, initial_rho=.5),
    'mode': lambda: mixnorm.links.ModeNormalization(4),
    'mixture': lambda: mixnorm.links.MixtureNormalization(
        4, n_components=2, queue_size=3, seed=_SEED),
    'mixture of unknown size': lambda: mixnorm.links.MixtureNormalization(
        n_components=2, queue_size=3, seed=_SEED),
    'mixture of samples': lambda: mixnorm.links.MixtureNormalization(
        4, n_components=2, queue_size=3, inference='samples', seed=_SEED),
}


class _Net(chainer.Chain):

    """A normalization between two convolutions, and all that has state."""

    def __init__(self, norm):
        super().__init__()
        with self.init_scope():
            self.conv1 = L.Convolution2D(3, 4, 3).add_hook(
                SpectralNormalization())
            self.norm = norm
            self.groups = mixnorm.links.GroupMixtureNormalization(
                2, 4, 2, seed=_SEED)
            self.conv2 = L.Convolution2D(4, 2, 3)

    def forward(self, x):
        return self.conv2(F.dropout(self.groups(self.norm(self.conv1(x)))))


def _net(maker):
    numpy.random.seed(_SEED)
    return _Net(_MAKERS[maker]())


def _batches(n, seed=_SEED):
    random = numpy.random.RandomState(seed)
    return [random.normal(i, 1 + i, (6, 3, 8, 8)).astype('f')
            for i in range(n)]


def _batches_of_vectors(n):
    return [x[:, :, 0, 0] for x in _batches(n, n)]


def _train(model, batches):
    optimizer = chainer.optimizers.MomentumSGD(.01).setup(model)
    for x in batches:
        optimizer.update(lambda: F.sum(model(x) ** 2) / x.size)


def _state(link):
    """Returns all that is saved of a link, by name."""
    serializer = chainer.serializers.DictionarySerializer()
    link.serialize(serializer)
    return copy.deepcopy(serializer.target)


def _assert_same(found, expected, but=()):
    """Asserts that all is the same, bit for bit, and of the same dtype."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if not name.startswith(but or '?'):
            assert found[name].dtype == value.dtype, name
            assert found[name].tolist() == value.tolist(), name


# What the statistics are


def _normalize(x, gamma, beta, mean, variance):
    return gamma * (x - mean) / numpy.sqrt(variance + 2e-5) + beta


def test_averages_of_the_batches_statistics():
    numpy.random.seed(_SEED)
    linears = L.Linear(3, 4), L.Linear(4, 5)
    norms = L.BatchNormalization(4), L.BatchNormalization(5)
    model = chainer.Sequential(
        linears[0], norms[0], F.relu, linears[1], norms[1])
    batches = _batches_of_vectors(5)
    _train(model, batches)
    before = _state(model)

    # Of which nothing is left.
    mixnorm.recalibrate(model, _batches_of_vectors(3))
    mixnorm.recalibrate(model, batches)
    _assert_same(_state(model), before, ('1/', '3/'))
    hs = [x.astype('d') for x in batches]
    for linear, norm in zip(linears, norms):
        W, b, gamma, beta = (z.array.astype('d') for z in (
            linear.W, linear.b, norm.gamma, norm.beta))
        hs = [h @ W.T + b for h in hs]
        numpy.testing.assert_allclose(
            norm.avg_mean, numpy.mean([h.mean(axis=0) for h in hs], axis=0),
            1e-5, 1e-5)
        # Unbiased, as Chainer has them.
        numpy.testing.assert_allclose(
            norm.avg_var, numpy.mean([h.var(axis=0, ddof=1) for h in hs],
                                     axis=0), 1e-5)
        assert norm.N == 5
        hs = [numpy.maximum(0, gamma * (h - h.mean(axis=0)) / numpy.sqrt(
            h.var(axis=0) + norm.eps) + beta) for h in hs]


@pytest.mark.parametrize('norm, rtol', [
    # An unbiased variance of 32768 points is greater by a 32767th.
    (lambda: L.BatchNormalization(4), 2e-5),
    (lambda: mixnorm.links.BatchInstanceNormalization(4, initial_rho=.5),
     2e-5),
    (lambda: mixnorm.links.ModeNormalization(4), 1e-6),
    # The posterior of one component is 1.
    (lambda: mixnorm.links.MixtureNormalization(4, 1, seed=_SEED), 2e-5)])
def test_whole_set_as_one_batch_tests_as_it_trains(norm, rtol):
    numpy.random.seed(_SEED)
    model = chainer.Sequential(L.Convolution2D(3, 4, 1), norm())
    _train(model, _batches(3))
    x = numpy.random.RandomState(1).normal(
        2, 3, (128, 3, 16, 16)).astype('f')
    mixnorm.recalibrate(model, [x])
    expected = model(x).array
    mixnorm.recalibrate(model, [x])
    with chainer.using_config('train', False):
        found = model(x).array
    numpy.testing.assert_allclose(found, expected, 10 * rtol, 10 * rtol)


@pytest.mark.parametrize('maker', _MAKERS)
def test_statistics_are_those_of_fine_tuning(maker):
    norm = _MAKERS[maker]()
    batches = [numpy.random.RandomState(i).normal(
        i, 1 + i, (6, 4, 3, 3)).astype('f') for i in range(5)]
    norm(batches[0])
    expected = copy.deepcopy(norm)
    expected.start_finetuning()
    for x in batches:
        expected(x, finetune=True)
    mixnorm.recalibrate(norm, batches)
    _assert_same(_state(norm), _state(expected))
    with chainer.using_config('train', False):
        numpy.testing.assert_array_equal(
            norm(batches[3]).array, expected(batches[3]).array)


def test_queue_holds_the_last_batches_evenly():
    norm = mixnorm.links.MixtureNormalization(3, 1, queue_size=3, seed=_SEED)
    batches = _batches(5)
    mixnorm.recalibrate(norm, batches)
    means = numpy.mean(batches, axis=(1, 3, 4), dtype='d')
    numpy.testing.assert_allclose(
        norm.queue.means[:, 0], means[:1:-1], 1e-5, 1e-5)
    numpy.testing.assert_allclose(
        norm.inference_moments()[0], means[2:].mean(axis=0), 1e-5)


@pytest.mark.parametrize('name', mixnorm.normalizer_names())
def test_every_normalizer_by_name(name):
    """Those of which test mode depends on training are refreshed."""
    norm = mixnorm.normalizer(name, 6)
    x, other = (numpy.random.RandomState(i).normal(
        5 * i, 1 + i, (8, 6, 3, 3)).astype('f') for i in range(2))
    norm(x)
    outputs = []
    for train_on in (None, other):
        if train_on is not None:
            before = copy.deepcopy(norm)
            before(train_on)
            mixnorm.recalibrate(norm, [train_on])
        with chainer.using_config('train', False):
            outputs.append(chainer.as_array(norm(x)))
    with chainer.using_config('train', False):
        depends = not numpy.array_equal(
            chainer.as_array(before(x)), outputs[0])
    assert depends == (not numpy.array_equal(*outputs))
    assert depends == (name in (
        'batch', 'batch_renorm', 'batch_instance', 'mixture', 'mode'))


class _OneNode:

    """The communicator of a single process."""

    def _multi_node_mean(self, sent, received):
        pass


@pytest.mark.filterwarnings('ignore::FutureWarning')
def test_multi_node_batch_normalization(monkeypatch):
    links = pytest.importorskip('chainermn.links')
    module = pytest.importorskip('chainermn.functions.batch_normalization')
    # Which of its implementations is at work is asked of MPI.
    monkeypatch.setattr(
        module, 'get_communication_backend', lambda *args: 'mpi')
    norm = links.MultiNodeBatchNormalization(3, _OneNode())
    batches = _batches(4)
    norm(batches[0])
    before = _state(norm)
    with mixnorm.recalibrate(norm, batches):
        numpy.testing.assert_allclose(
            norm.avg_mean, numpy.mean(batches, axis=(0, 1, 3, 4)), 1e-5)
        assert norm.N == 4
    _assert_same(_state(norm), before)


def test_link_that_is_called_twice_counts_twice():
    norm = L.BatchNormalization(3)

    class Twice(chainer.Chain):
        def __init__(self):
            super().__init__()
            with self.init_scope():
                self.norm = norm

        def forward(self, x, y):
            self.norm(x)
            self.norm(y)

    xs = _batches(4)
    mixnorm.recalibrate(Twice(), [(xs[0], xs[1]), (xs[2], xs[3])])
    numpy.testing.assert_allclose(
        norm.avg_mean, numpy.mean(xs, axis=(0, 1, 3, 4)), 1e-5)


def test_model_with_a_method_of_that_name():
    class Net(chainer.Sequential):
        def start_finetuning(self):
            raise AssertionError

    net = Net(L.BatchNormalization(3))
    mixnorm.recalibrate(net, _batches(2))
    assert net[0].N == 2


def test_dropout_acts_and_the_seed_decides():
    x = numpy.ones((4, 3), 'f')

    def mean(seed):
        norm = L.BatchNormalization(3)
        mixnorm.recalibrate(
            chainer.Sequential(F.dropout, norm), [x, x], seed)
        return norm.avg_mean.tolist()

    assert mean(1) == mean(1) != mean(2)
    # Of dropout by half, what is left is twice as large.
    random = numpy.random.RandomState(3)
    kept = [2 * (random.rand(4, 3) >= .5).mean(axis=0) for _ in range(2)]
    numpy.testing.assert_allclose(mean(3), numpy.mean(kept, axis=0), 1e-6)


@pytest.mark.parametrize('form', [
    lambda x, y: (x, y), lambda x, y: {'y': y, 'x': x}])
def test_form_of_a_batch(form):
    class Net(chainer.Chain):
        def __init__(self):
            super().__init__()
            with self.init_scope():
                self.norm = L.BatchNormalization(3)

        def forward(self, x, y):
            self.norm(x - y)

    net, (x, y) = Net(), _batches(2)
    mixnorm.recalibrate(net, (batch for batch in [form(x, y)]))
    numpy.testing.assert_allclose(
        net.norm.avg_mean, (x - y).mean(axis=(0, 2, 3)), 1e-5)


# What stays as it was


def _trained(maker):
    model = _net(maker)
    _train(model, _batches(4))
    model(_batches(1, 5)[0])
    F.sum(model(_batches(1, 6)[0])).backward()
    return model


def _values(model):
    """Returns what a model tells of its last mini-batch, and gradients."""
    norm = model.norm
    return [getattr(norm, name, None) for name in (
        'n_effective', 'gates', 'r', 'd')] + [model.groups.n_effective] + [
            param.grad for param in model.params()]


@pytest.mark.parametrize('maker', _MAKERS)
def test_old_statistics_come_back(maker):
    model = _trained(maker)
    with chainer.using_config('train', False):
        output = model(_batches(1, 7)[0]).array
    before, values = _state(model), copy.deepcopy(_values(model))
    random = numpy.random.get_state()
    with mixnorm.recalibrate(model, _batches(4, 8)):
        with chainer.using_config('train', False):
            assert not numpy.array_equal(
                model(_batches(1, 7)[0]).array, output)
    _assert_same(_state(model), before)
    for found, expected in zip(_values(model), values):
        numpy.testing.assert_array_equal(found, expected)
    for found, expected in zip(numpy.random.get_state(), random):
        numpy.testing.assert_array_equal(found, expected)
    assert type(model.norm) is type(_MAKERS[maker]())
    with chainer.using_config('train', False):
        numpy.testing.assert_array_equal(
            model(_batches(1, 7)[0]).array, output)


@pytest.mark.parametrize('maker', _MAKERS)
def test_training_goes_on_as_without(maker):
    states = []
    for recalibrates in (False, True):
        model = _trained(maker)
        if recalibrates:
            with mixnorm.recalibrate(model, _batches(4, 8)):
                pass
        _train(model, _batches(3, 9))
        states.append(_state(model))
    _assert_same(*states)


@pytest.mark.parametrize('maker', _MAKERS)
def test_only_statistics_change(maker):
    model = _trained(maker)
    before = _state(model)
    gradients = [param.grad.tobytes() for param in model.params()]
    mixnorm.recalibrate(model, _batches(4, 8))
    found = _state(model)
    _assert_same(found, before, 'norm/')
    for name in ('gamma', 'beta', 'gate_W', 'rho'):
        if f'norm/{name}' in before:
            numpy.testing.assert_array_equal(
                found[f'norm/{name}'], before[f'norm/{name}'])
    assert gradients == [param.grad.tobytes() for param in model.params()]
    assert any(found[name].tolist() != before[name].tolist()
               for name in before)


def _failing(error):
    yield from _batches(2, 8)
    raise error


@pytest.mark.parametrize('maker', _MAKERS)
@pytest.mark.parametrize('batches, error', [
    (lambda: _failing(OSError()), OSError),
    (lambda: _failing(KeyboardInterrupt()), KeyboardInterrupt),
    # Of another number of channels.
    (lambda: _batches(2) + [numpy.zeros((2, 5, 8, 8), 'f')],
     chainer.utils.type_check.InvalidType),
    (lambda: [], ValueError)])
def test_old_statistics_come_back_after_an_error(maker, batches, error):
    model = _trained(maker)
    before = _state(model)
    random = numpy.random.get_state()[1].tolist()
    with pytest.raises(error):
        mixnorm.recalibrate(model, batches())
    _assert_same(_state(model), before)
    assert numpy.random.get_state()[1].tolist() == random
    assert type(model.norm) is type(_MAKERS[maker]())
    assert chainer.config.train and chainer.config.enable_backprop


def test_links_that_no_batch_reaches_in_training_mode():
    class Net(chainer.Chain):
        def __init__(self):
            super().__init__()
            with self.init_scope():
                self.used = L.BatchNormalization(3)
                self.frozen = mixnorm.links.MixtureNormalization(
                    3, 2, seed=_SEED)
                self.unused = L.BatchNormalization(3)

        def forward(self, x):
            with chainer.using_config('train', False):
                return self.frozen(x) + self._train(x)

        def _train(self, x):
            with chainer.using_config('train', True):
                return self.used(x)

    net = Net()
    net.frozen(_batches(1)[0])
    net.unused(_batches(1)[0], finetune=True)
    before = _state(net)
    mixnorm.recalibrate(net, _batches(3, 1))
    _assert_same(_state(net), before, 'used/')
    assert net.used.N == 3


def test_recurrent_state_comes_back():
    numpy.random.seed(_SEED)
    model = chainer.Sequential(L.LSTM(3, 4), L.BatchNormalization(4))
    x = numpy.random.RandomState(1).normal(size=(5, 3)).astype('f')
    model(x)
    h = model[0].h
    mixnorm.recalibrate(model, [x, x])
    assert model[0].h is h


def test_training_step_in_progress():
    """Nothing is left for the recomputation of a pass to find."""
    numpy.random.seed(_SEED)
    norm = mixnorm.links.MixtureNormalization(3, 2, seed=_SEED)
    conv = L.Convolution2D(3, 3, 1)
    model = chainer.Sequential(conv, lambda x: F.forget(norm, x))
    model.append(norm)
    x = _batches(1)[0]
    conv.cleargrads()
    y = model(x)
    mixnorm.recalibrate(model, [x])
    F.sum(y ** 2).backward()
    found = conv.W.grad
    conv.cleargrads()

    numpy.random.seed(_SEED)
    other = mixnorm.links.MixtureNormalization(3, 2, seed=_SEED)
    F.sum(other(other(conv(x))) ** 2).backward()
    numpy.testing.assert_allclose(found, conv.W.grad, 1e-4, 1e-4)


def test_what_the_model_reports_goes_nowhere():
    numpy.random.seed(_SEED)
    classifier = L.Classifier(
        chainer.Sequential(L.Linear(3, 4), L.BatchNormalization(4)))
    x = numpy.random.RandomState(1).normal(size=(5, 3)).astype('f')
    labels = numpy.arange(5, dtype='i') % 4
    reporter = chainer.Reporter()
    reporter.add_observer('main', classifier)
    with reporter:
        chainer.report({'loss': 7.}, classifier)
        mixnorm.recalibrate(classifier, [(x, labels)])
    assert reporter.observation == {'main/loss': 7.}
    assert classifier.loss is None


def test_no_graph_is_built():
    graphs = []

    class Probe(chainer.Chain):
        def __init__(self):
            super().__init__()
            with self.init_scope():
                self.norm = L.BatchNormalization(3)

        def forward(self, x):
            graphs.append(self.norm(x).creator)

    mixnorm.recalibrate(Probe(), _batches(1))
    assert graphs == [None]


# What is refused, and what does nothing


def test_model_without_statistics_reads_no_batch():
    def batches():
        raise AssertionError
        yield
    model = L.Linear(3, 4)
    before = _state(model)
    with mixnorm.recalibrate(model, batches()):
        pass
    _assert_same(_state(model), before)


def test_no_batches():
    with pytest.raises(ValueError, match='batches is empty'):
        mixnorm.recalibrate(L.BatchNormalization(3), iter(()))


def test_no_link():
    with pytest.raises(TypeError, match='model is .* must be a chainer.Link'):
        mixnorm.recalibrate(F.relu, _batches(1))


@pytest.mark.parametrize('seed', [-1, 2 ** 32, 1.5, None])
def test_seed_out_of_range(seed):
    with pytest.raises(ValueError, match=f'seed is {seed}: it must be an '):
        mixnorm.recalibrate(L.BatchNormalization(3), _batches(1), seed)
