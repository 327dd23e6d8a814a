"""Photographs as clips: read, cropped, mirrored, spoilt; every draw a function of seed, sample and epoch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Generator, Tensor
from torch.utils.data import Dataset

from adc.data.bundled import training_photos, validation_photos
from adc.data.datasets.augment import Augmentation
from adc.data.sampler import generator_of
from adc.degradation.draws import bernoulli, randint
from adc.degradation.filters import reflected
from adc.interfaces import Degradation
from adc.media.images import BrokenImageError, caption_of, list_photos, name_of, read_image, to_frame
from adc.media.tar_shards import Packed

DRAWS = "draws"
"""Of an item or a batch: states of the generators with which clips are still to be degraded."""

Key = int | tuple[int, int]
"""An index, which means epoch 0, or a pair (position, index) of a `PositionSampler`."""


def check_frames(frames: int) -> None:
    """Refuse clips of several frames, for which photographs do not do."""
    if frames != 1:
        raise ValueError(
            f"frames: {frames} asks for video, but a folder of images has clips of one frame. Use frames: 1."
        )


def check_size(key: str, size: int, scale: int) -> None:
    """Refuse a crop that the scale does not divide."""
    if size < scale or size % scale:
        raise ValueError(f"{key}: {size} is not a multiple of the scale {scale}.")


class PhotoReader:
    """Reads files, and keeps the first ones decoded as long as there is room."""

    def __init__(self, megabytes: int = 0) -> None:
        """
        Args:
            megabytes: Room for decoded photos.
        """
        self.room = megabytes * 2**20
        self.kept: dict[Path | Packed, np.ndarray] = {}

    def __call__(self, path: Path | Packed) -> np.ndarray:
        """uint8 ``(H, W, 3)``; not to be written to."""
        if path in self.kept:
            return self.kept[path]
        pixels = read_image(path)
        if pixels.nbytes <= self.room:
            self.room -= pixels.nbytes
            self.kept[path] = pixels
        return pixels


def too_small(path: Path | Packed, pixels: np.ndarray, size: int, scale: int, way_out: str = "") -> ValueError:
    """The error for a photo ``(H, W, 3)`` into which a crop does not fit; names the file, its size and the way out."""
    height, width = pixels.shape[:2]
    fitting = min(height, width) // scale * scale
    return ValueError(
        f"{path}: {width}x{height} pixels are smaller than the crop (size: {size}). "
        f"Set size to {fitting} or less{way_out}, or remove the file."
    )


def mirror_up_to(pixels: np.ndarray, size: int) -> np.ndarray:
    """Continue a photo ``(H, W, 3)`` to the right and downwards by mirroring, until a square of ``size`` fits."""
    rows = reflected(pixels.shape[0], 0, max(0, size - pixels.shape[0])).numpy()
    columns = reflected(pixels.shape[1], 0, max(0, size - pixels.shape[1])).numpy()
    return pixels[rows][:, columns]


def central(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """The middle ``height`` x ``width`` of ``(H, W, 3)``."""
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]


def crop_size(path: Path | Packed, pixels: np.ndarray, largest: int | None, step: int) -> tuple[int, int]:
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


def check_largest(largest: int | None, step: int) -> None:
    """Refuse a validation crop into which no multiple of ``step`` fits."""
    if largest is not None and largest < step:
        raise ValueError(f"validation_size: {largest} is less than {step} (multiple * scale).")


def still(pixels: np.ndarray) -> Tensor:
    """uint8 ``(H, W, 3)`` to a clip of one frame, ``(1, 3, H, W)`` in ``[-1, 1]``."""
    return to_frame(pixels)[None]


def degraded(batch: dict[str, Any], degradation: Degradation) -> dict[str, Any]:
    """A batch with ``lr``, made where its ``hr`` lies, in float32, from the states of its generators.

    The draws are those of a worker. Sums on another device may differ in their last bit, and so
    may a pixel by one step of 8 bits.
    """
    small = []
    with torch.autocast(batch["hr"].device.type, enabled=False):
        for hr, state in zip(batch["hr"], batch[DRAWS], strict=True):
            generator = Generator()
            generator.set_state(state.cpu().clone())
            small.append(degradation(hr.float(), generator))
    return {**{key: value for key, value in batch.items() if key != DRAWS}, "lr": torch.stack(small)}


class TrainingClips(Dataset[dict[str, Any]]):
    """Random crops of photos, perhaps mirrored, with their degraded twins.

    Items are ``{"lr": (1, 3, size / scale, size / scale), "hr": (1, 3, size, size), "name": str}``
    in ``[-1, 1]``. The same (seed, index, epoch) is the same item in every process.

    Attributes:
        skipped: Broken files met so far, with ``broken="skip"``.
    """

    def __init__(
        self,
        degradation: Degradation,
        clips: str | None = None,
        frames: int = 1,
        size: int = 512,
        seed: int = 0,
        small: Literal["error", "reflect"] = "error",
        broken: Literal["error", "skip"] = "error",
        cache: int = 64,
        augment: Augmentation | None = None,
        captions: bool = False,
        degrade: Literal["workers", "device"] = "workers",
    ) -> None:
        """
        Args:
            degradation: What makes the small clip.
            clips: A folder of images; the bundled training photos if none.
            frames: Frames per clip; photos have one.
            size: Height and width of the crop.
            seed: Of all draws.
            small: What to do with a photo smaller than the crop: stop, or mirror it at its borders.
            broken: What to do with an unreadable file: stop, or take the next file in its place.
            cache: Megabytes of decoded photos that each process keeps.
            augment: Changes crops before they are degraded.
            captions: Whether items have a ``text``, read from the file beside each photo.
            degrade: With ``device`` items hold the state of their generator (`DRAWS`) in place of ``lr``,
                and `degraded` makes it later.
        """
        check_frames(frames)
        check_size("size", size, degradation.scale)
        self.degradation, self.size, self.seed, self.small, self.broken = degradation, size, seed, small, broken
        self.augment, self.captions = augment, captions
        self.degrade: Literal["workers", "device"] = degrade
        self.folder = clips
        self.files: Sequence[Path | Packed] = training_photos() if clips is None else list_photos(clips)
        self.read = PhotoReader(cache)
        self.skipped: set[str] = set()

    def __len__(self) -> int:
        """Number of photos."""
        return len(self.files)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """The item of an index in epoch 0, or of a pair (position, index) in the position's epoch."""
        position, index = key if isinstance(key, tuple) else (0, key)
        generator = generator_of(self.seed, index, position // len(self))
        hr, path = self._clip(index, generator)
        if self.augment is not None and self.augment.blends(generator):
            other, _ = self._clip(randint(generator, 0, len(self) - 1), generator)
            hr = self.augment.mix(hr, other, generator)
        item = {"hr": hr, "name": name_of(path, self.folder)}
        if self.captions:
            item["text"] = caption_of(path)
        if self.degrade == "workers":
            item["lr"] = self.degradation(hr, generator)
        else:
            item[DRAWS] = generator.get_state()
        return item

    def _clip(self, index: int, generator: Generator) -> tuple[Tensor, Path | Packed]:
        path, pixels = self._readable(index)
        if min(pixels.shape[:2]) < self.size:
            if self.small == "error":
                raise too_small(path, pixels, self.size, self.degradation.scale, ", or small: reflect")
            pixels = mirror_up_to(pixels, self.size)
        if self.augment is None:
            return still(self._crop(pixels, self.size, generator)), path
        side = self.augment.side(self.size, min(pixels.shape[:2]), generator)
        crop = self._crop(pixels, side, generator)
        return still(self.augment.change(crop, self.size, generator)), path

    def _readable(self, index: int) -> tuple[Path | Packed, np.ndarray]:
        for offset in range(len(self)):
            path = self.files[(index + offset) % len(self)]
            try:
                return path, self.read(path)
            except (BrokenImageError, FileNotFoundError):
                if self.broken == "error":
                    raise
                self.skipped.add(str(path))
        raise BrokenImageError(f"{self.folder}: none of its {len(self)} images can be read.")

    @staticmethod
    def _crop(pixels: np.ndarray, side: int, generator: Generator) -> np.ndarray:
        top = randint(generator, 0, pixels.shape[0] - side)
        left = randint(generator, 0, pixels.shape[1] - side)
        crop = pixels[top : top + side, left : left + side]
        return crop[:, ::-1] if bernoulli(generator, 0.5) else crop


class ValidationClips(Dataset[dict[str, Any]]):
    """The middle of each validation photo with its degraded twin, the same in every epoch.

    Height and width are cut to multiples of ``multiple * scale``.
    """

    def __init__(
        self,
        degradation: Degradation,
        clips: str | None = None,
        size: int | None = None,
        seed: int = 0,
        multiple: int = 16,
        limit: int | None = None,
        captions: bool = False,
    ) -> None:
        """
        Args:
            degradation: What makes the small clip.
            clips: A folder of images; the bundled validation photos if none.
            size: Largest height and width; whole photos if none.
            seed: Of all draws.
            multiple: The small clip's height and width are multiples of this.
            limit: Take the first so many photos only.
            captions: Whether items have a ``text``, read from the file beside each photo.
        """
        self.captions = captions
        self.degradation, self.size, self.seed, self.step = degradation, size, seed, multiple * degradation.scale
        check_largest(size, self.step)
        self.folder = clips
        files: Sequence[Path | Packed] = validation_photos() if clips is None else list_photos(clips)
        self.files = list(files)[:limit]

    def __len__(self) -> int:
        """Number of photos."""
        return len(self.files)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The item of a photo."""
        path = self.files[index]
        pixels = read_image(path)
        hr = still(central(pixels, *crop_size(path, pixels, self.size, self.step)))
        generator = generator_of(self.seed, index, 0)
        item = {"lr": self.degradation(hr, generator), "hr": hr, "name": name_of(path, self.folder)}
        return {**item, "text": caption_of(path)} if self.captions else item
