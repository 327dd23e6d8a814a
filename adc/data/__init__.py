"""Clips for training and validation; what needs Lightning is imported when it is asked for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from adc.data.bundled import TRAIN, VALIDATION, photo_path, training_photos, validation_photos
from adc.data.datasets.augment import Augmentation
from adc.data.datasets.camera import Camera
from adc.data.datasets.photo_pairs import TrainingPairs, ValidationPairs
from adc.data.datasets.photos import TrainingClips, ValidationClips
from adc.data.sampler import PositionSampler
from adc.data.sources import Real, ShuffledFrames, Slideshow, StillImage

if TYPE_CHECKING:
    from adc.data.modules.images import ClipData, DegradedClips, PairedClips
    from adc.data.modules.videos import DegradedVideos, PairedVideos

__all__ = [
    "TRAIN",
    "VALIDATION",
    "Augmentation",
    "Camera",
    "ClipData",
    "DegradedClips",
    "DegradedVideos",
    "PairedClips",
    "PairedVideos",
    "PositionSampler",
    "Real",
    "ShuffledFrames",
    "Slideshow",
    "StillImage",
    "TrainingClips",
    "TrainingPairs",
    "ValidationClips",
    "ValidationPairs",
    "photo_path",
    "training_photos",
    "validation_photos",
]


_HOMES = dict.fromkeys(("ClipData", "DegradedClips", "PairedClips"), "adc.data.modules.images") | dict.fromkeys(
    ("DegradedVideos", "PairedVideos"), "adc.data.modules.videos"
)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
