"""The layers of a run, and what they make of test images."""

import os
import typing

import chainer
import numpy

from mixnorm.conversion.paths import choose
from mixnorm.inspection import posterior, read_record
from mixnorm.inspection.state import kind_of
from train.command_line import one_line, UserError
from train.loop import run_folder
from train.run_model import find_layers, layer_inputs

# Images that pass the model at once.
_BATCH = 100


class Layer(typing.NamedTuple):

    """A normalization layer and what it makes of test images.

    Attributes:
        link (~chainer.Link): The link.
        kind (str or None): See :func:`mixnorm.inspection.state.kind_of`.
        x (numpy.ndarray): Its input for as many images as a training
            mini-batch has.
        posterior (numpy.ndarray or None): The posterior of all images
            ``(N, K, *S)``, or their gates ``(N, K)``; ``None`` where the link
            has none.

    """

    link: chainer.Link
    kind: typing.Optional[str]
    x: numpy.ndarray
    posterior: typing.Optional[numpy.ndarray]


def read_layers(run, pattern, n_images):
    """Passes the first test images of a run through its model.

    Args:
        run (~train.run_model.Run): The run.
        pattern (list of str or None): Which layers, as
            :func:`mixnorm.convert` takes ``where``; ``None`` for all.
        n_images (int): How many images, if there are as many.

    Returns:
        dict: Maps paths to :class:`Layer`.

    Raises:
        UserError: If there is no such layer, or the model makes nothing of
            the images.

    """
    links = find_layers(run.model, pattern)
    images = run.test.images[:n_images]
    n_kept = min(len(images), run.settings['batch_size'])
    kept = {path: [] for path in links}
    posteriors = {path: [] for path in links}
    for start in range(0, len(images), _BATCH):
        try:
            inputs = layer_inputs(
                run.model, links, [images[start:start + _BATCH]])
        except RuntimeError as error:
            raise UserError(one_line(error))
        for path, link in links.items():
            # A layer that is called several times shows its last call.
            x = chainer.get_device('@numpy').send(inputs[path][-1])
            if not numpy.isfinite(x).all():
                raise UserError(f'what reaches {path} is not finite: the run '
                                'has diverged')
            if start < n_kept:
                kept[path].append(x[:n_kept - start])
            if kind_of(link) not in (None, 'group_mixture'):
                posteriors[path].append(posterior(link, x))
    return {path: Layer(
        link, kind_of(link), numpy.concatenate(kept[path]),
        numpy.concatenate(posteriors[path]) if posteriors[path] else None)
        for path, link in links.items()}


def with_posterior(layers):
    """Returns those layers that have a posterior or gates.

    Raises:
        UserError: If none has.

    """
    found = {path: layer for path, layer in layers.items()
             if layer.posterior is not None}
    if not found:
        raise UserError(
            'none of these layers has components or modes to show: '
            f"{', '.join(layers)}; train with --normalizer mixture or mode")
    return found


def record_file(path):
    """Returns the record of a run.

    Args:
        path (str): The run's folder, or its snapshot.

    Returns:
        str: The file.

    Raises:
        UserError: If there is none, or it cannot be read.

    """
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    file = os.path.join(folder, run_folder.MIXTURES)
    if not os.path.exists(file):
        raise UserError(
            f'there is no {file}: runs write it where a layer has a mixture '
            'or modes; in your own trainer, mixnorm.extensions.MixtureReport '
            'does')
    try:
        read_record(file)
    except ValueError as error:
        raise UserError(str(error))
    return file


def recorded_paths(file, pattern):
    """Finds the layers of a record that a pattern names.

    Args:
        file (str): The record.
        pattern (list of str or None): As :func:`read_layers` takes it.

    Returns:
        dict: Maps the layers' paths in the network to those in the record,
        which has a classifier around it.

    Raises:
        UserError: If there is no such layer; it lists those that are there.

    """
    paths = {path[len('/predictor'):] if path.startswith('/predictor/')
             else path: path for path in read_record(file)}
    try:
        chosen = choose(_Paths(paths), pattern, bool, 'recorded layer')
    except ValueError as error:
        raise UserError(f'no such layer: {one_line(error)}')
    return {path: paths[path] for path, _ in chosen}


class _Paths:

    """Paths of layers and of what holds them, as a model would give them."""

    def __init__(self, paths):
        self._paths = paths

    def namedlinks(self):
        holders = {path[:i] for path in self._paths
                   for i, letter in enumerate(path) if letter == '/'}
        yield from ((holder or '/', False) for holder in sorted(holders))
        yield from ((path, True) for path in self._paths)
