import chainer
import chainer.links as L
import numpy
import pytest

from train.loop.evaluation import Evaluation


@pytest.mark.parametrize('batch_size', [1, 3, 4, 10, 100])
def test_every_image_counts_the_same(batch_size):
    seed = 0
    random = numpy.random.RandomState(seed)
    images = random.normal(size=(10, 4)).astype(numpy.float32)
    labels = random.randint(3, size=10).astype(numpy.int32)
    classifier = L.Classifier(L.Linear(4, 3))
    W, b = (param.array for param in (
        classifier.predictor.W, classifier.predictor.b))
    scores = (images @ W.T + b).astype(numpy.float64)
    loss = numpy.log(numpy.exp(scores).sum(axis=1)) - scores[
        numpy.arange(10), labels]

    result = Evaluation(images, labels, batch_size, classifier)()
    assert set(result) == {'main/loss', 'main/accuracy'} or set(result) == {
        'validation/main/loss', 'validation/main/accuracy'}
    values = {key.split('/')[-1]: value for key, value in result.items()}
    numpy.testing.assert_allclose(values['loss'], loss.mean(), rtol=1e-5)
    numpy.testing.assert_allclose(
        values['accuracy'], (scores.argmax(axis=1) == labels).mean(),
        rtol=1e-6)


def test_model_is_in_test_mode_and_keeps_no_graph():
    class Probe(chainer.Chain):
        def forward(self, images, labels):
            assert not chainer.config.train
            assert not chainer.config.enable_backprop
            value = chainer.Variable(numpy.array(len(labels), 'f'))
            chainer.report({'loss': value}, self)

    result = Evaluation(
        numpy.zeros((5, 1)), numpy.zeros(5, int), 3, Probe())()
    # The mean over images of their batch's size: (3 * 3 + 2 * 2) / 5.
    assert list(result.values()) == [13 / 5]


def test_figures_are_read_once_all_batches_have_passed():
    """Reading one waits for a GPU."""
    events = []

    class Figure:
        array = property(lambda self: self)

        def __float__(self):
            events.append('read')
            return 1.

    class Probe(chainer.Chain):
        def forward(self, images, labels):
            events.append('passed')
            chainer.reporter.get_current_reporter().observation[
                'main/loss'] = Figure()

    result = Evaluation(
        numpy.zeros((5, 1)), numpy.zeros(5, int), 2, Probe())()
    assert events == 3 * ['passed'] + 3 * ['read']
    assert list(result.values()) == [1.]
