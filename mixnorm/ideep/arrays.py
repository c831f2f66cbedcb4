"""The arrays that operators take and return, which are NumPy's."""
import numpy

# What an array is for, which iDeep lays out its arrays by.
wgt_array = 'weights'


class mdarray:

    """iDeep's own arrays, of which there are none: no array is of this class.

    Chainer tells by it what it must hand back to iDeep, as it must the
    positions of maxima.

    """


def array(x, itype=None):
    """Returns what it is given, an array in no layout but NumPy's."""
    return x


def basic_copyto(dst, src):
    """Copies the elements of an array into another one."""
    numpy.copyto(dst, src)


def get_array_module(*arrays):
    """Returns what has elementwise functions for arrays: NumPy."""
    return numpy


def check_ndim(arrays, supported_ndim=(2, 4)):
    """Returns whether the first of some arrays has a number of axes.

    The others, such as a bias, may have fewer.
    """
    return arrays[0].ndim in supported_ndim


def check_type(arrays):
    """Returns whether arrays are NumPy's, of float32, and none is empty."""
    return all(isinstance(x, numpy.ndarray) and x.dtype == numpy.float32
               and x.size > 0 for x in arrays)
