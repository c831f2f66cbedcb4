"""ResNet18, for ImageNet."""

import chainer
import chainer.functions as F
import chainer.links as L

from mixnorm.checks import check_integer
from models.blocks import Conv2DNormReLU, residual_stage
from models.places import normalizers_by_place

_WIDTHS = 64, 128, 256, 512
_N_BLOCKS = 2


def _layers(stage, block):
    """Returns the names of what has a normalizer in a block."""
    if stage > 1 and block == 0:
        return 'conv1', 'conv2', 'shortcut'
    return 'conv1', 'conv2'


class ResNet18(chainer.Chain):

    """A convolution, four stages of residual blocks and a linear layer.

    The first convolution is of 7x7 with stride 2, and max pooling with stride
    2 follows it. The stages have 64, 128, 256 and 512 channels and, of images
    of 224x224, maps of 56x56, 28x28, 14x14 and 7x7; shortcuts between them
    are convolutions of 1x1 with normalizers.

    Args:
        n_classes (int): Number of classes.
        in_channels (int or None): Number of the images' channels; ``None``
            leaves it to the first input.
        normalizers (dict): Maps places to a normalizer's name or a pair of
            name and options, as :func:`~models.places.normalizers_by_place`
            takes them: ``'conv1'``, ``'stage1'`` to ``'stage4'``, their
            blocks, such as ``'stage2/0'``, and the layers of these,
            ``'stage2/0/conv1'``, ``'stage2/0/conv2'`` and
            ``'stage2/0/shortcut'``. Places that are not named have batch
            normalization.

    Raises:
        ValueError: If ``n_classes`` is no positive integer, a place is
            unknown, or a normalizer or its option is.

    Source: K. He, X. Zhang, S. Ren and J. Sun, *Deep Residual Learning for
    Image Recognition* (2016), table 1.

    """

    normalized_layers = ('conv1',) + tuple(
        f'stage{stage}/{block}/{layer}'
        for stage in range(1, len(_WIDTHS) + 1) for block in range(_N_BLOCKS)
        for layer in _layers(stage, block))

    def __init__(self, n_classes, in_channels=None, normalizers=None):
        super().__init__()
        check_integer('n_classes', n_classes, 1)
        norm = normalizers_by_place(normalizers, self.normalized_layers)
        with self.init_scope():
            self.conv1 = Conv2DNormReLU(
                in_channels, _WIDTHS[0], 7, 2, 3, norm['conv1'],
                chainer.initializers.HeNormal())
            in_channels = _WIDTHS[0]
            for stage, width in enumerate(_WIDTHS, 1):
                path = f'stage{stage}'
                setattr(self, path, residual_stage(
                    in_channels, width, _N_BLOCKS, 1 if stage == 1 else 2,
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
        h = F.max_pooling_2d(self.conv1(x), 3, 2, 1, cover_all=False)
        h = self.stage4(self.stage3(self.stage2(self.stage1(h))))
        return self.linear(F.average(h, axis=(2, 3)))
