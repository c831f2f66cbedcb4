"""Trainer extensions."""

from mixnorm.extensions.curves import Curves  # NOQA
from mixnorm.extensions.curves import draw_curves  # NOQA
from mixnorm.extensions.effective_components import (  # NOQA
    EffectiveComponents)
