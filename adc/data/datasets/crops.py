"""Sizes and places of crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from torch import Generator

from adc.degradation.draws import bernoulli, randint
from adc.degradation.filters import reflected
from adc.media.tar_shards import TarMember

Small = Literal["error", "reflect"]


@dataclass(frozen=True)
class Crop:
    """A rectangle of frames ``(H, W, 3)``, perhaps mirrored."""

    top: int
    left: int
    height: int
    width: int
    flip: bool = False

    def __call__(self, frames: Sequence[np.ndarray], scale: int = 1) -> list[np.ndarray]:
        """Cut it out of frames that are ``scale`` times as large as those it was made for."""
        rows = slice(self.top * scale, (self.top + self.height) * scale)
        columns = slice(self.left * scale, (self.left + self.width) * scale)
        return [frame[rows, columns][:, :: -1 if self.flip else 1] for frame in frames]


def too_small(path: Path | TarMember, pixels: np.ndarray, size: int, scale: int) -> ValueError:
    """The error for a photo ``(H, W, 3)`` into which a crop does not fit; names the file, its size and the way out."""
    height, width = pixels.shape[:2]
    fitting = min(height, width) // scale * scale
    return ValueError(
        f"{path}: {width}x{height} pixels are smaller than the crop (size: {size}). "
        f"Set size to {fitting} or less, or small: reflect, or remove the file."
    )


def crop_of(frame: np.ndarray, size: int, generator: Generator) -> Crop:
    """A random square of a frame, perhaps mirrored."""
    height, width = frame.shape[:2]
    top, left = randint(generator, 0, height - size), randint(generator, 0, width - size)
    return Crop(top, left, size, size, bernoulli(generator, 0.5))


def ensure_min_size(pixels: np.ndarray, path: Path | TarMember, size: int, scale: int, small: Small) -> np.ndarray:
    """An image ``(H, W, 3)``, mirrored at the right and below until a square of ``size`` fits.

    Raises:
        ValueError: If it is smaller and may not be mirrored.
    """
    if min(pixels.shape[:2]) >= size:
        return pixels
    if small == "error":
        raise too_small(path, pixels, size, scale)
    rows, columns = (reflected(side, 0, max(0, size - side)).numpy() for side in pixels.shape[:2])
    return pixels[rows][:, columns]


def central(frame: np.ndarray, height: int, width: int) -> Crop:
    """The middle of a frame."""
    return Crop((frame.shape[0] - height) // 2, (frame.shape[1] - width) // 2, height, width)


def crop_size(path: Path | TarMember, pixels: np.ndarray, largest: int | None, step: int) -> tuple[int, int]:
    """Height and width of the largest part of a photo whose sides are multiples of ``step`` and at most ``largest``.

    Raises:
        ValueError: If a side is shorter than one step; names the file.
    """
    height, width = (min(side, largest or side) // step * step for side in pixels.shape[:2])
    if not height or not width:
        raise ValueError(
            f"{path}: {pixels.shape[1]}x{pixels.shape[0]} pixels are too few for validation, which takes multiples of "
            f"{step} (multiple * scale). Lower multiple, or remove the file."
        )
    return height, width
