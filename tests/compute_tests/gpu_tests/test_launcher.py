"""The CUDA sources compile, and their kernels run where the arrays are."""
import sys
import types

import numpy
import pytest

from compute_tests import cuda_on_cpu
from mixnorm.compute import contract
from mixnorm.compute import gpu
from mixnorm.compute.gpu import constants
from mixnorm.compute.gpu import launcher
from mixnorm.compute.gpu.launcher import (
    compiler_options, read_source, TYPES)
from mixnorm.compute.parameters import Parameters
from tools import kernel_resources


@pytest.fixture(scope='module')
def cuda_compiler():
    found = kernel_resources.find_compiler()
    if found is None:
        pytest.skip('there is neither NVRTC nor nvcc')
    return found


@pytest.mark.parametrize('dtype', sorted(TYPES))
@pytest.mark.parametrize('source', cuda_on_cpu.SOURCES)
def test_compiles_as_cupy_compiles_it(cuda_compiler, source, dtype):
    # For an old architecture; tests of kernel_resources have a new one. Not
    # optimized where that can be told: the errors are the same.
    quick = (('-Xcicc', '-O0', '-Xptxas', '-O0')
             if cuda_compiler.name.startswith('nvcc') else ())
    log = cuda_compiler.compile(
        read_source(source),
        (*compiler_options(dtype), *kernel_resources.CUPY_OPTIONS, *quick,
         '-arch=sm_75'))
    assert 'Used ' in log


def test_every_constant_reaches_a_kernel():
    names = [name for name in vars(constants) if name.isupper()]
    assert 'THREADS' in names
    source = cuda_on_cpu.all_sources()
    for name in names:
        assert f'MIXNORM_{name};' in source
        assert (f'-DMIXNORM_{name}={getattr(constants, name)}'
                in compiler_options('float32'))


class _Device:

    """Stands for a GPU; the current one is the last that was entered."""

    entered = [0]

    def __init__(self, number):
        self.id = number

    def __enter__(self):
        self.entered.append(self.id)

    def __exit__(self, *error):
        self.entered.pop()


class _Array:

    """Stands for an array of CuPy's that cannot be used."""

    def __init__(self, number):
        self.device = _Device(number)


_Array.__module__ = 'cupy'


@pytest.fixture
def compiled(monkeypatch):
    """Stands for CuPy: lists where modules are compiled and kernels run."""
    log = []

    class RawModule:

        def __init__(self, code, options):
            self._device = _Device.entered[-1]
            log.append(('compiled', self._device))

        def get_function(self, name):
            def kernel(grid, block, arguments, shared_mem):
                assert self._device == _Device.entered[-1]
                log.append((name, self._device))
            return kernel

    runtime = types.SimpleNamespace(getDevice=lambda: _Device.entered[-1])
    monkeypatch.setitem(sys.modules, 'cupy', types.SimpleNamespace(
        RawModule=RawModule, cuda=types.SimpleNamespace(runtime=runtime)))
    for function in launcher.compiled, launcher._module:
        function.cache_clear()
    yield log
    for function in launcher.compiled, launcher._module:
        function.cache_clear()


def test_launches_on_the_arrays_device(compiled):
    @launcher.on_device
    def launch(array):
        launcher.launch(
            'rows', 'kernel', numpy.dtype('f'), (1,), 0,
            (numpy.int32(5), array, numpy.int64(7)))

    # The current device is 0 throughout.
    for number in 1, 0, 1:
        launch(_Array(number))
        assert _Device.entered == [0]
    assert compiled == [
        ('compiled', 1), ('kernel', 1), ('compiled', 0), ('kernel', 0),
        ('kernel', 1)]


def _functions():
    for module in gpu.__all__:
        protocol = getattr(contract, module.capitalize())
        for name in vars(protocol):
            # These return the array as it is.
            if not name.startswith('_') and name not in (
                    'with_origin', 'precompute'):
                yield f'{module}.{name}'


@pytest.mark.parametrize('name', list(_functions()))
def test_works_on_the_arrays_device(name, compiled, monkeypatch):
    # It enters the device before it does anything with the array.
    module, name = name.split('.')
    function = getattr(getattr(gpu, module), name)
    array = _Array(3)
    entered = []
    monkeypatch.setattr(
        _Device, '__enter__', lambda self: entered.append(self.id))
    monkeypatch.setattr(_Device, '__exit__', lambda self, *error: None)
    first = (Parameters(array, array, array)
             if name == 'discard_and_rescale' else array)
    n_others = function.__wrapped__.__code__.co_argcount - 1
    with pytest.raises((AttributeError, TypeError)):
        function(first, *n_others * [None])
    assert set(entered) == {3}
