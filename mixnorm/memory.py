"""Memory that the process keeps."""
import ctypes

# Options of glibc's mallopt, from its malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4

# By mallopt's manual, no memory is returned then.
_NEVER = -1


def keep_memory():
    """Makes the process keep the memory that it frees, to use it again.

    The C library returns large pieces of memory to the system when they are
    freed.  The next array then lies in fresh memory, which the system hands
    out page by page, zeroed; to get a page costs more than the arithmetic on
    the numbers in it.  A training step frees and makes the same arrays over
    and over, and so is faster if the process keeps them.

    The price is that the process stays as large as it has ever been, until it
    ends, and that memory freed by one thread may not serve another.

    Call it before anything else: what lies in pieces of its own by then goes
    back to the system all the same.

    Returns:
        bool: Whether it took effect, which it does with glibc, the C library
        of most Linux systems.  Elsewhere nothing happens.

    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return all([mallopt(_M_MMAP_MAX, 0) == 1,
                mallopt(_M_TRIM_THRESHOLD, _NEVER) == 1])
