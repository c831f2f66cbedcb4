"""One set of images, with normalized channels, as a pair of arrays."""

import collections

import numpy

from train.data import sources


_SHAPES = {'digits': (1, 16, 16), 'mnist': (1, 28, 28),
           'cifar10': (3, 32, 32), 'cifar100': (3, 32, 32)}

NAMES = tuple(_SHAPES)

Images = collections.namedtuple('Images', 'images labels')
Images.__doc__ = 'Images (N, C, H, W), float32, and labels (N,), int32.'


n_classes = sources.n_classes


def image_shape(name):
    """Returns the shape of a set's images, ``(C, H, W)``."""
    return _SHAPES[name]


def load(name, train_size=None, test_size=None):
    """Loads a data set and normalizes its channels.

    Each channel has the mean of the training images taken away and is
    divided by their standard deviation.

    Args:
        name (str): One of ``NAMES``.
        train_size (int or None): How many training images to use, from the
            first; ``None`` for all.
        test_size (int or None): The same for the test images.

    Returns:
        tuple of Images: Training set and test set.

    Raises:
        UserError: If the data set cannot be read, or is smaller than the
            sizes asked for.

    """
    parts = read(name, train_size, test_size)
    mean, deviation = channel_statistics(parts[0].images)
    for part in parts:
        part.images[...] -= mean
        part.images[...] /= deviation
    return parts


def read(name, train_size=None, test_size=None):
    """Reads a data set as the networks take it, but for normalization.

    Args:
        name (str): See :func:`load`.
        train_size (int or None): See there.
        test_size (int or None): See there.

    Returns:
        tuple of Images: Training set and test set, of images in [0, 1].

    Raises:
        UserError: See there.

    """
    parts = tuple(Images(*part) for part in sources.read(
        name, 1., numpy.float32, train_size, test_size))
    if name == 'digits':
        # Twice as large, so that a network's third pooling still has
        # something to pool: 16x16 pixels.
        parts = tuple(Images(part.images.repeat(2, axis=2).repeat(2, axis=3),
                             part.labels) for part in parts)
    return parts


def channel_statistics(images):
    """Computes what each channel is normalized with.

    Args:
        images (numpy.ndarray): Training images of shape ``(N, C, H, W)``.

    Returns:
        tuple of numpy.ndarray: Mean and standard deviation (1 where it is 0),
        float32, of shape ``(C, 1, 1)``.

    """
    axes = 0, 2, 3
    mean = images.mean(axis=axes, dtype=numpy.float64)
    deviation = images.std(axis=axes, dtype=numpy.float64)
    deviation[deviation == 0] = 1
    return tuple(z.astype(numpy.float32)[:, None, None]
                 for z in (mean, deviation))
