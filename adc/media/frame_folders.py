"""Folders of frames as videos: one image for each frame, in the order of the numbers in their names."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from adc.media.images import (
    EXTENSIONS,
    BrokenImageError,
    list_images,
    name_of,
    read_image,
    to_bytes,
    to_frame,
    write_image,
)
from adc.media.video_reader import Clip, Damage, Frame, gather


class FrameFolder:
    """The images of a folder, one after the other; what has been read is not kept.

    ``2.png`` comes before ``10.png``. For an image that cannot be read the frame before stands in,
    which is told in `damage`; those with none before them are left out.

    Attributes:
        path: The folder.
        files: Its images, in the order in which they are shown.
        rate: Frames per second.
        time_base: Seconds per frame.
        count: How many images there are.
        damage: What could not be read so far.
    """

    def __init__(self, path: str | os.PathLike[str], rate: Fraction | int = 25) -> None:
        """
        Args:
            path: A folder of images, all of one size.
            rate: Frames per second.

        Raises:
            FileNotFoundError: If there is no such folder.
            ValueError: If there is no image in it, or the rate is not above 0.
        """
        if rate <= 0:
            raise ValueError(f"rate: {rate} frames per second; above 0.")
        self.path, self.rate, self.time_base = Path(path), Fraction(rate), 1 / Fraction(rate)
        self.files = sorted(list_images(path), key=lambda file: in_order(name_of(file, path)))
        self.count = len(self.files)
        self.damage: list[Damage] = []

    def __enter__(self) -> FrameFolder:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def clips(self, length: int) -> Iterator[Clip]:
        """The frames in clips of so many; the last one may be shorter."""
        return gather(self.frames(), length, self.time_base)

    def frames(self, pass_on: Callable[[Any], None] | None = None) -> Iterator[Frame]:
        """All frames in order; `Frame.start` counts them.

        Args:
            pass_on: Not called: a folder has neither sound nor subtitles.

        Raises:
            ValueError: If an image has another size than the first, or none can be read.
        """
        latest = None
        for number, file in enumerate(self.files):
            try:
                pixels = to_frame(read_image(file))
            except BrokenImageError as error:
                cause = str(error).removeprefix(f"{file}: ")
                told = "left out" if latest is None else "the frame before stands in"
                self.damage.append(Damage(name_of(file, self.path), f"{cause} {told[0].upper()}{told[1:]}."))
                if latest is None:
                    continue
                pixels = latest
            if latest is not None and pixels.shape != latest.shape:
                sizes = " but ".join(f"{shape[2]}x{shape[1]}" for shape in (pixels.shape, latest.shape))
                raise ValueError(f"{file}: {sizes} pixels before; the frames of a video are of one size.")
            latest = pixels
            yield Frame(pixels, number, 1)
        if latest is None:
            raise ValueError(f"{self.path}: not one of its {self.count} images can be read.")


def in_order(name: str) -> list[tuple[int, int, str]]:
    """A key by which names are sorted by the numbers in them: ``2`` before ``10``."""
    return [(0, int(part), part) if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


class FrameFolderWriter:
    """Frames as numbered images, ``000001.png`` and so on, each of which appears whole or not at all."""

    def __init__(
        self, path: str | os.PathLike[str], names: list[str] | None = None, ending: str = ".png", quality: int = 95
    ) -> None:
        """
        Args:
            path: A folder; it is made if it is not there.
            names: What the frames are called, by their `Frame.start`, without the ending; None numbers them from 1.
            ending: Of the files; names the format.
            quality: Of formats that lose something, 1 to 100.

        Raises:
            ValueError: If the ending names no image format, or the folder is a file.
        """
        self.path, self.names, self.ending, self.quality = Path(path), names, ending, quality
        self.left_out: list[str] = []
        self.written = 0
        if ending.lower() not in EXTENSIONS:
            raise ValueError(f"{path}: unknown image format '{ending}'. There are: {', '.join(EXTENSIONS)}.")
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{path}: is a file; frames are written into a folder.")
        self.path.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> FrameFolderWriter:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def copy(self, packet: Any) -> None:
        """Sound and subtitles have no place in a folder of frames."""

    def write(self, frame: Frame) -> None:
        """Write a frame."""
        self.written += 1
        name = f"{self.written:06d}" if self.names is None else self.names[frame.start]
        write_image(self.path / f"{name}{self.ending}", to_bytes(frame.pixels), self.quality)
