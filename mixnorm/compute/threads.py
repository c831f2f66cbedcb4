"""Work on blocks, shared among threads.

NumPy lets go of the interpreter inside its loops and products, so that
threads that work on blocks of an array use the cores that it alone would
leave idle.
"""
import concurrent.futures
import os

import numpy

_executor = None


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


def for_blocks(work, blocks):
    """Applies a function to shares of the blocks, a share to a thread.

    Values that are not finite pass through it silently, as through Chainer's
    own functions.

    Args:
        work (callable): Takes a list of blocks and returns a list with one
            result for each.
        blocks (list): The blocks.

    Returns:
        list: The results in the order of the blocks, whatever the number of
        threads: a sum over them does not depend on it.

    """
    n_shares = max(1, min(n_threads(), len(blocks)))
    ends = [len(blocks) * i // n_shares for i in range(n_shares + 1)]

    def quiet_work(start, stop):
        with numpy.errstate(all='ignore'):
            return work(blocks[start:stop])

    others = [_submit(n_shares - 1, quiet_work, start, stop)
              for start, stop in zip(ends[1:-1], ends[2:])]
    results = quiet_work(0, ends[1])
    for other in others:
        results += other.result()
    return results
