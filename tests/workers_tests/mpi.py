"""Starting programs by mpiexec."""

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
    # That of the virtual environment, if it has one.
    program = shutil.which('mpiexec', path=os.pathsep.join(
        [os.path.dirname(sys.executable), os.environ.get('PATH', '')]))
    if program is None:
        pytest.skip('there is no mpiexec')
    start = [program, '-n', str(n_workers), '--oversubscribe', sys.executable]
    env = dict(
        os.environ, OMP_NUM_THREADS='1', OMPI_ALLOW_RUN_AS_ROOT='1',
        OMPI_ALLOW_RUN_AS_ROOT_CONFIRM='1', PYTHONPATH=str(ROOT))
    trial = subprocess.run(
        start + ['-c', 'import mpi4py.MPI'], env=env, capture_output=True,
        text=True, timeout=60)
    if trial.returncode:
        pytest.skip('MPI cannot start: ' + ' '.join(trial.stderr.split()))
    return subprocess.run(
        start + list(map(str, arguments)), env=env, capture_output=True,
        text=True, timeout=120, **kwargs)
