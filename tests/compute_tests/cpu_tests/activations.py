"""Activations that the tests of the CPU share."""
import numpy


# In the batch, within a sample, without spatial axes, in runs that do not
# divide the length, and in other orders in memory.
ACTIVATIONS = [
    (48, 96, 12, 12), (2, 3, 260, 300), (70001, 5), (3, 200, 999), (9, 2, 2)]


def activation(shape, order, dtype, seed):
    x = numpy.random.RandomState(seed).randn(*shape).astype(dtype)
    if order == 'channels last':
        x = numpy.moveaxis(
            numpy.ascontiguousarray(numpy.moveaxis(x, 1, -1)), -1, 1)
    elif order == 'strided':
        wide = numpy.zeros((shape[0], 2 * shape[1]) + shape[2:], dtype)
        wide[:, ::2] = x
        x = wide[:, ::2]
    return x


def rows_of(z):
    return numpy.moveaxis(z.astype('d'), 1, -1).reshape(-1, z.shape[1])
