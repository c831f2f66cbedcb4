"""Loss and accuracy over a test set."""

import chainer
import chainer.functions as F
from chainer.training import extensions
import numpy

from train.data.batches import send
from train.loop import workers


class Evaluation(extensions.Evaluator):

    """Trainer extension that reports a classifier's means over a test set.

    Chainer's own evaluator takes the mean of the batches' means, in which an
    image of a smaller last batch counts for more than the others. Here every
    image counts the same, and accuracies are exact: equally many right images
    are equal accuracies, whichever batches they are in.

    Args:
        images (numpy.ndarray or ~train.data.image_files.ImageFiles): Images
            of shape ``(N, C, H, W)``.
        labels (numpy.ndarray): Labels of shape ``(N,)``.
        batch_size (int): Number of images to pass through the model at once.
        target (~chainer.Link): The classifier.
        top5 (bool): Whether to report ``'top5_accuracy'`` as well, the share
            of images of which fewer than five classes score as high as their
            own. The classifier then keeps its scores as ``y``.
        communicator (chainermn.CommunicatorBase or None): That of workers who
            share the batches, if there are several.

    """

    def __init__(self, images, labels, batch_size, target, top5=False,
                 communicator=None):
        super().__init__({}, target)
        self._communicator = communicator
        self._top5 = top5
        self._images = images
        self._labels = labels
        self._batch_size = batch_size

    def evaluate(self):
        classifier = self.get_target('main')
        found = []
        starts = range(0, len(self._labels), self._batch_size)
        if self._communicator is not None:
            starts = starts[
                self._communicator.rank::self._communicator.size]
        for start in starts:
            part = slice(start, start + self._batch_size)
            images, labels = self._images[part], self._labels[part]
            observation = {}
            with chainer.reporter.report_scope(observation), \
                    chainer.no_backprop_mode():
                images, labels = send((images, labels), classifier.device)
                classifier(images, labels)
                if self._top5:
                    chainer.report({'top5_accuracy': _top5_accuracy(
                        classifier.y.array, labels)}, classifier)
            found.append((observation, len(labels)))
        # Last of all: to read a figure is to wait for a GPU.
        sums = workers.concatenated(self._communicator, [
            {name: _sum_of(name, float(chainer.as_array(value)), n)
             for name, value in observation.items()}
            for observation, n in found])
        return {name: sum(one[name] for one in sums) / len(self._labels)
                for name in sums[0]}


def _sum_of(name, mean, n_images):
    """Returns the sum that a mean over a batch came from."""
    # The mean is rounded to the precision of the model; a count is whole.
    return numpy.rint(mean * n_images) if name.endswith('accuracy') else (
        mean * n_images)


def _top5_accuracy(scores, labels):
    own = F.select_item(scores, labels).array[:, None]
    # Itself is not below either; next to NaN, no class is.
    not_below = (~(scores < own)).sum(axis=1)
    return (not_below <= 5).mean()
