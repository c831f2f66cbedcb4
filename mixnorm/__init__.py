"""Mixture normalization and mode normalization for Chainer."""

# Before everything else: it makes Chainer importable on today's NumPy.
from mixnorm import compat  # NOQA

from mixnorm import exporting  # NOQA  (registers its converters)
from mixnorm import extensions
from mixnorm import functions
from mixnorm import inspection
from mixnorm import link_hooks
from mixnorm import links
from mixnorm import mixture
from mixnorm.conversion.convert import convert
from mixnorm.memory import keep_memory
from mixnorm.recalibration import recalibrate
from mixnorm.registry import (
    normalizer, normalizer_names, register_normalizer)

__all__ = [
    'convert',
    'extensions',
    'functions',
    'inspection',
    'keep_memory',
    'link_hooks',
    'links',
    'mixture',
    'normalizer',
    'normalizer_names',
    'recalibrate',
    'register_normalizer',
]

__version__ = '0.1.0'
