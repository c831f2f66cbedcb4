"""Files that are whole at any time."""

import contextlib
import json
import os

from train.command_line import UserError


@contextlib.contextmanager
def replacing(path, mode='w'):
    """Opens a file that takes the place of another once it is written.

    It is written under another name in the same folder, brought to the disk
    and only then renamed, so whenever the process or the machine stops,
    ``path`` is a whole file: this one or the one before. If anything goes
    wrong, the one before stays.

    Args:
        path (str): The file.
        mode (str): As :func:`open` takes it.

    """
    unfinished = f'{path}.unfinished'
    try:
        with open(unfinished, mode) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:
        if os.path.exists(unfinished):
            os.remove(unfinished)
        raise
    # Without it a power failure may undo the renaming.
    folder = os.open(os.path.dirname(path) or '.', os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_json(path, value):
    """Writes JSON: all of it, or, if anything goes wrong, nothing."""
    with replacing(path) as file:
        json.dump(value, file, indent=2)


def read_json(path, what):
    """Reads a JSON object.

    Args:
        path (str): The file.
        what (str): What it should be, for the error message.

    Returns:
        dict: The object.

    Raises:
        UserError: If there is no such file, or it is something else.

    """
    try:
        with open(path) as file:
            found = json.load(file)
    except FileNotFoundError:
        raise UserError(f'there is no {path}, {what}')
    except (OSError, ValueError) as error:
        raise UserError(f'{path} is not {what} ({error})')
    if not isinstance(found, dict):
        raise UserError(f'{path} is not {what}')
    return found


def remove(folder, names):
    """Removes those of a folder's files that are there."""
    for name in names:
        path = os.path.join(folder, name)
        if os.path.exists(path):
            os.remove(path)
