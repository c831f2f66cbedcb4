"""Chainer's Trainer, reports and debugging aids under the running versions."""

import collections
import io
import json
import re

import chainer
from chainer import computational_graph
from chainer import function_hooks
import chainer.functions as F
from chainer import iterators
from chainer import link_hooks
import chainer.links as L
from chainer import optimizers
from chainer import serializers
from chainer import training
from chainer.training import extensions
from chainer.training import triggers
import numpy
import pytest

SEED = 40
EPOCHS = 4
BATCH = 8
POINTS = 32


def _data():
    random = numpy.random.RandomState(SEED)
    x = random.randn(POINTS, 3).astype(numpy.float32)
    return chainer.datasets.TupleDataset(x, (x[:, 0] > 0).astype(numpy.int32))


def _trainer(out, epochs=EPOCHS):
    numpy.random.seed(SEED)
    model = L.Classifier(chainer.Sequential(
        L.Linear(3, 4), L.BatchNormalization(4), F.relu, L.Linear(4, 2)))
    optimizer = optimizers.MomentumSGD(.1).setup(model)
    # In order: a resumed run cannot draw the orders of the run before it.
    iterator = iterators.SerialIterator(_data(), BATCH, shuffle=False)
    updater = training.updaters.StandardUpdater(iterator, optimizer)
    trainer = training.Trainer(updater, (epochs, 'epoch'), out=str(out))
    trainer.extend(extensions.LogReport())
    return trainer, model, optimizer


