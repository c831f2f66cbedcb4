"""Builds the CUDA kernels for the CPU, and launches them on NumPy arrays."""
import ctypes
import os
import re
import subprocess

import numpy

from mixnorm.compute.gpu.constants import THREADS
from mixnorm.compute.gpu.launcher import (
    compiler_options, read_source, TYPES)

SOURCES = ('coefficients', 'fit', 'mixture', 'modes', 'rows', 'sample',
           'seeding', 'transform', 'transform_aligned')

_HERE = os.path.dirname(os.path.abspath(__file__))

_LAUNCH = '''
extern "C" int launch(
    const char* name, const unsigned* grid, int n_threads,
    size_t shared_bytes, void** arguments, size_t n_arguments,
    unsigned order, int is_cooperative, char* message,
    size_t message_size) {{
  static const std::vector<cuda_on_cpu::Kernel> kernels = {{
    {}
  }};
  std::string error = launch_on_cpu(
      kernels, name, {{grid[0], grid[1], grid[2]}}, n_threads, shared_bytes,
      arguments, n_arguments, order, is_cooperative);
  std::snprintf(message, message_size, "%s", error.c_str());
  return !error.empty();
}}
'''


def all_sources():
    """Returns the text of all kernels, each header once."""
    return '\n'.join(map(read_source, SOURCES))


def build(compiler, library, source, flags=('-O1',)):
    """Builds kernels for the CPU.

    Args:
        compiler (str): The host's C++ compiler.
        library (str): The file to make.
        source (str): Text of the kernels.
        flags (tuple of str): Options of the compiler.

    """
    folder, name = os.path.split(library)
    # Headers that kernels include; the stand-in has what they use of them.
    for header in 'cuda_fp16.h', 'cuda_pipeline_primitives.h':
        with open(os.path.join(folder, header), 'w'):
            pass
    names = re.findall(
        r'^(?:MIXNORM_(?:\w+_)?KERNEL|extern "C" __global__ void) (\w+)\(',
        source, re.MULTILINE)
    main = f'{library}.cpp'
    with open(main, 'w') as f:
        f.write('#include "cuda_on_cpu.h"\n')
        f.write(source)
        f.write(_LAUNCH.format(',\n    '.join(
            f'cuda_on_cpu::kernel("{name}", {name})'
            for name in names)))
    # A checked longjmp refuses to jump between stacks.
    subprocess.run(
        [compiler, '-shared', '-fPIC', '-pthread', *flags,
         '-U_FORTIFY_SOURCE',
         '-I', folder, '-I', _HERE, '-o', library, main],
        check=True)


def build_all(compiler, folder, flags=('-O1',)):
    """Builds all kernels for all types.

    Args:
        compiler (str): The host's C++ compiler.
        folder (str): Where the libraries go.
        flags (tuple of str): Options of the compiler.

    Returns:
        dict: From the name of a dtype to its library.

    """
    libraries = {}
    for dtype in TYPES:
        libraries[dtype] = os.path.join(folder, f'{dtype}.so')
        build(compiler, libraries[dtype], all_sources(),
              flags + compiler_options(dtype))
    return libraries


class Emulator:

    """Launches kernels on the CPU, in place of a GPU's.

    Args:
        libraries (dict): From the name of a dtype to what :func:`build` made.

    Attributes:
        order (int): In which order threads and thread blocks take turns: 0
            forward, 1 backward, any other number a shuffle.

    """

    def __init__(self, libraries):
        self._libraries = {
            dtype: ctypes.CDLL(library)
            for dtype, library in libraries.items()}
        self.order = 0

    def launch(self, source, name, dtype, grid, shared_bytes, arguments,
               cooperative=False):
        """Launches a kernel; see mixnorm.compute.gpu.launcher.

        All thread blocks of a ``cooperative`` launch run at once.

        Raises:
            RuntimeError: If the kernel does what would hang or crash.

        """
        values = []
        for argument in arguments:
            if isinstance(argument, numpy.ndarray):
                values.append(ctypes.c_void_p(argument.ctypes.data))
            else:
                assert isinstance(argument, numpy.generic), argument
                values.append(numpy.ctypeslib.as_ctypes_type(
                    argument.dtype)(argument.item()))
        pointers = (ctypes.c_void_p * len(values))(*(
            ctypes.addressof(value) for value in values))
        message = ctypes.create_string_buffer(1000)
        failed = self._libraries[dtype.name].launch(
            name.encode(), (ctypes.c_uint * 3)(*grid, *(3 - len(grid)) * [1]),
            THREADS, ctypes.c_size_t(shared_bytes), pointers,
            ctypes.c_size_t(len(values)), self.order, int(cooperative),
            message, ctypes.c_size_t(len(message)))
        if failed:
            raise RuntimeError(message.value.decode())
