"""Unrelated still images, for discriminators that learn to distinguish still images from motion."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import torch
from torch import Generator, Tensor

from adc.data.datasets.clip_maker import BROKEN, ClipSpec, cause_of
from adc.data.datasets.crops import crop_of, ensure_min_size
from adc.degradation.draws import randint
from adc.media.images import BrokenImageError, to_frame
from adc.media.video_source import ImageFile, VideoSource, VideoSourceReader


class Stills:
    """Clips of unrelated images: crops of photos, or of key frames of videos.

    Attributes:
        skipped: Broken files met so far, each with its cause, where the specification skips them (instead of an error).
    """

    def __init__(self, sources: Sequence[VideoSource], spec: ClipSpec, read: VideoSourceReader | None = None) -> None:
        self.sources, self.spec, self.read = sources, spec, read or VideoSourceReader()
        self.skipped: dict[str, str] = {}

    def draw(self, frames: int, generator: Generator, own: int | None = None) -> Tensor:
        """Random images ``(T, 3, size, size)`` in ``[-1, 1]``, of different files as long as there are enough.

        Args:
            frames: T.
            generator: The only source of randomness.
            own: Number of a file that is used only if no other is readable.
        """
        order = torch.randperm(len(self.sources), generator=generator).tolist()
        for files in ([index for index in order if index != own], order):
            drawn = self._images(files, frames, generator)
            if drawn:
                return torch.stack(drawn)
        raise BrokenImageError(f"stills: none of the {len(order)} files can be read.")

    def _images(self, files: list[int], frames: int, generator: Generator) -> list[Tensor]:
        """So many images, cycling through files; none if none can be read."""
        drawn: list[Tensor] = []
        for number, index in enumerate(cycle(files), start=1):
            image = self._image(index, generator)
            if image is not None:
                drawn.append(image)
            if len(drawn) == frames or (not drawn and number == len(files)):
                break
        return drawn

    def _image(self, index: int, generator: Generator) -> Tensor | None:
        source = self.sources[index]
        try:
            keys = source.keyframes
            number = keys[0] if isinstance(source, ImageFile) else keys[randint(generator, 0, len(keys) - 1)]
            pixels = self.read(source, [number])[0]
        except BROKEN as error:
            if self.spec.broken == "error":
                raise
            self.skipped[str(source.path)] = cause_of(error)
            return None
        pixels = ensure_min_size(pixels, source.path, self.spec.side, self.spec.scale, self.spec.small)
        return to_frame(crop_of(pixels, self.spec.side, generator)([pixels])[0])
