"""Makers of clips of images and videos, and of photos under a moving camera."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Generator

from adc.data.datasets.camera import Camera
from adc.data.datasets.clip_maker import ClipMaker, ClipSample, check_length, to_clip
from adc.data.datasets.crops import central, crop_of, crop_size, ensure_min_size
from adc.degradation.draws import randint


class VideoClips(ClipMaker):
    """Clips of images, video files and folders of frames."""

    def draw(self, index: int, generator: Generator) -> ClipSample:
        """Successive frames of a video, cut out of a random place."""
        number, (_, frames) = self._usable(index, lambda n: self._window(self.files[n], generator))
        source = self.files[number]
        side, augment = self.spec.side, self.spec.augment
        frames = [ensure_min_size(frame, source.path, side, self.spec.scale, self.spec.small) for frame in frames]
        if augment is not None:
            side = augment.side(side, min(frames[0].shape[:2]), generator)
        frames = crop_of(frames[0], side, generator)(frames)
        if augment is not None:
            frames = augment.change(frames, self.spec.side, generator)
        return ClipSample(source.name, source.path, to_clip(frames))

    def first(self, index: int, generator: Generator) -> ClipSample:
        """The middle of the first frames of a video."""
        source = self.files[index]
        check_length(source, self.spec)
        frames = self.read(source, range(0, self.spec.span, self.spec.stride))
        size = crop_size(source.path, frames[0], self.spec.size, self.spec.step)
        return ClipSample(source.name, source.path, to_clip(central(frames[0], *size)(frames)))


class CameraClips(ClipMaker):
    """Clips of photos, over which a camera moves; arguments but the first are those of `ClipMaker`."""

    def __init__(self, camera: Camera, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.camera = camera

    def draw(self, index: int, generator: Generator) -> ClipSample:
        """A random path over a photo."""
        number, photo = self._usable(index, self._read)
        photo = ensure_min_size(photo, self.path(number), self.spec.side, self.spec.scale, self.spec.small)
        if self.spec.augment is not None:
            photo = self.spec.augment.change([photo], None, generator)[0]
        return self._shot(number, photo, (self.spec.side, self.spec.side), generator)

    def first(self, index: int, generator: Generator) -> ClipSample:
        """A path over a photo, in the largest frame that fits."""
        photo = self._read(index)
        size = crop_size(self.path(index), photo, self.spec.size, self.spec.step)
        return self._shot(index, photo, size, generator)

    def _read(self, number: int) -> np.ndarray:
        return self.read(self.files[number], [0])[0]

    def _shot(self, number: int, photo: np.ndarray, size: tuple[int, int], generator: Generator) -> ClipSample:
        front = None
        if len(self) > 1 and self.camera.has_foreground(generator):
            other = (number + randint(generator, 1, len(self) - 1)) % len(self)
            _, front = self._usable(other, self._read)
        clip = self.camera.clip(photo, self.spec.frames, size, generator, front)
        return ClipSample(self.files[number].name, self.files[number].path, clip)
