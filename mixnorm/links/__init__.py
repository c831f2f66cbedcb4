"""Links: parameters, persistent values, and all state."""
from mixnorm.links.batch_instance_normalization import (
    BatchInstanceNormalization)
from mixnorm.links.batch_renormalization import BatchRenormalization
from mixnorm.links.divisive_normalization import DivisiveNormalization
from mixnorm.links.group_mixture_normalization import (
    GroupMixtureNormalization)
from mixnorm.links.group_normalization import GroupNormalization
from mixnorm.links.instance_normalization import InstanceNormalization
from mixnorm.links.mixture_normalization import MixtureNormalization
from mixnorm.links.mode_group_normalization import ModeGroupNormalization
from mixnorm.links.mode_normalization import ModeNormalization

__all__ = [
    'BatchInstanceNormalization',
    'BatchRenormalization',
    'DivisiveNormalization',
    'GroupMixtureNormalization',
    'GroupNormalization',
    'InstanceNormalization',
    'MixtureNormalization',
    'ModeGroupNormalization',
    'ModeNormalization',
]
