"""Inception, up to the features of the Frechet Inception distance."""

import chainer
import chainer.functions as F
import chainer.links as L
import numpy

from models.inception_v3 import LAYERS


_STEM = ((32, 3, 2, 0), (32, 3, 1, 0), (64, 3, 1, 1), (80, 1, 1, 0),
         (192, 3, 1, 0))

# The blocks in their order: name, channels that come in, the layer of
# models.inception_v3 that has the same branches, and their names.
_WITH_FOUR = 'conv', 'tower', 'tower_1', 'tower_2'
_BLOCKS = (
    ('mixed', 192, 'inc1/0', _WITH_FOUR),
    ('mixed_1', 256, 'inc1/1', _WITH_FOUR),
    ('mixed_2', 288, 'inc1/2', _WITH_FOUR),
    ('mixed_3', 288, 'red1', ('conv', 'tower')),
    ('mixed_4', 768, 'inc2/0', _WITH_FOUR),
    ('mixed_5', 768, 'inc2/1', _WITH_FOUR),
    ('mixed_6', 768, 'inc2/2', _WITH_FOUR),
    ('mixed_7', 768, 'inc2/3', _WITH_FOUR),
    ('mixed_8', 768, 'red2', ('tower', 'tower_1')),
    ('mixed_9', 1280, 'inc3/0', _WITH_FOUR),
    ('mixed_10', 2048, 'inc3/1', _WITH_FOUR))

_SIDE = 299


class InceptionFeatures(chainer.Chain):

    """Inception-V3 of 2015, up to its last pooling.

    Its weights are 0 until they are read from a file. Its parameters have the
    names that the Chainer port of the network has, which TensorFlow's graph of
    2015-12-05 gave them: ``conv/W``, ``bn_conv/gamma``,
    ``mixed/tower/conv_1/W``,
    ``mixed_9/tower/mixed/conv_1/bn_conv_1/avg_var`` and so on. Where that port
    departs from the graph, this follows the graph: batch normalization has an
    epsilon of 0.001, average pooling leaves the padding out, and images are
    magnified with the corner of the first pixel fixed. As in the graph, the
    last block has max pooling.

    Source: C. Szegedy et al., *Rethinking the Inception Architecture for
    Computer Vision* (2016); as features, M. Heusel et al., *GANs Trained by a
    Two Time-Scale Update Rule Converge to a Local Nash Equilibrium* (2017).

    """

    n_dimensions = 2048

    def __init__(self):
        super().__init__()
        with self.init_scope():
            in_channels = 3
            for i, (width, *geometry) in enumerate(_STEM):
                name = _name(i)
                setattr(self, name, L.Convolution2D(
                    in_channels, width, *geometry, initialW=0))
                setattr(self, f'bn_{name}', _batch_normalization(width))
                in_channels = width
            for name, in_channels, layer, branches in _BLOCKS:
                setattr(self, name, _Block(
                    in_channels, dict(zip(branches, LAYERS[layer])),
                    name == 'mixed_10'))

    def forward(self, x):
        """Computes the features of images.

        Args:
            x (~chainer.Variable or array): Images of shape ``(N, 3, H, W)``,
                float32 from 0 to 255. They are brought to 299x299 pixels.

        Returns:
            ~chainer.Variable: Features ``(N, 2048)``.

        """
        h = (magnify(x, _SIDE) - 128) / 128
        for i in range(len(_STEM)):
            name = _name(i)
            h = F.relu(self[f'bn_{name}'](self[name](h)))
            if i in (2, 4):
                h = F.max_pooling_2d(h, 3, 2, cover_all=False)
        for name, _, _, _ in _BLOCKS:
            h = self[name](h)
        return F.average(h, axis=(2, 3))


