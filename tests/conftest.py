"""What all tests share: Chainer made importable, and skips by machine."""

import os

import mixnorm  # NOQA  (makes Chainer importable, so it comes first)
from chainer.backends import cuda
from chainer.backends import intel64
import chainerx
import pytest


def _n_gpus():
    if not cuda.available:
        return 0
    try:
        return cuda.cupy.cuda.runtime.getDeviceCount()
    except cuda.cupy.cuda.runtime.CUDARuntimeError:
        return 0


# Read by chainer.testing when it is imported: tests that need more GPUs than
# this are skipped.
os.environ.setdefault('CHAINER_TEST_GPU_LIMIT', str(_n_gpus()))


def pytest_runtest_setup(item):
    for mark, available in [('cudnn', cuda.cudnn_enabled),
                            ('ideep', intel64.is_ideep_available()),
                            ('chainerx', chainerx.is_available())]:
        if item.get_closest_marker(mark) and not available:
            pytest.skip(f'{mark} is not available')
