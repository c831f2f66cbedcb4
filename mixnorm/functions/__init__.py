"""Differentiable functions. They never fit: what a fit gives comes in."""
from mixnorm.functions.fixed_mixture_normalization import (  # NOQA
    fixed_mixture_normalization)
from mixnorm.functions.mixture_normalization import (  # NOQA
    mixture_normalization)
