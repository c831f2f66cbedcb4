"""Files that are whole at any time."""

import contextlib
import os


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

    Raises:
        OSError: If it cannot be written; it names ``path``.

    """
    unfinished = f'{path}.unfinished'
    try:
        with open(unfinished, mode) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException as error:
        if os.path.exists(unfinished):
            os.remove(unfinished)
        if isinstance(error, OSError) and error.errno and (
                error.filename in (None, unfinished)):
            # A full disk names no file, and nobody knows of the other name.
            raise OSError(error.errno, error.strerror, path) from error
        raise
    # Without it a power failure may undo the renaming.
    folder = os.open(os.path.dirname(path) or '.', os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
