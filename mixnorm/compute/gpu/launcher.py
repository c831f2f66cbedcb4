"""Compiles the CUDA sources by CuPy and launches their kernels.

Everything happens on the device that the arrays lie on: functions of arrays
enter it by :func:`on_device`, and the kernels run on the current one.
"""
import functools
import os
import re

from mixnorm.compute.gpu import constants
from mixnorm.compute.layout import device_of

# Types of activations, as CUDA names them.
TYPES = {'float16': '__half', 'float32': 'float', 'float64': 'double'}


def read_source(name):
    """Reads a CUDA source with the headers beside it put in their places.

    A compiler then needs no include path to them, and a cache of compiled
    modules that is keyed by the source notices when a header changes.

    Args:
        name (str): Name of the ``.cu`` file without the ending.

    Returns:
        str: The source.

    """
    folder = os.path.dirname(os.path.abspath(__file__))

    def read(file_name):
        with open(os.path.join(folder, file_name), encoding='utf-8') as f:
            return re.sub(r'^#include "(\w+\.h)"$',
                          lambda match: read(match.group(1)),
                          f.read(), flags=re.MULTILINE)

    return read(f'{name}.cu')


def compiler_options(dtype):
    """Returns the options that every compiler of the sources needs.

    Args:
        dtype (str): Name of the type of activations.

    Returns:
        tuple of str: The language, and a macro for the type and for each of
        :mod:`~mixnorm.compute.gpu.constants`.

    """
    return ('-std=c++14', f'-DMIXNORM_INPUT={TYPES[dtype]}') + tuple(
        f'-DMIXNORM_{name}={value}'
        for name, value in vars(constants).items() if name.isupper())


def on_device(function):
    """Makes a function's device the one that its first argument lies on.

    What it allocates then lies there as well.

    Args:
        function (callable): Its first argument is an array or
            :class:`~mixnorm.compute.parameters.Parameters`.

    """
    @functools.wraps(function)
    def wrapper(x, *args, **kwargs):
        with device_of(x[0] if isinstance(x, tuple) else x):
            return function(x, *args, **kwargs)

    return wrapper


def current_device():
    """Returns the number of the current device."""
    import cupy
    return cupy.cuda.runtime.getDevice()


def launch(source, name, dtype, grid, shared_bytes, arguments):
    """Launches a kernel on the current stream of the current device, which \
is to be its arrays'.

    Args:
        source (str): Name of the ``.cu`` file without the ending.
        name (str): Name of the kernel.
        dtype (numpy.dtype): Type of the activations.
        grid (tuple of ints): Number of thread blocks, by axis.
        shared_bytes (int): Dynamic shared memory of a thread block.
        arguments (tuple): CuPy arrays and NumPy scalars.

    """
    kernel = compiled(source, name, dtype, current_device())
    kernel(grid, (constants.THREADS,), arguments, shared_mem=shared_bytes)


@functools.lru_cache(maxsize=None)
def compiled(source, name, dtype, device):
    """Returns a kernel, compiled at the first call.

    Args:
        source (str): Name of the ``.cu`` file without the ending.
        name (str): Name of the kernel.
        dtype (numpy.dtype): Type of the activations.
        device (int): Number of the current device.

    Returns:
        cupy.RawKernel: The kernel.

    """
    return _module(source, dtype, device).get_function(name)


@functools.lru_cache(maxsize=None)
def _module(source, dtype, device):
    """Compiles a source for the current device, whose number is given."""
    import cupy
    return cupy.RawModule(
        code=read_source(source), options=compiler_options(dtype.name))
