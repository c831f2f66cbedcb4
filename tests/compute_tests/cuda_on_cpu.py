"""Builds the CUDA kernels for the CPU, and launches them on NumPy arrays."""
import ctypes
import linecache
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

# Options by which cuda_checks.cpp is told what kernels do, and in which line.
CHECKED = (
    '-O1', '-g1', '-fsanitize=thread,alignment,bounds,shift,'
    'signed-integer-overflow,integer-divide-by-zero')

_KERNELS = '''
const std::vector<cuda_on_cpu::Kernel> cuda_on_cpu::kernels = {{
  {}
}};
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
        f.write(_KERNELS.format(',\n  '.join(
            f'cuda_on_cpu::kernel("{name}", {name})'
            for name in names)))
    kernels = f'{library}.o'
    # Hidden, as else libraries of several types share static shared memory.
    _run(compiler, '-c', '-fvisibility=hidden', *flags, '-I', folder, '-I',
         _HERE, '-o', kernels, main)
    # Of what both have of C++'s library, the linker takes the first: not what
    # is built so that it is checked.
    _run(compiler, '-shared', '-pthread', '-o', library,
         *_stand_in(compiler, folder), kernels, '-ldl')


def _stand_in(compiler, folder):
    """Builds what runs kernels, once for a folder."""
    objects = []
    for name in 'cuda_on_cpu', 'cuda_checks':
        objects.append(os.path.join(folder, f'{name}.o'))
        if not os.path.exists(objects[-1]):
            # A checked longjmp refuses to jump between stacks.
            _run(compiler, '-c', '-O1', '-U_FORTIFY_SOURCE', '-I', _HERE,
                 '-o', objects[-1], os.path.join(_HERE, f'{name}.cpp'))
    return objects


def _run(compiler, *arguments):
    subprocess.run([compiler, '-fPIC', *arguments], check=True)


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
        for library in self._libraries.values():
            library.types_of.restype = ctypes.c_char_p
        self.order = 0

    def launch(self, source, name, dtype, grid, shared_bytes, arguments,
               cooperative=False):
        """Launches a kernel; see mixnorm.compute.gpu.launcher.

        All thread blocks of a ``cooperative`` launch run at once.

        Raises:
            RuntimeError: If the kernel does what would hang or crash, or
                takes other arguments.

        """
        library = self._libraries[dtype.name]
        self._check_arguments(library, name, arguments)
        values, arrays = [], []
        for argument in arguments:
            if isinstance(argument, numpy.ndarray):
                # CuPy's arrays have no address if they have no elements.
                values.append(ctypes.c_void_p(
                    argument.ctypes.data if argument.size > 0 else 0))
                arrays += _ends(argument)
            else:
                assert isinstance(argument, numpy.generic), argument
                values.append(numpy.ctypeslib.as_ctypes_type(
                    argument.dtype)(argument.item()))
        pointers = (ctypes.c_void_p * len(values))(*(
            ctypes.addressof(value) for value in values))
        message = ctypes.create_string_buffer(1000)
        failed = library.launch(
            name.encode(), (ctypes.c_uint * 3)(*grid, *(3 - len(grid)) * [1]),
            THREADS, ctypes.c_size_t(shared_bytes), pointers,
            (ctypes.c_size_t * len(arrays))(*arrays),
            ctypes.c_size_t(len(arrays) // 2), self.order, int(cooperative),
            message, ctypes.c_size_t(len(message)))
        if failed:
            raise RuntimeError(re.sub(
                r'\(\+(0x[0-9a-f]+)\)',
                lambda match: _line(library._name, match.group(1)),
                message.value.decode()))

    @staticmethod
    def _check_arguments(library, name, arguments):
        types = library.types_of(name.encode())
        if types is None:
            raise RuntimeError(f'there is no kernel {name}')
        types = types.decode().split()
        if len(types) != len(arguments):
            raise RuntimeError(f'{name} takes {len(types)} arguments, not '
                               f'{len(arguments)}')
        for i, (kind, argument) in enumerate(zip(types, arguments)):
            if not _fits(kind, argument):
                raise RuntimeError(
                    f'{name} takes {kind} as argument {i}, not '
                    f'{type(argument).__name__} of {argument.dtype}')


def _fits(kind, argument):
    """Tells whether a kernel's parameter takes an argument."""
    if kind[0] != '*':
        return (isinstance(argument, numpy.generic)
                and argument.dtype.str[1:] == kind)
    if not isinstance(argument, numpy.ndarray):
        return argument.dtype == numpy.uint64 and argument == 0
    # What comes from the host in one copy is of one type: integers, and
    # draws and counts beside them.
    return (kind in ('*?', '*' + argument.dtype.str[1:])
            or argument.dtype == numpy.int64 and kind in ('*f8', '*u4')
            or argument.dtype == numpy.float64 and kind == '*u4')


def _ends(array):
    """Returns where an array begins and ends in memory."""
    if array.size == 0:
        return 0, 0
    steps = [(n - 1) * stride for n, stride in zip(array.shape, array.strides)]
    begin = array.ctypes.data + sum(s for s in steps if s < 0)
    return begin, (array.ctypes.data + sum(s for s in steps if s > 0)
                   + array.itemsize)


def _line(library, address):
    """Returns the line of the source that an address in a library is of."""
    found = subprocess.run(
        ['addr2line', '-e', library, address], stdout=subprocess.PIPE,
        text=True).stdout
    match = re.search(r'(\S+):(\d+)', found)
    if match is None:
        return f'at {address}'
    path, number = match.groups()
    return f'in line: {linecache.getline(path, int(number)).strip()}'
