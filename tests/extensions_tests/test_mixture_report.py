import io
import json
import os
import pathlib
import subprocess
import sys

import chainer
from chainer import links as L
from chainer import serializers
from chainer.training import extensions
import numpy
import pytest

from mixnorm.extensions import MixtureReport
from mixnorm.inspection import read_record, Record
from mixnorm.inspection.record import write_record
from mixnorm.links import (
    GroupMixtureNormalization, MixtureNormalization, ModeGroupNormalization,
    ModeNormalization)


class _Model(chainer.Chain):

    """Linear layer of 4 outputs between normalizers."""

    def __init__(self, first, second):
        super().__init__()
        with self.init_scope():
            self.first = first
            self.block = chainer.Sequential(L.Linear(4, 4), second)

    def forward(self, x):
        return self.block(self.first(x))


def _trainer(model, folder, n_updates=6, every=2, report=None):
    """Makes a trainer that updates a model with 32 points each time."""
    random = numpy.random.RandomState(0)
    x = random.normal(size=(64, 4)) + 4 * random.randint(3, size=(64, 1))
    optimizer = chainer.optimizers.SGD(.01)
    optimizer.setup(L.Classifier(model))
    updater = chainer.training.updaters.StandardUpdater(
        chainer.iterators.SerialIterator(chainer.datasets.TupleDataset(
            x.astype('f'), random.randint(4, size=64).astype('i')), 32,
            shuffle=False), optimizer)
    trainer = chainer.training.Trainer(
        updater, (n_updates, 'iteration'), str(folder))
    trigger = every, 'iteration'
    # The reports are the first to be added: they have to wait all the same.
    log = extensions.LogReport(trigger=trigger)
    trainer.extend(log)
    if report is None:
        report = MixtureReport()
    trainer.extend(report, trigger=trigger)
    return trainer


def _model(seed=0):
    numpy.random.seed(seed)
    return _Model(MixtureNormalization(4, 5, n_iter=8, min_weight=.15, seed=0),
                  MixtureNormalization(4, 3, n_iter=8, min_weight=.3, seed=1))


def _assert_same(records, expected):
    assert records.keys() == expected.keys()
    for path, record in records.items():
        for ours, theirs in zip(record, expected[path]):
            numpy.testing.assert_array_equal(ours, theirs)


def test_record_is_the_queue_of_that_iteration(tmp_path):
    model = _model()
    _trainer(model, tmp_path).run()
    records = read_record(tmp_path / 'mixture.npz')
    assert set(records) == {'/predictor/first', '/predictor/block/1'}
    for path, link in (('first', model.first), ('block/1', model.block[1])):
        record = records[f'/predictor/{path}']
        assert record.kind == 'mixture'
        assert record.iterations.tolist() == [2, 4, 6]
        assert record.epochs.tolist() == [1, 2, 3]
        # Six mini-batches, the newest first, of which every other one was
        # recorded.
        for name in ('weights', 'means', 'variances'):
            expected = getattr(link.queue, name)[::-1][1::2]
            assert getattr(record, name).dtype == expected.dtype
            numpy.testing.assert_array_equal(getattr(record, name), expected)
        expected = (link.queue.weights > 0).sum(axis=1)[::-1][1::2]
        assert record.n_effective.tolist() == expected.tolist()
        assert min(expected) < link.n_components


def test_log_report_shows_it_by_path(tmp_path):
    model = _model()
    _trainer(model, tmp_path).run()
    log = json.loads((tmp_path / 'log').read_text())
    assert [entry['iteration'] for entry in log] == [2, 4, 6]
    for path, link in (('first', model.first), ('block/1', model.block[1])):
        weights = link.queue.weights[::-1][1::2]
        assert [entry[f'predictor/{path}/n_effective'] for entry in log] == (
            (weights > 0).sum(axis=1).tolist())
        numpy.testing.assert_allclose(
            [entry[f'predictor/{path}/largest_weight'] for entry in log],
            weights.max(axis=1), rtol=1e-6)


