"""Clips for training and validation; modules that need Lightning are imported when they are used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from adc.data.bundled import training_photos, validation_photos
from adc.data.datasets.augment import Augmentation
from adc.data.datasets.camera import Camera
from adc.data.sources import Real, ShuffledFrames, Slideshow, StillImage

if TYPE_CHECKING:
    from adc.data.modules.cached import CachedClips
    from adc.data.modules.clip_data import ClipData
    from adc.data.modules.clips import DegradedClips, PairedClips

__all__ = [
    "Augmentation",
    "CachedClips",
    "Camera",
    "ClipData",
    "DegradedClips",
    "PairedClips",
    "Real",
    "ShuffledFrames",
    "Slideshow",
]
__all__ += ["StillImage", "training_photos", "validation_photos"]
_LAZY = {"CachedClips": "cached", "ClipData": "clip_data", "DegradedClips": "clips", "PairedClips": "clips"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"adc.data.modules.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
