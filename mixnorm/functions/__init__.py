"""Differentiable functions. They never fit: what a fit gives comes in."""
from mixnorm.functions.normalization.batch_instance_normalization import (  # NOQA
    batch_instance_normalization, fixed_batch_instance_normalization)
from mixnorm.functions.normalization.divisive_normalization import (  # NOQA
    divisive_normalization)
from mixnorm.functions.normalization.fixed_mixture_normalization import (  # NOQA
    fixed_mixture_normalization)
from mixnorm.functions.normalization.fixed_mode_normalization import (  # NOQA
    fixed_mode_normalization, gated_fixed_mode_normalization)
from mixnorm.functions.normalization.group_mixture_normalization import (  # NOQA
    group_mixture_normalization)
from mixnorm.functions.normalization.group_normalization import group_normalization  # NOQA
from mixnorm.functions.normalization.mixture_normalization import (  # NOQA
    mixture_normalization)
from mixnorm.functions.normalization.mode_group_normalization import (  # NOQA
    gated_mode_group_normalization, mode_group_normalization)
from mixnorm.functions.normalization.mode_normalization import (  # NOQA
    gated_mode_normalization, mode_normalization)
