"""VGG13, for CIFAR."""

import chainer
import chainer.functions as F
import chainer.links as L

from mixnorm.checks import check_integer
from models.blocks import Conv2DNormReLU
from models.places import normalizers_by_place

# Convolutions between poolings: the paper's name for them and their numbers.
_STAGES = (('conv3-64', (1, 2)), ('conv3-128', (1, 2)), ('conv3-256', (1, 2)),
           ('conv3-512', (1, 2)), ('conv3-512', (3, 4)))


class VGG13(chainer.Chain):

    """Ten convolutions of 3x3 and three linear layers.

    A normalizer and ReLU follow each convolution, max pooling of 2x2 each two
    of them, and ReLU the first two linear layers.

    Args:
        n_classes (int): Number of classes.
        in_channels (int or None): Number of the images' channels; ``None``
            leaves it to the first input.
        normalizers (dict): Maps places to a normalizer's name or a pair of
            name and options, as :func:`~models.places.normalizers_by_place`
            takes them. They are the convolutions: kernel, width, and number
            among those of that width, from ``'conv3-64-1'`` to
            ``'conv3-512-4'``. Places that are not named have batch
            normalization.

    Raises:
        ValueError: If ``n_classes`` is no positive integer, a place is
            unknown, or a normalizer or its option is.

    Source: K. Simonyan and A. Zisserman, *Very Deep Convolutional Networks
    for Large-Scale Image Recognition* (2015), configuration B. Deecke et al.,
    *Mode Normalization* (2019), train it on CIFAR and do not say what of it
    they changed. Here the linear layers have 512 outputs, as the last maps of
    an image of 32x32 pixels are 512 single numbers (of larger images, they
    are averaged), and there is no dropout.

    """

    normalized_layers = tuple(
        f'{name}-{i}' for name, numbers in _STAGES for i in numbers)

    def __init__(self, n_classes, in_channels=None, normalizers=None):
        super().__init__()
        check_integer('n_classes', n_classes, 1)
        norm = normalizers_by_place(normalizers, self.normalized_layers)
        with self.init_scope():
            for name in self.normalized_layers:
                width = int(name.split('-')[1])
                setattr(self, name, Conv2DNormReLU(
                    in_channels, width, 3, pad=1, normalizer=norm[name]))
                in_channels = width
            self.linear1 = L.Linear(512, 512)
            self.linear2 = L.Linear(512, 512)
            self.linear3 = L.Linear(512, n_classes)

    def forward(self, x):
        """Computes the class scores of images.

        Args:
            x (~chainer.Variable or array): Images of shape
                ``(N, in_channels, H, W)``.

        Returns:
            ~chainer.Variable: Scores before softmax, of shape
            ``(N, n_classes)``.

        """
        h = x
        for name, numbers in _STAGES:
            for i in numbers:
                h = self[f'{name}-{i}'](h)
            h = F.max_pooling_2d(h, 2)
        h = F.average(h, axis=(2, 3))
        h = F.relu(self.linear1(h))
        h = F.relu(self.linear2(h))
        return self.linear3(h)
