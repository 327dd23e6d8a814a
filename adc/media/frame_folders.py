"""Folders of frames as videos: one image for each frame, in the order of the numbers in their names."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from adc.media.image_files import (
    WITH_ALPHA,
    DecodedImage,
    alpha_rows,
    channels_for,
    color_rows,
    decode_image,
    fill_transparent,
    image_writer,
)
from adc.media.images import BrokenImageError, read_image, to_frame
from adc.media.names import WRITTEN, check_ending, describe_gap, frame_files, no_image
from adc.media.pixels import orientation, over_white
from adc.media.rates import checked_rate
from adc.media.video_reader import Damage, Frame


class FrameFolder:
    """A folder of images of one size as a video: streamed with `frames`, or read by number with `read`.

    ``2.png`` comes before ``10.png``; images in its sub-folders are not part of it. In `frames` the frame before
    stands in for an image that cannot be read, which is reported in `damage`; those with none before them are left out.

    Attributes:
        files: Its images in display order.
        time_base: Seconds per frame.
        count: Number of its images.
        damage: What could not be read so far.
        deep: Whether one of those read so far has more than eight bits per channel.
        gap: Where the numbers in their names leave one out (`adc.media.names.describe_gap`).
        notes: What of the images the results lack, each in a few words, and in how many of those read so far.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        rate: Fraction | int = 25,
        name: str | None = None,
        becomes: str | None = None,
    ) -> None:
        """
        Args:
            path: The folder.
            rate: Frames per second.
            name: Its name; None is the folder's.
            becomes: Ending of the images or the video that `frames` become: they have all bits then, and where that
                format has transparency and metadata, `Frame.image` holds them. None is 8 bits, laid over white.

        Raises:
            FileNotFoundError: If there is no such folder.
            ValueError: If there is no image in it, or the rate (frames per second) is none that videos have.
        """
        self.path, self.rate = Path(path), checked_rate(rate)
        self.time_base = 1 / self.rate
        self.name = self.path.name if name is None else name
        self.becomes = becomes
        self.files = frame_files(self.path)
        if not self.files:
            raise no_image(path)
        self.count = len(self.files)
        self.gap = describe_gap(self.files)
        self.damage: list[Damage] = []
        self.deep = False
        self.notes: Counter[str] = Counter()

    def __len__(self) -> int:
        """Number of frames."""
        return self.count

    @property
    def keyframes(self) -> list[int]:
        """Numbers of the frames that need no others to be decoded: all."""
        return list(range(self.count))

    def read(self, numbers: Sequence[int]) -> list[np.ndarray]:
        """Frames by their numbers, uint8 ``(H, W, 3)``.

        Raises:
            BrokenImageError: If one of them cannot be read.
            ValueError: If they are not of one size.
        """
        frames = [read_image(self.files[number]) for number in numbers]
        for number, frame in zip(numbers, frames, strict=True):
            self._check_size(self.files[number], frame.shape[:2], frames[0].shape[:2])
        return frames

    def frames(self, on_packet: Callable[[Any], None] | None = None) -> Iterator[Frame]:
        """All frames in order, `Frame.start` being their number; there are no packets of sound or subtitles.

        Raises:
            ValueError: If an image has another size than the first, or none can be read.
        """
        latest = None
        for number, file in enumerate(self.files):
            try:
                frame = self._frame(file, number)
            except BrokenImageError as error:
                cause = str(error).removeprefix(f"{file}: ")
                remedy = "Left out." if latest is None else "The frame before stands in."
                self.damage.append(Damage(file.stem, f"{cause} {remedy}"))
                if latest is None:
                    continue
                frame = replace(latest, start=number)
            if latest is not None:
                self._check_size(file, frame.pixels.shape[1:], latest.pixels.shape[1:])
            latest = frame
            yield frame
        if latest is None:
            raise ValueError(f"{self.path}: not one of its {self.count} images can be read.")

    def _frame(self, file: Path, number: int) -> Frame:
        if self.becomes is None:
            return Frame(to_frame(read_image(file)), number, 1)
        image = decode_image(file)
        pixels, alpha = image.pixels, image.alpha
        self.notes.update(image.notes)
        self.deep = self.deep or pixels.dtype == np.uint16
        if self.becomes in WRITTEN:
            self.notes.update(image.metadata.missing(self.becomes, image.gray))
        elif image.metadata.icc:
            self.notes["its colour profile is left out"] += 1
        if alpha is not None and self.becomes in WITH_ALPHA:
            pixels = fill_transparent(pixels, alpha)
        elif alpha is not None:
            self.notes["what is transparent is laid over white"] += image.is_transparent
            pixels, alpha = over_white(pixels, alpha), None
        return Frame(to_frame(pixels), number, 1, replace(image, pixels=np.empty((0, 0, 3), np.uint8), alpha=alpha))

    def check_sizes(self) -> None:
        """Check that all images are of one size, by what their files begin with; those that cannot be read aside.

        Raises:
            ValueError: If one has another size than the first; the message names it.
        """
        first = None
        for file in self.files:
            try:
                size = _size_of(file)
                if first not in (None, size):
                    size = read_image(file).shape[:2]
            except (BrokenImageError, OSError):
                continue
            first = first or size
            self._check_size(file, size, first)

    @staticmethod
    def _check_size(file: Path, size: Sequence[int], before: Sequence[int]) -> None:
        if tuple(size) != tuple(before):
            sizes = " but ".join(f"{width}x{height}" for height, width in (size, before))
            raise ValueError(f"{file}: {sizes} pixels before; the frames of a video are of one size.")


