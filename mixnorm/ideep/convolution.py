"""Convolution of images, and its gradients."""
import collections

from torch.nn import functional, grad

from mixnorm.ideep.tensors import tensor


class convolution2DParam(collections.namedtuple(
        'convolution2DParam', 'shape dilate_y dilate_x stride_y stride_x '
        'top left bottom right')):

    """Shape of the result, and how the kernel goes over the padded image.

    Chainer works out the padding below and to the right by the size of the
    output.  It is negative where the kernel does not reach the last rows.

    """

    @property
    def stride(self):
        return self.stride_y, self.stride_x

    @property
    def dilation(self):
        return self.dilate_y, self.dilate_x

    @property
    def sides(self):
        """The padding, as :func:`torch.nn.functional.pad` takes it."""
        return self.left, self.right, self.top, self.bottom

    @property
    def has_equal_sides(self):
        """Whether the output is as large with equal padding on both sides.

        PyTorch leaves out rows that the kernel does not reach, too: those of
        the padding, which are fewer than a stride.
        """
        return (0 <= self.top - self.bottom < self.stride_y
                and 0 <= self.left - self.right < self.stride_x)

    @property
    def geometry(self):
        """Stride, padding and dilation for an image with equal sides."""
        return self.stride, (self.top, self.left), self.dilation

    @property
    def padded_geometry(self):
        """Stride, padding and dilation for an image that is padded."""
        return self.stride, (0, 0), self.dilation


class convolution2D:

    """Convolution of images (N, C, H, W) with kernels (O, C, KH, KW)."""

    @staticmethod
    def Forward(x, W, b, param):
        """Returns the convolution, ``(N, O, H', W')``; b may be ``None``."""
        x, geometry = _padded(x, param)
        return functional.conv2d(
            x, tensor(W), None if b is None else tensor(b),
            *geometry).numpy()

    @staticmethod
    def BackwardWeights(x, gy, param):
        """Returns the gradient of W, of the shape in ``param``."""
        x, geometry = _padded(x, param)
        return grad.conv2d_weight(
            x, param.shape, tensor(gy), *geometry).numpy()

    @staticmethod
    def BackwardData(W, gy, param):
        """Returns the gradient of x, of the shape in ``param``."""
        W, gy = tensor(W), tensor(gy)
        if param.has_equal_sides:
            return grad.conv2d_input(
                param.shape, W, gy, *param.geometry).numpy()
        n, c, h, w = param.shape
        left, right, top, bottom = param.sides
        gx = grad.conv2d_input(
            (n, c, h + top + bottom, w + left + right), W, gy,
            *param.padded_geometry)
        return functional.pad(
            gx, (-left, -right, -top, -bottom)).contiguous().numpy()


def _padded(x, param):
    """Returns an image, padded where need be, and the geometry for it."""
    if param.has_equal_sides:
        return tensor(x), param.geometry
    return functional.pad(tensor(x), param.sides), param.padded_geometry
