"""Image data sets, normalized, as pairs of arrays."""

import collections
import os

import chainer
import numpy

from train.command_line import UserError


Images = collections.namedtuple('Images', 'images labels')
Images.__doc__ = 'Images (N, C, H, W), float32, and labels (N,), int32.'

_Source = collections.namedtuple('_Source', 'read n_classes files')


def _read_digits():
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise UserError('the data set digits comes with scikit-learn, which '
                        'is not installed: pip install scikit-learn')
    digits = load_digits()
    # Twice as large, so that a network's third pooling still has something to
    # pool: 16x16 pixels.
    images = digits.images[:, None].astype(numpy.float32).repeat(
        2, axis=2).repeat(2, axis=3)
    labels = digits.target.astype(numpy.int32)
    # The file goes from writer to writer. A fixed shuffle, the same for every
    # seed, puts every writer into both parts.
    order = numpy.random.RandomState(0).permutation(len(images))
    train, test = order[:1437], order[1437:]
    return Images(images[train], labels[train]), Images(
        images[test], labels[test])


def _read_with_chainer(get):
    def read():
        return [Images(*chainer.dataset.concat_examples(part[:]))
                for part in get()]
    return read


_SOURCES = {
    'digits': _Source(_read_digits, 10, ()),
    'mnist': _Source(
        _read_with_chainer(lambda: chainer.datasets.get_mnist(ndim=3)), 10,
        ('pfnet/chainer/mnist/train.npz', 'pfnet/chainer/mnist/test.npz')),
    'cifar10': _Source(
        _read_with_chainer(chainer.datasets.get_cifar10), 10,
        ('pfnet/chainer/cifar/cifar-10.npz',)),
    'cifar100': _Source(
        _read_with_chainer(chainer.datasets.get_cifar100), 100,
        ('pfnet/chainer/cifar/cifar-100.npz',)),
}

NAMES = tuple(_SOURCES)


def n_classes(name):
    """Returns the number of classes of a data set."""
    return _SOURCES[name].n_classes


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
        UserError: If the data set cannot be fetched or its file cannot be
            read, or is smaller than the sizes asked for.

    """
    train, test = _read(name)
    train = _first(train, train_size, name, 'training')
    test = _first(test, test_size, name, 'test')
    mean = train.images.mean(axis=(0, 2, 3), dtype=numpy.float64)
    deviation = train.images.std(axis=(0, 2, 3), dtype=numpy.float64)
    deviation[deviation == 0] = 1
    for part in (train, test):
        part.images[...] -= mean[:, None, None].astype(numpy.float32)
        part.images[...] /= deviation[:, None, None].astype(numpy.float32)
    return train, test


def _read(name):
    source = _SOURCES[name]
    return read_arrays(name, source.read, source.files)


def read_arrays(name, read, files):
    """Reads a data set, and says what to do if that fails.

    Args:
        name (str): Its name, for the error message.
        read (callable): Takes nothing and returns what was read.
        files (tuple of str): The files that Chainer keeps it in, by paths
            from the root of its data sets.

    Returns:
        What ``read`` returned.

    Raises:
        UserError: If it cannot be fetched or read.

    """
    paths = [os.path.join(chainer.dataset.get_dataset_root(), file)
             for file in files]
    missing = [path for path in paths if not os.path.exists(path)]
    try:
        return read()
    except UserError:
        raise
    except Exception as error:
        # Whatever a broken network or a damaged file raises; there are many.
        reason = ' '.join(str(error).split()) or type(error).__name__
        if missing:
            raise UserError(
                f"cannot fetch {name}: there is no {' nor '.join(missing)}, "
                f'and downloading it failed ({reason}); copy the file there '
                'from a machine whose Chainer has fetched it, or set '
                'CHAINER_DATASET_ROOT to a folder that holds '
                f"{' and '.join(files)}")
        raise UserError(f"cannot read {name} from {' and '.join(paths)}: "
                        f'{reason}; remove the file to fetch it again')


def _first(part, size, name, which):
    if size is None:
        return part
    if size > len(part.labels):
        raise UserError(f"--{'train' if which == 'training' else which}-size "
                        f'{size} is more than the {len(part.labels)} {which} '
                        f'images of {name}')
    return Images(part.images[:size].copy(), part.labels[:size].copy())
