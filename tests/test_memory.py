import ctypes
import subprocess
import sys

import pytest

from mixnorm import keep_memory

# Counts the pages that the same arrays, made and freed again and again, get
# anew from the system once the first have been made. They are smaller than
# what NumPy asks larger pages for.
_COUNT_FAULTS = '''
import resource, sys
import mixnorm
import numpy

if sys.argv[1] == 'keep':
    assert mixnorm.keep_memory() is True

def work():
    arrays = [numpy.ones(1 << 17) for _ in range(16)]

for _ in range(3):
    work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
'''


def _has_glibc():
    return hasattr(ctypes.CDLL(None), 'gnu_get_libc_version')


def _n_faults(what):
    done = subprocess.run(
        [sys.executable, '-c', _COUNT_FAULTS, what],
        stdout=subprocess.PIPE, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not _has_glibc(), reason='the C library is not glibc')
def test_freed_memory_is_used_again():
    n_faults = _n_faults('leave')
    # 20 times 16 MiB, in pages of 2 MiB at most.
    assert n_faults >= 100
    assert _n_faults('keep') < n_faults / 10


class _Library:

    """A C library without mallopt, or one that refuses."""

    def __init__(self, **functions):
        self.__dict__.update(functions)


def test_harmless_without_mallopt(monkeypatch):
    monkeypatch.setattr(ctypes, 'CDLL', lambda name: _Library())
    assert keep_memory() is False


def test_harmless_without_a_c_library(monkeypatch):
    def fail(name):
        raise OSError('there is none')

    monkeypatch.setattr(ctypes, 'CDLL', fail)
    assert keep_memory() is False


@pytest.mark.parametrize('refused', [-1, -4])
def test_says_so_where_it_is_refused(monkeypatch, refused):
    monkeypatch.setattr(ctypes, 'CDLL', lambda name: _Library(
        mallopt=lambda option, value: int(option != refused)))
    assert keep_memory() is False
