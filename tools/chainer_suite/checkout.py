"""The tests of a checkout of Chainer."""

import os
import re
import typing

from train.command_line import UserError


VERSION = '7.8.1'


class Part(typing.NamedTuple):

    """A part of Chainer's tests that is run in a way of its own.

    Attributes:
        name (str): What a user calls it.
        folder (str): Where its tests are.
        packages (tuple of str): What must be installed beside Chainer.
        mark (str or None): Only tests with this mark belong to it.
        left_out (tuple of str): Tests with one of these do not.
        n_processes (int): How many run a file together, under ``mpiexec``.

    """

    name: str
    folder: str
    packages: tuple = ()
    mark: typing.Optional[str] = None
    left_out: tuple = ('gpu', 'cudnn', 'chainerx', 'theano', 'slow')
    n_processes: int = 1


PARTS = {part.name: part for part in [
    Part('chainer', 'chainer_tests',
         left_out=Part._field_defaults['left_out'] + ('ideep',)),
    Part('ideep', 'chainer_tests', packages=('torch',), mark='ideep'),
    Part('onnx', 'onnx_chainer_tests', packages=('onnx', 'onnxruntime')),
    Part('chainermn', 'chainermn_tests', packages=('mpi4py',),
         n_processes=2)]}


def find_tests(path):
    """Finds the tests of Chainer 7.8.1.

    Args:
        path (str): A checkout of Chainer, or its folder ``tests``.

    Returns:
        str: The absolute path of the folder of the tests.

    Raises:
        UserError: If there are none, or those of another version.

    """
    path = os.path.abspath(path)
    for tests in (os.path.join(path, 'tests'), path):
        if os.path.isdir(os.path.join(tests, 'chainer_tests')):
            break
    else:
        raise UserError(f'{path} has no tests of Chainer: it must be a '
                        'checkout of Chainer or its folder tests')
    version = _version(os.path.dirname(tests))
    if version not in (None, VERSION):
        raise UserError(f'{path} is Chainer {version}: it must be {VERSION}')
    return tests


def _version(checkout):
    """Returns the version of a checkout, ``None`` where tests stand alone."""
    try:
        with open(os.path.join(checkout, 'chainer', '_version.py')) as file:
            found = re.search(r"__version__ = '(.+)'", file.read())
    except OSError:
        return None
    return found and found.group(1)


def find_files(tests, part, chosen):
    """Finds what is to be run of a part.

    Args:
        tests (str): The folder of the tests.
        part (Part): The part.
        chosen (list of str): Folders, files or ids of tests, relative to the
            folder of the tests or of the checkout; empty for all.

    Returns:
        list of str: Files or ids of tests, relative to the folder.

    Raises:
        UserError: If there is no such folder or file.

    """
    found = []
    for one in chosen or [part.folder]:
        one = one[len('tests/'):] if one.startswith('tests/') else one
        name, colons, rest = one.partition('::')
        path = os.path.join(tests, name)
        if not os.path.exists(path):
            raise UserError(f'there is no {path}')
        if not f'{os.path.normpath(name)}/'.startswith(f'{part.folder}/'):
            continue
        if os.path.isfile(path):
            found.append(os.path.normpath(name) + colons + rest)
        for folder, _, files in os.walk(path):
            found += [os.path.relpath(os.path.join(folder, file), tests)
                      for file in files if re.match(r'test_.*\.py$', file)]
    return sorted(set(found))
