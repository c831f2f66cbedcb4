"""Joining arrays along an axis, and splitting them."""
import numpy


class _Vector(list):

    """A list with the method by which a C++ vector grows."""

    push_back = list.append


intVector = mdarrayVector = _Vector


class concat:

    """Concatenation."""

    @staticmethod
    def Forward(xs, axis):
        """Returns arrays joined along an axis."""
        return numpy.concatenate(xs, axis)

    @staticmethod
    def Backward(y, offsets, axis):
        """Returns the parts of an array that begin at offsets, and at 0."""
        return tuple(numpy.split(y, offsets, axis))
