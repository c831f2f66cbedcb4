"""The converters, by the names of the functions' nodes."""
from mixnorm.exporting import arrays
from mixnorm.exporting import batch
from mixnorm.exporting import group
from mixnorm.exporting import mixture
from mixnorm.exporting import mode

CONVERTERS = {
    'FixedBatchNormalization': batch.fixed_batch_normalization,
    'FixedMixtureNormalization': mixture.fixed_mixture_normalization,
    'FixedModeNormalization': mode.fixed_mode_normalization,
    'GatedFixedModeNormalization': mode.gated_fixed_mode_normalization,
    'GatedModeGroupNormalization': mode.gated_mode_group_normalization,
    'GroupNormalization': group.group_normalization,
    'ModeGroupNormalization': mode.mode_group_normalization,
    'Reshape': arrays.reshape,
    '_ZerosForMissingGradients': group.zeros_for_missing_gradients,
    'fixed_posterior': mixture.fixed_posterior,
}
