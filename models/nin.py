"""Network In Network, for CIFAR."""

import chainer
import chainer.functions as F

from mixnorm.checks import check_integer
from models.blocks import Conv2DNormReLU, Stack
from models.dropout import Dropout
from models.places import normalizers_by_place

# Output channels and side of the kernel of each convolution; None stands for
# the number of classes.
_BLOCKS = {
    'mlpconv1': ((192, 5), (160, 1), (96, 1)),
    'mlpconv2': ((192, 5), (192, 1), (192, 1)),
    'mlpconv3': ((192, 3), (192, 1), (None, 1)),
}


class NIN(chainer.Chain):

    """Three blocks of a convolution and two of 1x1, without a linear layer.

    A normalizer and ReLU follow each convolution. Behind the first block
    stands max pooling, behind the second average pooling, each with dropout;
    the scores are the averages of the last maps, of which there is one for
    each class.

    Args:
        n_classes (int): Number of classes.
        in_channels (int or None): Number of the images' channels; ``None``
            leaves it to the first input.
        normalizers (dict): Maps places to a normalizer's name or a pair of
            name and options, as :func:`~models.places.normalizers_by_place`
            takes them. ``'mlpconv1'`` to ``'mlpconv3'`` are the blocks, and
            ``'mlpconv1/0'`` to ``'mlpconv3/2'`` their layers. Places that are
            not named have batch normalization.

    Raises:
        ValueError: If ``n_classes`` is no positive integer, a place is
            unknown, or a normalizer or its option is.

    Source: M. Lin, Q. Chen and S. Yan, *Network In Network* (2014);
    normalizers and the dropout ratio of 0.25 are those of Deecke et al.,
    *Mode Normalization* (2019), section 4.2. Neither gives the widths: they
    are those of Lin et al.'s published configuration for CIFAR-10, which pads
    only the right and lower sides of what it pools; here all sides are, for
    the same sizes of 32x32, 16x16 and 8x8. Averages count the zeros there.

    """

    normalized_layers = tuple(
        f'{block}/{i}' for block, layers in _BLOCKS.items()
        for i in range(len(layers)))

    def __init__(self, n_classes, in_channels=None, normalizers=None):
        super().__init__()
        check_integer('n_classes', n_classes, 1)
        norm = normalizers_by_place(normalizers, self.normalized_layers)
        with self.init_scope():
            for block, layers in _BLOCKS.items():
                convolutions = []
                for i, (width, ksize) in enumerate(layers):
                    width = width or n_classes
                    convolutions.append(Conv2DNormReLU(
                        in_channels, width, ksize, pad=ksize // 2,
                        normalizer=norm[f'{block}/{i}']))
                    in_channels = width
                setattr(self, block, Stack(*convolutions))
            self.dropout1 = Dropout(.25)
            self.dropout2 = Dropout(.25)

    def forward(self, x):
        """Computes the class scores of images.

        Args:
            x (~chainer.Variable or array): Images of shape
                ``(N, in_channels, H, W)``.

        Returns:
            ~chainer.Variable: Scores before softmax, of shape
            ``(N, n_classes)``.

        """
        h = F.max_pooling_2d(self.mlpconv1(x), 3, 2, 1, cover_all=False)
        h = F.average_pooling_2d(self.mlpconv2(self.dropout1(h)), 3, 2, 1)
        h = self.mlpconv3(self.dropout2(h))
        return F.average(h, axis=(2, 3))
