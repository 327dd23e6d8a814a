"""Base class of clip makers, and the clips that they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Generator, Tensor

from adc.data.datasets.augment import Augmentation
from adc.data.datasets.crops import Small
from adc.degradation.draws import randint
from adc.media.images import BrokenImageError, to_frame
from adc.media.tar_shards import TarMember
from adc.media.video_reader import BrokenVideoError
from adc.media.video_source import ImageFile, VideoSource, VideoSourceReader
from adc.ops.shots import cuts

BROKEN = (BrokenImageError, BrokenVideoError, FileNotFoundError)
TRIES = 8
"""Windows of a video that are drawn; if all cross cuts, the next video takes its place."""
THUMBNAIL = 160
T = TypeVar("T")


@dataclass(frozen=True)
class ClipSpec:
    """Specification of clips.

    Attributes:
        frames: Frames per clip.
        size: Height and width; of clips for validation the largest, and None if there is no limit.
        scale: Divisor of the size.
        step: Divisor of heights and widths of clips for validation.
        stride: Each so many-th frame of a video is taken.
        shots: Whether clips that cross a cut are refused.
        small: What to do with an image smaller than the crop: stop, or mirror it at its borders.
        broken: What to do with an unreadable file: stop, or take the next one in its place.
        augment: Augmentation of training clips.
    """

    frames: int
    size: int | None
    scale: int
    step: int = 1
    stride: int = 1
    shots: bool = True
    small: Small = "error"
    broken: Literal["error", "skip"] = "error"
    augment: Augmentation | None = None

    @property
    def span(self) -> int:
        """Frames from the first one of a clip to its last, both included."""
        return (self.frames - 1) * self.stride + 1

    @property
    def side(self) -> int:
        """The size, of clips that have one."""
        assert self.size is not None
        return self.size


@dataclass(frozen=True)
class ClipSample:
    """A clip ``(T, 3, H, W)`` in ``[-1, 1]``, with name and file of its source, and its LR clip if there is one."""

    name: str
    path: Path | TarMember
    hr: Tensor
    lr: Tensor | None = None


class ClipMaker:
    """Base class of sources of clips by number; all randomness comes from a generator.

    Attributes:
        skipped: Files passed over so far, each with its cause: broken ones, with ``broken="skip"`` (see `cause_of`),
            and those without a window free of cuts (``cuts``).
    """

    def __init__(self, files: Sequence[Any], spec: ClipSpec, folder: str | None, read: VideoSourceReader) -> None:
        """
        Args:
            files: The sources, or pairs of an LR source and an HR source.
            spec: Specification of the (HR) clips.
            folder: Folder of the (HR) files, for messages.
            read: Reader of frames.
        """
        self.files, self.spec, self.folder, self.read = files, spec, folder, read
        self.skipped: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self.files)

    def draw(self, index: int, generator: Generator) -> ClipSample:
        """A clip for training: a random part, at a random time."""
        raise NotImplementedError

    def first(self, index: int, generator: Generator) -> ClipSample:
        """The clip for validation: the middle of the first frames."""
        raise NotImplementedError

    def path(self, index: int) -> Path | TarMember:
        """File of a source."""
        return self.files[index].path

    def _usable(self, index: int, take: Callable[[int], T | None]) -> tuple[int, T]:
        """Number and result of a file, or of the next one that is readable and gives a clip without a cut."""
        for offset in range(len(self)):
            number = (index + offset) % len(self)
            try:
                taken = take(number)
            except BROKEN as error:
                if self.spec.broken == "error":
                    raise
                self.skipped[str(self.path(number))] = cause_of(error)
                continue
            if taken is not None:
                return number, taken
            self.skipped[f"{self.path(number)} (cuts in all clips that were drawn)"] = "cuts"
        raise BrokenVideoError(
            f"{self.folder}: not one of its {len(self)} files gives a clip: they are broken or all cuts."
        )

    def _window(self, source: VideoSource, generator: Generator) -> tuple[range, list[np.ndarray]] | None:
        """Successive frames without a cut, and their numbers; None if there were cuts in all that were drawn.

        What crosses a cut that has been found is not drawn again.
        """
        spec, last = self.spec, len(source) - self.spec.span
        check_length(source, spec)
        if isinstance(source, ImageFile):
            return range(1), self.read(source, [0])
        starts = list(range(last + 1))
        for _ in range(TRIES):
            start = starts[randint(generator, 0, len(starts) - 1)]
            numbers = range(start, start + spec.span, spec.stride)
            frames = self.read(source, numbers)
            places = cuts_in(frames) if spec.shots else []
            if not places:
                return numbers, frames
            for place in places:
                before, after = numbers[place], numbers[place + 1]
                starts = [start for start in starts if start > before or start + spec.span <= after]
            if not starts:
                return None
        return None


def cause_of(error: BaseException) -> str:
    """Why a file cannot be used: ``vanished``, ``unreadable`` (the file system says so), or ``decoding``."""
    if isinstance(error, FileNotFoundError):
        return "vanished"
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.errno is not None:
            return "unreadable"
        found = found.__context__
    return "decoding"


def check_length(source: VideoSource, spec: ClipSpec) -> None:
    """Check that a video is as long as a clip."""
    if len(source) < spec.span:
        needed = f"the {spec.span} that frames: {spec.frames} with stride: {spec.stride} need"
        raise ValueError(
            f"{source.path}: {len(source)} frames are fewer than {needed}. Lower frames or stride, or remove it."
        )


def cuts_in(frames: Sequence[np.ndarray]) -> list[int]:
    """Numbers of the frames ``(H, W, 3)`` before a cut, found on reduced frames."""
    if len(frames) < 2:
        return []
    step = max(1, max(frames[0].shape[:2]) // THUMBNAIL)
    return cuts(to_clip([frame[::step, ::step] for frame in frames])).nonzero().flatten().tolist()


def to_clip(frames: Sequence[np.ndarray]) -> Tensor:
    """Frames, uint8 ``(H, W, 3)``, to ``(T, 3, H, W)`` in ``[-1, 1]``."""
    return torch.stack([to_frame(frame) for frame in frames])
