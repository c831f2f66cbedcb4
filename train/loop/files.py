"""JSON files that are whole at any time, and the removal of files."""

import json
import os

from mixnorm.files import replacing
from train.command_line import UserError


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
