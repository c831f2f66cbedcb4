import json

import chainer
from chainer import links as L
from chainer.training import extensions
import numpy
import pytest

from mixnorm.extensions import EffectiveComponents
from mixnorm.links import GroupMixtureNormalization, MixtureNormalization


class _Model(chainer.Chain):

    """Linear layer of 4 outputs between normalizers."""

    def __init__(self, first, second):
        super().__init__()
        with self.init_scope():
            self.first = first
            self.block = chainer.Sequential(L.Linear(4, 4), second)

    def forward(self, x):
        return self.block(self.first(x))


def _train(model, folder, log_every=2):
    """Makes 6 updates with 32 images each; returns the log."""
    random = numpy.random.RandomState(0)
    images = random.normal(size=(64, 4)) + 4 * random.randint(3, size=(64, 1))
    images = images.astype('f')
    labels = random.randint(4, size=64).astype('i')
    optimizer = chainer.optimizers.SGD(.01)
    optimizer.setup(L.Classifier(model))
    updater = chainer.training.updaters.StandardUpdater(
        chainer.iterators.SerialIterator(
            chainer.datasets.TupleDataset(images, labels), 32,
            shuffle=False), optimizer)
    trainer = chainer.training.Trainer(
        updater, (6, 'iteration'), str(folder))
    trigger = log_every, 'iteration'
    # The report is the first to be added: it has to wait all the same.
    trainer.extend(extensions.LogReport(trigger=trigger))
    trainer.extend(EffectiveComponents(), trigger=trigger)
    trainer.run()
    return json.loads((folder / 'log').read_text())


def _found(entry):
    return {key: value for key, value in entry.items() if 'effective' in key}


def test_number_of_weights_of_the_last_mini_batch(tmp_path):
    first = MixtureNormalization(4, 5, n_iter=8, min_weight=.15, seed=0)
    second = MixtureNormalization(4, 3, n_iter=8, min_weight=.3, seed=1)
    log = _train(_Model(first, second), tmp_path)
    assert [entry['iteration'] for entry in log] == [2, 4, 6]
    for entry in log:
        assert set(_found(entry)) == {
            'n_effective/predictor/first', 'n_effective/predictor/block/1'}
    # The queue has the newest mini-batch first, every other was logged.
    for name, link in (('first', first), ('block/1', second)):
        expected = (link.queue.weights > 0).sum(axis=1)[::-1][1::2].tolist()
        assert [entry[f'n_effective/predictor/{name}']
                for entry in log] == expected
        assert min(expected) < link.n_components


@pytest.mark.parametrize('link, expected', [
    (MixtureNormalization(4, 1, seed=0), 1),
    # Of weights that add up to 1, one at most is above 0.6.
    (MixtureNormalization(4, 4, min_weight=.6, seed=0), 1),
    (GroupMixtureNormalization(1, 4, 2, min_weight=0., seed=0), 2)])
def test_known_numbers(link, expected, tmp_path):
    log = _train(_Model(link, L.BatchNormalization(4)), tmp_path)
    for entry in log:
        assert _found(entry) == {'n_effective/predictor/first': expected}


def test_model_without_mixtures(tmp_path):
    log = _train(_Model(L.BatchNormalization(4), L.BatchNormalization(4)),
                 tmp_path)
    assert len(log) == 3
    assert all(_found(entry) == {} for entry in log)


def test_link_that_saw_no_mini_batch(tmp_path):
    model = _Model(MixtureNormalization(4, seed=0), L.BatchNormalization(4))
    with model.init_scope():
        model.unused = MixtureNormalization(4, seed=0)
    for entry in _train(model, tmp_path):
        assert set(_found(entry)) == {'n_effective/predictor/first'}
