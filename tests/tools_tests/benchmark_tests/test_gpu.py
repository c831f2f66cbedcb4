"""Measuring on a GPU, with something that stands for one."""
import types

import mixnorm  # NOQA  (before Chainer)
import numpy
import pytest

from mixnorm.compute.gpu import launcher
from tools.benchmark import cases
from tools.benchmark import gpu
from tools.benchmark.harness import Benchmark


class _Gpu:

    """A GPU of NumPy whose clock runs only while it works.

    Work is queued, and done when the host waits for it.

    """

    cache = 1000

    def __init__(self):
        self.now = 0.
        self.queue = []
        self.host_waits = 0
        self.device = types.SimpleNamespace(id=0)
        self.xp = types.SimpleNamespace(
            RawKernel=lambda code, name: self._kernel, cuda=self)
        self.runtime = types.SimpleNamespace(
            getDeviceProperties=lambda number: {'l2CacheSize': self.cache})
        test = self

        class Event:

            def record(self):
                test.queue.append(
                    lambda: setattr(self, 'seconds', test.now))

            def synchronize(self):
                test.synchronize()

        self.Event = Event

    def send(self, array):
        return array

    def _kernel(self, grid, block, arguments):
        self.queue.append(lambda: self.work(1.))

    def work(self, seconds):
        self.now += seconds

    def synchronize(self):
        self.host_waits += 1
        while self.queue:
            self.queue.pop(0)()

    def get_current_stream(self):
        return self

    def get_elapsed_time(self, start, end):
        return 1000 * (end.seconds - start.seconds)


def test_kernel_by_the_gpus_clock():
    device = _Gpu()
    x = numpy.arange(50.)  # 400 bytes
    seen = []

    def function(z):
        numpy.testing.assert_array_equal(z, x)
        seen.append(z)
        device.queue.append(lambda: device.work(.25))
        return z

    seconds, pages = gpu.KernelTimer(device, [x]).measure(function)
    # Not the second that the stream is held.
    assert (seconds, pages) == (.25, 0)
    addresses = {z.ctypes.data for z in seen}
    assert len(addresses) * x.nbytes >= 4 * device.cache
    assert len(seen) == 2 * len(addresses)


def test_host_is_not_charged_for_the_gpu(monkeypatch):
    device = _Gpu()
    clock = [5.]
    monkeypatch.setattr(gpu.time, 'perf_counter', lambda: clock[0])

    def synchronize():
        clock[0] += 100.

    device.synchronize = synchronize

    def function():
        clock[0] += .5

    assert gpu.measure_host(function, device) == (.5, 0)


def test_counts_launches(monkeypatch):
    launched = []
    monkeypatch.setattr(
        launcher, 'launch', lambda *args: launched.append(args))

    def function():
        for i in range(3):
            launcher.launch('rows', 'kernel', i)

    assert gpu.count_launches(function) == 3
    assert launched == [('rows', 'kernel', i) for i in range(3)]
    assert gpu.count_launches(lambda: None) == 0


@pytest.fixture
def benchmark(monkeypatch):
    """A benchmark on the stand-in, and small inputs."""
    device = _Gpu()
    benchmark = Benchmark(device, .01)
    monkeypatch.setattr(
        cases, 'activation',
        lambda device, shape: numpy.ones((2, 4, 3, 3), 'f'))
    monkeypatch.setattr(cases, 'OUTPUT_SHAPES', [(2, 4, 3, 3)])
    return benchmark


def test_rows_of_kernels(benchmark, monkeypatch, capsys):
    monkeypatch.setattr(
        gpu.KernelTimer, 'measure',
        lambda self, function: (function(*self._copies[0]).size * 1., 0))
    cases.compare_kernels(benchmark)
    row, = benchmark.rows
    assert (row['section'], row['against']) == ('output', 'copy of the input')
    assert row['ratio'] == 1
    # A posterior of 3 is read beside 4 channels that are read and written.
    assert '138% of the copy' in capsys.readouterr().out


def test_rows_of_the_host(benchmark, monkeypatch):
    monkeypatch.setattr(
        cases, 'forward_and_backward', lambda link, x: lambda: launcher.launch(
            ) if 'Batch' not in type(link).__name__ else None)
    monkeypatch.setattr(launcher, 'launch', lambda *args: None)
    cases.compare_host(benchmark)
    assert [(row['section'], row['what'], row['note'])
            for row in benchmark.rows] == [
                ('host', f'{name} 256x128x8x8',
                 "1 launches of the library's kernels")
                for name in ('mixture', 'mode')]
