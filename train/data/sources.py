"""Sets of images as they are published: read, generated or downloaded."""

import collections
import functools
import os

import chainer
import numpy

from train.command_line import one_line, UserError


_Source = collections.namedtuple('_Source', 'read n_classes files')


def _read_digits(scale, dtype):
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise UserError('the set digits comes with scikit-learn, which is not '
                        'installed: pip install scikit-learn')
    digits = load_digits()
    # float16 does not hold all sixteenths.
    dtype = numpy.promote_types(dtype, numpy.float32)
    images = digits.images[:, None].astype(dtype) * dtype.type(scale / 16)
    labels = digits.target.astype(numpy.int32)
    # The file goes from writer to writer. A fixed shuffle, the same for every
    # seed, puts every writer into both parts.
    order = numpy.random.RandomState(0).permutation(len(images))
    return [(images[part], labels[part])
            for part in (order[:1437], order[1437:])]


def _make_textures(scale, dtype):
    """Coloured gratings in noise: ten classes, of direction and period."""
    random = numpy.random.RandomState(0)
    parts = []
    y, x = numpy.mgrid[:32, :32]
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
            0, 25, (n, 3, 32, 32))
        images = numpy.clip(images, 0, 255).astype(numpy.uint8)
        parts.append((images.astype(dtype) * dtype(scale / 255), labels))
    return parts


def _from_chainer(get):
    def read(**pixels):
        return [chainer.dataset.concat_examples(part[:])
                for part in get(**pixels)]
    return read


def _get_svhn(**pixels):
    try:
        import scipy.io  # NOQA
    except ImportError:
        raise UserError('Chainer reads the set svhn with SciPy, which is not '
                        'installed: pip install scipy')
    return chainer.datasets.get_svhn(**pixels)


_SOURCES = {
    'digits': _Source(_read_digits, 10, ()),
    'textures': _Source(_make_textures, 10, ()),
    'mnist': _Source(
        _from_chainer(functools.partial(chainer.datasets.get_mnist, ndim=3)),
        10, ('mnist/train.npz', 'mnist/test.npz')),
    'fashion-mnist': _Source(
        _from_chainer(functools.partial(
            chainer.datasets.get_fashion_mnist, ndim=3)),
        10, ('fashion-mnist/train.npz', 'fashion-mnist/test.npz')),
    'cifar10': _Source(
        _from_chainer(chainer.datasets.get_cifar10), 10,
        ('cifar/cifar-10.npz',)),
    'cifar100': _Source(
        _from_chainer(chainer.datasets.get_cifar100), 100,
        ('cifar/cifar-100.npz',)),
    'svhn': _Source(
        _from_chainer(_get_svhn), 10, ('svhn/train.npz', 'svhn/test.npz')),
}


def n_classes(name):
    """Returns the number of classes of a set."""
    return _SOURCES[name].n_classes


def read(name, scale, dtype, train_size=None, test_size=None):
    """Reads a set of images, and says what to do if that fails.

    Args:
        name (str): Its name.
        scale (float): What is to become of the brightest level there is; the
            darkest is 0.
        dtype (numpy scalar type): A dtype for the images.
        train_size (int or None): How many training images to use, from the
            first; ``None`` for all.
        test_size (int or None): The same for the test images.

    Returns:
        list of tuple: Images ``(N, C, H, W)`` and labels ``(N,)``, int32, for
        training and for the test.

    Raises:
        UserError: If the set cannot be fetched or its file cannot be read, or
            is smaller than the sizes asked for.

    """
    source = _SOURCES[name]
    files = [f'pfnet/chainer/{file}' for file in source.files]
    paths = [os.path.join(chainer.dataset.get_dataset_root(), file)
             for file in files]
    missing = [path for path in paths if not os.path.exists(path)]
    try:
        parts = source.read(scale=scale, dtype=dtype)
    except UserError:
        raise
    except Exception as error:
        # Whatever a broken network or a damaged file raises; there are many.
        reason = one_line(error) or type(error).__name__
        if missing:
            raise UserError(
                f"cannot fetch {name}: there is no {' nor '.join(missing)}, "
                f'and downloading it failed ({reason}); copy the file there '
                'from a machine whose Chainer has fetched it, or set '
                'CHAINER_DATASET_ROOT to a folder that holds '
                f"{' and '.join(files)}")
        raise UserError(f"cannot read {name} from {' and '.join(paths)}: "
                        f'{reason}; remove the file to fetch it again')
    sizes = train_size, test_size
    for part, size, (_, labels) in zip(('train', 'test'), sizes, parts):
        if size is not None and size > len(labels):
            raise UserError(f'--{part}-size {size} is more than the '
                            f'{len(labels)} images of {name}')
    return [(images[:size], labels[:size])
            for size, (images, labels) in zip(sizes, parts)]
