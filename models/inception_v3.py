"""Inception-V3, for images of 32x32 pixels."""

import chainer
import chainer.functions as F
import chainer.links as L

from mixnorm.checks import check_integer
from models.blocks import Conv2DNormReLU, Stack
from models.places import normalizers_by_place

# Each convolution is a tuple of output channels, kernel and, where it is not
# 1, stride; each branch a tuple of convolutions.

_STEM = (32, 3), (32, 3), (64, 3), (80, 1), (192, 3)


def _inc1(pool):
    return (
        ((64, 1),),
        ((48, 1), (64, 5)),
        ((64, 1), (96, 3), (96, 3)),
        ((pool, 1),))


def _inc2(n):
    return (
        ((192, 1),),
        ((n, 1), (n, (1, 7)), (192, (7, 1))),
        ((n, 1), (n, (7, 1)), (n, (1, 7)), (n, (7, 1)), (192, (1, 7))),
        ((192, 1),))


# The last two convolutions of a branch of several stand side by side.
_INC3 = (
    ((320, 1),),
    ((384, 1), (384, (1, 3)), (384, (3, 1))),
    ((448, 1), (384, 3), (384, (1, 3)), (384, (3, 1))),
    ((192, 1),))

_RED1 = (
    ((384, 3, 2),),
    ((64, 1), (96, 3), (96, 3, 2)))

_RED2 = (
    ((192, 1), (320, 3, 2)),
    ((192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2)))

LAYERS = {
    'inc1/0': _inc1(32), 'inc1/1': _inc1(64), 'inc1/2': _inc1(64),
    'red1': _RED1,
    'inc2/0': _inc2(128), 'inc2/1': _inc2(160), 'inc2/2': _inc2(160),
    'inc2/3': _inc2(192),
    'red2': _RED2,
    'inc3/0': _INC3, 'inc3/1': _INC3}


class _SideBySide(chainer.ChainList):

    """Convolutions one after the other, and the last two side by side."""

    def forward(self, x):
        *first, left, right = self
        for convolution in first:
            x = convolution(x)
        return F.concat((left(x), right(x)))


class _Inception(chainer.ChainList):

    """Branches of convolutions, the last of them behind average pooling."""

    def forward(self, x):
        *branches, pooled = self
        return F.concat([branch(x) for branch in branches] + [
            pooled(F.average_pooling_2d(x, 3, 1, 1))])


class _Reduction(chainer.ChainList):

    """Branches of convolutions beside max pooling, all with stride 2."""

    def forward(self, x):
        return F.concat([branch(x) for branch in self] + [
            F.max_pooling_2d(x, 3, 2, cover_all=False)])


class InceptionV3(chainer.Chain):

    """Five convolutions, three blocks of Inception layers, a linear layer.

    A normalizer and ReLU follow each convolution. Between the blocks stand
    grid reductions, which halve the sides of the maps. Of images of 32x32,
    the maps are 32x32 in the stem, 15x15 in the first block, 7x7 in the
    second and 3x3 in the third. Their averages over positions are what the
    linear layer takes.

    Args:
        n_classes (int): Number of classes.
        in_channels (int or None): Number of the images' channels; ``None``
            leaves it to the first input.
        normalizers (dict): Maps places to a normalizer's name or a pair of
            name and options, as :func:`~models.places.normalizers_by_place`
            takes them. Places are ``'stem'``, the blocks ``'inc1'``,
            ``'inc2'`` and ``'inc3'``, the reductions ``'red1'`` and
            ``'red2'``, and what these hold: ``'inc2/0'`` is the first layer
            of the second block, ``'inc2/0/2'`` its third branch and
            ``'inc2/0/2/4'`` the fifth normalizer there; a reduction holds
            branches. A layer's branches are that of one convolution, the two
            of several, the shorter first, and that behind average pooling.
            Places that are not named have batch normalization.

    Raises:
        ValueError: If ``n_classes`` is no positive integer, a place is
            unknown, or a normalizer or its option is.

    Source: C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens and Z. Wojna,
    *Rethinking the Inception Architecture for Computer Vision* (2016); widths
    from the authors' published code, which the paper does not give in full.
    The changes are those of Kalayeh & Shah, section 4.3: the first
    convolution has stride 1 and the first max pooling is gone, so that the
    total stride is 8. Their last maps are 3x3, which follows if the
    convolutions of the stem are padded and the poolings are not. There is
    neither the auxiliary classifier nor dropout, of which they say nothing.
    Their "10 mixture normalization modules in inc2/0 and inc3/0" are 10 and 9
    in this architecture.

    """

    normalized_layers = tuple(
        f'stem/{i}' for i in range(len(_STEM))) + tuple(
        f'{layer}/{branch}/{i}' for layer, branches in LAYERS.items()
        for branch, convolutions in enumerate(branches)
        for i in range(len(convolutions)))

    def __init__(self, n_classes, in_channels=None, normalizers=None):
        super().__init__()
        check_integer('n_classes', n_classes, 1)
        norm = normalizers_by_place(normalizers, self.normalized_layers)

        def inception(in_channels, path):
            return _Inception(*_branches(in_channels, path, norm))

        def reduction(in_channels, path):
            return _Reduction(*_branches(in_channels, path, norm))

        with self.init_scope():
            self.stem = Stack(
                *_convolutions(in_channels, _STEM, 'stem', norm))
            self.inc1 = Stack(
                inception(192, 'inc1/0'), inception(256, 'inc1/1'),
                inception(288, 'inc1/2'))
            self.red1 = reduction(288, 'red1')
            self.inc2 = Stack(
                inception(768, 'inc2/0'), inception(768, 'inc2/1'),
                inception(768, 'inc2/2'), inception(768, 'inc2/3'))
            self.red2 = reduction(768, 'red2')
            self.inc3 = Stack(
                inception(1280, 'inc3/0'), inception(2048, 'inc3/1'))
            self.linear = L.Linear(2048, n_classes)

    def forward(self, x):
        """Computes the class scores of images.

        Args:
            x (~chainer.Variable or array): Images of shape
                ``(N, in_channels, H, W)``.

        Returns:
            ~chainer.Variable: Scores before softmax, of shape
            ``(N, n_classes)``.

        """
        h = F.max_pooling_2d(self.stem(x), 3, 2, cover_all=False)
        h = self.red1(self.inc1(h))
        h = self.red2(self.inc2(h))
        return self.linear(F.average(self.inc3(h), axis=(2, 3)))


def _branches(in_channels, path, norm):
    """Makes the branches of an Inception layer or a reduction."""
    branches = []
    for i, table in enumerate(LAYERS[path]):
        is_split = path.startswith('inc3') and len(table) > 1
        convolutions = _convolutions(
            in_channels, table, f'{path}/{i}', norm, is_split)
        branches.append(_SideBySide(*convolutions) if is_split
                        else Stack(*convolutions))
    return branches


def _convolutions(in_channels, table, path, norm, is_split=False):
    """Makes convolutions; those with stride 1 keep the size of the maps."""
    convolutions = []
    for i, (out_channels, ksize, *stride) in enumerate(table):
        height, width = (ksize, ksize) if isinstance(ksize, int) else ksize
        convolutions.append(Conv2DNormReLU(
            in_channels, out_channels, (height, width), *(stride or [1]),
            pad=0 if stride else (height // 2, width // 2),
            normalizer=norm[f'{path}/{i}']))
        if not (is_split and i == len(table) - 2):
            in_channels = out_channels
    return convolutions
