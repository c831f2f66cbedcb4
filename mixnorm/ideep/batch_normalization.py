"""Batch normalization of images."""
import numpy
import torch

from mixnorm.ideep.tensors import tensor

_backward = torch.ops.aten.native_batch_norm_backward


class batchNormalization:

    """y = gamma (x - mean) / sqrt(var + eps) + beta, x (N, C, H, W)."""

    @staticmethod
    def Forward(x, gamma, beta, mean, var, eps):
        """Normalizes by given statistics, or by those of x.

        Args:
            x (numpy.ndarray): Points, ``(N, C, H, W)``.
            gamma (numpy.ndarray): Scales, ``(C,)``.
            beta (numpy.ndarray): Shifts, ``(C,)``.
            mean (numpy.ndarray or None): Means, ``(C,)``.
            var (numpy.ndarray or None): Variances, ``(C,)``.
            eps (float): Added to the variances.

        Returns:
            tuple: y and, where ``mean`` is ``None``, mean, variance and
            1 / sqrt(variance + eps) of x.

        """
        x, gamma, beta = tensor(x), tensor(gamma), tensor(beta)
        if mean is not None:
            y, _, _ = torch.native_batch_norm(
                x, gamma, beta, tensor(mean), tensor(var), False, 0., eps)
            return y.numpy(),
        y, mean, inv_std = (a.numpy() for a in torch.native_batch_norm(
            x, gamma, beta, None, None, True, 0., eps))
        var = numpy.maximum(inv_std ** -2 - numpy.float32(eps), 0)
        return y, mean, var, inv_std

    @staticmethod
    def Backward(x, gy, mean, var, gamma, eps):
        """Returns the gradients of x and, as a pair, of gamma and beta."""
        inv_std = 1 / numpy.sqrt(var + numpy.float32(eps))
        gx, ggamma, gbeta = _backward(
            tensor(gy), tensor(x), tensor(gamma), None, None, tensor(mean),
            tensor(inv_std), True, eps, (True, True, True))
        return gx.numpy(), (ggamma.numpy(), gbeta.numpy())
