"""Density models of the points that a normalization layer sees.

Arrays in, arrays out, NumPy or CuPy; knows nothing of Chainer's graph.
"""
from mixnorm.compute.parameters import Parameters
from mixnorm.mixture.diagonal_gaussian_mixture import (
    DiagonalGaussianMixture)
from mixnorm.mixture.diagonal_gaussian_mixture import NotFittedError
from mixnorm.mixture.kmeans import kmeans_plusplus

__all__ = ['DiagonalGaussianMixture', 'kmeans_plusplus', 'NotFittedError',
           'Parameters']
