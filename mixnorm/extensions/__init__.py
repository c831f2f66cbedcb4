"""Trainer extensions."""
from mixnorm.extensions.curves import (
    Curves, draw_curves, draw_mean_curves)
from mixnorm.extensions.mixture_report import MixtureReport
from mixnorm.extensions.recalibration import Recalibration

__all__ = ['Curves', 'MixtureReport', 'Recalibration', 'draw_curves',
           'draw_mean_curves']