def test_run_with_extensions(tmp_path, capsys):
    printed, losses, rates = io.StringIO(), [], []
    trainer, model, optimizer = _trainer(tmp_path)

    @training.make_extension(trigger=(1, 'iteration'))
    def note(trainer):
        losses.append(float(trainer.observation['main/loss'].array))
        rates.append(optimizer.lr)

    test = iterators.SerialIterator(_data(), BATCH, repeat=False,
                                    shuffle=False)
    trainer.extend(note)
    trainer.extend(extensions.Evaluator(test, model))
    trainer.extend(extensions.observe_lr())
    trainer.extend(extensions.PrintReport(
        ['epoch', 'main/loss', 'validation/main/accuracy', 'lr'],
        out=printed))
    trainer.extend(extensions.ProgressBar(update_interval=1))
    trainer.extend(extensions.StepShift('lr', .5, 2 * POINTS // BATCH))
    trainer.extend(extensions.ParameterStatistics(model))
    trainer.extend(extensions.FailOnNonNumber())
    trainer.extend(extensions.DumpGraph('main/loss'))
    trainer.extend(extensions.snapshot(), trigger=(EPOCHS, 'epoch'))
    trainer.extend(extensions.snapshot_object(model, 'model.npz'),
                   trigger=triggers.MaxValueTrigger(
                       'validation/main/accuracy'))
    if extensions.PlotReport.available():
        trainer.extend(extensions.PlotReport(['main/loss'], 'epoch'))
    trainer.run()

    log = json.loads((tmp_path / 'log').read_text())
    steps = POINTS // BATCH
    assert [entry['iteration'] for entry in log] == [
        steps * (i + 1) for i in range(EPOCHS)]
    numpy.testing.assert_allclose(
        [entry['main/loss'] for entry in log],
        numpy.reshape(losses, (EPOCHS, steps)).mean(1), rtol=1e-6)
    assert losses[-1] < losses[0]
    assert rates == [.1] * 8 + [.05] * 8
    assert [entry['lr'] for entry in log][::2] == [.1, .05]
    with chainer.using_config('train', False):
        x, t = chainer.dataset.concat_examples(_data())
        accuracy = (model.predictor(x).array.argmax(1) == t).mean()
    assert abs(log[-1]['validation/main/accuracy'] - accuracy) < 1e-6
    assert 'predictor/0/W/data/mean' in ' '.join(log[0])
    assert len(printed.getvalue().splitlines()) > EPOCHS
    assert 'this epoch [#####' in capsys.readouterr().out
    assert 'LinearFunction' in (tmp_path / 'cg.dot').read_text()
    for name in ('model.npz', f'snapshot_iter_{EPOCHS * steps}'):
        assert (tmp_path / name).exists()
    if extensions.PlotReport.available():
        assert (tmp_path / 'plot.png').read_bytes().startswith(b'\x89PNG')


def _weights(model):
    return {name: p.array for name, p in model.namedparams()}


@pytest.mark.parametrize('shift', [
    lambda: extensions.StepShift('lr', .7, 2),
    lambda: extensions.ExponentialShift('lr', .9),
    lambda: extensions.InverseShift('lr', .1, 2),
    lambda: extensions.PolynomialShift('lr', 2, 9),
    lambda: extensions.LinearShift('lr', (.1, .01), (1, 4)),
], ids=['step', 'exponential', 'inverse', 'polynomial', 'linear'])
def test_resumed_run_is_the_same_run(shift, tmp_path):
    whole, expected, _ = _trainer(tmp_path / 'whole')
    whole.extend(shift(), trigger=(1, 'epoch'))
    whole.run()

    first, _, _ = _trainer(tmp_path / 'first', epochs=2)
    first.extend(shift(), trigger=(1, 'epoch'))
    first.run()
    serializers.save_npz(str(tmp_path / 'snapshot'), first)

    second, resumed, _ = _trainer(tmp_path / 'second')
    second.extend(shift(), trigger=(1, 'epoch'))
    serializers.load_npz(str(tmp_path / 'snapshot'), second)
    second.run()
    for name, value in _weights(resumed).items():
        numpy.testing.assert_array_equal(
            value, _weights(expected)[name], name)


def test_hdf5(tmp_path):
    pytest.importorskip('h5py')
    source, target = L.Linear(3, 2), L.Linear(3, 2)
    serializers.save_hdf5(str(tmp_path / 'link'), source)
    serializers.load_hdf5(str(tmp_path / 'link'), target)
    numpy.testing.assert_array_equal(source.W.array, target.W.array)


def test_hdf5_strings(tmp_path):
    h5py = pytest.importorskip('h5py')
    with h5py.File(str(tmp_path / 'strings'), 'w') as file:
        file['scalar'] = 'N\xe4herung'
        file['empty'] = ''
        file.create_dataset(
            'row', data=['a', 'bc'], dtype=h5py.special_dtype(vlen=str))
        file['bytes'] = numpy.bytes_(b'abc')
        read = serializers.HDF5Deserializer(file)
        assert read('scalar', '') == 'N\xe4herung'
        assert read('empty', 'not') == ''
        assert read('row', None).tolist() == ['a', 'bc']
        assert read('scalar', None).item() == 'N\xe4herung'
        assert read('bytes', None).item() == b'abc'


@pytest.mark.parametrize('dtype', [numpy.float16, numpy.float32])
def test_mean_of_many_reports(dtype):
    # In the type of the losses the sum would stop at 2048 or at 2 ** 24.
    count = 6000 if dtype == numpy.float16 else 60
    scale = 1 if dtype == numpy.float16 else 2 ** 20
    summary = chainer.DictSummary()
    for i in range(count):
        loss = chainer.Variable(numpy.array(i % 3 * scale, dtype))
        summary.add({'loss': loss, 'weighted': (loss, 2), 'whole': 1})
    assert summary.compute_mean()['loss'] == scale
    mean = summary.make_statistics()
    assert abs(mean['loss.std'] - scale * (2 / 3) ** .5) < 1e-3 * scale
    assert mean['weighted'] == scale
    assert mean['whole'] == 1


def test_micro_average(tmp_path):
    trainer, _, _ = _trainer(tmp_path)
    counts = iter([(1, 4), (2, 3), (0, 2), (3, 6)] * EPOCHS)

    @training.make_extension(trigger=(1, 'iteration'),
                             priority=training.PRIORITY_WRITER)
    def count(trainer):
        hits, total = next(counts)
        chainer.report({'hits': numpy.int32(hits),
                        'total': numpy.int32(total)})

    trainer.extend(count)
    trainer.extend(extensions.MicroAverage('hits', 'total', 'rate'))
    trainer.run()
    assert trainer.get_extension('LogReport').log[-1]['rate'] == 6 / 15


def test_debug_mode_finds_nan():
    x = chainer.Variable(numpy.array([-1], numpy.float32))
    with numpy.errstate(invalid='ignore'):
        F.sqrt(x)
        with chainer.using_config('debug', True):
            with pytest.raises(RuntimeError, match='NaN is detected'):
                F.sqrt(x)


def test_type_check_says_what_is_wrong():
    with pytest.raises(chainer.utils.type_check.InvalidType,
                       match=r'x\.shape\[1\] == W\.shape\[1\]'):
        F.linear(numpy.zeros((2, 3), numpy.float32),
                 numpy.zeros((2, 4), numpy.float32))


def test_printing_variables():
    x = chainer.Parameter(numpy.array([1, 3], numpy.float32), name='x')
    x.grad = numpy.array([0, 0], numpy.float32)
    assert str(x) == 'variable x([1. 3.])'
    assert repr(x) == 'variable x([1., 3.])'
    lines = x.debug_print().splitlines()
    assert '- device: CPU' in lines
    assert '- shape: (2,)' in lines
    assert '- statistics: mean=2.00000000, std=1.00000000' in lines
    assert '- grad: 0' in lines


def test_hooks_see_every_call():
    net = chainer.Sequential(L.Linear(3, 3), F.relu, L.Linear(3, 1))
    printed = io.StringIO()
    with function_hooks.TimerHook() as functions, \
            link_hooks.TimerHook() as links, \
            function_hooks.PrintHook(file=printed):
        F.sum(net(numpy.ones((2, 3), numpy.float32))).backward()
    names = [name for name, _ in functions.call_history]
    assert names[:4] == ['LinearFunction', 'ReLU', 'LinearFunction', 'Sum']
    assert links.summary()['Linear']['occurrence'] == 2
    assert printed.getvalue().count('- device: CPU') > 4


def test_computational_graph():
    x = chainer.Variable(numpy.ones((2, 3), numpy.float32), name='x')
    y = F.sum(F.relu(x) + x)
    dot = computational_graph.build_computational_graph([y]).dump()
    assert re.findall(r'label="([^"]*)"', dot).count('ReLU') == 1
    assert 'x: (2, 3), float32' in dot


def test_multi_node_iterator():
    """What the first rank sends, another receives, batch for batch."""
    multi_node_iterator = pytest.importorskip(
        'chainermn.iterators.multi_node_iterator')
    sent = collections.deque()

    class Communicator:
        def bcast(self, array, root):
            if array is None:
                return sent.popleft()
            sent.append(numpy.array(array))
            return array

    batches = iterators.SerialIterator(
        _data(), BATCH, repeat=False, shuffle=False)
    first = multi_node_iterator._MultiNodeIteratorMaster(
        batches, Communicator(), 0)
    other = multi_node_iterator._MultiNodeIteratorSlave(Communicator(), 0)
    assert other.dataset_size == POINTS
    for _ in range(POINTS // BATCH):
        for (x, t), (other_x, other_t) in zip(next(first), next(other)):
            assert (x == other_x).all() and t == other_t
    for iterator in first, other:
        with pytest.raises(StopIteration):
            next(iterator)
