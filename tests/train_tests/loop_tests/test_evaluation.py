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


@pytest.mark.parametrize('dtype', ['float16', 'float32'])
def test_equally_many_right_images_are_equal_accuracies(dtype):
    classifier = L.Classifier(lambda x: chainer.Variable(x))
    right = numpy.zeros(30, numpy.int32)
    scores = numpy.tile(numpy.array([[1, 0, 0, 0, 0, 0]], dtype), (30, 1))
    for wrong in ([0, 1, 2], [0, 10, 20], [5, 28, 29]):
        labels = right.copy()
        labels[wrong] = 3
        for size in (1, 3, 7, 13, 30):
            result = Evaluation(
                scores, labels, size, classifier, top5=True)()
            values = {key.split('/')[-1]: value
                      for key, value in result.items()}
            assert values['accuracy'] == 27 / 30
            # The five others score alike.
            assert values['top5_accuracy'] == 27 / 30


def test_top5_accuracy():
    metrics = pytest.importorskip('sklearn.metrics')
    seed = 0
    random = numpy.random.RandomState(seed)
    images = random.normal(size=(40, 6)).astype(numpy.float32)
    labels = random.randint(12, size=40).astype(numpy.int32)
    classifier = L.Classifier(L.Linear(6, 12))
    scores = images @ classifier.predictor.W.array.T

    result = Evaluation(images, labels, 7, classifier, top5=True)()
    values = {key.split('/')[-1]: value for key, value in result.items()}
    assert set(values) == {'loss', 'accuracy', 'top5_accuracy'}
    expected = metrics.top_k_accuracy_score(
        labels, scores, k=5, labels=range(12))
    assert 0 < expected < 1
    assert values['top5_accuracy'] == pytest.approx(expected)


@pytest.mark.parametrize('row, expected', [
    ([9, 8, 7, 6, 5, 4], [1, 1, 1, 1, 1, 0]),
    # Five of these are no more likely than the sixth.
    ([3, 3, 3, 3, 3, 3], [0, 0, 0, 0, 0, 0]),
    ([numpy.nan] * 6, [0, 0, 0, 0, 0, 0])])
def test_top5_accuracy_of_each_class(row, expected):
    classifier = L.Classifier(lambda x: chainer.Variable(x))
    for label, value in enumerate(expected):
        result = Evaluation(
            numpy.array([row], 'f'), numpy.array([label], 'i'), 1,
            classifier, top5=True)()
        assert [v for key, v in result.items() if 'top5' in key] == [value]


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
