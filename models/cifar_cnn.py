"""The five-layer convolutional network for CIFAR."""

import chainer
import chainer.functions as F
import chainer.links as L

from mixnorm.checks import check_integer
from models.blocks import Conv2DNormReLU
from models.places import normalizers_by_place


class CifarCNN(chainer.Chain):

    """Four convolutions and a linear layer for small images.

    Each convolution is followed by a normalizer and ReLU. The three poolings
    need images of at least 8x8 pixels.

    Args:
        n_classes (int): Number of classes.
        in_channels (int or None): Number of the images' channels; ``None``
            leaves it to the first input.
        widths (tuple of int): Output channels of conv1 to conv4.
        normalizers (dict): Maps names of layers (``'conv1'`` to ``'conv4'``)
            to a normalizer's name or a pair of name and options, as
            :func:`~models.places.normalizers_by_place` takes them. Layers
            that are not named have batch normalization.

    Raises:
        ValueError: If ``widths`` are not four, they or ``n_classes`` are no
            positive integers, a layer's name is unknown, or a normalizer or
            its option is.

    Source: Kalayeh & Shah, *Training Faster by Separating Modes of Variation
    in Batch-normalized Models*, table I. Kernels of 5x5 and 3x3 follow from
    the padding there; the widths and the poolings' windows of 3x3 are this
    library's choice.

    """

    normalized_layers = ('conv1', 'conv2', 'conv3', 'conv4')

    def __init__(self, n_classes, in_channels=None,
                 widths=(64, 128, 128, 256), normalizers=None):
        super().__init__()
        check_integer('n_classes', n_classes, 1)
        if len(widths) != 4:
            raise ValueError(
                'widths must be four, one for each of '
                f"{', '.join(self.normalized_layers)}, not {widths}")
        for width in widths:
            check_integer('widths', width, 1)
        norm = normalizers_by_place(normalizers, self.normalized_layers)
        w1, w2, w3, w4 = widths
        with self.init_scope():
            self.conv1 = Conv2DNormReLU(
                in_channels, w1, 5, pad=2, normalizer=norm['conv1'])
            self.conv2 = Conv2DNormReLU(
                w1, w2, 5, pad=2, normalizer=norm['conv2'])
            self.conv3 = Conv2DNormReLU(
                w2, w3, 5, pad=2, normalizer=norm['conv3'])
            self.conv4 = Conv2DNormReLU(
                w3, w4, 3, pad=1, normalizer=norm['conv4'])
            self.linear = L.Linear(w4, n_classes)

    def forward(self, x):
        """Computes the class scores of images.

        Args:
            x (~chainer.Variable or array): Images of shape
                ``(N, in_channels, H, W)``.

        Returns:
            ~chainer.Variable: Scores before softmax, of shape
            ``(N, n_classes)``.

        """
        h = F.max_pooling_2d(self.conv1(x), 3, stride=2)
        h = F.max_pooling_2d(self.conv2(h), 3, stride=2)
        h = F.max_pooling_2d(self.conv3(h), 3, stride=2)
        h = F.average(self.conv4(h), axis=(2, 3))
        return self.linear(h)
