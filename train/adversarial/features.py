"""What turns images into the features that distances are taken of."""

import hashlib
import os
import zipfile

import mixnorm  # NOQA  (makes Chainer importable, so it comes first)
import chainer
from chainer import serializers
import chainer.links as L
import numpy

from models.inception_features import InceptionFeatures
from train import classifier
from train.command_line import one_line, UserError
from train.data import datasets
from train.loop import run_folder
from train.loop import snapshots


class Features:

    """Features of images, by a network that was read from a file.

    Args:
        path (str): The file.
        sha256 (str): The hash of its content.
        key (str): What the Frechet distance by these features is called in a
            log.
        compute (callable): Takes images and returns features, as this does.

    Raises:
        UserError: If the features are not finite.

    Attributes:
        path (str): The file.
        sha256 (str): The hash of its content.
        key (str): What the Frechet distance by these features is called in a
            log: ``'fid'`` or ``'frechet_classifier_distance'``.
        n_dimensions (int): Number of features of an image.

    """

    def __init__(self, path, sha256, key, compute):
        self.path = path
        self.sha256 = sha256
        self.key = key
        self._compute = compute
        black = self(numpy.zeros((1, 3, 32, 32), numpy.uint8))
        if not numpy.isfinite(black).all():
            raise UserError(f'{path} makes features that are not finite')
        self.n_dimensions = black.shape[1]

    @property
    def name(self):
        """The Frechet distance's name, with the beginning of the hash."""
        names = {'fid': 'FID', 'frechet_classifier_distance':
                 'Frechet classifier distance'}
        return f'{names[self.key]} [{self.sha256[:8]}]'

    def __call__(self, images, batch_size=100):
        """Computes features.

        Args:
            images (numpy.ndarray): ``(N, 3, 32, 32)``, uint8.
            batch_size (int): How many images to pass at once.

        Returns:
            numpy.ndarray: Features ``(N, n_dimensions)``, float32, on the
            CPU.

        """
        with chainer.using_config('train', False), chainer.no_backprop_mode():
            return numpy.concatenate([
                self._compute(images[start:start + batch_size])
                for start in range(0, len(images), batch_size)])


def load_features(path, device):
    """Reads a network whose activations serve as features.

    Args:
        path (str): Inception weights in Chainer's npz (see
            :class:`~models.inception_features.InceptionFeatures`), or a run
            of train.classifier: its folder, or the snapshot in it.
        device (~chainer.backend.Device): Where to compute.

    Returns:
        Features: The features.

    Raises:
        UserError: If it is neither, or incomplete.

    """
    if os.path.isdir(path):
        path = os.path.join(path, run_folder.SNAPSHOT)
        if not os.path.exists(path):
            raise UserError(f'--features: there is no {path}, the snapshot of '
                            'a run of train.classifier')
    names = _names_in(path)
    try:
        if 'settings' in names:
            key, load = 'frechet_classifier_distance', _classifier
        elif 'mixed_10/conv/conv/W' in names:
            key, load = 'fid', _inception
        else:
            raise UserError(
                f'{path} is neither a run of train.classifier nor Inception '
                "weights in Chainer's npz: it has no mixed_10/conv/conv/W")
        return Features(path, _sha256(path), key, load(path, device))
    except UserError as error:
        raise UserError(f'--features: {error}')


def _names_in(path):
    try:
        with zipfile.ZipFile(path) as file:
            return {name[:-len('.npy')] for name in file.namelist()}
    except FileNotFoundError:
        raise UserError(f'--features: there is no {path}')
    except zipfile.BadZipFile:
        raise UserError(f'--features: {path} is no npz file, or is damaged')


def _sha256(path):
    found = hashlib.sha256()
    with open(path, 'rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            found.update(block)
    return found.hexdigest()


def _inception(path, device):
    """Returns what computes Inception's features."""
    network = InceptionFeatures()
    expected = serializers.DictionarySerializer()
    expected.save(network)
    try:
        with numpy.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in expected.target
                      if name in file.files}
    except Exception as error:
        # Any bytes may stand in the file, and NumPy raises what they lead to.
        raise UserError(f'{path} is damaged ({one_line(error)})')
    # How many batches the statistics are of is no part of the network.
    wanted = {name: array for name, array in expected.target.items()
              if not name.endswith('/N')}
    missing = sorted(wanted.keys() - arrays.keys())
    if missing:
        raise UserError(
            f'{path} is not the Inception network of this distance: it lacks '
            f'{len(missing)} of {len(wanted)} arrays, such as {missing[0]}')
    for name, array in sorted(wanted.items()):
        if arrays[name].shape != array.shape:
            raise UserError(
                f'{path} is not the Inception network of this distance: '
                f'{name} has the shape {arrays[name].shape}, not '
                f'{array.shape}')
    serializers.NpzDeserializer(arrays, strict=False).load(network)
    network.to_device(device)

    def compute(images):
        features = network(device.send(images.astype(numpy.float32)))
        return chainer.get_device('@numpy').send(features.array)
    return compute


def _classifier(path, device):
    """Returns what computes the input of a classifier's last linear layer."""
    settings, arrays = snapshots.read_run(
        path, classifier.SETTINGS, 'train.classifier')
    if settings['dataset'] not in datasets.NAMES:
        raise UserError(f"{path} was trained on {settings['dataset']}: that "
                        f"must be one of {', '.join(datasets.NAMES)}")
    train, _ = datasets.read(settings['dataset'], settings['train_size'],
                             settings['test_size'])
    shape = train.images.shape[1:]
    mean, deviation = datasets.channel_statistics(train.images)
    trained = classifier.make_untrained(settings, shape)
    snapshots.load_model(path, arrays, trained)
    network = trained.predictor
    network.to_device(device)

    def compute(images):
        last = _LastLinearInput()
        with last:
            scores = network(device.send(
                (as_seen(images, shape) - mean) / deviation))
        # Without a linear layer, what the network ends with.
        features = scores if last.x is None else last.x
        return chainer.get_device('@numpy').send(
            chainer.as_array(features)).reshape(len(images), -1)
    return compute


class _LastLinearInput(chainer.LinkHook):

    """Keeps the input of the linear layer that was called last."""

    name = 'LastLinearInput'

    def __init__(self):
        super().__init__()
        self.x = None

    def forward_preprocess(self, args):
        if isinstance(args.link, L.Linear):
            self.x = args.args[0]


def as_seen(images, shape):
    """Brings images to the form that a classifier was trained on.

    It undoes :func:`train.data.task_sets.frame`: colours are averaged for a
    classifier of grey images, the frame is cut off, and magnified pixels are
    averaged.

    Args:
        images (numpy.ndarray): ``(N, 3, 32, 32)``, uint8.
        shape (tuple of int): Shape of the classifier's images, ``(C, H, W)``,
            with as many rows as columns, at most 32.

    Returns:
        numpy.ndarray: Images ``(N, C, H, W)`` in [0, 1], float32.

    """
    n_colours, side, _ = shape
    images = images.astype(numpy.float32) / 255
    if n_colours == 1:
        images = images.mean(axis=1, keepdims=True)
    factor = images.shape[2] // side
    edge = (images.shape[2] - factor * side) // 2
    inner = images[:, :, edge:edge + factor * side, edge:edge + factor * side]
    return inner.reshape(
        len(images), n_colours, side, factor, side, factor).mean(axis=(3, 5))
