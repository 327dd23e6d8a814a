"""Degradations: the LR clip of a pair, made from its HR clip."""

from adc.degradation.image import BicubicDown, NoDegradation, SecondOrder
from adc.degradation.presets import PRESETS, VIDEO_PRESETS, SecondOrderValues, VideoValues
from adc.degradation.video import VideoDegradation

__all__ = [
    "PRESETS",
    "VIDEO_PRESETS",
    "BicubicDown",
    "NoDegradation",
    "SecondOrder",
    "SecondOrderValues",
    "VideoDegradation",
    "VideoValues",
]
