import chainer
import chainer.links as L
import numpy
import pytest

from train.loop import optimizers
from train.data.batches import BatchIterator
from train.data.batches import send
from train.loop.optimizers import LearningRate
from train.loop.optimizers import make_optimizer


@pytest.mark.parametrize('name, kind, values', [
    ('rmsprop', chainer.optimizers.RMSprop, {'lr': 0.3, 'alpha': 0.9}),
    ('rmsprop-graves', chainer.optimizers.RMSpropGraves,
     {'lr': 0.3, 'momentum': 0.9}),
    ('nesterov', chainer.optimizers.NesterovAG,
     {'lr': 0.3, 'momentum': 0.9}),
    ('momentum', chainer.optimizers.MomentumSGD,
     {'lr': 0.3, 'momentum': 0.9}),
    ('sgd', chainer.optimizers.SGD, {'lr': 0.3}),
    ('adam', chainer.optimizers.Adam,
     {'alpha': 0.3, 'beta1': .9, 'beta2': .999})])
def test_make_optimizer(name, kind, values):
    assert name in optimizers.NAMES
    optimizer = make_optimizer(name, 0.3)
    assert type(optimizer) is kind
    for key, value in values.items():
        assert getattr(optimizer, key) == value


@pytest.mark.parametrize('name', ['momentum', 'nesterov', 'rmsprop-graves'])
def test_momentum(name):
    assert make_optimizer(name, .3, momentum=.5).momentum == .5


def test_betas():
    optimizer = make_optimizer('adam', .3, betas=[.5, .99])
    assert (optimizer.beta1, optimizer.beta2) == (.5, .99)


def test_momentum_sgd_is_that_of_its_equation():
    # v <- m v - lr g, w <- w + v.
    link = L.Linear(1, 1, initialW=2., nobias=True)
    optimizer = make_optimizer('momentum', .1, momentum=.8).setup(link)
    w, v = 2., 0.
    for gradient in (1., -2., .5):
        link.W.grad[...] = gradient
        optimizer.update()
        v = .8 * v - .1 * gradient
        w += v
        numpy.testing.assert_allclose(link.W.array, w, 1e-6)


def _rates(name, schedule, n_iterations):
    """Returns the rates used in updates of 3 images out of 6 each."""
    used = []

    class Recording(type(make_optimizer(name, 1.))):
        def update(self, *args, **kwargs):
            used.append(self.alpha if name == 'adam' else self.lr)
            super().update(*args, **kwargs)

    optimizer = make_optimizer(name, 1.)
    optimizer.__class__ = Recording
    optimizer.setup(L.Classifier(L.Linear(2, 2)))
    batches = BatchIterator(
        numpy.zeros((6, 2), numpy.float32), numpy.zeros(6, numpy.int32), 3,
        numpy.random.RandomState(0))
    updater = chainer.training.updaters.StandardUpdater(
        batches, optimizer, converter=send,
        input_device=chainer.get_device('@numpy'))
    reported = []
    trainer = chainer.training.Trainer(updater, (n_iterations, 'iteration'))
    trainer.extend(schedule)

    @trainer.extend
    def keep(trainer):
        reported.append(trainer.observation['lr'])
    trainer.run()
    return used, reported


@pytest.mark.parametrize('name', ['rmsprop', 'nesterov', 'adam'])
@pytest.mark.parametrize('every, at, expected', [
    (None, (), [1, 1, 1, 1, 1, 1, 1, 1]),
    (1, (), [1, 1, .5, .5, .25, .25, .125, .125]),
    (2, (), [1, 1, 1, 1, .5, .5, .5, .5]),
    (None, (1, 3), [1, 1, .5, .5, .5, .5, .25, .25]),
    # Within an epoch, of two updates, and between two of them.
    (None, (.5, 2.5), [1, .5, .5, .5, .5, .25, .25, .25]),
    (None, (1.2,), [1, 1, 1, .5, .5, .5, .5, .5]),
    (1.5, (), [1, 1, 1, .5, .5, .5, .25, .25]),
    (.1 * 15, (.1 * 5,), [1, .5, .5, .25, .25, .25, .125, .125])])
def test_learning_rate(name, every, at, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    used, reported = _rates(name, LearningRate(name, 1., .5, every, at), 8)
    assert used == expected
    assert reported == expected


@pytest.mark.parametrize('name', ['sgd', 'adam'])
@pytest.mark.parametrize('at_iterations, at, expected', [
    # A decay after so many updates: the next one is the first with it.
    ((3,), (), [1, 1, 1, .5, .5, .5, .5, .5]),
    ((1, 6), (), [1, .5, .5, .5, .5, .5, .25, .25]),
    ((5, 5), (), [1, 1, 1, 1, 1, .25, .25, .25]),
    ((8,), (), [1, 1, 1, 1, 1, 1, 1, 1]),
    # An epoch has two updates.
    ((3,), (1, 3), [1, 1, .5, .25, .25, .25, .125, .125])])
def test_learning_rate_at_iterations(
        name, at_iterations, at, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    used, reported = _rates(name, LearningRate(
        name, 1., .5, at=at, at_iterations=at_iterations), 8)
    assert used == expected
    assert reported == expected


def test_rate_of_the_papers_schedule_after_100_epochs():
    class Updater:
        epoch_detail = 100.
        optimizer = make_optimizer('rmsprop', 0.01)

        def get_optimizer(self, name):
            return self.optimizer

    class Trainer:
        updater = Updater()

    LearningRate('rmsprop', 0.01, 0.93, every=2).initialize(Trainer)
    numpy.testing.assert_allclose(
        Trainer.updater.optimizer.lr, 0.01 * 0.93 ** 50)
