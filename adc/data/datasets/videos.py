"""Videos, and photos under a camera, as clips; every draw a function of seed, sample and epoch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Generator
from torch.utils.data import Dataset

from adc.data.datasets.camera import Camera
from adc.data.datasets.clip_maker import ClipMaker, ClipSample, ClipSpec, check_length, to_clip
from adc.data.datasets.photos import Key, PhotoReader, central, crop_size
from adc.data.datasets.stills import Stills, crop_of, ensure_min_size
from adc.data.sampler import generator_of
from adc.degradation.draws import randint
from adc.interfaces import Degradation
from adc.media.images import name_of
from adc.media.tar_shards import Packed
from adc.media.video_source import VideoSource, VideoSourceReader


class VideoClips(ClipMaker):
    """Clips of video files and folders of frames."""

    def __init__(
        self, files: Sequence[VideoSource], wanted: ClipSpec, folder: str | None, read: VideoSourceReader
    ) -> None:
        """
        Args:
            files: The videos.
            wanted: What clips are to be like.
            folder: Where they are.
            read: Reads them.
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
        crop = crop_of(frames[0], self.wanted.side, generator)
        return ClipSample(source.name, to_clip([crop(frame) for frame in frames]))

    def first(self, index: int, generator: Generator) -> ClipSample:
        """The middle of the first frames of a video."""
        source = self.files[index]
        check_length(source, self.wanted)
        frames = self.read(source, range(0, self.wanted.span, self.wanted.stride))
        size = crop_size(source.path, frames[0], self.wanted.size, self.wanted.step)
        return ClipSample(source.name, to_clip([central(frame, *size) for frame in frames]))

    def _path(self, index: int) -> Path:
        return self.files[index].path

    def _take(self, index: int, generator: Generator) -> tuple[VideoSource, list[np.ndarray]] | None:
        window = self._window(self.files[index], self.read, generator)
        return None if window is None else (self.files[index], window[1])


class CameraClips(ClipMaker):
    """Clips of photos, over which a camera moves."""

    def __init__(
        self, photos: Sequence[Path | Packed], camera: Camera, wanted: ClipSpec, folder: str | None, read: PhotoReader
    ) -> None:
        """
        Args:
            photos: Their files.
            camera: How it moves.
            wanted: What clips are to be like.
            folder: Where the photos are.
            read: Reads them.
        """
        super().__init__(wanted, folder)
        self.photos, self.camera, self.read = photos, camera, read

    def __len__(self) -> int:
        """Number of photos."""
        return len(self.photos)

    def draw(self, index: int, generator: Generator) -> ClipSample:
        """A random path over a photo."""
        number, photo = self._photo(index)
        return self._shot(number, photo, (self.wanted.side, self.wanted.side), generator)

    def first(self, index: int, generator: Generator) -> ClipSample:
        """A path over a photo, in the largest frame that fits."""
        photo = self.read(self.photos[index])
        size = crop_size(self.photos[index], photo, self.wanted.size, self.wanted.step)
        return self._shot(index, photo, size, generator)

    def _photo(self, index: int) -> tuple[int, np.ndarray]:
        number, photo = self._usable(index, lambda n: self.photos[n], lambda n: (n, self.read(self.photos[n])))
        return number, ensure_min_size(
            photo, self.photos[number], self.wanted.side, self.wanted.scale, self.wanted.small
        )

    def _shot(self, number: int, photo: np.ndarray, size: tuple[int, int], generator: Generator) -> ClipSample:
        front = None
        if len(self) > 1 and self.camera.has_foreground(generator):
            other = (number + randint(generator, 1, len(self) - 1)) % len(self)
            front = self._usable(other, lambda n: self.photos[n], lambda n: self.read(self.photos[n]))
        clip = self.camera.clip(photo, self.wanted.frames, size, generator, front)
        return ClipSample(name_of(self.photos[number], self.folder), clip)


class TrainingVideos(Dataset[dict[str, Any]]):
    """Random clips with their small twins.

    Items are ``{"lr": (T, 3, h, w), "hr": (T, 3, H, W), "name": str}`` in ``[-1, 1]``, and ``stills``, as large as
    ``hr``, if they are asked for. The same (seed, index, epoch) is the same item in every process.
    """

    def __init__(
        self, maker: ClipMaker, degradation: Degradation | None, seed: int = 0, stills: Stills | None = None
    ) -> None:
        """
        Args:
            maker: Makes the clips.
            degradation: Makes the small twins; none for a maker that has them.
            seed: Of all draws.
            stills: Draws the stills; there are none if none.
        """
        self.maker, self.degradation, self.seed, self.stills = maker, degradation, seed, stills

    @property
    def skipped(self) -> set[str]:
        """Files passed over so far."""
        return self.maker.skipped | (self.stills.skipped if self.stills is not None else set())

    def __len__(self) -> int:
        """Number of files."""
        return len(self.maker)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """The item of an index in epoch 0, or of a pair (position, index) in the position's epoch."""
        position, index = key if isinstance(key, tuple) else (0, key)
        generator = generator_of(self.seed, index, position // len(self))
        item = _item(self.maker.draw(index, generator), self.degradation, generator)
        if self.stills is not None:
            item["stills"] = self.stills.draw(item["hr"].shape[0], generator, index)
        return item


class ValidationVideos(Dataset[dict[str, Any]]):
    """The middle of the first frames of each video with its small twin, the same in every epoch."""

    def __init__(
        self, maker: ClipMaker, degradation: Degradation | None, seed: int = 0, limit: int | None = None
    ) -> None:
        """
        Args:
            maker: Makes the clips.
            degradation: Makes the small twins; none for a maker that has them.
            seed: Of all draws.
            limit: Take the first so many files only.
        """
        self.maker, self.degradation, self.seed, self.limit = maker, degradation, seed, limit

    def __len__(self) -> int:
        """Number of files."""
        return min(len(self.maker), len(self.maker) if self.limit is None else self.limit)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The item of a file."""
        generator = generator_of(self.seed, index, 0)
        return _item(self.maker.first(index, generator), self.degradation, generator)


def _item(made: ClipSample, degradation: Degradation | None, generator: Generator) -> dict[str, Any]:
    lr = made.lr if degradation is None else degradation(made.hr, generator)
    assert lr is not None
    return {"lr": lr, "hr": made.hr, "name": made.name}
