"""The folder that a training run writes to."""

import importlib.metadata
import os
import platform
import re

import chainer
from chainer.backends import cuda
from chainer.backends import intel64
import numpy

import mixnorm
from train.command_line import UserError
from train.loop import files


LOG = 'log'
SNAPSHOT = 'snapshot.npz'
CURVES = 'curves.png'
MIXTURES = 'mixture.npz'
DESCRIPTION = 'run.json'
# Of a run of train.gan only.
REAL_FEATURES = 'real-features.npz'
SAMPLES = 'samples'

_FILES = (SNAPSHOT, LOG, CURVES, MIXTURES, DESCRIPTION, REAL_FEATURES)


def held_in(folder):
    """Returns the names of those files of a run that a folder holds."""
    return [name for name in _FILES
            if os.path.exists(os.path.join(folder, name))]


def require_free(folder):
    """Raises UserError if a folder holds a run already."""
    held = held_in(folder)
    if held:
        raise UserError(
            f"{folder} holds a run already ({', '.join(held)}): "
            + ('--resume goes on with it, ' if SNAPSHOT in held else '')
            + '--overwrite starts anew in its place, or choose another --out')


def clear(folder):
    """Removes the run that a folder holds, if it does, and nothing else."""
    files.remove(folder, _FILES)
    samples = os.path.join(folder, SAMPLES)
    if os.path.isdir(samples):
        files.remove(samples, [
            name for name in os.listdir(samples)
            if re.fullmatch(r'iteration-[0-9]+\.png', name)])
        if not os.listdir(samples):
            os.rmdir(samples)


def samples_path(folder, iteration):
    """Returns the path of the images that are made after an iteration."""
    return os.path.join(folder, SAMPLES, f'iteration-{iteration:07}.png')


def describe(folder, settings, iteration, details=None):
    """Writes what a run is made of to its folder, as JSON.

    The file holds the settings, the versions at work, and for every time that
    the run was started or resumed the iteration and the versions then.

    Args:
        folder (str): The folder, which is made if need be.
        settings (dict): What JSON can hold.
        iteration (int): Where the run starts or goes on.
        details (dict or None): What else the file is to hold, by name.

    """
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, DESCRIPTION)
    starts = []
    if iteration and os.path.exists(path):
        try:
            starts = list(files.read_json(path, 'a run')['starts'])
        except (UserError, KeyError, TypeError):
            # A damaged description is no reason to lose the run.
            pass
    starts.append({'iteration': iteration, 'device': settings['device'],
                   'versions': _versions()})
    files.write_json(path, {
        'settings': settings, 'starts': starts, **(details or {})})


def _versions():
    versions = {
        'python': platform.python_version(), 'numpy': numpy.__version__,
        'chainer': chainer.__version__, 'mixnorm': mixnorm.__version__}
    if cuda.available:
        versions['cupy'] = cuda.cupy.__version__
    if intel64.is_ideep_available():
        versions['torch'] = importlib.metadata.version('torch')
    return versions
