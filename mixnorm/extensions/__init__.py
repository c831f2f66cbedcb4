"""Trainer extensions."""
from mixnorm.extensions.curves import Curves, draw_curves
from mixnorm.extensions.effective_components import EffectiveComponents
from mixnorm.extensions.recalibration import Recalibration

__all__ = ['Curves', 'EffectiveComponents', 'Recalibration', 'draw_curves']