def test_print_report_and_plot_report_show_it(tmp_path):
    printed = io.StringIO()
    trainer = _trainer(_model(), tmp_path)
    key = 'predictor/first/n_effective'
    trainer.extend(extensions.PrintReport(
        ['iteration', key], out=printed),
                   trigger=(2, 'iteration'))
    has_plot = extensions.PlotReport.available()
    if has_plot:
        trainer.extend(extensions.PlotReport(
            [key], trigger=(2, 'iteration'), filename='plot.png'))
    trainer.run()
    lines = printed.getvalue().splitlines()
    log = json.loads((tmp_path / 'log').read_text())
    assert [line.split()[-1] for line in lines[-3:]] == [
        f'{entry[key]:g}' for entry in log]
    if has_plot:
        assert (tmp_path / 'plot.png').read_bytes()[:4] == b'\x89PNG'


def test_modes(tmp_path):
    link = ModeNormalization(4, 3)
    group = ModeGroupNormalization(4, 2)
    trainer = _trainer(_Model(link, group), tmp_path, 2)
    # Of a test afterwards nothing must be recorded.
    trainer.extend(extensions.Evaluator(
        chainer.iterators.SerialIterator(
            chainer.datasets.TupleDataset(
                numpy.zeros((4, 4), 'f'), numpy.zeros(4, 'i')), 4,
            repeat=False, shuffle=False), L.Classifier(_Model(link, group))),
        trigger=(1, 'iteration'))
    gates = []
    trainer.extend(lambda _: gates.append(link.gates.mean(axis=0)),
                   trigger=(1, 'iteration'), priority=1000, name='gates')
    trainer.run()
    records = read_record(tmp_path / 'mixture.npz')
    record = records['/predictor/first']
    assert record.kind == 'mode'
    numpy.testing.assert_allclose(record.weights, gates[1:], rtol=1e-6)
    numpy.testing.assert_allclose(record.means, link.avg_mean[None], rtol=1e-6)
    numpy.testing.assert_allclose(
        record.variances, link.avg_sqmean[None] - link.avg_mean[None] ** 2,
        rtol=1e-5)
    assert record.n_effective.tolist() == [(gates[1] >= .01).sum()]
    record = records['/predictor/block/1']
    assert record.kind == 'mode_group'
    numpy.testing.assert_allclose(record.weights.sum(axis=1), 1, rtol=1e-6)
    assert record.weights.shape == (1, 2) and record.means.size == 0


def test_mixtures_of_samples_have_a_number_only(tmp_path):
    link = GroupMixtureNormalization(1, 4, 2, min_weight=0., seed=0)
    _trainer(_Model(link, L.BatchNormalization(4)), tmp_path).run()
    record = read_record(tmp_path / 'mixture.npz')['/predictor/first']
    assert record.n_effective.tolist() == [2, 2, 2]
    assert record.weights.shape == (3, 0)
    log = json.loads((tmp_path / 'log').read_text())
    assert [key for key in log[0] if key.startswith('predictor/')] == [
        'predictor/first/n_effective']


@pytest.mark.parametrize('link, expected', [
    (MixtureNormalization(4, 1, seed=0), 1),
    # Of weights that add up to 1, one at most is above 0.6.
    (MixtureNormalization(4, 4, min_weight=.6, seed=0), 1)])
def test_known_numbers(link, expected, tmp_path):
    _trainer(_Model(link, L.BatchNormalization(4)), tmp_path).run()
    for entry in json.loads((tmp_path / 'log').read_text()):
        assert entry['predictor/first/n_effective'] == expected


def test_model_without_mixtures_makes_no_file(tmp_path):
    _trainer(_Model(L.BatchNormalization(4), L.BatchNormalization(4)),
             tmp_path).run()
    assert [file.name for file in tmp_path.iterdir()] == ['log']


def test_link_that_saw_no_mini_batch(tmp_path):
    model = _Model(MixtureNormalization(4, seed=0), L.BatchNormalization(4))
    with model.init_scope():
        model.unused = MixtureNormalization(4, seed=0)
        model.without_size = MixtureNormalization(seed=0)
        model.mode = ModeNormalization(4)
        model.mode_group = ModeGroupNormalization()
        model.group = GroupMixtureNormalization(1, 4)
    _trainer(model, tmp_path).run()
    assert set(read_record(tmp_path / 'mixture.npz')) == {'/predictor/first'}


