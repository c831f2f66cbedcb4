"""The rectifier, and the leaky one."""
import torch
from torch.nn import functional

from mixnorm.ideep.tensors import tensor

_relu_backward = torch.ops.aten.threshold_backward
_leaky_relu_backward = torch.ops.aten.leaky_relu_backward


class relu:

    """x where x > 0, and slope x elsewhere."""

    @staticmethod
    def Forward(x, slope=0):
        """Returns the rectified array."""
        x = tensor(x)
        # Not 0 x, which is not 0 where x is infinite.
        y = torch.relu(x) if slope == 0 else functional.leaky_relu(x, slope)
        return y.numpy()

    @staticmethod
    def Backward(y, gy, slope=0):
        """Returns the gradient of x: gy where y > 0, and slope gy elsewhere.

        Where the slope is negative, Chainer hands over x in place of y.
        """
        y, gy = tensor(y), tensor(gy)
        if slope == 0:
            return _relu_backward(gy, y, 0).numpy()
        return _leaky_relu_backward(gy, y, slope, False).numpy()