def magnify(x, side):
    """Resizes images bilinearly, as TensorFlow's graph of 2015 does.

    Pixel ``i`` of the result is at ``i * H / side`` of the image; what is
    beyond its last pixel has that one's level.

    Args:
        x (~chainer.Variable or array): Images of shape ``(N, C, H, W)``.
        side (int): Height and width of the result.

    Returns:
        ~chainer.Variable: Images ``(N, C, side, side)``.

    """
    xp = chainer.backend.get_array_module(x)
    vertical, horizontal = (
        xp.asarray(_interpolation(size, side)) for size in x.shape[2:])
    return F.matmul(F.matmul(
        xp.broadcast_to(vertical, x.shape[:2] + vertical.shape), x),
        xp.broadcast_to(horizontal.T, x.shape[:2] + horizontal.T.shape))


def _interpolation(size, n):
    """Returns the weights of ``size`` levels in each of ``n``."""
    position = numpy.arange(n) * (size / n)
    lower = position.astype(int)
    upper = numpy.minimum(lower + 1, size - 1)
    weights = numpy.zeros((n, size), numpy.float32)
    weights[numpy.arange(n), lower] += 1 - (position - lower)
    weights[numpy.arange(n), upper] += position - lower
    return weights


class _Tower(chainer.Chain):

    """Convolutions with batch normalization and ReLU, one after the other.

    Args:
        in_channels (int): Number of input channels.
        convolutions (tuple): A tuple of channels, kernel and, where it is not
            1, stride for each.
        first (int): Number of the first, which its name shows.

    """

    def __init__(self, in_channels, convolutions, first=0):
        super().__init__()
        self._names = []
        with self.init_scope():
            for i, (width, ksize, *stride) in enumerate(convolutions, first):
                name = _name(i)
                # With a stride, none; otherwise what keeps the size.
                pad = 0 if stride else (
                    tuple(side // 2 for side in ksize)
                    if isinstance(ksize, tuple) else ksize // 2)
                setattr(self, name, L.Convolution2D(
                    in_channels, width, ksize, *(stride or [1]), pad,
                    initialW=0))
                setattr(self, f'bn_{name}', _batch_normalization(width))
                self._names.append(name)
                in_channels = width

    def forward(self, x):
        for name in self._names:
            x = F.relu(self[f'bn_{name}'](self[name](x)))
        return x


class _ForkedTower(_Tower):

    """A tower whose last two convolutions stand side by side."""

    def __init__(self, in_channels, convolutions):
        *stem, left, right = convolutions
        super().__init__(in_channels, stem)
        with self.init_scope():
            self.mixed = chainer.Chain()
            with self.mixed.init_scope():
                self.mixed.conv = _Tower(stem[-1][0], (left,))
                self.mixed.conv_1 = _Tower(stem[-1][0], (right,), 1)

    def forward(self, x):
        x = super().forward(x)
        return F.concat((self.mixed.conv(x), self.mixed.conv_1(x)))


class _Block(chainer.Chain):

    """Towers side by side: the last behind pooling, or pooling beside them.

    Args:
        in_channels (int): Number of input channels.
        towers (dict): Maps names to convolutions, as :class:`_Tower` takes
            them.
        is_last (bool): Whether it is the last block.

    """

    def __init__(self, in_channels, towers, is_last):
        super().__init__()
        self._names = tuple(towers)
        self._is_last = is_last
        with self.init_scope():
            for name, convolutions in towers.items():
                kernels = [ksize for _, ksize, *_ in convolutions]
                tower = (_ForkedTower if kernels[-2:] == [(1, 3), (3, 1)]
                         else _Tower)
                setattr(self, name, tower(in_channels, convolutions))

    def forward(self, x):
        if 'tower_2' not in self._names:
            return F.concat([self[name](x) for name in self._names] + [
                F.max_pooling_2d(x, 3, 2, cover_all=False)])
        *names, pooled = self._names
        pool = (F.max_pooling_nd(x, 3, 1, 1, cover_all=False) if self._is_last
                else F.average_pooling_nd(x, 3, 1, 1, pad_value=None))
        return F.concat([self[name](x) for name in names] + [
            self[pooled](pool)])


def _batch_normalization(width):
    return L.BatchNormalization(width, eps=1e-3)


def _name(i):
    return f'conv_{i}' if i else 'conv'
