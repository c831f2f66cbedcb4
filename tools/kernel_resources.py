"""Writes what each CUDA kernel takes of a GPU, as its compiler says.

    python -m tools.kernel_resources

compiles every kernel for compute capabilities 8.0 and 9.0, as CuPy would, and
writes the table in mixnorm/compute/gpu/kernels.md anew: registers of a thread,
bytes of them that do not fit and are spilled to memory, and shared memory of a
thread block. It takes NVRTC (nvidia-cuda-nvrtc-cu12 and
nvidia-cuda-runtime-cu12 install it) or, where there is none, nvcc. It takes
about a minute, and no GPU.
"""

import argparse
import collections
import ctypes
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import typing
from unittest import mock

import mixnorm
import numpy

from mixnorm.compute import gpu
from mixnorm.compute.gpu import launcher
from mixnorm.compute.parameters import Parameters
from mixnorm.files import replacing
from train import command_line
from train.command_line import UserError

DOCUMENT = os.path.join(
    os.path.dirname(mixnorm.__file__), 'compute', 'gpu', 'kernels.md')
ARCHITECTURES = 'sm_80', 'sm_90'

# What CuPy adds to the options that it is given, and what to NVRTC's alone.
CUPY_OPTIONS = '-ftz=true',
_CUPY_NVRTC_OPTIONS = '--device-as-default-execution-space',

# The case that dynamic shared memory is stated for.
SHAPE, N_COMPONENTS = (256, 128, 64), 3

_BEGIN, _END = '<!-- begin of the table -->\n', '<!-- end of the table -->\n'


class Resources(typing.NamedTuple):

    """What a kernel takes.

    Attributes:
        registers (int): Registers of a thread.
        spilled (int): Bytes that a thread writes to memory because they do
            not fit into registers.
        shared (int): Static shared memory of a thread block, in bytes.

    """

    registers: int
    spilled: int
    shared: int


