"""The file that keeps the outcomes of a run.

A line of JSON for each file of tests, after one that says what was run where.
"""

import importlib.metadata
import json
import os
import platform

import mixnorm

from train.command_line import UserError


_PACKAGES = ('chainer', 'numpy', 'scipy', 'h5py', 'protobuf', 'pytest',
             'onnx', 'onnxruntime', 'torch', 'mpi4py')


def versions():
    """Returns the versions of Python and of the packages that matter."""
    found = {'python': platform.python_version(),
             'mixnorm': mixnorm.__version__}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass
    return found


class Writer:

    """Writes outcomes as they come.

    A run takes long, and what it has found is to be there if it is stopped:
    until :meth:`close` it is in a file of the same name with ``.unfinished``
    behind it.

    Args:
        path (str): The file.
        header (dict): What was run where.

    """

    def __init__(self, path, header):
        self._path = path
        os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
        self._file = open(f'{path}.unfinished', 'w')
        self.write(header)

    def write(self, entry):
        """Writes a line."""
        self._file.write(json.dumps(entry) + '\n')
        self._file.flush()

    def close(self):
        """Ends the file and gives it its name."""
        self._file.close()
        os.replace(f'{self._path}.unfinished', self._path)


def read(path):
    """Reads a file of outcomes.

    Args:
        path (str): The file.

    Returns:
        tuple: The header and the list of entries.

    Raises:
        UserError: If there is no such file, or it is something else.

    """
    try:
        with open(path) as file:
            header, *entries = map(json.loads, file)
        [header[key] for key in ('versions', 'remarks', 'parts', 'n_files')]
        for entry in entries:
            [entry[key] for key in ('part', 'left_out', 'tests')]
    except FileNotFoundError:
        raise UserError(f'there is no {path}')
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f'{path} is not a file of outcomes ({error!r})')
    return header, entries
