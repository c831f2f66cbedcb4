"""Links: parameters, persistent values, and all state."""
from mixnorm.links.mixture_normalization import MixtureNormalization  # NOQA
