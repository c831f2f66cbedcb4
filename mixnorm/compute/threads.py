"""Work on blocks, shared among threads.

NumPy lets go of the interpreter inside its loops and products, so that
threads that work on blocks of an array use the cores that it alone would
leave idle.
"""
import concurrent.futures
import os
import threading

import numpy

_executor = None
_local = threading.local()


def n_threads():
    """Returns how many threads work: ``OMP_NUM_THREADS``, or all cores."""
    setting = os.environ.get('OMP_NUM_THREADS', '').partition(',')[0]
    if setting.isdigit() and int(setting) > 0:
        return int(setting)
    return len(os.sched_getaffinity(0))


def _forget_executor():
    # Threads do not survive a fork; the child starts its own.
    global _executor
    _executor = None


os.register_at_fork(after_in_child=_forget_executor)


def _submit(n_workers, *task):
    global _executor
    if _executor is None or _executor._max_workers < n_workers:
        _executor = concurrent.futures.ThreadPoolExecutor(
            n_workers, 'mixnorm')
    return _executor.submit(*task)


def scratch(number, size, dtype):
    """Returns memory for a temporary, the same at every call.

    Fresh memory costs as much to get from the system as a pass over it.

    Args:
        number (int): Tells a thread's temporaries apart.
        size (int): Number of elements.
        dtype (numpy.dtype): Their type.

    Returns:
        numpy.ndarray: ``(size,)``, the calling thread's own.

    """
    buffers = _local.__dict__
    key = number, dtype
    if key not in buffers or buffers[key].size < size:
        buffers[key] = numpy.empty(size, dtype)
    return buffers[key][:size]


def for_blocks(work, blocks):
    """Applies a function to blocks, in as many threads as there are cores.

    Values that are not finite pass through it silently, as through Chainer's
    own functions.

    Args:
        work (callable): Takes a block.
        blocks (list): The blocks.

    Returns:
        list: What it returned, in the order of the blocks, whatever the
        number of threads: a sum over them does not depend on it.

    """
    results = [None] * len(blocks)
    numbers = iter(range(len(blocks)))

    def take_blocks():
        with numpy.errstate(all='ignore'):
            for i in numbers:
                results[i] = work(blocks[i])

    n_others = min(n_threads(), len(blocks)) - 1
    others = [_submit(n_others, take_blocks) for _ in range(n_others)]
    take_blocks()
    for other in others:
        other.result()
    return results
