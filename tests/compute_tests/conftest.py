"""Where the CUDA kernels run in the tests: on the CPU, and on a GPU.

On the CPU they run through cuda_on_cpu.cpp, where there is a C++ compiler.
"""
import functools
import shutil

from chainer.backends import cuda
import numpy
import pytest

from compute_tests import cuda_on_cpu
from compute_tests.devices import Device, Poisoned
from mixnorm.compute import gpu
from mixnorm.compute.gpu import cooperative, fit, launcher, points

# What the stand-in for a GPU has: shared memory of a thread block, and thread
# blocks that run at once.
_SHARED_BYTES = 227 << 10
_CAPACITY = 3


@pytest.fixture(scope='session')
def compiler():
    found = shutil.which('g++') or shutil.which('c++')
    if found is None:
        pytest.skip('there is no C++ compiler')
    return found


@pytest.fixture(scope='session')
def libraries(compiler, tmp_path_factory):
    return cuda_on_cpu.build_all(
        compiler, str(tmp_path_factory.mktemp('kernels')))


@pytest.fixture
def emulated(libraries, monkeypatch):
    return _emulate(libraries, monkeypatch)


@pytest.fixture(scope='session')
def checked_libraries(compiler, tmp_path_factory):
    """The kernels with checks; see ``cuda_checks.h``."""
    return cuda_on_cpu.build_all(
        compiler, str(tmp_path_factory.mktemp('kernels')),
        cuda_on_cpu.CHECKED)


@pytest.fixture
def checked(checked_libraries, monkeypatch):
    return _emulate(checked_libraries, monkeypatch)


def _emulate(libraries, monkeypatch):
    emulator = cuda_on_cpu.Emulator(libraries)
    monkeypatch.setattr(launcher, 'launch', emulator.launch)
    monkeypatch.setattr(cooperative, 'launch', functools.partial(
        emulator.launch, cooperative=True))
    monkeypatch.setattr(launcher, 'current_device', lambda: 0)
    monkeypatch.setattr(
        cooperative, 'shared_bytes', lambda *arguments: _SHARED_BYTES)
    monkeypatch.setattr(
        cooperative, 'capacity', lambda *arguments: _CAPACITY)
    fit._plan.cache_clear()
    for module in [points] + [getattr(gpu, name) for name in gpu.__all__]:
        monkeypatch.setattr(
            module, 'get_array_module', lambda x: Poisoned())
    return Device(numpy, emulator)


@pytest.fixture
def cuda_device():
    if not cuda.available:
        pytest.skip('there is no GPU')
    return Device(cuda.cupy)


@pytest.fixture(
    params=['emulated', pytest.param('cuda_device', marks=pytest.mark.gpu)])
def device(request):
    return request.getfixturevalue(request.param)
