"""Residual networks for CIFAR."""

import chainer
import chainer.functions as F
import chainer.links as L

from mixnorm.checks import check_integer, is_integer
from models.blocks import Conv2DNormReLU, residual_stage
from models.places import normalizers_by_place

_WIDTHS = 16, 32, 64


def normalized_layers(depth):
    """Returns the places of a network's normalizers.

    Args:
        depth (int): Number of layers, 6n + 2.

    Returns:
        tuple of str: ``'conv1'``, then ``'stage1/0/conv1'``,
        ``'stage1/0/conv2'``, ``'stage1/1/conv1'`` and so on to stage 3.

    Raises:
        ValueError: If there is no network of this depth.

    """
    if not is_integer(depth) or depth < 8 or depth % 6 != 2:
        raise ValueError(f'depth is {depth!r}: it must be 8, 14, 20 or '
                         'another 6n + 2')
    return ('conv1',) + tuple(
        f'stage{stage}/{block}/{conv}' for stage in (1, 2, 3)
        for block in range(depth // 6) for conv in ('conv1', 'conv2'))


class ResNetCIFAR(chainer.Chain):

    """A convolution, three stages of residual blocks and a linear layer.

    The stages have 16, 32 and 64 channels and maps of 32x32, 16x16 and 8x8;
    shortcuts between them are padded with zeros, without parameters.

    Args:
        n_classes (int): Number of classes.
        depth (int): Number of layers, 6n + 2: 20, 56 and 110 are the
            source's.
        in_channels (int or None): Number of the images' channels; ``None``
            leaves it to the first input.
        normalizers (dict): Maps places to a normalizer's name or a pair of
            name and options, as :func:`~models.places.normalizers_by_place`
            takes them. ``'conv1'``, ``'stage1'`` to ``'stage3'``, their
            blocks, such as ``'stage2/0'``, and the layers of these, such as
            ``'stage2/0/conv1'``. Places that are not named have batch
            normalization.

    Attributes:
        normalized_layers (tuple of str): The places that are layers.

    Raises:
        ValueError: If there is no network of this depth, ``n_classes`` is
            no positive integer, a place is unknown, or a normalizer or its
            option is.

    Source: K. He, X. Zhang, S. Ren and J. Sun, *Deep Residual Learning for
    Image Recognition* (2016), section 4.2.

    """

    def __init__(self, n_classes, depth=20, in_channels=None,
                 normalizers=None):
        super().__init__()
        check_integer('n_classes', n_classes, 1)
        self.normalized_layers = normalized_layers(depth)
        norm = normalizers_by_place(normalizers, self.normalized_layers)
        with self.init_scope():
            self.conv1 = Conv2DNormReLU(
                in_channels, _WIDTHS[0], 3, pad=1, normalizer=norm['conv1'],
                initialW=chainer.initializers.HeNormal())
            in_channels = _WIDTHS[0]
            for stage, width in enumerate(_WIDTHS, 1):
                path = f'stage{stage}'
                setattr(self, path, residual_stage(
                    in_channels, width, depth // 6, 1 if stage == 1 else 2,
                    path, norm))
                in_channels = width
            self.linear = L.Linear(in_channels, n_classes)

    def forward(self, x):
        """Computes the class scores of images.

        Args:
            x (~chainer.Variable or array): Images of shape
                ``(N, in_channels, H, W)``.

        Returns:
            ~chainer.Variable: Scores before softmax, of shape
            ``(N, n_classes)``.

        """
        h = self.stage3(self.stage2(self.stage1(self.conv1(x))))
        return self.linear(F.average(h, axis=(2, 3)))
