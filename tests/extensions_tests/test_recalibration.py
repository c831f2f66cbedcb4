import json

import chainer
import chainer.functions as F
import chainer.links as L
from chainer.training import extensions
import numpy
import pytest

import mixnorm
from mixnorm.extensions import MixtureReport, Recalibration


_RANDOM = numpy.random.RandomState(0)
_LABELS = _RANDOM.randint(3, size=90).astype('i')
_IMAGES = (_RANDOM.normal(size=(90, 5)) + 2 * _LABELS[:, None]).astype('f')
_TRAIN = chainer.datasets.TupleDataset(_IMAGES[:60], _LABELS[:60])
_TEST = chainer.datasets.TupleDataset(_IMAGES[60:], _LABELS[60:])

_ACCURACY = 'recalibrated/validation/main/accuracy'


def _classifier():
    numpy.random.seed(0)
    return L.Classifier(chainer.Sequential(
        L.Linear(5, 4), mixnorm.links.MixtureNormalization(4, 2, seed=0),
        F.dropout, L.Linear(4, 6), L.BatchNormalization(6), F.relu,
        L.Linear(6, 3)))


def _evaluator(classifier):
    return extensions.Evaluator(chainer.iterators.SerialIterator(
        _TEST, 30, repeat=False, shuffle=False), classifier)


def _trainer(folder, length, extends=True, n_batches=4, **options):
    """Makes a trainer of batches of 20, tested after each epoch of three."""
    classifier = _classifier()
    optimizer = chainer.optimizers.MomentumSGD(.05).setup(classifier)
    # Nothing but dropout draws from the global generator.
    order = chainer.iterators.ShuffleOrderSampler(numpy.random.RandomState(1))
    updater = chainer.training.updaters.StandardUpdater(
        chainer.iterators.SerialIterator(_TRAIN, 20, order_sampler=order),
        optimizer)
    trainer = chainer.training.Trainer(
        updater, (length, 'epoch'), str(folder))
    evaluator = _evaluator(classifier)
    # The first to be added: the order of the others follows all the same.
    if extends:
        trainer.extend(Recalibration(
            evaluator, _TRAIN, n_batches, 20, **options))
    trainer.extend(evaluator)
    trainer.extend(MixtureReport())
    trainer.extend(extensions.LogReport())
    return trainer


def _run(folder, length, **options):
    """Trains; returns the log and all that a snapshot would hold."""
    trainer = _trainer(folder, length, **options)
    trainer.run()
    return _log(folder), _state(trainer)


def _log(folder):
    log = json.loads((folder / 'log').read_text())
    for entry in log:
        del entry['elapsed_time']
    return log


def _state(trainer):
    """Returns what is saved, but for when an extension was called last."""
    serializer = chainer.serializers.DictionarySerializer()
    trainer.serialize(serializer)
    return {name: numpy.array(value)
            for name, value in serializer.target.items()
            if not name.endswith(('_log', '_elapsed_time'))
            and '/recalibrated/' not in name}


def _assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name in expected:
        assert found[name].tolist() == expected[name].tolist(), name


def test_figures_of_both_statistics(tmp_path):
    """The other figures, and the training, are those without it."""
    log, state = _run(tmp_path / 'a', 4)
    expected_log, expected_state = _run(tmp_path / 'b', 4, extends=False)
    _assert_same(state, expected_state)
    for entry, expected in zip(log, expected_log):
        found = {key for key in entry if key.startswith('recalibrated/')}
        assert found == {'recalibrated/validation/main/loss', _ACCURACY}
        assert {key: entry[key]
                for key in entry.keys() - found} == expected
    key = 'validation/main/loss'
    assert all(entry[key] != entry[f'recalibrated/{key}'] for entry in log)


