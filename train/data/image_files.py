"""Sets of images in files, read when they are needed."""

from concurrent.futures import process
import functools
import hashlib
import importlib.util
import multiprocessing
import os
import signal
import threading
import zipfile

import numpy

from train.command_line import one_line, UserError
from train.data.datasets import Images
from train.data.image_decoding import open_archive, read_image


ENDINGS = ('.jpeg', '.jpg', '.png', '.bmp', '.gif', '.ppm', '.pgm', '.tif',
           '.tiff', '.webp')

# Of ImageNet's training images, as shares of the brightest level.
_MEAN = .485, .456, .406
_DEVIATION = .229, .224, .225

# Images that a worker process is given at once.
_CHUNK = 8


class ImageFiles:

    """Images in files, to be indexed as an array of them would be.

    What comes out is float32, and normalized by the mean and the deviation of
    each channel over ImageNet's training images.

    Args:
        root (str): The folder or the zip archive that the files are in.
        names (list of str): Their paths in there.
        size (int): Side of the images that come out, in pixels.
        executor (~concurrent.futures.Executor or None): What reads them;
            ``None`` for the caller itself.

    Attributes:
        shape (tuple of int): ``(N, 3, size, size)``.

    """

    def __init__(self, root, names, size, executor=None):
        self.shape = len(names), 3, size, size
        self._names = names
        self._read = functools.partial(read_image, root, size)
        self._executor = executor

    def __len__(self):
        return len(self._names)

    def __getitem__(self, which):
        """Reads the middle of images.

        Args:
            which (slice or sequence of int): Which images.

        Returns:
            numpy.ndarray: The images, ``(n, 3, size, size)``.

        Raises:
            UserError: If a file cannot be read; it names the file.

        """
        indices = numpy.arange(len(self))[which]
        return self.read(indices, [None] * len(indices))

    def read(self, indices, seeds):
        """Reads images, cropped as their seeds say.

        Args:
            indices (sequence of int): Which images.
            seeds (sequence of int or None): A seed for each, as
                :func:`~train.data.image_decoding.read_image` takes it.

        Returns:
            numpy.ndarray: The images, ``(n, 3, size, size)``.

        Raises:
            UserError: If a file cannot be read; it names the file.

        """
        images = numpy.empty(
            (len(indices),) + self.shape[1:], dtype=numpy.float32)
        names = [self._names[i] for i in indices]
        try:
            if self._executor is None:
                found = map(self._read, names, seeds)
            else:
                found = self._executor.map(
                    self._read, names, seeds, chunksize=_CHUNK)
            for image, pixels in zip(images, found):
                image[...] = pixels
        except process.BrokenProcessPool:
            raise UserError('a process that read images was killed, for want '
                            'of memory maybe: --workers has fewer of them')
        images -= 255 * _per_channel(_MEAN)
        images /= 255 * _per_channel(_DEVIATION)
        return images

    def close(self):
        """Ends the executor, which other sets of images may share."""
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)


def _per_channel(values):
    return numpy.array(values, dtype=numpy.float32)[:, None, None]


def absolute(paths):
    """Makes what names a set of images independent of the current folder.

    Args:
        paths (list of str): A folder; or for the training set and for the test
            set each a zip archive, a colon, and a text file.

    Returns:
        list of str: The same, by absolute paths.

    Raises:
        ValueError: If it is neither.

    """
    if len(paths) == 1:
        return [os.path.abspath(paths[0])]
    pairs = [path.rpartition(':') for path in paths]
    if len(pairs) != 2 or not all(all(pair) for pair in pairs):
        raise ValueError(f"{' '.join(paths)} must be one folder, or two zip "
                         'archives and their lists, TRAIN.zip:TRAIN.txt '
                         'TEST.zip:TEST.txt')
    return [f'{os.path.abspath(archive)}:{os.path.abspath(text)}'
            for archive, _, text in pairs]


