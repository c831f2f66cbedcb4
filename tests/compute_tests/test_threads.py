import os
import signal

import numpy
import pytest

from compute_tests.cpu_tests.activations import activation
from mixnorm.compute import cpu
from mixnorm.compute.layout import stack
from mixnorm.compute.threads import for_blocks


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