def test_sample_queue(tmp_path):
    link = MixtureNormalization(4, 2, inference='samples', seed=0)
    _trainer(_Model(link, L.BatchNormalization(4)), tmp_path).run()
    record = read_record(tmp_path / 'mixture.npz')['/predictor/first']
    numpy.testing.assert_array_equal(record.means[-1], link.queue.means[0])


def test_other_optimizers_stand_in_front_of_the_path(tmp_path):
    trainer = _trainer(_model(), tmp_path, 2)
    updater = trainer.updater
    updater._optimizers['critic'] = chainer.optimizers.SGD().setup(
        chainer.Sequential(updater.get_optimizer('main').target.predictor))
    trainer.run()
    assert set(read_record(tmp_path / 'mixture.npz')) == {
        f'{prefix}/{path}' for prefix in ('/predictor', '/critic/0')
        for path in ('first', 'block/1')}


def test_filename(tmp_path):
    _trainer(_model(), tmp_path, report=MixtureReport('modes')).run()
    assert len(read_record(tmp_path / 'modes')) == 2


def test_link_of_another_shape_starts_anew(tmp_path):
    report = MixtureReport()
    _trainer(_model(), tmp_path, report=report).run()
    trainer = _trainer(_Model(
        MixtureNormalization(4, 2, seed=0), L.BatchNormalization(4)), tmp_path,
        report=report)
    trainer.updater.iteration = 6
    trainer.stop_trigger = lambda trainer: trainer.updater.iteration >= 8
    trainer.run()
    records = read_record(tmp_path / 'mixture.npz')
    assert records['/predictor/first'].iterations.tolist() == [7, 8]
    assert records['/predictor/first'].weights.shape == (2, 2)


def _long_trainer(folder):
    trainer = _trainer(_model(), folder, 12, 1)
    trainer.extend(extensions.snapshot(filename='snapshot'),
                   trigger=(4, 'iteration'))
    return trainer


_KILLED = '''
import os, signal, sys
import mixnorm
from extensions_tests.test_mixture_report import _long_trainer

stop, where = int(sys.argv[2]), sys.argv[3]
trainer = _long_trainer(sys.argv[1])
replace, count = os.replace, [0]

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

def counted(source, target):
    is_record = str(target).endswith('mixture.npz')
    count[0] += is_record
    if is_record and count[0] == stop and where == 'before':
        kill()
    replace(source, target)
    if is_record and count[0] == stop and where == 'after':
        kill()

if where == 'update':
    trainer.extend(lambda t: t.updater.iteration == stop and kill(),
                   name='kill', priority=1000, trigger=(1, 'iteration'))
else:
    os.replace = counted
trainer.run()
'''


@pytest.mark.parametrize('stop, where', [
    (2, 'before'), (2, 'after'), (7, 'update'), (11, 'update')])
def test_resumed_after_a_kill_it_is_the_same_file(stop, where, tmp_path):
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    _long_trainer(whole).run()
    expected = read_record(whole / 'mixture.npz')
    assert expected['/predictor/first'].iterations.tolist() == list(
        range(1, 13))
    tests = pathlib.Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, '-c', _KILLED, str(parts), str(stop), where],
        env=dict(os.environ, PYTHONPATH=f'{tests}:{tests.parent}'),
        capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    if (parts / 'mixture.npz').exists():
        # What is there is whole.
        read_record(parts / 'mixture.npz')
    trainer = _long_trainer(parts)
    if (parts / 'snapshot').exists():
        serializers.load_npz(str(parts / 'snapshot'), trainer)
        assert trainer.updater.iteration in (4, 8)
    trainer.run()
    _assert_same(read_record(parts / 'mixture.npz'), expected)
    assert (parts / 'mixture.npz').read_bytes() == (
        whole / 'mixture.npz').read_bytes()