def load(paths, size, train_size=None, test_size=None, n_workers=0):
    """Finds the images of a set, without reading one.

    They are in an order that does not depend on their classes, so that the
    first of them are of all classes.

    Args:
        paths (list of str): What :func:`absolute` returned. A folder has
            ``train/CLASS/*`` and ``val/CLASS/*``. A text file has in each line
            an image's name in the zip archive and its class, a number.
        size (int): Side of the images that come out, in pixels.
        train_size (int or None): How many training images to use, from the
            first; ``None`` for all.
        test_size (int or None): The same for the test images.
        n_workers (int or None): Number of processes that read images, which
            are started when the first one is read and end with
            :meth:`ImageFiles.close` of either set; ``None`` for as many as
            there are cores. With 0, the calling process reads them.

    Returns:
        tuple: Training set and test set, :class:`~train.data.datasets.Images`
        whose images are :class:`ImageFiles`; and a dictionary that tells this
        set from others: ``'classes'``, ``'train'`` and ``'test'``, how many of
        each the set has, and ``'digest'``, of the files' names and classes.

    Raises:
        UserError: If a folder or a file is not there, a class has no training
            image, an archive lacks one, the set is smaller than the sizes
            asked for, or Pillow is not installed.

    """
    if importlib.util.find_spec('PIL') is None:
        raise UserError('images are read with Pillow, which is not installed: '
                        'pip install pillow')
    if len(paths) == 1:
        n_classes, parts = _find_in_folder(*paths)
    else:
        n_classes, parts = _find_in_archives(paths)
    digest = hashlib.sha256()
    executor = _make_executor(n_workers)
    sets = []
    for part, wanted, (root, names, labels) in zip(
            ('train', 'test'), (train_size, test_size), parts):
        digest.update(repr((names, labels)).encode())
        if wanted is not None and wanted > len(names):
            raise UserError(f'--{part}-size {wanted} is more than the '
                            f'{len(names)} images of --images')
        order = numpy.random.RandomState(0).permutation(len(names))[:wanted]
        sets.append(Images(
            ImageFiles(root, [names[i] for i in order], size, executor),
            numpy.array(labels, numpy.int32)[order]))
    return (*sets, {
        'classes': n_classes, 'train': len(parts[0][1]),
        'test': len(parts[1][1]), 'digest': digest.hexdigest()})


def _find_in_folder(folder):
    """Returns the number of classes, and root, names and labels of each part.
    """
    classes, parts = None, []
    for part in ('train', 'val'):
        path = os.path.join(folder, part)
        if not os.path.isdir(path):
            raise UserError(f'--images {folder}: there is no folder {path}')
        found = sorted(entry.name for entry in os.scandir(path)
                       if entry.is_dir() and not entry.name.startswith('.'))
        if not found:
            raise UserError(f'--images {folder}: there is no class, a folder '
                            f'of images, in {path}')
        if classes is None:
            classes = {name: label for label, name in enumerate(found)}
        names, labels = [], []
        for name in found:
            of_class = sorted(
                entry.name for entry in os.scandir(os.path.join(path, name))
                if entry.name.lower().endswith(ENDINGS)
                and not entry.name.startswith('.'))
            if not of_class:
                raise UserError(f'--images {folder}: there is no image in the '
                                f'class {os.path.join(path, name)}; images '
                                f"end in {' '.join(ENDINGS)}")
            if name not in classes:
                raise UserError(f'--images {folder}: there is a class {name} '
                                'in val that train lacks')
            names += [os.path.join(name, file) for file in of_class]
            labels += [classes[name]] * len(of_class)
        parts.append((path, names, labels))
    return len(classes), parts


def _find_in_archives(pairs):
    """Returns the same for zip archives with lists."""
    parts = []
    for pair in pairs:
        archive, _, text = pair.rpartition(':')
        names, labels = _read_list(text)
        try:
            held = set(open_archive(archive).namelist())
        except FileNotFoundError:
            raise UserError(f'--images: there is no zip archive {archive}')
        except (OSError, zipfile.BadZipFile) as error:
            raise UserError(f'--images: {archive} is no zip archive that can '
                            f'be read: {one_line(error)}')
        for name in names:
            if name not in held:
                raise UserError(f'--images: {text} names {name}, which is not '
                                f'in {archive}')
        parts.append((archive, names, labels))
    (_, _, train_labels), (_, _, test_labels) = parts
    n_classes = max(train_labels) + 1
    known = {*train_labels}
    # Not up to the greatest: it may be a slip, and of any size.
    missing = sorted({*range(len(known)), *test_labels} - known)
    if missing:
        raise UserError(f'--images: class {missing[0]} has no training image '
                        f'in {pairs[0].rpartition(":")[2]}')
    return n_classes, parts


def _read_list(path):
    """Returns names and labels, as a text file lists them."""
    names, labels = [], []
    try:
        with open(path) as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        raise UserError(f'--images: there is no text file {path}')
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'--images: {path} is no text file that can be read: '
                        f'{one_line(error)}')
    for number, line in enumerate(lines, 1):
        pair = line.rsplit(None, 1)
        if len(pair) < 2 or not pair[1].isdecimal():
            raise UserError(f'--images: line {number} of {path} must be the '
                            "name of an image and its class's number, not "
                            f'{line!r}')
        names.append(pair[0].strip())
        labels.append(int(pair[1]))
    if not names:
        raise UserError(f'--images: {path} lists no image')
    return names, labels


def _make_executor(n_workers):
    if n_workers == 0:
        return None
    # What this process has started, such as a GPU's driver or threads, does
    # not survive a fork.
    return process.ProcessPoolExecutor(
        n_workers or len(os.sched_getaffinity(0)),
        multiprocessing.get_context('spawn'), _prepare_worker)


def _prepare_worker():
    # Ctrl-C is the training process's affair.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # If that is killed, nobody tells the worker.
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    multiprocessing.parent_process().join()
    os._exit(1)
