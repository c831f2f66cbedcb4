"""What NumPy 2 computes otherwise than NumPy 1."""

import functools
import math

import numpy

from mixnorm.compat.repairs import (
    ModuleWith, numpy_version, rebound, repairs_module)


# NumPy 2 takes a Python number's precision from the array or NumPy scalar
# beside it (NEP 50); NumPy 1 computed with scalars in double precision.
_SCALARS_STAY_NARROW = (1. * numpy.float16(1)).dtype == numpy.float16


@repairs_module('chainer.variable',
                needed=hasattr(numpy.ndarray, 'device'))
def _array_device(module):
    """NumPy 2's arrays have a ``device`` of their own, the string ``'cpu'``.

    ``debug_print`` takes it for CuPy's, and an array without one for ``CPU``.
    """
    def getattr_(obj, name, default):
        if name == 'device' and isinstance(obj, numpy.ndarray):
            return default
        return getattr(obj, name, default)

    yield
    module.Variable.debug_print = rebound(
        module.Variable.debug_print, getattr=getattr_)


@repairs_module('chainer.reporter', needed=_SCALARS_STAY_NARROW)
def _summary(module):
    """Means of a report are summed up in double precision, as with NumPy 1.

    A sum of float16 losses would stop growing at 2048 times one of them.
    """
    yield
    add = module.Summary.add

    @functools.wraps(add)
    def add_in_double(self, value, weight=1):
        if (isinstance(value, (numpy.ndarray, numpy.generic))
                and isinstance(self._x, float)):
            self._x = numpy.float64(self._x)
            self._x2 = numpy.float64(self._x2)
        add(self, value, weight)

    module.Summary.add = add_in_double


@repairs_module('chainer.optimizer_hooks.gradient_clipping',
                needed=_SCALARS_STAY_NARROW)
def _gradient_norm(module):
    """A gradient's norm is summed up in double precision, as with NumPy 1.

    In float16 the sum of squares would overflow at a norm of 256.
    """
    def sum_in_double(values):
        on_host = all(isinstance(value, numpy.generic) for value in values)
        return sum(values, numpy.float64(0) if on_host else 0)

    yield
    module._sum_sqnorm_grads = rebound(
        module._sum_sqnorm_grads, sum=sum_in_double)


@repairs_module('chainer.training.extensions.step_shift',
                needed=_SCALARS_STAY_NARROW)
def _step(module):
    """``numpy.floor`` makes the learning rate a NumPy scalar.

    That has NumPy 2 update float32 parameters in double precision, until a
    snapshot is resumed, which brings the rate back as a Python number.
    """
    yield
    module.StepShift.__call__ = rebound(
        module.StepShift.__call__,
        numpy=ModuleWith(numpy, floor=math.floor))


@repairs_module('chainer.functions.array.pad_sequence',
                needed=numpy_version() >= (2, 0))
def _padding(module):
    """NumPy 2 refuses what an integer type cannot hold; NumPy 1 wrapped it.

    A padding of -1 stands for the highest number of an unsigned type.
    """
    yield
    forward = module.PadSequence.forward

    @functools.wraps(forward)
    def forward_wrapped(self, xs):
        if isinstance(self.padding, int) and xs[0].dtype.kind in 'iu':
            self.padding = numpy.array(self.padding).astype(xs[0].dtype)[()]
        return forward(self, xs)

    module.PadSequence.forward = forward_wrapped


@repairs_module('chainermn.iterators.multi_node_iterator',
                needed=numpy_version() >= (1, 25))
def _integer(module):
    """NumPy 2.4 makes no number of an array of one element.

    All ranks but the first would end there, and the first would wait for
    them.
    """
    def int_(array):
        return int(array.item())

    yield
    module._MultiNodeIteratorSlave.__init__ = rebound(
        module._MultiNodeIteratorSlave.__init__, int=int_)
