"""Mixture normalization and mode normalization for Chainer."""

# Before everything else: it makes Chainer importable on today's NumPy.
from mixnorm import compat  # NOQA

from mixnorm import extensions  # NOQA
from mixnorm import functions  # NOQA
from mixnorm import link_hooks  # NOQA
from mixnorm import links  # NOQA
from mixnorm import mixture  # NOQA
from mixnorm.convert import convert  # NOQA
from mixnorm.memory import keep_memory  # NOQA
from mixnorm.registry import normalizer  # NOQA
from mixnorm.registry import normalizer_names  # NOQA
from mixnorm.registry import register_normalizer  # NOQA

__version__ = '0.1.0'
