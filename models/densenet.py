"""DenseNet, for CIFAR."""

import chainer
import chainer.functions as F
import chainer.links as L

import mixnorm
from mixnorm.checks import check_integer
from models.blocks import normalized_and_activated, NormReLUConv2D
from models.places import normalizers_by_place

_N_BLOCKS = 3
_FIRST_CHANNELS = 16


def normalized_layers(depth):
    """Returns the places of a network's normalizers.

    Args:
        depth (int): Number of layers.

    Returns:
        tuple of str: ``'block1/0'``, ``'block1/1'`` and so on,
        ``'transition1'``, the same of block 2, block 3, and ``'last'``.

    Raises:
        ValueError: If there is no network of this depth.

    """
    check_integer('depth', depth, _N_BLOCKS + 4)
    places = []
    for block in range(1, _N_BLOCKS + 1):
        places += [f'block{block}/{i}' for i in range(_n_layers(depth))]
        places.append(f'transition{block}' if block < _N_BLOCKS else 'last')
    return tuple(places)


def _n_layers(depth):
    """Returns the number of layers of each block.

    The first convolution, two transitions and the linear layer stand outside.

    """
    return (depth - 4) // _N_BLOCKS


class DenseNet(chainer.Chain):

    """Three blocks in which each layer sees what all before it found.

    A layer is a normalizer, ReLU and a convolution of 3x3, and its input are
    the outputs of all layers of the block before it and what the block
    started from. A transition, between blocks, is a normalizer, ReLU, a
    convolution of 1x1 that keeps the number of channels, and average pooling
    of 2x2. A normalizer, ReLU, the average over positions and a linear layer
    follow the last block. There is no bottleneck, no compression and no
    dropout.

    Args:
        n_classes (int): Number of classes.
        depth (int): Number of layers. A block has ``(depth - 4) // 3`` of
            them: 12 for 40 layers and 32 for 100.
        growth_rate (int): Output channels of each layer.
        in_channels (int or None): Number of the images' channels; ``None``
            leaves it to the first input.
        normalizers (dict): Maps places to a normalizer's name or a pair of
            name and options, as :func:`~models.places.normalizers_by_place`
            takes them: ``'block1'`` to ``'block3'``, their layers, such as
            ``'block1/0'``, ``'transition1'``, ``'transition2'`` and, after
            the third block, ``'last'``. Places that are not named have batch
            normalization.

    Attributes:
        normalized_layers (tuple of str): The places that are layers.

    Raises:
        ValueError: If there is no network of this depth, ``n_classes`` or
            ``growth_rate`` is no positive integer, a place is unknown, or a
            normalizer or its option is.

    Source: G. Huang, Z. Liu, L. van der Maaten and K. Q. Weinberger, *Densely
    Connected Convolutional Networks* (2017), with {L = 40, k = 12} and
    {L = 100, k = 12}. Kalayeh & Shah do not say that the first convolution
    has 16 channels and that there is no compression; both follow from the
    196 and 448 channels at the last normalizer in their table VII, for 20 and
    40 layers. 196 channels are 5 layers a block, and so 19 layers.

    """

    def __init__(self, n_classes, depth=40, growth_rate=12, in_channels=None,
                 normalizers=None):
        super().__init__()
        check_integer('n_classes', n_classes, 1)
        check_integer('growth_rate', growth_rate, 1)
        self.normalized_layers = normalized_layers(depth)
        norm = normalizers_by_place(normalizers, self.normalized_layers)
        initialW = chainer.initializers.HeNormal()
        channels = _FIRST_CHANNELS
        with self.init_scope():
            self.conv = L.Convolution2D(
                in_channels, channels, 3, pad=1, nobias=True,
                initialW=initialW)
            for block in range(1, _N_BLOCKS + 1):
                layers = []
                for i in range(_n_layers(depth)):
                    layers.append(NormReLUConv2D(
                        channels, growth_rate, 3, norm[f'block{block}/{i}'],
                        initialW))
                    channels += growth_rate
                setattr(self, f'block{block}', chainer.ChainList(*layers))
                if block < _N_BLOCKS:
                    name = f'transition{block}'
                    setattr(self, name, NormReLUConv2D(
                        channels, channels, 1, norm[name], initialW))
            name, options = norm['last']
            self.last = mixnorm.normalizer(name, channels, **options)
            self.linear = L.Linear(channels, n_classes)

    def forward(self, x):
        """Computes the class scores of images.

        Args:
            x (~chainer.Variable or array): Images of shape
                ``(N, in_channels, H, W)``.

        Returns:
            ~chainer.Variable: Scores before softmax, of shape
            ``(N, n_classes)``.

        """
        h = _dense(self.block1, self.conv(x))
        h = F.average_pooling_2d(self.transition1(h), 2)
        h = _dense(self.block2, h)
        h = F.average_pooling_2d(self.transition2(h), 2)
        h = _dense(self.block3, h)
        h = F.average(normalized_and_activated(self.last, h), axis=(2, 3))
        return self.linear(h)


def _dense(block, h):
    for layer in block:
        h = F.concat((h, layer(h)))
    return h
