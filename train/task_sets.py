"""Several sets of images as one: 32x32 pixels, classes of their own."""

import collections

import chainer
import numpy

from train.command_line import UserError
from train.datasets import read_arrays


TaskSet = collections.namedtuple('TaskSet', 'images labels')
TaskSet.__doc__ = (
    'Images (N, 3, 32, 32), uint8, and labels (N,), int32, from 0.')

_SIDE = 32


class Union(collections.namedtuple('Union', 'images labels tasks')):

    """Images of several sets, one after another.

    Attributes:
        images (numpy.ndarray): ``(N, 3, 32, 32)``, uint8.
        labels (numpy.ndarray): ``(N,)``, int32. A set's labels begin where
            those of the set before end.
        tasks (numpy.ndarray): Number of each image's set, ``(N,)``, int32.

    """


def _digits():
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise UserError('the set digits comes with scikit-learn, which is not '
                        'installed: pip install scikit-learn')
    digits = load_digits()
    images = fit(digits.images[:, None] * (255 / 16))
    # The file goes from writer to writer. A fixed shuffle, the same for every
    # seed, puts every writer into both parts.
    order = numpy.random.RandomState(0).permutation(len(images))
    labels = digits.target.astype(numpy.int32)
    return [TaskSet(images[part], labels[part])
            for part in (order[:1437], order[1437:])]


def _textures():
    """Coloured gratings in noise: ten classes, of orientation and period."""
    random = numpy.random.RandomState(0)
    parts = []
    y, x = numpy.mgrid[:_SIDE, :_SIDE]
    for n in (1437, 360):
        labels = random.randint(10, size=n).astype(numpy.int32)
        angle, phase = numpy.pi / 5 * (labels % 5) + random.normal(
            0, .15, n), random.uniform(0, 2 * numpy.pi, n)
        period = numpy.where(labels < 5, 5., 9.) * random.uniform(.85, 1.2, n)
        along = (numpy.cos(angle)[:, None, None] * x
                 + numpy.sin(angle)[:, None, None] * y)
        wave = numpy.sin(2 * numpy.pi * along / period[:, None, None]
                         + phase[:, None, None])
        contrast = random.uniform(10, 40, (n, 3))[:, :, None, None]
        level = random.uniform(120, 210, (n, 3))[:, :, None, None]
        images = level + contrast * wave[:, None] + random.normal(
            0, 25, (n, 3, _SIDE, _SIDE))
        parts.append(TaskSet(
            numpy.clip(images, 0, 255).astype(numpy.uint8), labels))
    return parts


def fit(images):
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


def _with_chainer(get):
    def read():
        parts = []
        for part in get():
            images, labels = chainer.dataset.concat_examples(part[:])
            parts.append(TaskSet(fit(images), labels))
        return parts
    return read


def _svhn():
    try:
        import scipy.io  # NOQA
    except ImportError:
        raise UserError('Chainer reads the set svhn with SciPy, which is not '
                        'installed: pip install scipy')
    return chainer.datasets.get_svhn(**_PIXELS)


_Source = collections.namedtuple('_Source', 'read n_classes files')

# Pixels from 0 to 255 in float16, which holds them exactly.
_PIXELS = {'scale': 255., 'dtype': numpy.float16}

_SOURCES = {
    'digits': _Source(_digits, 10, ()),
    'textures': _Source(_textures, 10, ()),
    'mnist': _Source(
        _with_chainer(lambda: chainer.datasets.get_mnist(ndim=3, **_PIXELS)),
        10, ('pfnet/chainer/mnist/train.npz', 'pfnet/chainer/mnist/test.npz')),
    'fashion-mnist': _Source(
        _with_chainer(
            lambda: chainer.datasets.get_fashion_mnist(ndim=3, **_PIXELS)),
        10, ('pfnet/chainer/fashion-mnist/train.npz',
             'pfnet/chainer/fashion-mnist/test.npz')),
    'cifar10': _Source(
        _with_chainer(lambda: chainer.datasets.get_cifar10(**_PIXELS)), 10,
        ('pfnet/chainer/cifar/cifar-10.npz',)),
    'svhn': _Source(
        _with_chainer(_svhn), 10,
        ('pfnet/chainer/svhn/train.npz', 'pfnet/chainer/svhn/test.npz')),
}

NAMES = tuple(_SOURCES)


def n_classes(names):
    """Returns the number of classes of several sets together."""
    return sum(_SOURCES[name].n_classes for name in names)


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
        UserError: If a set cannot be fetched or its file cannot be read, or
            is smaller than the sizes asked for.

    """
    sets = [read_arrays(name, _SOURCES[name].read, _SOURCES[name].files)
            for name in names]
    unions = []
    for i, (which, size) in enumerate(
            (('train', train_size), ('test', test_size))):
        first_label = 0
        parts = []
        for task, (name, pair) in enumerate(zip(names, sets)):
            images, labels = pair[i]
            if size is not None and size > len(labels):
                raise UserError(f'--{which}-size {size} is more than the '
                                f'{len(labels)} images of {name}')
            labels = labels[:size] + numpy.int32(first_label)
            parts.append((images[:size], labels,
                          numpy.full(len(labels), task, numpy.int32)))
            first_label += _SOURCES[name].n_classes
        unions.append(Union(*map(numpy.concatenate, zip(*parts))))
    return tuple(unions)


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
