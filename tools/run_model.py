"""The trained model of a run, and what reaches its layers."""

import os
import typing

import mixnorm  # NOQA  (makes Chainer importable, so it comes first)
import chainer
from chainer import serializers

from mixnorm.conversion.paths import choose
from mixnorm.registry import is_normalization
from models.cifar_cnn import CifarCNN
from train import classifier
from train.command_line import one_line, UserError
from train.data import datasets
from train.loop import run_folder
from train.loop import snapshots
from train.network import make_classifier


class Run(typing.NamedTuple):

    """A run of train.classifier.

    Attributes:
        model (~chainer.Link): The network as of the snapshot, without its
            loss, on the CPU.
        settings (dict): The run's settings.
        train (~train.data.datasets.Images): Training images and labels, with
            normalized channels.
        test (~train.data.datasets.Images): Test images and labels.

    """

    model: chainer.Link
    settings: dict
    train: datasets.Images
    test: datasets.Images


def load_run(path):
    """Loads the model that a run saved, and its images.

    Args:
        path (str): The run's folder, or its snapshot.

    Returns:
        Run: The run.

    Raises:
        UserError: If there is no snapshot of train.classifier, or it is
            damaged or another model's, or the set of images is not here.

    """
    if os.path.isdir(path):
        path = os.path.join(path, run_folder.SNAPSHOT)
    settings, arrays = snapshots.read(path)
    classifier.SETTINGS.check_saved(
        settings, f'{path} is no snapshot of a run of train.classifier')
    train, test = datasets.load(settings['dataset'], settings['train_size'],
                                settings['test_size'])
    # Whatever the seeds make is replaced by what was saved.
    model = make_classifier(
        CifarCNN, train.images.shape[1:],
        datasets.n_classes(settings['dataset']), settings, 0,
        [0] * len(CifarCNN.normalized_layers))
    try:
        serializers.NpzDeserializer(
            arrays, 'trainer/updater/model:main/').load(model)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f'{path} does not hold the model that its settings '
                        f'describe ({one_line(error)})')
    return Run(model.predictor, settings, train, test)


def find_layers(model, pattern=None):
    """Finds normalization layers of a model by path.

    Args:
        model (~chainer.Link): The model.
        pattern (str, list of str or None): As :func:`mixnorm.convert` takes
            ``where``.

    Returns:
        dict: Maps paths to links, in the model's order.

    Raises:
        UserError: If there is no such layer; it lists those that are there.

    """
    try:
        return dict(choose(
            model, pattern, is_normalization, 'normalization layer'))
    except ValueError as error:
        raise UserError(f'no such layer: {one_line(error)}')


def layer_inputs(model, links, batches):
    """Computes what reaches layers in test mode; the model stays as it is.

    Args:
        model (~chainer.Link): The model.
        links (dict): Maps paths to links of the model.
        batches (iterable of array): Batches of images ``(N, C, H, W)``.

    Returns:
        dict: Maps the paths to lists of arrays, the links' inputs in the
        order of their calls.

    """
    inputs = {path: [] for path in links}
    hook = _InputHook({id(link): inputs[path] for path, link in links.items()})
    with hook, chainer.using_config('train', False), \
            chainer.no_backprop_mode():
        for images in batches:
            model(model.device.send(images))
    return inputs


class _InputHook(chainer.LinkHook):

    """Appends the inputs of links to lists, by the links' ids."""

    name = 'InputHook'

    def __init__(self, lists):
        super().__init__()
        self._lists = lists

    def forward_preprocess(self, args):
        if id(args.link) in self._lists:
            self._lists[id(args.link)].append(chainer.as_array(args.args[0]))