def test_what_was_recorded_after_the_snapshot_is_dropped(tmp_path):
    trainer = _trainer(_model(), tmp_path, 8)
    trainer.extend(extensions.snapshot(filename='snapshot_{.updater.iteration'
                                       '}'), trigger=(4, 'iteration'))
    trainer.run()
    expected = read_record(tmp_path / 'mixture.npz')
    resumed = _trainer(_model(), tmp_path, 8)
    serializers.load_npz(str(tmp_path / 'snapshot_4'), resumed)
    resumed.run()
    _assert_same(read_record(tmp_path / 'mixture.npz'), expected)
    assert expected['/predictor/first'].iterations.tolist() == [2, 4, 6, 8]


def test_snapshot_that_loads_itself(tmp_path):
    def trainer(n_updates):
        trainer = _trainer(_model(), tmp_path, n_updates)
        trainer.extend(extensions.snapshot(autoload=True),
                       trigger=(3, 'iteration'))
        return trainer

    # Iteration 4 was recorded after the snapshot.
    trainer(5).run()
    before = read_record(tmp_path / 'mixture.npz')
    trainer(9).run()
    for path, record in read_record(tmp_path / 'mixture.npz').items():
        assert record.iterations.tolist() == [2, 4, 6, 8]
        for ours, theirs in zip(record[1:], before[path][1:]):
            numpy.testing.assert_array_equal(ours[:2], theirs)


def test_new_run_drops_the_record_of_the_one_before(tmp_path):
    _trainer(_model(), tmp_path, 8).run()
    _trainer(_model(), tmp_path, 2).run()
    record = read_record(tmp_path / 'mixture.npz')['/predictor/first']
    assert record.iterations.tolist() == [2]


def test_snapshot_is_never_ahead_of_the_record(tmp_path, monkeypatch):
    # As if writing took so long that there is no time for another.
    monkeypatch.setattr('mixnorm.extensions.mixture_report._SHARE', 1e-12)
    trainer = _trainer(_model(), tmp_path, 6, 1)
    found = []

    def look(trainer):
        serializers.save_npz(str(tmp_path / 'snapshot'), trainer)
        records = read_record(tmp_path / 'mixture.npz')
        found.append(records['/predictor/first'].iterations.tolist())
    trainer.extend(look, trigger=(4, 'iteration'), priority=-100)
    trainer.run()
    assert found == [[1, 2, 3, 4]]
    assert len(read_record(tmp_path / 'mixture.npz')[
        '/predictor/first'].iterations) == 6


def test_damaged_record_is_kept_and_does_not_stop_a_run(tmp_path):
    trainer = _trainer(_model(), tmp_path, 4)
    serializers_file = str(tmp_path / 'snapshot')
    trainer.extend(lambda t: serializers.save_npz(serializers_file, t),
                   trigger=(2, 'iteration'), name='save', priority=-100)
    trainer.run()
    (tmp_path / 'mixture.npz').write_bytes(b'PK\3\4 damaged')
    resumed = _trainer(_model(), tmp_path, 6)
    serializers.load_npz(serializers_file, resumed)
    with pytest.warns(UserWarning, match='mixture.npz.damaged'):
        resumed.run()
    assert (tmp_path / 'mixture.npz.damaged').read_bytes() == (
        b'PK\3\4 damaged')
    record = read_record(tmp_path / 'mixture.npz')['/predictor/first']
    assert record.iterations.tolist() == [6]


def test_inception_for_100_epochs_is_below_50_megabytes(tmp_path):
    # The ten layers of inc2/0 and inc3/0, with 5 components, of 192 channels
    # but for two of 448 at most.
    random = numpy.random.RandomState(0)
    file = tmp_path / 'mixture.npz'
    write_record(file, {
        f'/inc/{i}': Record(
            'mixture', numpy.arange(100), numpy.arange(100.),
            numpy.full(100, 5.), *(
                random.rand(100, 5, *size).astype('f')
                for size in ((), (448,), (448,))))
        for i in range(10)})
    assert file.stat().st_size < 50e6
