import mixnorm  # NOQA  (makes Chainer importable, so it comes first)
import chainer
import chainer.functions as F
import chainer.links as L
import numpy
import pytest

from mixnorm.links import MixtureNormalization, ModeNormalization
from train.experiments.measures import (
    accuracy_by_own_statistics, output_noise)


class _Net(chainer.Chain):

    def __init__(self, norm):
        super().__init__()
        with self.init_scope():
            self.norm = norm

    def forward(self, x):
        return self.norm(x)


def _batches(n, seed=0):
    random = numpy.random.RandomState(seed)
    return [(random.randn(20, 4) * random.uniform(.5, 2)
             + random.randn()).astype('f') for _ in range(n)]


def _state(link):
    serializer = chainer.serializers.DictionarySerializer()
    serializer.save(link)
    return {name: numpy.array(value)
            for name, value in serializer.target.items()}


def test_noise_of_batch_normalization():
    model = _Net(L.BatchNormalization(4))
    probe, *others = _batches(6)
    outputs = numpy.array([
        (probe - x.mean(axis=0)) / numpy.sqrt(x.var(axis=0, ddof=1) + 2e-5)
        for x in others])
    expected = numpy.sqrt((numpy.diff(outputs, axis=0) ** 2).sum()
                          / (outputs[:-1] ** 2).sum())
    numpy.testing.assert_allclose(
        output_noise(model, '/norm', [probe, *others]), expected, rtol=1e-4)


def test_equal_batches_make_no_noise():
    x = _batches(1)[0]
    for norm in (L.BatchNormalization(4), ModeNormalization(4)):
        assert output_noise(_Net(norm), '/norm', 4 * [x]) == 0


@pytest.mark.parametrize('norm', [
    lambda: L.BatchNormalization(4), lambda: ModeNormalization(4),
    lambda: MixtureNormalization(4, seed=0),
    lambda: MixtureNormalization(4, seed=0, warm_start=True)])
def test_measures_change_nothing(norm):
    model = L.Classifier(_Net(norm()))
    for x in _batches(3):
        model.predictor(x)
    before = _state(model)
    labels = numpy.zeros(20, 'i')
    output_noise(model.predictor, '/norm', _batches(4, seed=1))
    accuracy_by_own_statistics(
        model, [(x, labels) for x in _batches(2, seed=2)])
    after = _state(model)
    for name, value in before.items():
        numpy.testing.assert_array_equal(after[name], value, name)


def test_accuracy_by_own_statistics():
    # The label is the greatest of the standardized channels.
    model = L.Classifier(_Net(L.BatchNormalization(4)))
    random = numpy.random.RandomState(0)
    batches, n_right = [], 0
    for x in _batches(5):
        standardized = F.batch_normalization(
            x, numpy.ones(4, 'f'), numpy.zeros(4, 'f')).array
        labels = standardized.argmax(axis=1).astype('i')
        wrong = random.rand(len(labels)) < .3
        batches.append((x, numpy.where(wrong, (labels + 1) % 4, labels)))
        n_right += (~wrong).sum()
    assert accuracy_by_own_statistics(model, batches) == n_right / 100
