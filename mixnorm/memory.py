"""Placeholder: another branch brings :func:`keep_memory`."""


def keep_memory():
    """Returns whether the C library now keeps memory that is freed."""
    return False
