"""Maker of clips of images and videos that exist as LR and HR."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Generator

from adc.data.datasets.clip_maker import ClipMaker, ClipSample, check_length, to_clip
from adc.data.datasets.crops import Crop, central, crop_of, crop_size, too_small
from adc.media.tar_shards import TarMember
from adc.media.video_source import VideoSource

Pair = tuple[VideoSource, VideoSource]
Frames = list[np.ndarray]


class PairClips(ClipMaker):
    """Clips of images and videos that exist as LR and HR."""

    def path(self, index: int) -> Path | TarMember:
        """File of an HR source."""
        return self.files[index][1].path

    def draw(self, index: int, generator: Generator) -> ClipSample:
        """The same successive frames of both videos, cut out of one random place."""
        number, (lr, hr) = self._usable(index, lambda number: self._take(self.files[number], generator))
        pair, side, scale = self.files[number], self.spec.side, self.spec.scale
        if min(hr[0].shape[:2]) < side:
            if self.spec.small == "error":
                raise too_small(pair[1].path, hr[0], side, scale)
            lr, hr = _mirrored(lr, side // scale), _mirrored(hr, side)
        return self._cropped(pair, lr, hr, crop_of(lr[0], side // scale, generator))

    def first(self, index: int, generator: Generator) -> ClipSample:
        """The middle of the first frames of both videos."""
        pair = self.files[index]
        self._check(pair)
        lr, hr = self._both(pair, range(0, self.spec.span, self.spec.stride))
        size = crop_size(pair[1].path, hr[0], self.spec.size, self.spec.step)
        return self._cropped(pair, lr, hr, central(lr[0], *(side // self.spec.scale for side in size)))

    def _take(self, pair: Pair, generator: Generator) -> tuple[Frames, Frames] | None:
        self._check(pair)
        window = self._window(pair[1], generator)
        return None if window is None else self._both(pair, window[0])

    def _check(self, pair: Pair) -> None:
        lr, hr = pair
        if len(lr) != len(hr):
            raise ValueError(f"{hr.path}: {len(hr)} frames, but {len(lr)} in {lr.path}. Replace one of them.")
        check_length(hr, self.spec)

    def _both(self, pair: Pair, numbers: range) -> tuple[Frames, Frames]:
        lr, hr = (self.read(source, numbers) for source in pair)
        scale, (height, width) = self.spec.scale, lr[0].shape[:2]
        if hr[0].shape[:2] != (height * scale, width * scale):
            raise ValueError(
                f"{pair[1].path}: {hr[0].shape[1]}x{hr[0].shape[0]} pixels are not {scale} times the "
                f"{width}x{height} of {pair[0].path}. Set scale, or replace a file."
            )
        return lr, hr

    def _cropped(self, pair: Pair, lr: Frames, hr: Frames, crop: Crop) -> ClipSample:
        return ClipSample(pair[1].name, pair[1].path, to_clip(crop(hr, self.spec.scale)), to_clip(crop(lr)))


def _mirrored(frames: Frames, side: int) -> Frames:
    """Frames that are mirrored at the right and below until a square fits.

    The outermost pixels come twice: what they are mirrored at is then one line of LR and of HR.
    """
    height, width = (max(0, side - length) for length in frames[0].shape[:2])
    return [np.pad(frame, ((0, height), (0, width), (0, 0)), "symmetric") for frame in frames]
