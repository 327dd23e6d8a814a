"""Two folders, small and large photos, as clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from adc.data.datasets.photos import Key, PhotoReader, check_largest, check_size, crop_size, still, too_small
from adc.data.sampler import generator_of
from adc.degradation.draws import bernoulli, randint
from adc.media.images import list_images, name_of


def match(lr: str, hr: str) -> list[tuple[str, Path, Path]]:
    """Pair the images of two folders by their paths in them, endings aside.

    Returns:
        (name, small, large), sorted by name.

    Raises:
        ValueError: If an image has no partner, or two images of a folder have one name.
    """
    small, large = _by_name(lr), _by_name(hr)
    for own, other, folder in ((small, large, hr), (large, small, lr)):
        lonely = [name for name in own if name not in other]
        if lonely:
            more = f" (and {len(lonely) - 1} more)" if len(lonely) > 1 else ""
            raise ValueError(f"{own[lonely[0]]}: no partner called '{lonely[0]}' in {folder}{more}. Add or remove it.")
    return [(name, small[name], large[name]) for name in sorted(small)]


def _by_name(folder: str) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for path in list_images(folder):
        name = name_of(path, folder)
        if name in named:
            raise ValueError(f"{path}: {named[name]} has the same name. Remove or rename one of them.")
        named[name] = path
    return named


class _Pairs(Dataset[dict[str, Any]]):
    def __init__(self, lr: str, hr: str, scale: int, megabytes: int, limit: int | None) -> None:
        if scale < 1:
            raise ValueError(f"scale: {scale} is not a whole number of at least 1.")
        self.scale = scale
        self.pairs = match(lr, hr)[:limit]
        self.read = PhotoReader(megabytes)

    def __len__(self) -> int:
        return len(self.pairs)

    def _pair(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        _, lr_path, hr_path = self.pairs[index]
        lr, hr = self.read(lr_path), self.read(hr_path)
        if hr.shape[:2] != tuple(side * self.scale for side in lr.shape[:2]):
            raise ValueError(
                f"{hr_path}: {hr.shape[1]}x{hr.shape[0]} pixels are not {self.scale} times the "
                f"{lr.shape[1]}x{lr.shape[0]} of {lr_path}. Set scale, or replace a file."
            )
        return lr, hr

    def _item(
        self, index: int, lr: np.ndarray, hr: np.ndarray, corner: tuple[int, int], size: tuple[int, int], flip: bool
    ) -> dict[str, Any]:
        clips = []
        for pixels, factor in ((lr, 1), (hr, self.scale)):
            (top, left), (height, width) = (tuple(factor * side for side in pair) for pair in (corner, size))
            crop = pixels[top : top + height, left : left + width]
            clips.append(still(crop[:, ::-1] if flip else crop))
        return {"lr": clips[0], "hr": clips[1], "name": self.pairs[index][0]}


class TrainingPairs(_Pairs):
    """Random crops of pairs, perhaps mirrored, drawn from (seed, index, epoch); items as of `TrainingClips`."""

    def __init__(self, lr: str, hr: str, scale: int = 4, size: int = 512, seed: int = 0, cache: int = 64) -> None:
        """
        Args:
            lr: Folder of small photos.
            hr: Folder of large photos of the same names.
            scale: How many times larger they are.
            size: Height and width of the large photo's crop.
            seed: Of all draws.
            cache: Megabytes of decoded photos that each process keeps.
        """
        check_size("size", size, scale)
        super().__init__(lr, hr, scale, cache, limit=None)
        self.size, self.seed = size, seed

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """The item of an index in epoch 0, or of a pair (position, index) in the position's epoch."""
        position, index = key if isinstance(key, tuple) else (0, key)
        lr, hr = self._pair(index)
        if min(hr.shape[:2]) < self.size:
            raise too_small(self.pairs[index][2], hr, self.size, self.scale)
        generator = generator_of(self.seed, index, position // len(self))
        side = self.size // self.scale
        corner = (randint(generator, 0, lr.shape[0] - side), randint(generator, 0, lr.shape[1] - side))
        return self._item(index, lr, hr, corner, (side, side), bernoulli(generator, 0.5))


class ValidationPairs(_Pairs):
    """The middle of each pair; the small photo's height and width are cut to multiples of ``multiple``."""

    def __init__(
        self,
        lr: str,
        hr: str,
        scale: int = 4,
        size: int | None = None,
        multiple: int = 16,
        limit: int | None = None,
    ) -> None:
        """
        Args:
            lr: Folder of small photos.
            hr: Folder of large photos of the same names.
            scale: How many times larger they are.
            size: Largest height and width of the large photo; whole photos if none.
            multiple: The small photo's height and width are multiples of this.
            limit: Take the first so many pairs only.
        """
        check_largest(size, multiple * scale)
        super().__init__(lr, hr, scale, 0, limit)
        self.size, self.multiple = size, multiple

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The item of a pair."""
        lr, hr = self._pair(index)
        height, width = crop_size(self.pairs[index][2], hr, self.size, self.multiple * self.scale)
        size = (height // self.scale, width // self.scale)
        corner = ((lr.shape[0] - size[0]) // 2, (lr.shape[1] - size[1]) // 2)
        return self._item(index, lr, hr, corner, size, flip=False)
