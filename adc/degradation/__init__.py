"""Degradations: the LR clip of a pair, made from its HR clip."""

from adc.degradation.image import BicubicDown, NoDegradation, SecondOrder
from adc.degradation.presets import PRESETS, SecondOrderValues
from adc.degradation.video import VideoDegradation
from adc.degradation.video_presets import VIDEO_PRESETS, VideoValues

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
