import subprocess
import sys

import numpy
import pytest

from mixnorm import compute
from mixnorm.compute import cpu
from mixnorm.compute import gpu


class _CupyArray:

    """Passes for an array of CuPy's."""


_CupyArray.__module__ = 'cupy._core.core'


@pytest.mark.parametrize('x', [
    numpy.zeros(3), numpy.float32(1), cpu.sample.precompute(
        numpy.zeros((1, 2, 3)))], ids=['array', 'scalar', 'points'])
def test_numpy_serves_numpy(x):
    assert compute.arithmetic(x) is cpu


def test_cuda_serves_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, 'cupy', object())
    assert compute.arithmetic(_CupyArray()) is gpu


def test_cupy_is_imported_for_its_arrays_only():
    code = ('import sys, numpy, mixnorm; from mixnorm import compute; '
            'compute.arithmetic(numpy.zeros(1)); '
            "assert 'mixnorm.compute.gpu' not in sys.modules")
    subprocess.run([sys.executable, '-c', code], check=True)
