"""Arithmetic on points: NumPy in main memory, CUDA kernels on a GPU.

:mod:`mixnorm.compute.cpu` and :mod:`mixnorm.compute.gpu` have the same
functions, from arrays to arrays; :mod:`mixnorm.compute.contract` says which.
"""
import functools

import numpy

from mixnorm.compute import cpu
from mixnorm.compute.layout import get_array_module

__all__ = ['arithmetic']


def arithmetic(x):
    """Returns the arithmetic that serves an array.

    Args:
        x (array): A NumPy or CuPy array, or points made of one by a function
            of the arithmetic.

    Returns:
        mixnorm.compute.contract.Arithmetic: :mod:`mixnorm.compute.cpu` or
        :mod:`mixnorm.compute.gpu`.

    """
    if get_array_module(x) is numpy:
        return cpu
    return _gpu()


@functools.lru_cache(maxsize=None)
def _gpu():
    # Not before it is needed, and not at every call.
    from mixnorm.compute import gpu
    return gpu
