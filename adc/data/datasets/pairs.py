"""Maker of clips of images and videos that exist as LR and HR."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Generator

from adc.data.datasets.clip_maker import ClipMaker, ClipSample, ClipSpec, check_length, to_clip
from adc.data.datasets.crops import crop_size, too_small
from adc.degradation.draws import bernoulli, randint
from adc.media.video_source import VideoSource, VideoSourceReader


class PairClips(ClipMaker):
    """Clips of images and videos that exist as LR and HR."""

    def __init__(
        self,
        pairs: Sequence[tuple[VideoSource, VideoSource]],
        wanted: ClipSpec,
        folder: str | None,
        read: VideoSourceReader,
    ) -> None:
        """
        Args:
            pairs: LR sources and HR sources.
            wanted: Specification of HR clips.
            folder: Where the HR sources are.
            read: Reader of frames.
        """
        super().__init__(wanted, folder)
        self.pairs, self.read = pairs, read

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.pairs)

    def draw(self, index: int, generator: Generator) -> ClipSample:
        """The same successive frames of both videos, cut out of one random place."""
        pair, small, large = self._usable(
            index, lambda number: self.pairs[number][1].path, lambda n: self._take(n, generator)
        )
        side, scale = self.wanted.side, self.wanted.scale
        if min(large[0].shape[:2]) < side:
            raise too_small(pair[1].path, large[0], side, scale)
        height, width = small[0].shape[:2]
        top, left = randint(generator, 0, height - side // scale), randint(generator, 0, width - side // scale)
        made = self._made(pair, small, large, (top, left), (side // scale, side // scale))
        if bernoulli(generator, 0.5):
            assert made.lr is not None
            return ClipSample(made.name, made.path, made.hr.flip(-1), made.lr.flip(-1))
        return made

    def first(self, index: int, generator: Generator) -> ClipSample:
        """The middle of the first frames of both videos."""
        pair = self.pairs[index]
        self._check(pair)
        small, large = self._both(pair, range(0, self.wanted.span, self.wanted.stride))
        height, width = (
            side // self.wanted.scale for side in crop_size(pair[1].path, large[0], self.wanted.size, self.wanted.step)
        )
        corner = ((small[0].shape[0] - height) // 2, (small[0].shape[1] - width) // 2)
        return self._made(pair, small, large, corner, (height, width))

    def _take(
        self, index: int, generator: Generator
    ) -> tuple[tuple[VideoSource, VideoSource], list[np.ndarray], list[np.ndarray]] | None:
        pair = self.pairs[index]
        self._check(pair)
        window = self._window(pair[1], self.read, generator)
        return None if window is None else (pair, *self._both(pair, window[0]))

    def _check(self, pair: tuple[VideoSource, VideoSource]) -> None:
        small, large = pair
        if len(small) != len(large):
            raise ValueError(
                f"{large.path}: {len(large)} frames, but {len(small)} in {small.path}. Replace one of them."
            )
        check_length(large, self.wanted)

    def _both(self, pair: tuple[VideoSource, VideoSource], numbers: range) -> tuple[list[np.ndarray], list[np.ndarray]]:
        small, large = (self.read(source, numbers) for source in pair)
        scale, (height, width) = self.wanted.scale, small[0].shape[:2]
        if large[0].shape[:2] != (height * scale, width * scale):
            raise ValueError(
                f"{pair[1].path}: {large[0].shape[1]}x{large[0].shape[0]} pixels are not {scale} times the "
                f"{width}x{height} of {pair[0].path}. Set scale, or replace a file."
            )
        return small, large

    def _made(
        self,
        pair: tuple[VideoSource, VideoSource],
        small: list[np.ndarray],
        large: list[np.ndarray],
        corner: tuple[int, int],
        size: tuple[int, int],
    ) -> ClipSample:
        clips = []
        for frames, factor in ((small, 1), (large, self.wanted.scale)):
            (top, left), (height, width) = (tuple(factor * side for side in two) for two in (corner, size))
            clips.append(to_clip([frame[top : top + height, left : left + width] for frame in frames]))
        return ClipSample(pair[1].name, pair[1].path, clips[1], clips[0])
