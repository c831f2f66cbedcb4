"""Trainer extensions."""
from mixnorm.extensions.curves import Curves, draw_curves
from mixnorm.extensions.effective_components import EffectiveComponents

__all__ = ['Curves', 'EffectiveComponents', 'draw_curves']
