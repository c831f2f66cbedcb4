"""Several sets of images as one: 32x32 pixels, classes of their own."""

import collections

import numpy

from train.data import sources


NAMES = 'digits', 'textures', 'mnist', 'fashion-mnist', 'cifar10', 'svhn'

_SIDE = 32


class Union(collections.namedtuple('Union', 'images labels tasks')):

    """Images of several sets, one after another.

    Attributes:
        images (numpy.ndarray): ``(N, 3, 32, 32)``, uint8.
        labels (numpy.ndarray): ``(N,)``, int32. A set's labels begin where
            those of the set before end.
        tasks (numpy.ndarray): Number of each image's set, ``(N,)``, int32.

    """


def n_classes(names):
    """Returns the number of classes of several sets together."""
    return sum(map(sources.n_classes, names))


def load(names, train_size=None, test_size=None):
    """Loads several sets as one.

    Args:
        names (list of str): Some of ``NAMES``.
        train_size (int or None): How many training images of each set to use,
            from the first; ``None`` for all.
        test_size (int or None): The same for the test images.

    Returns:
        tuple of Union: Training set and test set.

    Raises:
        UserError: If a set cannot be read, or is smaller than the sizes asked
            for.

    """
    unions = [], []
    for task, name in enumerate(names):
        # float16 holds the levels from 0 to 255 exactly.
        for union, (images, labels) in zip(unions, sources.read(
                name, 255., numpy.float16, train_size, test_size)):
            union.append((
                frame(images), labels + numpy.int32(n_classes(names[:task])),
                numpy.full(len(labels), task, numpy.int32)))
    return tuple(Union(*map(numpy.concatenate, zip(*parts)))
                 for parts in unions)


def frame(images):
    """Brings images to 32x32 pixels of three colours.

    Small ones are magnified as often as they fit and then framed in black;
    grey ones are repeated for each colour.

    Args:
        images (numpy.ndarray): ``(N, 1 or 3, H, W)`` in [0, 255], at most
            32x32.

    Returns:
        numpy.ndarray: ``(N, 3, 32, 32)``, uint8.

    """
    n, n_colours, height, width = images.shape
    factor = _SIDE // max(height, width)
    images = numpy.rint(images).astype(numpy.uint8).repeat(
        factor, axis=2).repeat(factor, axis=3)
    out = numpy.zeros((n, 3, _SIDE, _SIDE), numpy.uint8)
    top = (_SIDE - images.shape[2]) // 2
    left = (_SIDE - images.shape[3]) // 2
    out[:, :, top:top + images.shape[2],
        left:left + images.shape[3]] = images
    return out


class Standardize:

    """Makes images float32, of mean 0 and deviation 1 over a training set.

    Args:
        images (numpy.ndarray): The training images, ``(N, 3, 32, 32)``,
            uint8.

    """

    def __init__(self, images):
        axes = 0, 2, 3
        count = images.size / images.shape[1]
        # Sums of so many squares need float64; so little memory, parts.
        total, square = numpy.zeros((2, images.shape[1]))
        for start in range(0, len(images), 1000):
            part = images[start:start + 1000].astype(numpy.float64)
            total += part.sum(axis=axes)
            square += (part * part).sum(axis=axes)
        mean = total / count
        deviation = numpy.sqrt(numpy.maximum(square / count - mean ** 2, 0))
        deviation[deviation == 0] = 1
        self._mean, self._deviation = (
            z.astype(numpy.float32)[:, None, None] for z in (mean, deviation))

    def __call__(self, images):
        """Returns images ``(N, 3, 32, 32)``, float32."""
        return (images.astype(numpy.float32) - self._mean) / self._deviation
