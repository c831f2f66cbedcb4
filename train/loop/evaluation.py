"""Loss and accuracy over a test set."""

import chainer
from chainer.training import extensions

from train.data.batches import send


class Evaluation(extensions.Evaluator):

    """Trainer extension that reports a classifier's means over a test set.

    Chainer's own evaluator takes the mean of the batches' means, in which an
    image of a smaller last batch counts for more than the others. Here every
    image counts the same.

    Args:
        images (numpy.ndarray): Images of shape ``(N, C, H, W)``.
        labels (numpy.ndarray): Labels of shape ``(N,)``.
        batch_size (int): Number of images to pass through the model at once.
        target (~chainer.Link): The classifier.

    """

    def __init__(self, images, labels, batch_size, target):
        super().__init__({}, target)
        self._batches = [
            (images[start:start + batch_size],
             labels[start:start + batch_size])
            for start in range(0, len(images), batch_size)]

    def evaluate(self):
        classifier = self.get_target('main')
        summary = chainer.DictSummary()
        for images, labels in self._batches:
            observation = {}
            with chainer.reporter.report_scope(observation), \
                    chainer.no_backprop_mode():
                classifier(*send((images, labels), classifier.device))
            summary.add({name: (float(value.array), len(labels))
                         for name, value in observation.items()})
        return summary.compute_mean()
