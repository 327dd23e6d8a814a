"""Degradations: what makes the small, spoilt clip of a pair."""

from adc.degradation.image import BicubicDown, NoDegradation, SecondOrder
from adc.degradation.presets import PRESETS, SecondOrderValues

__all__ = ["PRESETS", "BicubicDown", "NoDegradation", "SecondOrder", "SecondOrderValues"]
