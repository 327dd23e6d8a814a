"""What happens around the steps of a stage; everything counts by a role's updates."""

from adc.engine.callbacks.average import StudentEMA
from adc.engine.callbacks.export import Export
from adc.engine.callbacks.heads import HeadProbe
from adc.engine.callbacks.samples import Samples
from adc.engine.callbacks.schedule import SaveEvery, StopAfter

__all__ = ["Export", "HeadProbe", "Samples", "SaveEvery", "StopAfter", "StudentEMA"]
