"""Measures what a GPU does by its own clock, and what the host does for it."""
import itertools
import time
from unittest import mock

import numpy

from mixnorm.compute.gpu import launcher

# Keeps a stream waiting, so that what follows is queued before any of it runs.
_HOLD = r'''
extern "C" __global__ void hold(long long cycles) {
  long long start = clock64();
  while (clock64() - start < cycles) {}
}
'''

# Enough for the host to queue what is measured at once: some 20 ms.
_HOLD_CYCLES = 40 * 10 ** 6

# Buffers together exceed the cache so many times.
_TIMES_THE_CACHE = 4


class KernelTimer:

    """Measures a kernel by CUDA's events, on arrays that no cache holds.

    Calls take turns on copies of their arguments, and what they return is
    kept until the last has ended, so that each reads and writes memory that
    none did shortly before. The calls are queued while the GPU is held: what
    the host takes is not in the time.

    Args:
        device (chainer.backend.Device): A GPU.
        arrays (list of arrays): Arguments of what is measured.

    """

    def __init__(self, device, arrays):
        self._cuda = device.xp.cuda
        properties = self._cuda.runtime.getDeviceProperties(device.device.id)
        n_bytes = sum(array.nbytes for array in arrays)
        n_copies = 1 + _TIMES_THE_CACHE * properties['l2CacheSize'] // n_bytes
        self._copies = [
            [array.copy() for array in arrays] for _ in range(n_copies)]
        self._hold = device.xp.RawKernel(_HOLD, 'hold')

    def measure(self, function):
        """Measures calls on all copies.

        Args:
            function (callable): Of the arrays, to an array that it allocates.

        Returns:
            tuple: Seconds for one call, and 0 for the new pages of memory,
            which play no part.

        """
        # Memory for the results, which is then there.
        results = [function(*arrays) for arrays in self._copies]
        del results
        start, end = self._cuda.Event(), self._cuda.Event()
        self._hold((1,), (1,), (numpy.int64(_HOLD_CYCLES),))
        start.record()
        results = [function(*arrays) for arrays in self._copies]
        end.record()
        end.synchronize()
        milliseconds = self._cuda.get_elapsed_time(start, end)
        return milliseconds / 1000 / len(results), 0


def measure_host(function, device):
    """Measures the seconds until a call returns, the GPU having no work.

    Returns:
        tuple: Seconds, and 0 for the new pages of memory, which play no part.

    """
    stream = device.xp.cuda.get_current_stream()
    stream.synchronize()
    start = time.perf_counter()
    function()
    seconds = time.perf_counter() - start
    stream.synchronize()
    return seconds, 0


def count_launches(function):
    """Counts the launches of this library's kernels in a call.

    CuPy's own, of which batch normalization in Chainer is made, are not
    counted: CuPy does not say when it launches one.

    """
    number = itertools.count()
    launch = launcher.launch

    def counted(*args):
        next(number)
        launch(*args)

    with mock.patch.object(launcher, 'launch', counted):
        function()
    return next(number)
