"""Arithmetic on points: in main memory or on a GPU.

:mod:`mixnorm.compute.cpu` and :mod:`mixnorm.compute.gpu` have the same
functions, from arrays to arrays; so have :mod:`mixnorm.compute.cpu_rows` and
:mod:`mixnorm.compute.gpu_rows`.
"""
import numpy

from mixnorm.compute import cpu
from mixnorm.compute import cpu_rows
from mixnorm.compute.stack import get_array_module


def of(x):
    """Returns the module of the functions that compute where an array is.

    Args:
        x (array): A NumPy or CuPy array.

    Returns:
        module: :mod:`mixnorm.compute.cpu` or :mod:`mixnorm.compute.gpu`.

    """
    if get_array_module(x) is numpy:
        return cpu
    from mixnorm.compute import gpu
    return gpu


def rows_of(x):
    """Returns the module of the functions of rows where an array is.

    Args:
        x (array): A NumPy or CuPy array.

    Returns:
        module: :mod:`mixnorm.compute.cpu_rows` or
        :mod:`mixnorm.compute.gpu_rows`.

    """
    if get_array_module(x) is numpy:
        return cpu_rows
    from mixnorm.compute import gpu_rows
    return gpu_rows
