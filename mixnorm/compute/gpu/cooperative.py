"""Launches in which thread blocks may wait for one another.

All of them have to be on the GPU at once, and may have more shared memory than
48 KB, where the device has it.
"""
import functools

from mixnorm.compute.gpu import launcher
from mixnorm.compute.gpu.constants import THREADS


def launch(source, name, dtype, grid, shared_bytes, arguments):
    """Launches a kernel; see :func:`mixnorm.compute.gpu.launcher.launch`.

    There must be no more thread blocks than :func:`capacity` says.

    """
    # CuPy compiles a kernel that is declared cooperative against a library
    # of the CUDA toolkit, which the kernels do without.
    _kernel(source, name, dtype, launcher.current_device()).kernel(
        grid, (THREADS,), arguments, shared_mem=shared_bytes,
        enable_cooperative_groups=True)


@functools.lru_cache(maxsize=None)
def shared_bytes(source, name, dtype, device):
    """Returns how much dynamic shared memory a thread block can have.

    Args:
        source (str): Name of the ``.cu`` file without the ending.
        name (str): Name of the kernel.
        dtype (numpy.dtype): Type of the activations.
        device (int): Number of the current device.

    Returns:
        int: Bytes; 0 if the device has no cooperative launches.

    """
    import cupy
    attributes = cupy.cuda.Device(device).attributes
    if not attributes['CooperativeLaunch']:
        return 0
    kernel = launcher.compiled(source, name, dtype, device)
    return (attributes['MaxSharedMemoryPerBlockOptin']
            - kernel.shared_size_bytes)


@functools.lru_cache(maxsize=None)
def capacity(source, name, dtype, device, n_bytes):
    """Returns how many thread blocks run at once.

    Args:
        source (str): Name of the ``.cu`` file without the ending.
        name (str): Name of the kernel.
        dtype (numpy.dtype): Type of the activations.
        device (int): Number of the current device.
        n_bytes (int): Dynamic shared memory of a thread block.

    Returns:
        int: Their number on the whole device.

    """
    import cupy
    kernel = _kernel(source, name, dtype, device).kernel
    return (
        cupy.cuda.Device(device).attributes['MultiProcessorCount']
        * cupy.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor(
            kernel.ptr, THREADS, n_bytes))


@functools.lru_cache(maxsize=None)
def _kernel(source, name, dtype, device):
    kernel = launcher.compiled(source, name, dtype, device)
    kernel.max_dynamic_shared_size_bytes = shared_bytes(
        source, name, dtype, device)
    return kernel
