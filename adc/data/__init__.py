"""Clips for training and validation; what needs Lightning is imported when it is asked for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from adc.data.augment import Augmentation
from adc.data.camera import Camera
from adc.data.clips import HeldOutClips, TrainingClips
from adc.data.images import (
    EXTENSIONS,
    BrokenImageError,
    list_images,
    list_photos,
    read_image,
    to_bytes,
    to_frame,
    write_image,
)
from adc.data.pairs import HeldOutPairs, TrainingPairs
from adc.data.photos import HELD_OUT, TRAIN, held_out_photos, photo_path, training_photos
from adc.data.sampler import PositionSampler
from adc.data.sources import Real, ShuffledFrames, Slideshow, StillImage

if TYPE_CHECKING:
    from adc.data.modules import ClipData, DegradedClips, PairedClips
    from adc.data.video_modules import DegradedVideos, PairedVideos

__all__ = [
    "EXTENSIONS",
    "HELD_OUT",
    "TRAIN",
    "Augmentation",
    "BrokenImageError",
    "Camera",
    "ClipData",
    "DegradedClips",
    "DegradedVideos",
    "HeldOutClips",
    "HeldOutPairs",
    "PairedClips",
    "PairedVideos",
    "PositionSampler",
    "Real",
    "ShuffledFrames",
    "Slideshow",
    "StillImage",
    "TrainingClips",
    "TrainingPairs",
    "held_out_photos",
    "list_images",
    "list_photos",
    "photo_path",
    "read_image",
    "to_bytes",
    "to_frame",
    "training_photos",
    "write_image",
]


_HOMES = dict.fromkeys(("ClipData", "DegradedClips", "PairedClips"), "adc.data.modules") | dict.fromkeys(
    ("DegradedVideos", "PairedVideos"), "adc.data.video_modules"
)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
