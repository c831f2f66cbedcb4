"""Compiles the kernels by CuPy, once for each device, and launches them."""
import cupy

from mixnorm.compute.kernels import read_source, TYPES

THREADS = 256


@cupy.memoize(for_each_device=True)
def _module(source, dtype):
    return cupy.RawModule(
        code=read_source(source),
        options=('-std=c++14', f'-DMIXNORM_INPUT={TYPES[dtype]}'))


@cupy.memoize(for_each_device=True)
def _kernel(source, name, dtype):
    return _module(source, dtype).get_function(name)


def launch(source, name, dtype, grid, shared_bytes, arguments):
    """Launches a kernel on the current stream.

    Args:
        source (str): Name of the ``.cu`` file without the ending.
        name (str): Name of the kernel.
        dtype (numpy.dtype): Type of the activations.
        grid (tuple of ints): Number of blocks, by axis.
        shared_bytes (int): Dynamic shared memory of a block.
        arguments (tuple): CuPy arrays and NumPy scalars.

    """
    _kernel(source, name, dtype.name)(
        grid, (THREADS,), arguments, shared_mem=shared_bytes)
