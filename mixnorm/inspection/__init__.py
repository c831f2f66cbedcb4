"""What a layer found: as arrays, and as pictures.

Displays are made in scikit-learn's manner: a constructor holds arrays, class
methods compute them, ``plot`` draws them as often and in what style one
likes.  matplotlib is needed by ``plot`` alone.
"""
from mixnorm.inspection.classes_display import ClassesDisplay
from mixnorm.inspection.components_display import ComponentsDisplay
from mixnorm.inspection.densities_display import DensitiesDisplay
from mixnorm.inspection.effective_components_display import (
    EffectiveComponentsDisplay)
from mixnorm.inspection.maps_display import MapsDisplay
from mixnorm.inspection.posterior import posterior
from mixnorm.inspection.record import read_record, Record
from mixnorm.inspection.samples_display import SamplesDisplay
from mixnorm.inspection.state import read_state, State

__all__ = [
    'ClassesDisplay', 'ComponentsDisplay', 'DensitiesDisplay',
    'EffectiveComponentsDisplay', 'MapsDisplay', 'Record', 'SamplesDisplay',
    'State', 'posterior', 'read_record', 'read_state']
