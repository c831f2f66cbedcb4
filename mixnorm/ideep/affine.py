"""The affine transformation y = x W^T + b, and its gradients."""
from torch.nn import functional

from mixnorm.ideep.tensors import tensor


class linear:

    """y = x W^T + b, with x (N, D), W (M, D) and b (M,)."""

    @staticmethod
    def Forward(x, W, b):
        """Returns y, ``(N, M)``; b may be ``None``."""
        return functional.linear(
            tensor(x), tensor(W), None if b is None else tensor(b)).numpy()

    @staticmethod
    def BackwardData(W, gy):
        """Returns the gradient of x, gy W."""
        return (tensor(gy) @ tensor(W)).numpy()

    @staticmethod
    def BackwardWeights(x, gy):
        """Returns the gradient of W, gy^T x."""
        return (tensor(gy).T @ tensor(x)).numpy()
