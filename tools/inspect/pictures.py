"""The displays of a run's layers, for each subcommand."""

import numpy

from mixnorm.inspection import (
    ClassesDisplay, ComponentsDisplay, DensitiesDisplay,
    EffectiveComponentsDisplay, MapsDisplay, SamplesDisplay)
from mixnorm.inspection.posterior import of_samples
from mixnorm.inspection.state import noun_of
from train import classifier
from train.command_line import UserError

# Shares of training at which components are shown, as in figure 8.
MOMENTS = .2, .4, .6, .8, 1.

# Where the classes are not digits.
_CLASSES = {'cifar10': [
    'airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse',
    'ship', 'truck']}

_WITH_DENSITY = 'mixture', 'mode'
_WITH_POSTERIOR = 'mixture', 'mode', 'mode_group'


def densities(layers, channels=None):
    """Makes displays of layers' densities.

    Args:
        layers (dict): Maps paths to :class:`~tools.inspect.layers.Layer`.
        channels (list of int or None): Numbers of the channels to show;
            ``None`` for four.

    Returns:
        dict: Maps the paths of those that have any to displays.

    Raises:
        UserError: If a channel is not there.

    """
    return _each(
        layers, _WITH_DENSITY,
        lambda path, layer: DensitiesDisplay.from_link(
            layer.link, layer.x, channels))


def components(layers, file, recorded, at=MOMENTS, channels=None):
    """Makes displays of layers' components over training.

    Args:
        layers (dict): Maps paths to :class:`~tools.inspect.layers.Layer`.
        file (str): The run's record.
        recorded (dict): Maps the paths of layers to those in the record.
        at (sequence of float): Shares of training.
        channels (list of int or None): See :func:`densities`.

    Returns:
        dict: See :func:`densities`.

    Raises:
        UserError: If a channel is not there.

    """
    return _each(
        {path: layers[path] for path in layers if path in recorded},
        _WITH_DENSITY,
        lambda path, layer: ComponentsDisplay.from_record(
            file, recorded[path], at, channels).with_activations(
                layer.link, layer.x))


def effective(file, recorded):
    """Makes the display of the number of components over training.

    Args:
        file (str): The run's record.
        recorded (dict): Maps the paths of layers to those in the record.

    Returns:
        EffectiveComponentsDisplay: The display.

    """
    display = EffectiveComponentsDisplay.from_record(
        file, list(recorded.values()))
    return EffectiveComponentsDisplay(*(
        {path: values[theirs] for path, theirs in recorded.items()}
        for values in (display.iterations, display.n_effective)))


def samples(layers, test, n_images=16):
    """Makes displays of the images that belong to components the most.

    Args:
        layers (dict): Maps paths to :class:`~tools.inspect.layers.Layer`.
        test (~train.data.datasets.Images): The images that they saw first.
        n_images (int): How many to show of each component.

    Returns:
        dict: See :func:`densities`.

    """
    return _each(
        layers, _WITH_POSTERIOR,
        lambda path, layer: SamplesDisplay.from_posterior(
            of_samples(layer.posterior), test.images[:len(layer.posterior)],
            n_images, noun_of(layer.link)))


def classes(layers, test, settings):
    """Makes displays of how much classes prefer components.

    Args:
        layers (dict): Maps paths to :class:`~tools.inspect.layers.Layer`.
        test (~train.data.datasets.Images): The images that they saw first.
        settings (dict): The run's settings.

    Returns:
        dict: See :func:`densities`.

    """
    names = _CLASSES.get(settings['dataset']) or list(
        map(str, range(classifier.n_classes(settings))))
    return _each(
        layers, _WITH_POSTERIOR,
        lambda path, layer: ClassesDisplay.from_posterior(
            of_samples(layer.posterior), test.labels[:len(layer.posterior)],
            names, noun_of(layer.link)))


def maps(layers, test, n_images=8):
    """Makes displays of where components live.

    Args:
        layers (dict): Maps paths to :class:`~tools.inspect.layers.Layer`.
        test (~train.data.datasets.Images): The images that they saw first.
        n_images (int): How many to show.

    Returns:
        dict: Maps the paths of those that have positions to displays.

    """
    return _each(
        {path: layer for path, layer in layers.items()
         if layer.posterior is not None and layer.posterior.ndim == 4},
        ('mixture',),
        lambda path, layer: MapsDisplay.from_posterior(
            layer.posterior, test.images[:len(layer.posterior)], n_images))


def _each(layers, kinds, make):
    try:
        return {path: make(path, layer) for path, layer in layers.items()
                if layer.kind in kinds}
    except ValueError as error:
        raise UserError(str(error))


def figures(display):
    """Returns what a display shows, but for pixels and points, for JSON."""
    found = {name: value for name, value in vars(display).items()
             if not name.endswith('_') and name not in ('x', 'y', 'images')}
    for name in ('skewness', 'kurtosis', 'preference', 'mutual_information'):
        if hasattr(display, name):
            found[name] = getattr(display, name)
    return _as_json(found)


def _as_json(value):
    if isinstance(value, numpy.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: _as_json(part) for key, part in value.items()}
    return value
