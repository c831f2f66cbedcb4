"""Starting programs by mpiexec."""

import functools
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def mpiexec(n_workers, *arguments, **kwargs):
    """Runs Python in several processes, or skips the test without MPI.

    Args:
        n_workers (int): How many.
        arguments (strs): Of Python.
        kwargs: Of :func:`subprocess.run`.

    Returns:
        subprocess.CompletedProcess: What became of them.

    """
    pytest.importorskip('mpi4py')
    if _program() is None:
        pytest.skip('there is no mpiexec')
    problem = _problem()
    if problem:
        pytest.skip(f'MPI cannot start: {problem}')
    return _run(n_workers, arguments, **kwargs)


def _program():
    # That of the virtual environment, if it has one.
    return shutil.which('mpiexec', path=os.pathsep.join(
        [os.path.dirname(sys.executable), os.environ.get('PATH', '')]))


@functools.lru_cache(maxsize=None)
def _problem():
    """Returns what keeps several processes from starting, or nothing."""
    try:
        trial = _run(2, ['-c', 'import mpi4py.MPI'])
    except subprocess.TimeoutExpired as error:
        return str(error)
    return ' '.join(trial.stderr.split()) if trial.returncode else ''


def _run(n_workers, arguments, **kwargs):
    env = dict(
        os.environ, OMP_NUM_THREADS='1', OMPI_ALLOW_RUN_AS_ROOT='1',
        OMPI_ALLOW_RUN_AS_ROOT_CONFIRM='1', PYTHONPATH=str(ROOT))
    return subprocess.run(
        [_program(), '-n', str(n_workers), '--oversubscribe', sys.executable,
         *map(str, arguments)], env=env, capture_output=True, text=True,
        timeout=300, **kwargs)
