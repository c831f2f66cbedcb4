"""The trained model of a run, and what reaches its layers."""

import os
import typing

import mixnorm  # NOQA  (makes Chainer importable, so it comes first)
import chainer

from mixnorm.conversion.paths import choose
from mixnorm.registry import is_normalization
from train import classifier
from train.command_line import one_line, UserError
from train.data import datasets
from train.loop import run_folder
from train.loop import snapshots


class Run(typing.NamedTuple):

    """A run of train.classifier.

    Attributes:
        model (~chainer.Link): The network as of the last snapshot, without
            its loss, on the CPU.
        settings (dict): The run's settings.
        train (~train.data.datasets.Images): The training images and labels,
            normalized as for training.
        test (~train.data.datasets.Images): Those of the test.

    """

    model: chainer.Link
    settings: dict
    train: datasets.Images
    test: datasets.Images


def load_run(path):
    """Loads the model that a run saved, and the images it is about.

    Args:
        path (str): The run's folder, or the snapshot in it.

    Returns:
        Run: The run.

    Raises:
        UserError: If there is no snapshot of train.classifier, it is damaged
            or that of another model, or the set of images is not here.

    """
    if os.path.isdir(path):
        path = os.path.join(path, run_folder.SNAPSHOT)
    settings, arrays = snapshots.read_run(
        path, classifier.SETTINGS, 'train.classifier')
    # The few images that are looked at are not worth starting processes.
    train, test, _ = classifier.load_sets(dict(settings, workers=0))
    model = classifier.make_untrained(settings, train.images.shape[1:])
    snapshots.load_model(path, arrays, model)
    return Run(model.predictor, settings, train, test)


def find_layers(model, pattern=None):
    """Finds normalization layers of a model by path.

    Args:
        model (~chainer.Link): The model.
        pattern (str, list of str or None): Paths and shell patterns, with the
            meaning that ``where`` has in :func:`mixnorm.convert`.

    Returns:
        dict: Maps paths, with a leading slash, to links, in the model's
        order.

    Raises:
        UserError: If nothing is there; it lists what is.

    """
    try:
        return dict(choose(
            model, pattern, is_normalization, 'normalization layer'))
    except ValueError as error:
        raise UserError(f'no such layer: {one_line(error)}')


def layer_inputs(model, links, batches):
    """Computes what reaches layers in test mode.

    No parameter and no persistent value changes. A layer that is called
    several times for a batch has as many arrays of it.

    Args:
        model (~chainer.Link): The model.
        links (dict): Maps paths to links of the model.
        batches (iterable of array): Batches of images ``(N, C, H, W)``, which
            are sent to where the model is.

    Returns:
        dict: Maps the paths to lists of arrays, on the model's device: the
        inputs in the order of the calls.

    """
    inputs = {id(link): [] for link in links.values()}
    with _Inputs(inputs), chainer.using_config('train', False), \
            chainer.no_backprop_mode():
        for images in batches:
            model(model.device.send(images))
    return {path: inputs[id(link)] for path, link in links.items()}


class _Inputs(chainer.LinkHook):

    """Collects the first arguments of calls, by the id of the link called."""

    name = 'Inputs'

    def __init__(self, inputs):
        super().__init__()
        self._inputs = inputs

    def forward_preprocess(self, args):
        if id(args.link) in self._inputs:
            x, *_ = [*args.args, *args.kwargs.values()]
            self._inputs[id(args.link)].append(
                x.array if isinstance(x, chainer.Variable) else x)
