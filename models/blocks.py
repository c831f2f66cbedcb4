"""What the networks are built from: convolution, normalizer, ReLU.

Normalizers are chosen by name. A convolution that one follows has no bias, as
the normalizer takes away whatever a bias adds.
"""

import chainer
import chainer.functions as F
import chainer.links as L

import mixnorm
from models.places import name_and_options


class Stack(chainer.ChainList):

    """Links one after the other.

    Their paths are ``'0'``, ``'1'``, ``'2'`` and so on in this order, which
    :class:`chainer.Sequential` does not keep from the third link on.

    Args:
        links (chainer.Link): The links.

    """

    def forward(self, x):
        for link in self:
            x = link(x)
        return x


def normalized_and_activated(norm, x, activation=F.relu):
    """Applies a normalizer and an activation.

    A normalizer that has an activation inside is the whole of it: none
    follows (Kalayeh & Shah, equation 40; without one inside, equation 41).

    Args:
        norm (~chainer.Link): The normalizer.
        x (~chainer.Variable): Its input.
        activation (callable): What follows a normalizer without one inside.

    Returns:
        ~chainer.Variable: Output of ``x``'s shape.

    """
    h = norm(x)
    return h if getattr(norm, 'activation', None) else activation(h)


class Conv2DNorm(chainer.Chain):

    """Convolution, then a normalizer chosen by name.

    Args:
        in_channels (int or None): Number of input channels; ``None`` leaves
            it to the first input.
        out_channels (int): Number of output channels.
        ksize (int or tuple of int): Side, or height and width, of the
            convolution's kernel.
        stride (int): Stride of the convolution.
        pad (int or tuple of int): Rows and columns of zeros added on each
            side.
        normalizer (str or tuple): A name that :func:`mixnorm.normalizer`
            knows, or a pair of a name and a dictionary of options.
        initialW: Initializer of the kernel, as Chainer's links take it.

    Raises:
        ValueError: If the normalizer or one of its options is unknown.

    """

    def __init__(self, in_channels, out_channels, ksize, stride=1, pad=0,
                 normalizer='batch', initialW=None):
        super().__init__()
        name, options = name_and_options(normalizer)
        with self.init_scope():
            self.conv = L.Convolution2D(
                in_channels, out_channels, ksize, stride, pad,
                nobias=name != 'none', initialW=initialW)
            self.norm = mixnorm.normalizer(name, out_channels, **options)

    def forward(self, x):
        return self.norm(self.conv(x))


class Conv2DNormReLU(Conv2DNorm):

    """Convolution, then a normalizer chosen by name, then ReLU.

    It takes what :class:`Conv2DNorm` takes. A normalizer that has an
    activation inside has no ReLU behind it.

    """

    def forward(self, x):
        return normalized_and_activated(self.norm, self.conv(x))


class NormReLUConv2D(chainer.Chain):

    """A normalizer chosen by name, then ReLU, then convolution.

    The convolution keeps the size of the maps. It has no bias: another block
    of this kind follows.

    Args:
        in_channels (int): Number of input channels.
        out_channels (int): Number of output channels.
        ksize (int): Side of the convolution's kernel, which is odd.
        normalizer (str or tuple): See :class:`Conv2DNorm`.
        initialW: Initializer of the kernel, as Chainer's links take it.

    Raises:
        ValueError: If the normalizer or one of its options is unknown.

    """

    def __init__(self, in_channels, out_channels, ksize, normalizer='batch',
                 initialW=None):
        super().__init__()
        name, options = name_and_options(normalizer)
        with self.init_scope():
            self.norm = mixnorm.normalizer(name, in_channels, **options)
            self.conv = L.Convolution2D(
                in_channels, out_channels, ksize, pad=ksize // 2, nobias=True,
                initialW=initialW)

    def forward(self, x):
        return self.conv(normalized_and_activated(self.norm, x))


class ResidualBlock(chainer.Chain):

    """Two 3x3 convolutions and a shortcut around them.

    Normalizers follow both convolutions; ReLU follows the first, and the sum
    of the second and the shortcut. That of the sum stays where a normalizer
    has an activation inside. The shortcut is the input or, where that has
    another shape than the sum, one of these:

    - the input's every ``stride``-th row and column, with channels of zeros
      added after its own (the source's option A);
    - a convolution of 1x1 and a normalizer (option B).

    Args:
        in_channels (int): Number of input channels.
        out_channels (int): Number of output channels.
        stride (int): Stride of the first convolution.
        normalizers (dict): Those of ``'conv1'``, ``'conv2'`` and, for option
            B, ``'shortcut'``, as :class:`Conv2DNorm` takes them.

    Raises:
        ValueError: If a normalizer or one of its options is unknown.

    Source: K. He, X. Zhang, S. Ren and J. Sun, *Deep Residual Learning for
    Image Recognition* (2016), section 3.3 and figure 2.

    """

    def __init__(self, in_channels, out_channels, stride, normalizers):
        super().__init__()
        initialW = chainer.initializers.HeNormal()
        self._stride = stride
        self._n_added = out_channels - in_channels
        with self.init_scope():
            self.conv1 = Conv2DNormReLU(
                in_channels, out_channels, 3, stride, 1, normalizers['conv1'],
                initialW)
            self.conv2 = Conv2DNorm(
                out_channels, out_channels, 3, 1, 1, normalizers['conv2'],
                initialW)
            if 'shortcut' in normalizers:
                self.shortcut = Conv2DNorm(
                    in_channels, out_channels, 1, stride, 0,
                    normalizers['shortcut'], initialW)

    def forward(self, x):
        h = self.conv2(self.conv1(x))
        if hasattr(self, 'shortcut'):
            x = self.shortcut(x)
        elif self._stride > 1 or self._n_added > 0:
            x = x[:, :, ::self._stride, ::self._stride]
            x = F.pad(x, ((0, 0), (0, self._n_added), (0, 0), (0, 0)),
                      'constant')
        return F.relu(h + x)


def residual_stage(in_channels, out_channels, n_blocks, stride, path, norm):
    """Makes a stage of a residual network.

    Args:
        in_channels (int): Number of input channels.
        out_channels (int): Number of output channels.
        n_blocks (int): Number of :class:`ResidualBlock`.
        stride (int): Stride of the first of them.
        path (str): Where the stage is, such as ``'stage2'``.
        norm (dict): Maps the network's places, such as
            ``'stage2/0/conv1'``, to normalizers.

    Returns:
        Stack: The blocks.

    """
    blocks = []
    for i in range(n_blocks):
        prefix = f'{path}/{i}/'
        blocks.append(ResidualBlock(
            in_channels, out_channels, 1 if i else stride,
            {place[len(prefix):]: normalizer
             for place, normalizer in norm.items()
             if place.startswith(prefix)}))
        in_channels = out_channels
    return Stack(*blocks)
