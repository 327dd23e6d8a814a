"""Unrelated still pictures, for discriminators that are to tell pictures from motion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Generator, Tensor

from adc.data.datasets.photos import PhotoReader, mirror_up_to, too_small
from adc.degradation.draws import bernoulli, randint
from adc.media.images import BrokenImageError, to_frame
from adc.media.tar_shards import Packed
from adc.media.video_reader import BrokenVideoError
from adc.media.video_source import VideoSource, VideoSourceReader

BROKEN = (BrokenImageError, BrokenVideoError, FileNotFoundError)
Small = Literal["error", "reflect"]
Broken = Literal["error", "skip"]


def crop_of(frame: np.ndarray, size: int, generator: Generator) -> Callable[[np.ndarray], np.ndarray]:
    """Draw where a square lies in a frame ``(H, W, 3)`` and whether it is mirrored: what cuts it out of each."""
    height, width = frame.shape[:2]
    top, left, flip = (
        randint(generator, 0, height - size),
        randint(generator, 0, width - size),
        bernoulli(generator, 0.5),
    )
    return lambda other: other[top : top + size, left : left + size][:, :: -1 if flip else 1]


def ensure_min_size(pixels: np.ndarray, path: Path | Packed, size: int, scale: int, small: Small) -> np.ndarray:
    """A picture ``(H, W, 3)`` into which a square of ``size`` fits.

    Raises:
        ValueError: If it is smaller and may not be mirrored at its borders.
    """
    if min(pixels.shape[:2]) >= size:
        return pixels
    if small == "error":
        raise too_small(path, pixels, size, scale, ", or small: reflect")
    return mirror_up_to(pixels, size)


class Stills:
    """Draws clips of unrelated pictures: crops of photos, or of key frames of videos.

    Attributes:
        skipped: Broken files met so far, with ``broken="skip"``.
    """

    def __init__(
        self,
        pictures: Sequence[Path | Packed] | Sequence[VideoSource],
        size: int,
        scale: int = 4,
        small: Small = "error",
        broken: Broken = "error",
        read: PhotoReader | VideoSourceReader | None = None,
    ) -> None:
        """
        Args:
            pictures: Photos, or videos of which key frames are taken.
            size: Height and width of the crops.
            scale: What sizes are to be multiples of, for the message of what is too small.
            small: What to do with a picture smaller than the crop: stop, or mirror it at its borders.
            broken: What to do with an unreadable file: stop, or take another.
            read: Reads the pictures, and may keep them.
        """
        self.pictures, self.size, self.scale = pictures, size, scale
        self.small: Small = small
        self.broken: Broken = broken
        self.read_photo = read if isinstance(read, PhotoReader) else PhotoReader()
        self.read_frames = read if isinstance(read, VideoSourceReader) else VideoSourceReader()
        self.skipped: set[str] = set()

    def draw(self, frames: int, generator: Generator, own: int | None = None) -> Tensor:
        """A clip of pictures, no two of one file as long as there are enough.

        Args:
            frames: T, how many.
            generator: The only source of randomness.
            own: The file of this number gives none, unless no other does.

        Returns:
            ``(T, 3, size, size)`` in ``[-1, 1]``.
        """
        order = torch.randperm(len(self.pictures), generator=generator).tolist()
        for files in ([index for index in order if index != own], order):
            drawn = self._pictures(files, frames, generator)
            if drawn:
                return torch.stack(drawn)
        raise BrokenImageError(f"stills: none of the {len(order)} files can be read.")

    def _pictures(self, files: list[int], frames: int, generator: Generator) -> list[Tensor]:
        """So many pictures, of one file after the other, again and again; none if none can be read."""
        drawn: list[Tensor] = []
        for number, index in enumerate(cycle(files), start=1):
            picture = self._picture(index, generator)
            if picture is not None:
                drawn.append(picture)
            if len(drawn) == frames or (not drawn and number == len(files)):
                break
        return drawn

    def _picture(self, index: int, generator: Generator) -> Tensor | None:
        picture = self.pictures[index]
        path = picture.path if isinstance(picture, VideoSource) else picture
        try:
            pixels = self._pixels(picture, generator)
        except BROKEN:
            if self.broken == "error":
                raise
            self.skipped.add(str(path))
            return None
        pixels = ensure_min_size(pixels, path, self.size, self.scale, self.small)
        return to_frame(crop_of(pixels, self.size, generator)(pixels))

    def _pixels(self, picture: Path | Packed | VideoSource, generator: Generator) -> np.ndarray:
        if not isinstance(picture, VideoSource):
            return self.read_photo(picture)
        keyframes = picture.keyframes
        return self.read_frames(picture, [keyframes[randint(generator, 0, len(keyframes) - 1)]])[0]
