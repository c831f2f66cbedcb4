"""Memory that is used again.

Fresh memory comes from the system page by page, which for a large array
costs as much as a pass over it or more.
"""
import os
import sys
import threading

import numpy

# Memory of outputs that is kept, in bytes, in use or not.
_KEPT_BYTES = 1 << 25

# Less than this comes from what the process holds already.
_SMALL_BYTES = 1 << 20

_local = threading.local()


def scratch(number, size, dtype):
    """Returns memory for a temporary, the same at every call.

    Args:
        number (int or str): Tells a thread's temporaries apart.
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


def output(size, dtype):
    """Returns memory for an array that goes to the caller's caller.

    It is nobody else's: neither an array nor a view of one that exists lies
    in it.  Where there is some that earlier outputs of this size lay in, all
    of which are gone, it is taken again.

    Args:
        size (int): Number of elements.
        dtype (numpy.dtype): Their type.

    Returns:
        numpy.ndarray: ``(size,)``.

    """
    n_bytes = size * numpy.dtype(dtype).itemsize
    if _SMALL_BYTES <= n_bytes <= _KEPT_BYTES:
        memory = _outputs.take(n_bytes)
        if memory is not None:
            return memory.view(dtype)
    return numpy.empty(size, dtype)


class _Outputs:

    """Memory that outputs lie in or have lain in."""

    def __init__(self):
        self._lock = threading.Lock()
        # Those taken last are last.
        self._memories = []

    def take(self, n_bytes):
        """Returns a view ``(n_bytes,)`` of memory that is free.

        ``None`` if so much is in use that no more is to be kept.

        """
        memories = self._memories
        with self._lock:
            for i in range(len(memories)):
                if memories[i].nbytes == n_bytes and _is_free(memories, i):
                    memories.append(memories.pop(i))
                    return memories[-1][:]
            excess = sum(z.nbytes for z in memories) + n_bytes - _KEPT_BYTES
            i = 0
            while excess > 0 and i < len(memories):
                if _is_free(memories, i):
                    excess -= memories.pop(i).nbytes
                else:
                    i += 1
            if excess > 0:
                return None
            memories.append(numpy.empty(n_bytes, numpy.uint8))
            return memories[-1][:]


def _n_references(memories, i):
    return sys.getrefcount(memories[i])


# Every view of an array refers to the array that owns the memory.
_N_REFERENCES_IF_FREE = _n_references([numpy.empty(1)], 0)


def _is_free(memories, i):
    return _n_references(memories, i) == _N_REFERENCES_IF_FREE


def _start_anew():
    global _outputs
    _outputs = _Outputs()


_start_anew()
# Another thread may hold the lock when the process forks.
os.register_at_fork(after_in_child=_start_anew)
