"""Trainer extensions."""
from mixnorm.extensions.curves import Curves, draw_curves
from mixnorm.extensions.mixture_report import MixtureReport

__all__ = ['Curves', 'MixtureReport', 'draw_curves']
