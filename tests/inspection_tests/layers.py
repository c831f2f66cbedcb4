"""Layers that were trained on points of known modes."""

import numpy

from mixnorm.links import MixtureNormalization, ModeNormalization


def make_points(n=48, n_channels=5, side=4, dtype='f'):
    """Returns points ``(n, n_channels, side, side)`` of two modes."""
    random = numpy.random.RandomState(0)
    x = random.normal(size=(n, n_channels, side, side))
    x += 6 * random.randint(2, size=(n, 1, side, side)) * numpy.arange(
        1, n_channels + 1)[:, None, None] / n_channels
    return x.astype(dtype)


def make_mixture(x, n_updates=3, **options):
    """Returns mixture normalization that saw mini-batches."""
    link = MixtureNormalization(
        x.shape[1], **{'n_components': 2, 'n_iter': 10, 'sample_ratio': 1.,
                       'seed': 0, **options})
    for i in range(n_updates):
        link(x + .01 * i)
    return link


def make_modes(x, n_updates=3):
    """Returns mode normalization that saw mini-batches."""
    numpy.random.seed(0)
    link = ModeNormalization(x.shape[1], 3)
    link.gate_W.array[...] = numpy.random.normal(
        size=link.gate_W.shape).astype('f')
    for _ in range(n_updates):
        link(x)
    return link
