"""The table of what the CUDA kernels take, by tools.kernel_resources."""

import re
import subprocess
import sys

import pytest

from mixnorm.compute.gpu import launcher
from mixnorm.compute.gpu.launcher import TYPES
from tools import kernel_resources
from tools.kernel_resources import Resources


# What a compiler prints about two kernels, one of them with shared memory.
_LOG = '''
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'first' for 'sm_90'
ptxas info    : Function properties for first
    8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 80 registers, used 1 barriers, 2048 bytes smem
ptxas info    : Compile time = 10.374 ms
ptxas info    : Compiling entry function 'second' for 'sm_90'
ptxas info    : Function properties for second
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 24 registers, used 0 barriers, 444 bytes cmem[0]
ptxas info    : Compile time = 3.0 ms
'''


class _Compiler:

    """Prints what is above, whatever it is given."""

    name = 'compiler 1.0'

    def compile(self, text, options):
        self.options = options
        return _LOG


@pytest.fixture(scope='module')
def compiler():
    found = kernel_resources.find_compiler()
    if found is None:
        pytest.skip('there is neither NVRTC nor nvcc')
    return found


def test_reads_what_a_compiler_prints():
    compiler = _Compiler()
    assert kernel_resources.measure(
        compiler, 'rows', 'float16', 'sm_80') == {
            'first': Resources(80, 4, 2048), 'second': Resources(24, 0, 0)}
    # CuPy's own option as well.
    assert {'-arch=sm_80', '-ftz=true', '-DMIXNORM_INPUT=__half'} <= set(
        compiler.options)


def test_source_that_does_not_compile(compiler):
    with pytest.raises(RuntimeError, match='nonsense'):
        compiler.compile('nonsense', ['-arch=sm_80'])


@pytest.mark.parametrize('dtype', TYPES)
def test_aligned_passes_do_not_spill(compiler, dtype):
    found = kernel_resources.measure(
        compiler, 'transform_aligned', dtype, 'sm_90')
    assert len(found) == 4
    for name, resources in found.items():
        assert resources.spilled == 0, name
        assert resources.registers <= (128 if dtype == 'float64' else 80), name


@pytest.mark.parametrize('source', kernel_resources.sources())
def test_table_is_what_the_compiler_says(compiler, source):
    # Of float32 and one architecture; the rest takes a minute.
    table = kernel_resources.read_document()[1]
    if f'Compiled by {compiler.name}.\n' not in table:
        pytest.skip(f'{compiler.name} is not the compiler of the table')
    dynamic = kernel_resources.dynamic_shared_bytes()
    listed = {cells[1]: cells[3:] for cells in _cells(table)
              if cells[2] == 'float32'}
    for name, found in kernel_resources.measure(
            compiler, source, 'float32', 'sm_90').items():
        registers, spilled, shared, dynamic_shared = listed[name]
        assert (int(registers.split(' / ')[1]), int(spilled.split(' / ')[1]),
                int(shared)) == found, name
        assert int(dynamic_shared) == dynamic.get(name, 0), name


def _cells(table):
    return [[cell.strip(' `') for cell in line.split('|')[:-1]]
            for line in table.splitlines() if line.startswith('| `')]


def test_table_has_every_kernel():
    kernels = set()
    for source in kernel_resources.sources():
        kernels |= set(re.findall(
            r'^MIXNORM_(?:LARGE_)?KERNEL (\w+)\(',
            launcher.read_source(source), re.MULTILINE))
    assert len(kernels) > 10
    rows = [tuple(cells[1:3])
            for cells in _cells(kernel_resources.read_document()[1])]
    assert len(set(rows)) == len(rows)
    assert set(rows) == {(name, dtype) for name in kernels
                         for dtype in launcher.TYPES}


def test_writes_the_table(monkeypatch, tmp_path, capsys):
    document = tmp_path / 'kernels.md'
    document.write_text('before\n<!-- begin of the table -->\nold\n'
                        '<!-- end of the table -->\nafter\n')
    monkeypatch.setattr(kernel_resources, 'DOCUMENT', str(document))
    monkeypatch.setattr(kernel_resources, 'find_compiler', _Compiler)
    monkeypatch.setattr(kernel_resources, 'sources', lambda: ['rows'])
    monkeypatch.setattr(
        kernel_resources, 'dynamic_shared_bytes', lambda: {'second': 7})
    assert kernel_resources.main([]) == 0
    before, table, after = kernel_resources.read_document()
    assert before == 'before\n' and after == 'after\n'
    assert table.startswith('Compiled by compiler 1.0.\n')
    rows = [line for line in table.splitlines() if 'float32' in line]
    assert rows == ['| `first` | float32 | 80 / 80 | 4 / 4 | 2048 | 0 |',
                    '| `second` | float32 | 24 / 24 | 0 / 0 | 0 | 7 |']
    assert 'compiler 1.0' in capsys.readouterr().out


def test_without_a_compiler(monkeypatch, capsys):
    monkeypatch.setattr(kernel_resources, 'find_compiler', lambda: None)
    assert kernel_resources.main([]) == 2
    assert capsys.readouterr().err.count('\n') == 1


def test_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, '-m', 'tools.kernel_resources', '--help'],
        stdout=subprocess.PIPE, check=True, text=True)
    assert done.stdout.startswith('usage: python -m tools.kernel_resources')
