"""Folders of frames as videos: one image for each frame, in the order of the numbers in their names."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from adc.media.images import (
    EXTENSIONS,
    WRITTEN,
    BrokenImageError,
    no_image,
    read_image,
    to_bytes,
    to_frame,
    write_image,
)
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
    """

    def __init__(self, path: str | os.PathLike[str], rate: Fraction | int = 25, name: str | None = None) -> None:
        """
        Raises:
            FileNotFoundError: If there is no such folder.
            ValueError: If there is no image in it, or the rate (frames per second) is not above 0.
        """
        if rate <= 0:
            raise ValueError(f"rate: {rate} frames per second; above 0.")
        self.path, self.rate, self.time_base = Path(path), Fraction(rate), 1 / Fraction(rate)
        self.name = self.path.name if name is None else name
        self.files = frame_files(self.path)
        if not self.files:
            raise no_image(path)
        self.count = len(self.files)
        self.damage: list[Damage] = []

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
                pixels = to_frame(read_image(file))
            except BrokenImageError as error:
                cause = str(error).removeprefix(f"{file}: ")
                remedy = "Left out." if latest is None else "The frame before stands in."
                self.damage.append(Damage(file.stem, f"{cause} {remedy}"))
                if latest is None:
                    continue
                pixels = latest
            if latest is not None:
                self._check_size(file, pixels.shape[1:], latest.shape[1:])
            latest = pixels
            yield Frame(pixels, number, 1)
        if latest is None:
            raise ValueError(f"{self.path}: not one of its {self.count} images can be read.")

    @staticmethod
    def _check_size(file: Path, size: Sequence[int], before: Sequence[int]) -> None:
        if tuple(size) != tuple(before):
            sizes = " but ".join(f"{width}x{height}" for height, width in (size, before))
            raise ValueError(f"{file}: {sizes} pixels before; the frames of a video are of one size.")


def frame_files(folder: Path) -> list[Path]:
    """The images directly in a folder, in the order of the numbers in their names; hidden ones are left out.

    Raises:
        FileNotFoundError: If there is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder.")
    files = [path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS and path.name[0] != "."]
    return sorted((path for path in files if path.is_file()), key=lambda path: (natural_key(path.stem), path.name))


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key of a name by the numbers in it: ``2`` before ``10``."""
    return [(0, int(part), part) if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


class FrameFolderWriter:
    """Writer of frames as numbered images, ``000001.png`` and so on; the folder is made if it is not there.

    Frames are numbered from 1, or named by `names[Frame.start]`; the ending names the format; quality is that of lossy
    formats, 1 to 100.
    """

    def __init__(
        self, path: str | os.PathLike[str], names: list[str] | None = None, ending: str = ".png", quality: int = 95
    ) -> None:
        """
        Raises:
            ValueError: If the ending names no image format, or the folder is a file.
        """
        self.path, self.names, self.ending, self.quality = Path(path), names, ending, quality
        self.left_out: list[str] = []
        self.written = 0
        if ending.lower() not in WRITTEN:
            raise ValueError(f"{path}: unknown image format '{ending}'. There are: {', '.join(WRITTEN)}.")
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{path}: is a file; frames are written into a folder.")
        self.path.mkdir(parents=True, exist_ok=True)

    def copy(self, packet: Any) -> None:
        """Sound and subtitles have no place in a folder of frames."""

    def write(self, frame: Frame) -> None:
        """Write a frame."""
        self.written += 1
        name = f"{self.written:06d}" if self.names is None else self.names[frame.start]
        write_image(self.path / f"{name}{self.ending}", to_bytes(frame.pixels), self.quality)
