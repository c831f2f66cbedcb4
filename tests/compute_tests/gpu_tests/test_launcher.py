"""The CUDA sources compile, with the numbers that they share with Python."""
import os
import shutil
import subprocess

import pytest

from compute_tests import cuda_on_cpu
from mixnorm.compute.gpu import constants
from mixnorm.compute.gpu.launcher import (
    compiler_options, read_source, TYPES)


_ARCHITECTURES = ('75', '80', '90')


@pytest.mark.parametrize('dtype', sorted(TYPES))
@pytest.mark.parametrize('name', cuda_on_cpu.SOURCES)
def test_compiles_for_gpus(name, dtype, tmp_path):
    # The text that CuPy compiles. Not optimized: the errors are the same.
    compiler = shutil.which('nvcc')
    if compiler is None:
        pytest.skip('there is no nvcc')
    source = tmp_path / 'kernels.cu'
    source.write_text(read_source(name))
    binary = tmp_path / 'kernels.fatbin'
    options = []
    for architecture in _ARCHITECTURES:
        options += ['-gencode', f'arch=compute_{architecture},code=sm_'
                                f'{architecture}']
    done = subprocess.run(
        [compiler, '--fatbin', '-Xcicc', '-O0', '-Xptxas',
         '-O0', *options, *compiler_options(dtype), '-o',
         str(binary), str(source)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    assert os.path.getsize(str(binary)) > 0


def test_every_constant_reaches_a_kernel():
    names = [name for name in vars(constants) if name.isupper()]
    assert 'THREADS' in names
    source = cuda_on_cpu.all_sources()
    for name in names:
        assert f'MIXNORM_{name};' in source
        assert (f'-DMIXNORM_{name}={getattr(constants, name)}'
                in compiler_options('float32'))