def _size_of(file: Path) -> tuple[int, int]:
    """Height and width of an image, upright, without decoding it."""
    try:
        with Image.open(file) as image:
            width, height = image.size
            return (width, height) if orientation(image) >= 5 else (height, width)
    except Exception as error:  # what libraries raise for damaged files is not foreseen
        raise BrokenImageError(f"{file}: cannot be read as an image ({type(error).__name__}).") from None


class FrameFolderWriter:
    """Writer of frames as numbered images, ``000001.png`` and so on; the first makes the folder.

    Frames are numbered from 1, or named by `names[Frame.start]`; the ending names the format;
    quality is that of lossy formats, 1 to 100; depth is 8 or 16 bits per channel.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        names: list[str] | None = None,
        ending: str = ".png",
        quality: int = 95,
        depth: int = 8,
    ) -> None:
        """
        Raises:
            ValueError: If the ending names no image format, or the folder is a file.
        """
        self.path, self.names, self.ending, self.quality, self.depth = Path(path), names, ending, quality, depth
        self.deep = depth > 8
        self.left_out: list[str] = []
        self.passed = 0
        check_ending(Path(f"{path}/1{ending}"))
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{path}: is a file; frames are written into a folder.")

    def copy(self, packet: Any) -> None:
        """Sound and subtitles have no place in a folder of frames."""

    def is_there(self, number: int, frame: Frame) -> bool:
        """Whether the image of a frame, by its number from 0 among those that are written, is there already."""
        return self._place(number, frame).is_file()

    @property
    def has_more(self) -> bool:
        """Whether there is a numbered image after the last one that was written."""
        return self.names is None and (self.path / f"{self.passed + 1:06d}{self.ending}").is_file()

    def skip(self) -> None:
        """Leave out a frame whose image is there."""
        self.passed += 1

    def _place(self, number: int, frame: Frame) -> Path:
        name = f"{number + 1:06d}" if self.names is None else self.names[frame.start]
        return self.path / f"{name}{self.ending}"

    def write(self, frame: Frame) -> None:
        """Write a frame, with the transparency and metadata of its image."""
        path = self._place(self.passed, frame)
        self.passed += 1
        image = frame.image or DecodedImage(np.empty((0, 0, 3), np.uint8))
        height, width = frame.pixels.shape[1:]
        channels = channels_for(path, image.gray, image.alpha is not None)
        rows = color_rows(frame.pixels, channels < 3, self.depth)
        if image.alpha is not None:
            alpha = alpha_rows(image.alpha, (height, width), 0, height, self.depth)
            rows = np.concatenate([rows, alpha], axis=2)
        with image_writer(path, (width, height), channels, image.metadata, self.depth, self.quality) as writer:
            writer.write(rows)
