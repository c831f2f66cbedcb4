"""Programs that run in new interpreters."""

import os
import pathlib
import subprocess
import sys
import textwrap

_ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(*arguments, path=()):
    """Runs Python with the arguments, and returns what it prints.

    Args:
        arguments (str): Python's own.
        path (iterable of str): Folders that it finds modules in first.

    Returns:
        str: What it prints. It fails the test if it ends with an error.

    """
    result = subprocess.run(
        [sys.executable, *arguments], timeout=300,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join([*path, str(_ROOT)])),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert result.returncode == 0, result.stdout
    return result.stdout


def run_code(code, *options, path=()):
    """Runs code; see :func:`run`."""
    return run(*options, '-c', textwrap.dedent(code), path=path)