def test_figure_by_the_statistics_of_the_whole_set():
    numpy.random.seed(0)
    first, norm, last = L.Linear(5, 4), L.BatchNormalization(4), L.Linear(4, 3)
    classifier = L.Classifier(chainer.Sequential(first, norm, F.relu, last))
    result = Recalibration(_evaluator(classifier), _TRAIN, 1, 60)()

    h = _IMAGES.astype('d') @ first.W.array.T
    h = (h - h[:60].mean(axis=0)) / numpy.sqrt(
        h[:60].var(axis=0, ddof=1) + norm.eps)
    scores = numpy.maximum(h[60:], 0) @ last.W.array.T
    loss = numpy.log(numpy.exp(scores).sum(axis=1)) - scores[
        numpy.arange(30), _LABELS[60:]]
    # An evaluator that no trainer has is without a name.
    assert set(result) == {
        'recalibrated/main/loss', 'recalibrated/main/accuracy'}
    numpy.testing.assert_allclose(
        result['recalibrated/main/loss'], loss.mean(), 1e-5)
    numpy.testing.assert_allclose(
        result['recalibrated/main/accuracy'],
        (scores.argmax(axis=1) == _LABELS[60:]).mean(), 1e-6)
    assert norm.N == 0 and not norm.avg_mean.any()


def test_statistics_are_kept():
    classifier = _classifier()
    norm = classifier.predictor[4]
    result = Recalibration(
        _evaluator(classifier), _TRAIN, 4, 20, restore=False)()
    assert norm.N == 4
    plain = _evaluator(classifier)()
    assert result == {f'recalibrated/{name}': value
                      for name, value in plain.items()}


def test_evaluation_comes_before_statistics_that_are_kept(tmp_path):
    # Of one epoch only: the next would be another training.
    expected, _ = _run(tmp_path / 'a', 1)
    found, _ = _run(tmp_path / 'b', 1, restore=False)
    for key in ('validation/main/loss', _ACCURACY):
        assert found[0][key] == expected[0][key]


@pytest.mark.parametrize('restore', [True, False])
def test_resumed_training_is_the_same(restore, tmp_path):
    log, state = _run(tmp_path / 'whole', 4, restore=restore)
    first = _trainer(tmp_path / 'parts', 2, restore=restore)
    first.run()
    chainer.serializers.save_npz(str(tmp_path / 'snapshot'), first)
    # Chainer does not save what orders and dropout are drawn from.
    random = numpy.random.get_state()
    second = _trainer(tmp_path / 'parts', 4, restore=restore)
    second.updater.get_iterator('main').order_sampler = (
        first.updater.get_iterator('main').order_sampler)
    chainer.serializers.load_npz(str(tmp_path / 'snapshot'), second)
    numpy.random.set_state(random)
    second.run()
    assert _log(tmp_path / 'parts') == log
    _assert_same(_state(second), state)


def test_seed_decides_the_draws():
    classifier = _classifier()
    evaluator = _evaluator(classifier)

    def loss(seed):
        return Recalibration(evaluator, _TRAIN, 2, 20, seed=seed)()[
            'recalibrated/main/loss']
    numpy.random.seed(5)
    first = loss(1)
    numpy.random.seed(6)
    assert loss(1) == first != loss(2)


def test_batches_are_full_and_cover_the_set():
    seen = []

    @chainer.dataset.converter()
    def convert(indices, device):
        seen.append(list(indices))
        return _IMAGES[indices]
    evaluator = extensions.Evaluator(
        chainer.iterators.SerialIterator(_IMAGES, 30, False, False),
        L.BatchNormalization(5))
    Recalibration(evaluator, range(90), 5, 36, convert)()
    assert [len(batch) for batch in seen] == [36] * 5
    order = sum(seen, [])
    assert sorted(order[:90]) == sorted(order[90:]) == list(range(90))
    assert order[:90] != order[90:]


def test_error_leaves_the_old_statistics():
    classifier = _classifier()
    norm = classifier.predictor[4]

    def fail(*batch):
        assert norm.N == 4
        raise OSError
    evaluator = _evaluator(classifier)
    evaluator.eval_func = fail
    with pytest.raises(OSError):
        Recalibration(evaluator, _TRAIN, 4, 20)()
    assert norm.N == 0 and not norm.avg_mean.any()


@pytest.mark.parametrize('options, words', [
    ({'n_batches': 0}, 'n_batches is 0'),
    ({'batch_size': 2.5}, 'batch_size is 2.5'),
    ({'seed': -1}, 'seed is -1'),
    ({'seed': 2 ** 32}, 'seed is 4294967296'),
    ({'restore': 1}, 'restore is 1'),
    ({'training_set': []}, 'training_set is empty')])
def test_bad_arguments(options, words):
    arguments = dict({'training_set': _TRAIN, 'n_batches': 1,
                      'batch_size': 1}, **options)
    with pytest.raises(ValueError, match=words):
        Recalibration(_evaluator(_classifier()), **arguments)
