"""Normalization links by name."""

import inspect

import chainer
import chainer.links as L

from mixnorm import links


class Identity(chainer.Link):

    """No normalization: returns its input.

    Args:
        size (int): Number of channels, accepted as every normalization link
            accepts it and not needed.

    """

    def __init__(self, size=None):
        super().__init__()

    def forward(self, x):
        return x


_LINKS = {
    'batch': L.BatchNormalization,
    'mixture': links.MixtureNormalization,
    'none': Identity,
}


def normalizer_names():
    """Returns the names that :func:`normalizer` knows, sorted.

    Returns:
        list of str: The names.

    """
    return sorted(_LINKS)


def normalizer(name, size, **options):
    """Makes a normalization link by name.

    Args:
        name (str): ``'batch'`` for :class:`chainer.links.BatchNormalization`,
            ``'mixture'`` for :class:`mixnorm.links.MixtureNormalization`,
            ``'none'`` for a link that returns its input.
        size (int): Number of channels.
        options: The link's own keyword arguments.

    Returns:
        ~chainer.Link: A new link.

    Raises:
        ValueError: If there is no normalizer of that name, or the link has
            no argument of an option's name.

    .. admonition:: Example

       >>> import mixnorm
       >>> link = mixnorm.normalizer('batch', 64, decay=0.99)
       >>> link.gamma.shape
       (64,)

    """
    if name not in _LINKS:
        raise ValueError('unknown normalizer {!r}: there are {}'.format(
            name, ', '.join(map(repr, normalizer_names()))))
    link = _LINKS[name]
    allowed = [key for key in inspect.signature(link).parameters
               if key != 'size']
    for key in options:
        if key not in allowed:
            raise ValueError('normalizer {!r} has no option {!r}: {}'.format(
                name, key, 'it has ' + ', '.join(allowed) if allowed
                else 'it has none'))
    return link(size, **options)
