"""Work on blocks, shared among threads.

A *block* is a part of the points that stays in the cache while all steps are
done on it.  NumPy releases the interpreter inside its loops and products,
so that threads that work on blocks of an array use the cores that it alone
would leave idle.
"""
import os
import queue
import threading

import numpy

from mixnorm.compute.scratch import Scratch


class _Workers:

    """Threads that wait for work, started when they are first needed.

    They are told by a queue alone: the executors of the standard library take
    as long as a whole step on a block to do so.

    """

    def __init__(self):
        self._calls = queue.SimpleQueue()
        # A signal handler may come here while its own thread has the lock.
        self._lock = threading.RLock()
        self._n_threads = 0

    def call(self, function, n_threads):
        """Has several threads call a function, at some time."""
        with self._lock:
            while self._n_threads < n_threads:
                threading.Thread(
                    target=self._run, name='mixnorm', daemon=True).start()
                self._n_threads += 1
        for _ in range(n_threads):
            self._calls.put(function)

    def _run(self):
        while True:
            self._calls.get()()


def _start_anew():
    global _workers
    _workers = _Workers()


_start_anew()
# Threads do not survive a fork; the child starts its own.
os.register_at_fork(after_in_child=_start_anew)


def n_threads():
    """Returns how many threads work: ``OMP_NUM_THREADS``, or all cores."""
    setting = os.environ.get('OMP_NUM_THREADS', '').partition(',')[0]
    if setting.isdigit() and int(setting) > 0:
        return int(setting)
    return len(os.sched_getaffinity(0))


def for_blocks(work, blocks):
    """Applies a function to blocks, in as many threads as there are cores.

    Values that are not finite pass through it silently, as through Chainer's
    own functions.

    Args:
        work (callable): Takes a block, and the
            :class:`~mixnorm.compute.scratch.Scratch` of the thread in this
            pass: its temporaries are valid until the block is done, and gone
            after the pass.
        blocks (sequence): The blocks.

    Returns:
        list: What it returned, in the order of the blocks, whatever the
        number of threads: a sum over them does not depend on it.

    """
    results = [None] * len(blocks)
    numbers = iter(range(len(blocks)))
    ended = queue.SimpleQueue()

    def take_blocks():
        i = next(numbers, None)
        scratch = Scratch()
        with numpy.errstate(all='ignore'):
            while i is not None:
                error = None
                try:
                    with scratch.step():
                        results[i] = work(blocks[i], scratch)
                except BaseException as raised:
                    error = raised
                i = next(numbers, None)
                if i is None:
                    # Before the pass can end, not some time after it.
                    del scratch
                ended.put(error)

    _workers.call(take_blocks, min(n_threads(), len(blocks)) - 1)
    take_blocks()
    # Not of the threads, which may not even have begun: of the blocks.
    errors = [ended.get() for _ in blocks]
    for error in errors:
        if error is not None:
            raise error
    return results
