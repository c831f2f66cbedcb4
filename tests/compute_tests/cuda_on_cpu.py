"""Builds the CUDA kernels for the CPU, and launches them on NumPy arrays."""
import ctypes
import os
import re
import subprocess

import numpy

from mixnorm.compute import kernels
from mixnorm.compute.kernels import read_source

SOURCES = ('mixture', 'normalization', 'sample', 'seeding')
TYPES = {'float16': '__half', 'float32': 'float', 'float64': 'double'}
THREADS = 256

_HERE = os.path.dirname(os.path.abspath(__file__))
_FOLDER = os.path.dirname(os.path.abspath(kernels.__file__))

_MAIN = '''
#include "cuda_on_cpu.h"
{includes}
extern "C" int launch(
    const char* name, const unsigned* grid, int n_threads,
    size_t shared_bytes, void** arguments, size_t n_arguments,
    unsigned order, char* message, size_t message_size) {{
  static const std::vector<cuda_on_cpu::Kernel> kernels = {{
    {kernels}
  }};
  std::string error = launch_on_cpu(
      kernels, name, {{grid[0], grid[1], grid[2]}}, n_threads, shared_bytes,
      arguments, n_arguments, order);
  std::snprintf(message, message_size, "%s", error.c_str());
  return !error.empty();
}}
'''


def kernel_names(source):
    """Finds the kernels that a source defines."""
    return re.findall(r'^MIXNORM_KERNEL (\w+)\(', read_source(source),
                      re.MULTILINE)


def build(compiler, folder, dtype, flags=('-O1',)):
    """Builds all kernels for one type of activations.

    Args:
        compiler (str): The host's C++ compiler.
        folder (str): Where the library goes.
        dtype (str): ``'float16'``, ``'float32'`` or ``'float64'``.
        flags (tuple of str): Options of the compiler.

    Returns:
        str: The library.

    """
    library = os.path.join(folder, 'kernels_{}.so'.format(dtype))
    main = os.path.join(folder, 'kernels_{}.cpp'.format(dtype))
    # The header that kernels include; the stand-in has what they use of it.
    with open(os.path.join(folder, 'cuda_fp16.h'), 'w'):
        pass
    with open(main, 'w') as f:
        f.write(_MAIN.format(
            includes='\n'.join(
                '#include "{}.cu"'.format(name) for name in SOURCES),
            kernels=',\n    '.join(
                'cuda_on_cpu::kernel("{0}", {0})'.format(name)
                for source in SOURCES for name in kernel_names(source))))
    subprocess.run(
        [compiler, '-std=c++14', '-shared', '-fPIC', *flags,
         '-DMIXNORM_INPUT=' + TYPES[dtype],
         '-I', folder, '-I', _HERE, '-I', _FOLDER, '-o', library, main],
        check=True)
    return library


class Emulator(object):

    """Launches kernels on the CPU, in place of a GPU's.

    Args:
        libraries (dict): From the name of a dtype to what :func:`build` made.

    Attributes:
        order (int): In which order threads and blocks take turns: 0 forward,
            1 backward, any other number a shuffle.
        launched (list of str): Names of the kernels launched so far.

    """

    def __init__(self, libraries):
        self._libraries = {
            dtype: ctypes.CDLL(library)
            for dtype, library in libraries.items()}
        self.order = 0
        self.launched = []

    def launch(self, source, name, dtype, grid, shared_bytes, arguments):
        assert name in kernel_names(source)
        self.launched.append(name)
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
            ctypes.c_size_t(len(values)), self.order, message,
            ctypes.c_size_t(len(message)))
        if failed:
            raise RuntimeError(message.value.decode())
