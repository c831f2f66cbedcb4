"""Generator and discriminator of DCGAN, for images of 32x32 pixels."""

import chainer
import chainer.functions as F
import chainer.links as L

import mixnorm
from mixnorm.checks import check_integer, is_integer
from models.blocks import normalized_and_activated
from models.places import normalizers_by_place


class Generator(chainer.Chain):

    """A linear layer and four deconvolutions.

    ReLU follows the linear layer; a normalizer and ReLU follow each of the
    first three deconvolutions, which double the sides of the maps, from 4x4
    to 32x32. The last keeps the size, and tanh follows it.

    Args:
        n_latent (int): Length of the vectors that images are made from.
        width (int): Channels of the first maps; the next have a half, a
            quarter and an eighth of them.
        out_channels (int): Number of the images' channels.
        normalizers (dict): Maps places, ``'bn1'`` to ``'bn3'``, behind the
            first to the third deconvolution, to a normalizer's name or a pair
            of name and options, as
            :func:`~models.places.normalizers_by_place` takes them. Places
            that are not named have batch normalization.

    Raises:
        ValueError: If ``width`` is not a multiple of 8, another size is no
            positive integer, a place is unknown, or a normalizer or its option
            is.

    Source: A. Radford, L. Metz and S. Chintala, *Unsupervised Representation
    Learning with Deep Convolutional Generative Adversarial Networks* (2016).
    The numbers of layers and normalizers are Kalayeh & Shah's, section 4.5;
    they have none behind the linear layer, as Radford et al. do. They give
    neither widths nor kernels: those here are half the source's widths, as
    for images of half the side, and kernels of 4x4, which a stride of 2
    divides.

    """

    normalized_layers = 'bn1', 'bn2', 'bn3'

    def __init__(self, n_latent=100, width=512, out_channels=3,
                 normalizers=None):
        super().__init__()
        check_integer('n_latent', n_latent, 1)
        check_integer('out_channels', out_channels, 1)
        norm = _normalizers(normalizers, width, self.normalized_layers)
        initialW = chainer.initializers.Normal(.02)
        self._width = width
        with self.init_scope():
            self.linear = L.Linear(
                n_latent, 4 * 4 * width, initialW=initialW)
            for i, place in enumerate(self.normalized_layers, 1):
                name, options = norm[place]
                setattr(self, f'deconv{i}', L.Deconvolution2D(
                    width, width // 2, 4, 2, 1, nobias=name != 'none',
                    initialW=initialW))
                width //= 2
                setattr(self, place, mixnorm.normalizer(
                    name, width, **options))
            self.deconv4 = L.Deconvolution2D(
                width, out_channels, 3, 1, 1, initialW=initialW)

    def forward(self, z):
        """Makes images.

        Args:
            z (~chainer.Variable or array): Vectors of shape
                ``(N, n_latent)``.

        Returns:
            ~chainer.Variable: Images of shape ``(N, out_channels, 32, 32)``,
            in (-1, 1).

        """
        h = F.relu(self.linear(z)).reshape(len(z), self._width, 4, 4)
        h = normalized_and_activated(self.bn1, self.deconv1(h))
        h = normalized_and_activated(self.bn2, self.deconv2(h))
        h = normalized_and_activated(self.bn3, self.deconv3(h))
        return F.tanh(self.deconv4(h))


class Discriminator(chainer.Chain):

    """Four convolutions and a linear layer: the generator the other way.

    Leaky ReLU (0.2) follows each convolution, and stands behind a normalizer
    in all but the first, which halve the sides of the maps, from 32x32 to
    4x4.

    Args:
        width (int): Channels of the last maps; those before have a half, a
            quarter and an eighth of them.
        in_channels (int or None): Number of the images' channels; ``None``
            leaves it to the first input.
        normalizers (dict): Maps places, ``'bn1'`` to ``'bn3'``, behind the
            second to the fourth convolution, to a normalizer's name or a pair
            of name and options, as
            :func:`~models.places.normalizers_by_place` takes them. Places
            that are not named have batch normalization.

    Raises:
        ValueError: If ``width`` is not a multiple of 8, a place is unknown,
            or a normalizer or its option is.

    Source: See :class:`Generator`. Kalayeh & Shah do not describe their
    discriminator; this one mirrors their generator, with the source's
    normalizers and activation.

    """

    normalized_layers = 'bn1', 'bn2', 'bn3'

    def __init__(self, width=512, in_channels=None, normalizers=None):
        super().__init__()
        norm = _normalizers(normalizers, width, self.normalized_layers)
        initialW = chainer.initializers.Normal(.02)
        width //= 8
        with self.init_scope():
            self.conv0 = L.Convolution2D(
                in_channels, width, 3, 1, 1, initialW=initialW)
            for i, place in enumerate(self.normalized_layers, 1):
                name, options = norm[place]
                setattr(self, f'conv{i}', L.Convolution2D(
                    width, 2 * width, 4, 2, 1, nobias=name != 'none',
                    initialW=initialW))
                width *= 2
                setattr(self, place, mixnorm.normalizer(
                    name, width, **options))
            self.linear = L.Linear(4 * 4 * width, 1, initialW=initialW)

    def forward(self, x):
        """Scores images by how real they look.

        Args:
            x (~chainer.Variable or array): Images of shape
                ``(N, in_channels, 32, 32)``.

        Returns:
            ~chainer.Variable: Scores before the sigmoid, of shape ``(N, 1)``.

        """
        h = F.leaky_relu(self.conv0(x))
        h = normalized_and_activated(
            self.bn1, self.conv1(h), F.leaky_relu)
        h = normalized_and_activated(
            self.bn2, self.conv2(h), F.leaky_relu)
        h = normalized_and_activated(
            self.bn3, self.conv3(h), F.leaky_relu)
        return self.linear(h)


def _normalizers(normalizers, width, places):
    if not is_integer(width) or width < 8 or width % 8:
        raise ValueError(f'width is {width!r}: it must be a multiple of 8')
    return normalizers_by_place(normalizers, places)
