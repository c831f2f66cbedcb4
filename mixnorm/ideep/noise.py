"""Dropout."""
import numpy


class dropout:

    """Dropout, with NumPy's random numbers as Chainer itself draws them.

    The units that are dropped are thus the same with and without iDeep.

    """

    @staticmethod
    def Forward(x, ratio):
        """Returns the mask, 0 or 1 / (1 - ratio), and x times the mask."""
        kept = numpy.random.rand(*x.shape) >= ratio
        mask = x.dtype.type(1 / (1 - ratio)) * kept
        return mask, x * mask

    @staticmethod
    def Backward(mask, gy):
        """Returns the gradient of x."""
        return gy * mask
