"""Link hooks."""
from mixnorm.link_hooks.weight_normalization import WeightNormalization

__all__ = ['WeightNormalization']
