"""Convolution, normalizer and ReLU, which the networks are built from."""

import chainer
import chainer.functions as F
import chainer.links as L

import mixnorm


class Conv2DNormReLU(chainer.Chain):

    """Convolution, then a normalizer chosen by name, then ReLU.

    The convolution has a bias only where there is no normalizer, as a
    normalizer takes away whatever a bias adds.

    Args:
        in_channels (int or None): Number of input channels; ``None`` leaves
            it to the first input.
        out_channels (int): Number of output channels.
        ksize (int): Side of the convolution's square kernel.
        stride (int): Stride of the convolution.
        pad (int): Rows and columns of zeros added on each side.
        normalizer (str or tuple): A name that :func:`mixnorm.normalizer`
            knows, or a pair of a name and a dictionary of options.

    Raises:
        ValueError: If the normalizer or one of its options is unknown.

    """

    def __init__(self, in_channels, out_channels, ksize, stride=1, pad=0,
                 normalizer='batch'):
        super().__init__()
        if isinstance(normalizer, str):
            normalizer = normalizer, {}
        if not (isinstance(normalizer, (tuple, list)) and len(normalizer) == 2
                and isinstance(normalizer[1], dict)):
            raise ValueError(f'normalizer is {normalizer!r}: it must be a '
                             'name or a pair of a name and a dictionary of '
                             'options')
        name, options = normalizer
        with self.init_scope():
            self.conv = L.Convolution2D(
                in_channels, out_channels, ksize, stride, pad,
                nobias=name != 'none')
            self.norm = mixnorm.normalizer(name, out_channels, **options)

    def forward(self, x):
        return F.relu(self.norm(self.conv(x)))
