"""Links: parameters, persistent values, and all state."""
from mixnorm.links.batch_instance_normalization import (  # NOQA
    BatchInstanceNormalization)
from mixnorm.links.batch_renormalization import BatchRenormalization  # NOQA
from mixnorm.links.divisive_normalization import DivisiveNormalization  # NOQA
from mixnorm.links.group_normalization import GroupNormalization  # NOQA
from mixnorm.links.instance_normalization import InstanceNormalization  # NOQA
from mixnorm.links.mixture_normalization import MixtureNormalization  # NOQA
from mixnorm.links.mode_group_normalization import (  # NOQA
    ModeGroupNormalization)
from mixnorm.links.mode_normalization import ModeNormalization  # NOQA
