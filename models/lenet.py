"""LeNet, for images of 32x32 pixels."""

import chainer
import chainer.functions as F
import chainer.links as L

from mixnorm.checks import check_integer
from models.blocks import Conv2DNormReLU
from models.places import normalizers_by_place


class LeNet(chainer.Chain):

    """Two convolutions and three linear layers.

    Each convolution is followed by a normalizer, ReLU and a pooling of 2x2;
    the first two linear layers by ReLU.

    Args:
        n_classes (int): Number of classes.
        in_channels (int or None): Number of the images' channels; ``None``
            leaves it to the first input.
        widths (tuple of int): Outputs of conv1, conv2, linear1 and linear2.
        normalizers (dict): Maps names of layers (``'conv1'``, ``'conv2'``) to
            a normalizer's name or a pair of name and options, as
            :func:`~models.places.normalizers_by_place` takes them. Layers
            that are not named have batch normalization.

    Raises:
        ValueError: If ``widths`` are not four, they or ``n_classes`` are no
            positive integers, a layer's name is unknown, or a normalizer or
            its option is.

    Source: Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, *Gradient-Based
    Learning Applied to Document Recognition* (1998), LeNet-5, with rectifiers
    and maxima in place of its non-linearity and subsampling. Deecke et al.,
    *Mode Normalization* (2019), section 4.1, train LeNet "(LeCun et al.,
    1989)" and say neither its widths nor where the normalizers stand; here
    they follow both convolutions.

    """

    normalized_layers = ('conv1', 'conv2')

    def __init__(self, n_classes, in_channels=None,
                 widths=(6, 16, 120, 84), normalizers=None):
        super().__init__()
        check_integer('n_classes', n_classes, 1)
        if len(widths) != 4:
            raise ValueError(
                'widths must be four, for conv1, conv2, linear1 and linear2, '
                f'not {widths}')
        for width in widths:
            check_integer('widths', width, 1)
        norm = normalizers_by_place(normalizers, self.normalized_layers)
        w1, w2, w3, w4 = widths
        with self.init_scope():
            self.conv1 = Conv2DNormReLU(
                in_channels, w1, 5, normalizer=norm['conv1'])
            self.conv2 = Conv2DNormReLU(w1, w2, 5, normalizer=norm['conv2'])
            self.linear1 = L.Linear(5 * 5 * w2, w3)
            self.linear2 = L.Linear(w3, w4)
            self.linear3 = L.Linear(w4, n_classes)

    def forward(self, x):
        """Computes the class scores of images.

        Args:
            x (~chainer.Variable or array): Images of shape
                ``(N, in_channels, 32, 32)``.

        Returns:
            ~chainer.Variable: Scores before softmax, of shape
            ``(N, n_classes)``.

        """
        h = F.max_pooling_2d(self.conv1(x), 2)
        h = F.max_pooling_2d(self.conv2(h), 2)
        h = F.relu(self.linear1(h))
        h = F.relu(self.linear2(h))
        return self.linear3(h)
