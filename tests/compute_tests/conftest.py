"""Where the CUDA kernels run in the tests: on the CPU, and on a GPU.

On the CPU they run through cuda_on_cpu.h, where there is a C++ compiler.
"""
import shutil

from chainer.backends import cuda
import numpy
import pytest

from compute_tests import cuda_on_cpu
from compute_tests.backends import Backend, Poisoned
from mixnorm.compute import gpu


@pytest.fixture(scope='session')
def libraries(tmp_path_factory):
    compiler = shutil.which('g++') or shutil.which('c++')
    if compiler is None:
        pytest.skip('there is no C++ compiler')
    return cuda_on_cpu.build_all(
        compiler, str(tmp_path_factory.mktemp('kernels')))


@pytest.fixture
def emulated(libraries, monkeypatch):
    emulator = cuda_on_cpu.Emulator(libraries)
    monkeypatch.setattr(gpu, 'launch', emulator.launch)
    monkeypatch.setattr(gpu, 'get_array_module', lambda x: Poisoned())
    return Backend(numpy, emulator)


@pytest.fixture
def cuda_backend():
    if not cuda.available:
        pytest.skip('there is no GPU')
    return Backend(cuda.cupy)


@pytest.fixture(
    params=['emulated', pytest.param('cuda_backend', marks=pytest.mark.gpu)])
def backend(request):
    return request.getfixturevalue(request.param)
