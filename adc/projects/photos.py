"""The photos of a project: how many there are, how large, and how many are for validation."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from adc.errors import UsageError
from adc.media.images import list_photos

LOOKED_AT = 2000
"""Photos whose size is looked at; of more, the first ones."""
LEAST, MOST = 1, 8
"""Photos for validation, an eighth of all."""


@dataclass(frozen=True)
class Photos:
    """A folder of photos.

    Attributes:
        folder: The folder.
        count: How many images it holds.
        small: How many of those that were looked at are smaller than the crops.
        validation: How many are for validation.
    """

    folder: str
    count: int
    small: int
    validation: int


def look_at(folder: str, side: int) -> Photos:
    """The photos of a folder, for crops of a side.

    Raises:
        UsageError: If there is no such folder, it holds fewer than two photos, or none as large as a crop.
    """
    if Path(folder).is_file():
        raise UsageError(f"--photos {folder}: is a file; name the folder that holds the photos.")
    try:
        found = list_photos(folder)
    except (FileNotFoundError, ValueError) as error:
        raise UsageError(f"--photos: {error}") from None
    if len(found) < 2:
        raise UsageError(f"--photos {folder}: holds one photo; give two at least, one of them for validation.")
    sizes = {path: size for path in islice(found, LOOKED_AT) if isinstance(path, Path) and (size := _size(path))}
    if not sizes and all(isinstance(path, Path) for path in found):
        raise UsageError(f"--photos {folder}: not one of its {len(found)} images can be read; give others.")
    small = {path: size for path, size in sizes.items() if min(size) < side}
    if sizes and len(small) == len(sizes):
        path, size = max(small.items(), key=lambda item: min(item[1]))
        raise UsageError(
            f"--photos {folder}: no photo is as large as a crop, {side} x {side} pixels ({path} is the largest, "
            f"{size[0]} x {size[1]}); give larger ones."
        )
    validation = max(LEAST, min(MOST, round(len(found) / 8)))
    return Photos(folder, len(found), len(small), validation)


def _size(path: Path) -> tuple[int, int] | None:
    """Width and height by the file's head; None if it cannot be read, which training passes over."""
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError):
        return None
