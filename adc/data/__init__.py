"""Clips for training and validation; what needs Lightning is imported when it is asked for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from adc.data.bundled import TRAIN, VALIDATION, photo_path, training_photos, validation_photos
from adc.data.datasets.augment import Augmentation
from adc.data.datasets.camera import Camera
from adc.data.datasets.clips import TrainingClips, ValidationClips
from adc.data.sampler import PositionSampler
from adc.data.sources import Real, ShuffledFrames, Slideshow, StillImage

if TYPE_CHECKING:
    from adc.data.modules.clip_data import ClipData
    from adc.data.modules.clips import DegradedClips, PairedClips

__all__ = [
    "TRAIN",
    "VALIDATION",
    "Augmentation",
    "Camera",
    "ClipData",
    "DegradedClips",
    "PairedClips",
    "PositionSampler",
    "Real",
    "ShuffledFrames",
    "Slideshow",
    "StillImage",
    "TrainingClips",
    "ValidationClips",
    "photo_path",
    "training_photos",
    "validation_photos",
]


_HOMES = {
    "ClipData": "adc.data.modules.clip_data",
    "DegradedClips": "adc.data.modules.clips",
    "PairedClips": "adc.data.modules.clips",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
