"""Differentiable functions. They never fit: what a fit gives comes in."""
from mixnorm.functions.normalization.batch_instance_normalization import (
    batch_instance_normalization, fixed_batch_instance_normalization)
from mixnorm.functions.normalization.divisive_normalization import (
    divisive_normalization)
from mixnorm.functions.normalization.fixed_mixture_normalization import (
    fixed_mixture_normalization)
from mixnorm.functions.normalization.fixed_mode_normalization import (
    fixed_mode_normalization)
from mixnorm.functions.normalization.group_mixture_normalization import (
    group_mixture_normalization)
from mixnorm.functions.normalization.group_normalization import (
    group_normalization)
from mixnorm.functions.normalization.mixture_normalization import (
    mixture_normalization)
from mixnorm.functions.normalization.mode_group_normalization import (
    mode_group_normalization)
from mixnorm.functions.normalization.mode_normalization import (
    mode_normalization)

__all__ = [
    'batch_instance_normalization',
    'divisive_normalization',
    'fixed_batch_instance_normalization',
    'fixed_mixture_normalization',
    'fixed_mode_normalization',
    'group_mixture_normalization',
    'group_normalization',
    'mixture_normalization',
    'mode_group_normalization',
    'mode_normalization',
]
