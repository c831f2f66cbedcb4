"""Pooling of images."""
import collections
import math

import numpy
import torch
from torch.nn import functional

from mixnorm.ideep.arrays import mdarray
from mixnorm.ideep.tensors import tensor

_max_pool = torch.ops.aten.max_pool2d_with_indices
_max_pool_backward = torch.ops.aten.max_pool2d_with_indices_backward
_average_pool = torch.ops.aten.avg_pool2d
_average_pool_backward = torch.ops.aten.avg_pool2d_backward


class pooling2DParam(collections.namedtuple(
        'pooling2DParam', 'shape height width stride_y stride_x '
        'top left bottom right kind')):

    """Shape of the result, and how the window goes over the padded image.

    Chainer works out the padding below and to the right by the size of the
    output.  It is negative where the window does not reach the last rows.

    """

    pooling_max = 'max'
    pooling_avg_include_padding = 'average'

    @property
    def window(self):
        return self.height, self.width

    @property
    def stride(self):
        return self.stride_y, self.stride_x

    @property
    def sides(self):
        """The padding, as :func:`torch.nn.functional.pad` takes it."""
        return self.left, self.right, self.top, self.bottom

    @property
    def ceil_mode(self):
        """How PyTorch rounds to this size of output with equal padding.

        It has no padding of more than half of the window.  Rounding down, it
        leaves out rows at the end that are fewer than a stride; rounding up,
        it adds such rows, but no window that has nothing else.

        Returns:
            bool or None: Whether it rounds up, or ``None`` if it must be given
            a padded image.

        """
        axes = ((self.top, self.bottom, self.stride_y, self.height),
                (self.left, self.right, self.stride_x, self.width))
        if any(2 * before > size for before, _, _, size in axes):
            return None
        if all(0 <= before - after < stride
               for before, after, stride, _ in axes):
            return False
        if all(0 <= after - before < stride and after < size
               for before, after, stride, size in axes):
            return True
        return None


class pooling2D:

    """Maxima or means of the windows of an image (N, C, H, W).

    A mean counts the zeros of the padding.

    """

    @staticmethod
    def Forward(x, param):
        """Returns the pooled image and, of maxima, their positions."""
        x, padding, ceil_mode = _padded(x, param)
        if param.kind == param.pooling_max:
            y, indices = _max_pool(
                x, param.window, param.stride, padding, (1, 1), ceil_mode)
            return y.numpy(), Positions(indices, x.shape[3], padding, param)
        return _average_pool(
            x, param.window, param.stride, padding, ceil_mode, True,
            math.prod(param.window)).numpy(),

    @staticmethod
    def Backward(x, gy, positions, param):
        """Returns the gradient of x; ``positions`` is ``None`` for means."""
        x, padding, ceil_mode = _padded(x, param)
        gy = tensor(gy)
        if param.kind == param.pooling_max:
            gx = _max_pool_backward(
                gy, x, param.window, param.stride, padding, (1, 1), ceil_mode,
                positions.indices)
        else:
            gx = _average_pool_backward(
                gy, x, param.window, param.stride, padding, ceil_mode, True,
                math.prod(param.window))
        if param.ceil_mode is None:
            left, right, top, bottom = param.sides
            gx = functional.pad(gx, (-left, -right, -top, -bottom))
        return gx.contiguous().numpy()


class Positions(mdarray):

    """Where the maxima are, as PyTorch has it and as Chainer has it.

    For Chainer it is an array with the shape of the pooled image: the position
    in each window, row by row.  What reads it is rare, gradients of gradients
    and ``return_indices``, and so it is computed when it is asked for.

    Args:
        indices (torch.Tensor): Positions in the image, row by row.
        width (int): Of the image.
        padding (tuple of int): What PyTorch padded the image with.
        param (pooling2DParam): The windows.

    """

    def __init__(self, indices, width, padding, param):
        self.indices = indices
        self._width = width
        self._padding = padding
        self._param = param

    def __array__(self, dtype=None, copy=None):
        rows, columns = numpy.divmod(self.indices.numpy(), self._width)
        _, _, height, width = rows.shape
        (top, left), param = self._padding, self._param
        rows += top - param.stride_y * numpy.arange(height)[:, None]
        columns += left - param.stride_x * numpy.arange(width)
        rows *= param.width
        rows += columns
        return rows if dtype is None else rows.astype(dtype)

    def __getattr__(self, name):
        if name.startswith('_'):
            raise AttributeError(name)
        return getattr(numpy.asarray(self), name)


def _padded(x, param):
    """Returns an image, padded where need be, with padding and rounding.

    Args:
        x (numpy.ndarray): The image.
        param (pooling2DParam): The windows.

    Returns:
        tuple: The image as a tensor, the padding that PyTorch has to add, and
        whether it has to round the size of the output up.

    """
    x = tensor(x)
    if param.ceil_mode is not None:
        return x, (param.top, param.left), param.ceil_mode
    value = -math.inf if param.kind == param.pooling_max else 0
    return functional.pad(x, param.sides, value=value), (0, 0), False
