"""The rectifier."""
import torch

from mixnorm.ideep.tensors import tensor

_backward = torch.ops.aten.threshold_backward


class relu:

    """The rectifier, max(0, x)."""

    @staticmethod
    def Forward(x):
        """Returns max(0, x)."""
        return torch.relu(tensor(x)).numpy()

    @staticmethod
    def Backward(y, gy):
        """Returns the gradient of x: gy where y > 0, and 0 elsewhere."""
        return _backward(tensor(gy), tensor(y), 0).numpy()
