"""Density models of the points that a normalization layer sees.

Arrays in, arrays out, NumPy or CuPy; knows nothing of Chainer's graph.
"""
from mixnorm.compute.parameters import Parameters  # NOQA
from mixnorm.mixture.diagonal_gaussian_mixture import (  # NOQA
    DiagonalGaussianMixture)
from mixnorm.mixture.diagonal_gaussian_mixture import NotFittedError  # NOQA
from mixnorm.mixture.kmeans import kmeans_plusplus  # NOQA
