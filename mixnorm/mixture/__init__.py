"""Density models of the points that a normalization layer sees.

Arrays in, arrays out, NumPy or CuPy; knows nothing of Chainer's graph.
"""
import importlib

from mixnorm.compute.parameters import Parameters
from mixnorm.mixture.coresets import coreset
from mixnorm.mixture.kmeans import kmeans_plusplus

__all__ = ['coreset', 'DiagonalGaussianMixture', 'kmeans_plusplus',
           'NotFittedError', 'Parameters']

# scikit-learn takes longer to import than all of this package, and its layers
# do without.
_IN_SCIKIT_LEARNS_MANNER = 'DiagonalGaussianMixture', 'NotFittedError'


def __getattr__(name):
    if name not in _IN_SCIKIT_LEARNS_MANNER:
        raise AttributeError(
            f'module {__name__!r} has no attribute {name!r}')
    module = importlib.import_module(
        'mixnorm.mixture.diagonal_gaussian_mixture')
    return getattr(module, name)


def __dir__():
    return sorted(set(globals()) | set(__all__))