class Nvcc:

    """CUDA's compiler for files.

    Attributes:
        name (str): Name and version.

    """

    def __init__(self, path):
        self._path = path
        version = subprocess.run(
            [path, '--version'], stdout=subprocess.PIPE, check=True,
            text=True).stdout
        self.name = f"nvcc {re.search(r'V([0-9.]+)', version).group(1)}"

    def compile(self, text, options):
        """Compiles a source.

        Args:
            text (str): The source.
            options (iterable of str): Of the compiler, the architecture being
                one of them.

        Returns:
            str: What the compiler prints.

        Raises:
            RuntimeError: If it does not compile.

        """
        with tempfile.TemporaryDirectory() as folder:
            source = os.path.join(folder, 'kernels.cu')
            with open(source, 'w') as file:
                file.write(text)
            done = subprocess.run(
                [self._path, '-cubin', '-Xptxas', '-v', *options, '-o',
                 os.path.join(folder, 'kernels.cubin'), source],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise RuntimeError(done.stdout)
        return done.stdout


class Nvrtc:

    """CUDA's compiler for programs that run, which CuPy calls.

    Attributes:
        name (str): Name and version.

    """

    def __init__(self, library, headers):
        self._library = ctypes.CDLL(library)
        self._headers = headers
        version = ctypes.c_int(), ctypes.c_int()
        self._library.nvrtcVersion(*map(ctypes.byref, version))
        self.name = 'NVRTC {}.{}'.format(*(v.value for v in version))

    def compile(self, text, options):
        """Compiles a source; see :meth:`Nvcc.compile`."""
        options = [option.encode() for option in (
            *options, *_CUPY_NVRTC_OPTIONS, '--ptxas-options=-v',
            f'-I{self._headers}')]
        program = ctypes.c_void_p()
        self._library.nvrtcCreateProgram(
            ctypes.byref(program), text.encode(), b'kernels.cu', 0, None,
            None)
        failed = self._library.nvrtcCompileProgram(
            program, len(options), (ctypes.c_char_p * len(options))(*options))
        size = ctypes.c_size_t()
        self._library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        self._library.nvrtcGetProgramLog(program, log)
        self._library.nvrtcDestroyProgram(ctypes.byref(program))
        if failed:
            raise RuntimeError(log.value.decode())
        return log.value.decode()


def find_compiler():
    """Returns NVRTC, else nvcc, else ``None``, as they are found."""
    home = os.environ.get('CUDA_PATH', '/usr/local/cuda')
    packages = [os.path.join(p, 'nvidia', '*') for p in sys.path]
    for libraries, headers in [
            *((os.path.join(p, 'lib'), os.path.join(p, 'include'))
              for p in packages),
            (os.path.join(home, 'lib64'), os.path.join(home, 'include'))]:
        library = glob.glob(os.path.join(libraries, 'libnvrtc.so*'))
        header = glob.glob(os.path.join(headers, 'cuda_fp16.h'))
        if library and header:
            return Nvrtc(library[0], os.path.dirname(header[0]))
    path = shutil.which('nvcc')
    return None if path is None else Nvcc(path)


def measure(compiler, source, dtype, architecture):
    """Compiles a source and returns what its kernels take.

    Args:
        compiler (Nvcc or Nvrtc): The compiler.
        source (str): Name of the ``.cu`` file without the ending.
        dtype (str): Name of the type of activations.
        architecture (str): ``'sm_90'`` or the like.

    Returns:
        dict: Maps kernels' names to :class:`Resources`.

    """
    log = compiler.compile(
        launcher.read_source(source),
        (*launcher.compiler_options(dtype), *CUPY_OPTIONS,
         f'-arch={architecture}'))
    return {name: Resources(*map(int, (registers, spilled, shared or 0)))
            for name, spilled, registers, shared in re.findall(
                r"Compiling entry function '(\w+)'.*?"
                r'(\d+) bytes spill stores.*?Used (\d+) registers'
                r'(?:[^\n]*?(\d+) bytes smem)?', log, re.DOTALL)}


def sources():
    """Returns the names of all ``.cu`` files, without the ending."""
    return sorted(
        os.path.splitext(os.path.basename(path))[0] for path in glob.glob(
            os.path.join(os.path.dirname(launcher.__file__), '*.cu')))


def dynamic_shared_bytes():
    """Returns the dynamic shared memory of kernels that have some.

    Returns:
        dict: Maps names to bytes, for float32 and the case at the top, in
        both orders of memory.

    """
    found = collections.defaultdict(int)

    def record(source, name, dtype, grid, shared_bytes, arguments):
        found[name] = max(found[name], shared_bytes)

    contiguous = numpy.zeros(SHAPE, numpy.float32)
    channels_last = numpy.zeros(
        (SHAPE[0], SHAPE[2], SHAPE[1]), numpy.float32).transpose(0, 2, 1)
    matrix = numpy.ones((N_COMPONENTS, SHAPE[1]), numpy.float32)
    tau = numpy.ones((SHAPE[0], N_COMPONENTS, SHAPE[2]), numpy.float32)
    mixture = Parameters(matrix[:, 0], matrix, matrix)
    with mock.patch.object(launcher, 'launch', record):
        for x in contiguous, channels_last:
            gpu.sample.standardized_sample(x, None)
            gpu.seeding.seed(x, N_COMPONENTS, numpy.zeros(
                1 + (N_COMPONENTS - 1) * 3))
            gpu.mixture.lloyd_step(x, matrix)
            gpu.mixture.em_step(x, mixture, 0)
            gpu.mixture.posterior(x, *(z[None] for z in mixture))
            gpu.mixture.statistics(x, tau)
            gpu.transform.affine(x, tau, matrix, matrix, None, None)
            gpu.transform.gradient_sums(x, x, tau, None)
            for quadratic in matrix, None:
                gpu.transform.gradient_input(
                    x, x, tau, matrix, quadratic, matrix, None)
    return found


def table_of(compiler):
    """Measures all kernels and returns the table, in Markdown.

    Args:
        compiler (Nvcc or Nvrtc): The compiler.

    """
    dynamic = dynamic_shared_bytes()
    lines = [
        f'Compiled by {compiler.name}.', '',
        '| kernel | type | registers, 8.0 / 9.0 | spilled, 8.0 / 9.0 '
        '| static | dynamic |',
        '|---|---|---|---|---|---|']
    for source in sources():
        for dtype in launcher.TYPES:
            found = [measure(compiler, source, dtype, architecture)
                     for architecture in ARCHITECTURES]
            for name in sorted(found[0]):
                lines.append(row(
                    name, dtype, [kernels[name] for kernels in found],
                    dynamic.get(name, 0)))
    return '\n'.join(lines) + '\n'


def row(name, dtype, resources, dynamic):
    """Returns a row of the table.

    Args:
        name (str): The kernel.
        dtype (str): Name of the type of activations.
        resources (list of Resources): One for each architecture.
        dynamic (int): Bytes of dynamic shared memory.

    Returns:
        str: In Markdown.

    """
    return '| `{}` | {} | {} | {} | {} | {} |'.format(
        name, dtype, ' / '.join(str(r.registers) for r in resources),
        ' / '.join(str(r.spilled) for r in resources),
        resources[0].shared, dynamic if dtype == 'float32' else '')


def read_document():
    """Returns the document's text before, in and after the table."""
    with open(DOCUMENT, encoding='utf-8') as file:
        before, rest = file.read().split(_BEGIN)
    table, after = rest.split(_END)
    return before, table, after


def main(argv=None):
    """Writes the table anew.

    Args:
        argv (list of str or None): The arguments; ``None`` for the process's.

    Returns:
        int: Exit status.

    """
    parser = command_line.ArgumentParser(
        prog='python -m tools.kernel_resources', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(argv)
    return command_line.exit_status(run, parser.prog)


def run():
    """Writes the table anew."""
    compiler = find_compiler()
    if compiler is None:
        raise UserError('there is neither NVRTC nor nvcc')
    table = table_of(compiler)
    before, _, after = read_document()
    with replacing(DOCUMENT) as file:
        file.write(f'{before}{_BEGIN}{table}{_END}{after}')
    print(f'{DOCUMENT}: {compiler.name}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
