import gc
import os
import signal
import threading
import time
import tracemalloc

import chainer
import numpy
import pytest

from compute_tests.cpu_tests.activations import activation
from mixnorm.compute import cpu
from mixnorm.compute.layout import stack
from mixnorm.compute.cpu import density
from mixnorm.compute.parameters import Parameters
from mixnorm.compute.scratch import Scratch
from mixnorm.compute.threads import for_blocks
from mixnorm.links import GroupMixtureNormalization, MixtureNormalization
from mixnorm.mixture import DiagonalGaussianMixture


def test_threads_after_a_fork(monkeypatch):
    monkeypatch.setenv('OMP_NUM_THREADS', '2')
    x = stack(activation((64, 64, 32, 32), '', 'f', 0))
    tau = numpy.ones((64, 1, 1024), 'f')
    expected = cpu.mixture.statistics(x, tau).means
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # Waiting for threads that are not there.
        same = (cpu.mixture.statistics(x, tau).means == expected).all()
        os._exit(0 if same else 1)
    _, status = os.waitpid(child, 0)
    assert status == 0


@pytest.mark.parametrize('n_threads', ['1', '3'])
def test_error_in_a_thread_is_raised_once_the_others_are_done(
        monkeypatch, n_threads):
    monkeypatch.setenv('OMP_NUM_THREADS', n_threads)
    done = []

    def work(block, scratch):
        if block == 5:
            raise KeyError('five')
        done.append(block)
        return 2 * block

    with pytest.raises(KeyError, match='five'):
        for_blocks(work, list(range(20)))
    assert sorted(done) == [i for i in range(20) if i != 5]
    assert for_blocks(work, [1, 2, 3]) == [2, 4, 6]
    assert for_blocks(work, []) == []


@pytest.mark.parametrize('n_threads', ['1', '3'])
def test_a_temporary_twice_in_a_block_is_an_error(monkeypatch, n_threads):
    monkeypatch.setenv('OMP_NUM_THREADS', n_threads)

    def work(block, scratch):
        scratch.empty('once', (3,), 'f')
        scratch.empty('twice', (3,), 'f')
        if block == 5:
            scratch.empty('twice', (3,), 'f')

    with pytest.raises(RuntimeError, match="'twice' is in use"):
        for_blocks(work, range(20))


def test_blocks_share_the_memory_of_a_thread(monkeypatch):
    monkeypatch.setenv('OMP_NUM_THREADS', '3')
    addresses = {}

    def work(block, scratch):
        z = scratch.empty('z', (1000,), 'f')
        z[...] = block
        time.sleep(.001)
        assert (z == block).all()
        addresses.setdefault(threading.get_ident(), set()).add(
            z.__array_interface__['data'][0])

    for_blocks(work, range(60))
    assert all(len(found) == 1 for found in addresses.values())


def _fit(seed, shape=(200, 6, 30, 30)):
    """Passes of every kind over points, far from the origin."""
    x = activation(shape, '', 'f', seed) + numpy.float32(300)
    gm = DiagonalGaussianMixture(
        3, kmeans_iter=2, max_iter=3, tol=0, random_state=seed).fit(x)
    tau, statistics = cpu.mixture.posterior_and_statistics(
        stack(x), Parameters(gm.weights_, gm.means_, gm.covariances_))
    means, variances = cpu.rows.moments(x.reshape(shape[:2] + (-1,)))
    return [z.tobytes() for z in (
        gm.weights_, gm.means_, gm.covariances_, tau, *statistics, means,
        variances)]


@pytest.mark.parametrize('n_threads', ['1', '3'])
def test_a_fit_within_a_block(monkeypatch, n_threads):
    monkeypatch.setenv('OMP_NUM_THREADS', n_threads)
    expected, inner = _fit(0), _fit(1, (20, 6, 9))
    posterior = density.Density.posterior
    found = []

    def interrupted(self, z, squares, scratch):
        if not running and len(found) < 5:
            running.append(True)
            found.append(_fit(1, (20, 6, 9)))
            running.pop()
        return posterior(self, z, squares, scratch)

    running = []
    monkeypatch.setattr(density.Density, 'posterior', interrupted)
    assert _fit(0) == expected
    assert found == [inner] * len(found) and found


@pytest.mark.parametrize('n_threads', ['1', '3'])
def test_a_fit_within_a_signal_handler(monkeypatch, n_threads):
    monkeypatch.setenv('OMP_NUM_THREADS', n_threads)
    expected, inner = _fit(0), _fit(1, (20, 6, 9))
    found = []

    def handle(signal_number, frame):
        if not handling:
            handling.append(True)
            found.append(_fit(1, (20, 6, 9)) == inner)
            handling.pop()

    handling = []
    previous = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, .01, .01)
    try:
        outer = [_fit(0) == expected for _ in range(3)]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert found and all(found)
    assert all(outer)


def _pass_through_layers():
    random = numpy.random.RandomState(0)
    for link in (MixtureNormalization(32, seed=0),
                 GroupMixtureNormalization(4, 32, seed=0)):
        x = chainer.Variable(random.randn(64, 32, 16, 16).astype('e'))
        y = link(x)
        y.grad = x.array
        y.backward()


@pytest.mark.parametrize('run', [
    lambda: _fit(0), _pass_through_layers], ids=['fit', 'layers'])
def test_nothing_is_kept(monkeypatch, run):
    monkeypatch.setenv('OMP_NUM_THREADS', '3')
    run()
    tracemalloc.start()
    try:
        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # A thread that shared the last block may just be leaving it.
        for _ in range(500):
            gc.collect()
            kept = tracemalloc.get_traced_memory()[0]
            if kept < 1 << 19 and _n_scratch() == 0:
                break
            time.sleep(.01)
    finally:
        tracemalloc.stop()
    # The inputs alone are many times as large; the rest is Python's own.
    assert kept < 1 << 19
    assert _n_scratch() == 0


def _n_scratch():
    return sum(isinstance(z, Scratch) for z in gc.get_objects())
