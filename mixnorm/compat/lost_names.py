"""Names of NumPy's that packages older than NumPy 1.24 or 2.0 still use."""

import math

import numpy

from mixnorm.compat.repairs import numpy_has


# Python's types, which NumPy had under its own name until 1.24.
_TYPES = {'bool': bool, 'int': int, 'float': float, 'complex': complex,
          'object': object, 'str': str, 'long': int, 'unicode': str}

# What another name stands for now.
_RENAMED = {
    'alltrue': 'all', 'bool8': 'bool_', 'bytes0': 'bytes_',
    'cfloat': 'complex128', 'clongfloat': 'clongdouble',
    'complex_': 'complex128', 'cumproduct': 'cumprod', 'float_': 'float64',
    'int0': 'intp', 'longcomplex': 'clongdouble', 'longfloat': 'longdouble',
    'mat': 'asmatrix', 'object0': 'object_', 'product': 'prod',
    'round_': 'round', 'row_stack': 'vstack', 'singlecomplex': 'complex64',
    'sometrue': 'any', 'str0': 'str_', 'string_': 'bytes_',
    'trapz': 'trapezoid', 'typeDict': 'sctypeDict', 'uint0': 'uintp',
    'unicode_': 'str_', 'void0': 'void'}

# What is in ``numpy.exceptions`` now.
_EXCEPTIONS = ('AxisError', 'ComplexWarning', 'RankWarning',
               'VisibleDeprecationWarning')

SCTYPES = {
    'int': [numpy.int8, numpy.int16, numpy.int32, numpy.int64],
    'uint': [numpy.uint8, numpy.uint16, numpy.uint32, numpy.uint64],
    'float': [numpy.float16, numpy.float32, numpy.float64, numpy.longdouble],
    'complex': [numpy.complex64, numpy.complex128, numpy.clongdouble],
    'others': [bool, object, bytes, str, numpy.void]}

_NUMBERS = {'Inf': math.inf, 'Infinity': math.inf, 'infty': math.inf,
            'PINF': math.inf, 'NINF': -math.inf, 'NaN': math.nan,
            'NAN': math.nan, 'PZERO': 0., 'NZERO': -0.}


def _alen(a):
    return len(numpy.atleast_1d(a))


def _asfarray(a, dtype=numpy.float64):
    dtype = numpy.dtype(dtype)
    return numpy.asarray(
        a, dtype if issubclass(dtype.type, numpy.inexact) else numpy.float64)


def _asscalar(a):
    return a.item()


def _fix(x, out=None):
    return numpy.trunc(x, out=out)


def _in1d(ar1, ar2, assume_unique=False, invert=False):
    return numpy.isin(numpy.ravel(ar1), ar2, assume_unique=assume_unique,
                      invert=invert)


def _msort(a):
    return numpy.sort(a, axis=0)


_FUNCTIONS = {'alen': _alen, 'asfarray': _asfarray, 'asscalar': _asscalar,
              'fix': _fix, 'in1d': _in1d, 'msort': _msort}


def restore_numpy_names():
    """Gives NumPy back the names that it has lost.

    Packages for Chainer that are older than NumPy 1.24 use names such as
    ``numpy.int``, ``numpy.float``, ``numpy.asscalar`` and ``numpy.product``.
    This sets each that the running NumPy does not have, for the whole
    process, so call it before such a package is imported::

        import mixnorm
        mixnorm.compat.restore_numpy_names()
        import chainercv

    It changes nothing that NumPy has, and mixnorm never calls it itself.
    ``numpy.bool`` and ``numpy.long`` are NumPy's own types from 2.0 on. What
    NumPy no longer does with names that it still has stays as it is, so that
    arrays of lists of different lengths and ``float`` of an array of one
    element are errors all the same.

    Returns:
        list of str: The names that were set.

    """
    exceptions = getattr(numpy, 'exceptions', numpy)
    values = {
        **_TYPES, **_NUMBERS, **_FUNCTIONS,
        **{name: getattr(numpy, now) for name, now in _RENAMED.items()
           if hasattr(numpy, now)},
        **{name: getattr(exceptions, name) for name in _EXCEPTIONS
           if hasattr(exceptions, name)},
        'sctypes': SCTYPES}
    lost = sorted(name for name in values if not numpy_has(name))
    for name in lost:
        setattr(numpy, name, values[name])
    return lost
