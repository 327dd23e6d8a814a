"""Makers of clips of images and videos, and of photos under a moving camera."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Generator

from adc.data.datasets.camera import Camera
from adc.data.datasets.clip_maker import ClipMaker, ClipSample, ClipSpec, check_length, to_clip
from adc.data.datasets.crops import central, crop_of, crop_size, ensure_min_size
from adc.degradation.draws import randint
from adc.media.tar_shards import Packed
from adc.media.video_source import VideoSource, VideoSourceReader


class VideoClips(ClipMaker):
    """Clips of images, video files and folders of frames."""

    def __init__(
        self, files: Sequence[VideoSource], wanted: ClipSpec, folder: str | None, read: VideoSourceReader
    ) -> None:
        """
        Args:
            files: The images or videos.
            wanted: Specification of the clips.
            folder: Where they are.
            read: Reader of frames.
        """
        super().__init__(wanted, folder)
        self.files, self.read = files, read

    def __len__(self) -> int:
        """Number of videos."""
        return len(self.files)

    def draw(self, index: int, generator: Generator) -> ClipSample:
        """Successive frames of a video, cut out of a random place."""
        source, frames = self._usable(index, self._path, lambda number: self._take(number, generator))
        frames = [
            ensure_min_size(frame, source.path, self.wanted.side, self.wanted.scale, self.wanted.small)
            for frame in frames
        ]
        side, augment = self.wanted.side, self.wanted.augment
        if augment is not None:
            side = augment.side(side, min(frames[0].shape[:2]), generator)
        crop = crop_of(frames[0], side, generator)
        frames = [crop(frame) for frame in frames]
        if augment is not None:
            frames = augment.change(frames, self.wanted.side, generator)
        return ClipSample(source.name, source.path, to_clip(frames))

    def first(self, index: int, generator: Generator) -> ClipSample:
        """The middle of the first frames of a video."""
        source = self.files[index]
        check_length(source, self.wanted)
        frames = self.read(source, range(0, self.wanted.span, self.wanted.stride))
        size = crop_size(source.path, frames[0], self.wanted.size, self.wanted.step)
        return ClipSample(source.name, source.path, to_clip([central(frame, *size) for frame in frames]))

    def _path(self, index: int) -> Path | Packed:
        return self.files[index].path

    def _take(self, index: int, generator: Generator) -> tuple[VideoSource, list[np.ndarray]] | None:
        window = self._window(self.files[index], self.read, generator)
        return None if window is None else (self.files[index], window[1])


class CameraClips(ClipMaker):
    """Clips of photos, over which a camera moves."""

    def __init__(
        self,
        files: Sequence[VideoSource],
        camera: Camera,
        wanted: ClipSpec,
        folder: str | None,
        read: VideoSourceReader,
    ) -> None:
        """
        Args:
            files: The photos.
            camera: The camera's motion.
            wanted: Specification of the clips.
            folder: Where the photos are.
            read: Reader of photos.
        """
        super().__init__(wanted, folder)
        self.files, self.camera, self.read = files, camera, read

    def __len__(self) -> int:
        """Number of photos."""
        return len(self.files)

    def draw(self, index: int, generator: Generator) -> ClipSample:
        """A random path over a photo."""
        number, photo = self._photo(index)
        if self.wanted.augment is not None:
            photo = self.wanted.augment.change([photo], None, generator)[0]
        return self._shot(number, photo, (self.wanted.side, self.wanted.side), generator)

    def first(self, index: int, generator: Generator) -> ClipSample:
        """A path over a photo, in the largest frame that fits."""
        photo = self._read(index)
        size = crop_size(self.files[index].path, photo, self.wanted.size, self.wanted.step)
        return self._shot(index, photo, size, generator)

    def _photo(self, index: int) -> tuple[int, np.ndarray]:
        number, photo = self._usable(index, lambda n: self.files[n].path, lambda n: (n, self._read(n)))
        path, wanted = self.files[number].path, self.wanted
        return number, ensure_min_size(photo, path, wanted.side, wanted.scale, wanted.small)

    def _read(self, number: int) -> np.ndarray:
        return self.read(self.files[number], [0])[0]

    def _shot(self, number: int, photo: np.ndarray, size: tuple[int, int], generator: Generator) -> ClipSample:
        front = None
        if len(self) > 1 and self.camera.has_foreground(generator):
            other = (number + randint(generator, 1, len(self) - 1)) % len(self)
            front = self._usable(other, lambda n: self.files[n].path, self._read)
        clip = self.camera.clip(photo, self.wanted.frames, size, generator, front)
        return ClipSample(self.files[number].name, self.files[number].path, clip)
