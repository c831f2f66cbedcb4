"""Snapshots of a training run, of which the last good one always stands."""

import contextlib
import json
import os

from chainer import serializers
import numpy

from mixnorm.files import replacing
from train.command_line import one_line, UserError


def save(path, trainer, settings):
    """Saves a run: all of it, or, if anything goes wrong, nothing.

    Args:
        path (str): The file.
        trainer (~chainer.training.Trainer): The run, started.
        settings (dict): What the run was started with, in what JSON can
            hold; :func:`read` gives it back.

    """
    serializer = serializers.DictionarySerializer()
    serializer('settings', json.dumps(settings))
    trainer.serialize(serializer['trainer'])
    with replacing(path, 'wb') as file:
        numpy.savez(file, **serializer.target)


def read(path):
    """Reads a snapshot into memory.

    Args:
        path (str): The file.

    Returns:
        tuple: The settings, and the arrays for :func:`load`.

    Raises:
        UserError: If there is no such file, or it is damaged, or it is no
            snapshot of a run.

    """
    if not os.path.exists(path):
        raise UserError(f'there is no snapshot {path}')
    try:
        # Every member is read, and checked against its checksum. Pickles, of
        # which a snapshot has none, could run anything.
        with numpy.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return json.loads(str(arrays['settings'])), arrays
    except Exception as error:
        # Any bytes may stand in the file, and NumPy raises what they lead to.
        raise UserError(f'{path} is damaged or no snapshot of a training run '
                        f'({_reason(error)})')


def read_run(path, known, script):
    """Reads a snapshot of a run of a script.

    Args:
        path (str): The file.
        known (~train.settings.Settings): The script's settings.
        script (str): What to call it in an error.

    Returns:
        tuple: All settings, and the arrays for :func:`load`.

    Raises:
        UserError: As :func:`read`, or if it is a run of another script.

    """
    saved, arrays = read(path)
    return known.check_saved(
        saved, f'{path} is no snapshot of a run of {script}'), arrays


def load(path, arrays, trainer):
    """Puts a run back to where it was saved.

    Args:
        path (str): Where the snapshot was read from, for the error message.
        arrays (dict): What :func:`read` returned.
        trainer (~chainer.training.Trainer): A run that was set up with the
            settings that :func:`read` returned.

    Raises:
        UserError: If the snapshot is that of another kind of run.

    """
    with _fitting(path, 'run'):
        serializers.NpzDeserializer(arrays)['trainer'].load(trainer)


def load_model(path, arrays, classifier):
    """Gives a model the weights and persistent values that were saved.

    Args:
        path (str): Where the snapshot was read from, for the error message.
        arrays (dict): What :func:`read` returned.
        classifier (~chainer.Link): A model that was made with the settings
            that :func:`read` returned.

    Raises:
        UserError: If the snapshot is that of another model.

    """
    with _fitting(path, 'model'):
        # The names that the updater and its optimizer save under.
        saved = serializers.NpzDeserializer(arrays)['trainer']['updater']
        saved['model:main'].load(classifier)


@contextlib.contextmanager
def _fitting(path, what):
    """Tells that a snapshot does not fit as a user's error."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f'{path} does not fit the {what} that its settings '
                        f'describe ({_reason(error)})')


def _reason(error):
    return f'{type(error).__name__}: {one_line(error)}'
