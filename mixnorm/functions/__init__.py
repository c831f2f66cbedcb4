"""Differentiable functions. They never fit: what a fit gives comes in."""
from mixnorm.functions.batch_instance_normalization import (  # NOQA
    batch_instance_normalization, fixed_batch_instance_normalization)
from mixnorm.functions.divisive_normalization import (  # NOQA
    divisive_normalization)
from mixnorm.functions.fixed_mixture_normalization import (  # NOQA
    fixed_mixture_normalization)
from mixnorm.functions.fixed_mode_normalization import (  # NOQA
    fixed_mode_normalization, gated_fixed_mode_normalization)
from mixnorm.functions.group_mixture_normalization import (  # NOQA
    group_mixture_normalization)
from mixnorm.functions.group_normalization import group_normalization  # NOQA
from mixnorm.functions.mixture_normalization import (  # NOQA
    mixture_normalization)
from mixnorm.functions.mode_group_normalization import (  # NOQA
    gated_mode_group_normalization, mode_group_normalization)
from mixnorm.functions.mode_normalization import (  # NOQA
    gated_mode_normalization, mode_normalization)
