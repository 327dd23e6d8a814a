"""Image files of any mode as 8-bit RGB, and back."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError
from torch import Tensor

from adc.files import replacing
from adc.media.retry import retried
from adc.media.tar_shards import CAPTION, TarMember, members
from adc.ops.clip import to_unit

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
"""Endings, in lower case, of the files that are taken for images."""
SHARD = ".tar"

DEEP_GRAY = ("I;16", "I;16L", "I;16B", "I;16N", "I")


class BrokenImageError(ValueError):
    """A file that is not a readable image; the message names it."""


def read_image(path: str | os.PathLike[str] | TarMember) -> np.ndarray:
    """An image of any mode (perhaps inside a tar file) as uint8 ``(H, W, 3)``, writable.

    Grey becomes three equal channels; palettes and CMYK become RGB; transparent pixels are laid
    over white; 16-bit grey is scaled to 8 bits, of 16-bit colour the high byte is taken; an
    EXIF orientation is applied. Of several pages or frames the first one is read.

    Raises:
        FileNotFoundError: If there is no such file.
        BrokenImageError: If it is truncated, not an image, or of a mode that has no clear meaning in 8 bits.
    """
    with opened(path) as image:
        return _to_rgb(ImageOps.exif_transpose(image))


@contextmanager
def opened(path: str | os.PathLike[str] | TarMember) -> Iterator[Image.Image]:
    """An open image whose pixels have been read; errors in the block are raised as those of `read_image`."""
    path = path if isinstance(path, TarMember) else Path(path)
    held = path.shard if isinstance(path, TarMember) else path
    try:
        retried(lambda: _check_file(held), held)
    except OSError as error:
        if error.errno is None:
            raise
        raise BrokenImageError(f"{held}: cannot be read ({error.strerror}).") from None
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # importing pyiqa switches it on for the whole process
    try:
        with retried(lambda: _loaded(path), path) as image:
            yield image
    except UnidentifiedImageError:
        raise BrokenImageError(f"{path}: not an image, or of an unknown format. Remove it or replace it.") from None
    except PermissionError:
        raise BrokenImageError(f"{path}: may not be read; change its permissions.") from None
    except (
        OSError, SyntaxError, ValueError, EOFError, MemoryError, OverflowError, struct.error, zlib.error,
        Image.DecompressionBombError,
    ) as error:  # fmt: skip
        if isinstance(error, OSError) and error.errno is not None:
            raise BrokenImageError(f"{path}: cannot be read ({error.strerror}).") from None
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BrokenImageError(f"{path}: cannot be read as an image ({reason}). Replace it.") from None


def _check_file(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file.")
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "a pipe, a socket or a device"
        raise BrokenImageError(f"{path}: is {kind}, not an image file.")


def _loaded(path: Path | TarMember) -> Image.Image:
    image = Image.open(io.BytesIO(path.read()) if isinstance(path, TarMember) else path)
    try:
        image.load()
    except BaseException:
        image.close()
        raise
    return image


def _to_rgb(image: Image.Image) -> np.ndarray:
    if (gray := deep_gray(image)) is not None:
        return np.repeat(((gray + 128) // 257).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return np.array(image.convert("RGB"))


def deep_gray(image: Image.Image) -> np.ndarray | None:
    """The int64 values ``(H, W)`` of 16-bit grey; None for other modes.

    Raises:
        ValueError: If the values do not fit into 16 bits, or are floating-point numbers.
    """
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers, save it in 8 or 16 bits")
    if image.mode not in DEEP_GRAY:
        return None
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("its grey values do not fit into 16 bits")
    return values


def write_image(path: str | os.PathLike[str], pixels: np.ndarray, quality: int = 95) -> None:
    """Write uint8 ``(H, W, 3)`` in the format of the ending; the file appears whole or not at all.

    Raises:
        ValueError: If the ending is none of `EXTENSIONS`, or the pixels are no 8-bit RGB image.
    """
    path = Path(path)
    ending = check_ending(path)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"{path}: an image is written from uint8 (H, W, 3), not {pixels.dtype} {pixels.shape}.")
    with replacing(path) as scratch:
        Image.fromarray(pixels).save(scratch, Image.registered_extensions()[ending], quality=quality)


def check_ending(path: Path) -> str:
    """The ending of an image file, in lower case.

    Raises:
        ValueError: If it names no image format.
    """
    if (ending := path.suffix.lower()) not in EXTENSIONS:
        raise ValueError(f"{path}: unknown image format '{path.suffix}'. There are: {', '.join(EXTENSIONS)}.")
    return ending


def to_frame(pixels: np.ndarray) -> Tensor:
    """uint8 or uint16 ``(H, W, 3)`` to float32 ``(3, H, W)`` in ``[-1, 1]``."""
    planes = torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32, order="C"))
    return planes.div_(np.iinfo(pixels.dtype).max).mul_(2).sub_(1)


def to_bytes(frame: Tensor) -> np.ndarray:
    """``(3, H, W)`` in ``[-1, 1]``, clamped and rounded, to uint8 ``(H, W, 3)``."""
    scaled = to_unit(frame.detach()).mul(255).round().to(torch.uint8)
    return scaled.permute(1, 2, 0).contiguous().cpu().numpy()


def list_images(folder: str | os.PathLike[str]) -> list[Path]:
    """All images of a folder and of the folders in it, sorted by relative path; hidden files are left out.

    Links are followed. An image file stands for itself.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If no image is in it.
    """
    found = [path for path in list_files(Path(folder)) if _is_image(path.name)]
    if not found:
        raise no_image(folder)
    return found


def no_image(folder: str | os.PathLike[str], *others: str) -> ValueError:
    """The error of a folder without images, or files with one of the `others` endings."""
    return ValueError(f"{folder}: no image in this folder (looked for {', '.join((*EXTENSIONS, *others))}).")


def list_photos(folder: str | os.PathLike[str]) -> list[Path | TarMember]:
    """The images of `list_images`, and those inside uncompressed tar files; a tar file stands for itself.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If no image is in it, or a tar file cannot be read.
    """
    found: list[Path | TarMember] = []
    for path in list_files(Path(folder)):
        if path.suffix.lower() == SHARD:
            found += members(path, EXTENSIONS)
        elif _is_image(path.name):
            found.append(path)
    if not found:
        raise no_image(folder, SHARD)
    return found


def list_files(root: Path) -> list[Path]:
    """All files of a folder and of the folders in it, sorted by relative path; links are followed.

    Hidden folders are left out. A file stands for itself.

    Raises:
        FileNotFoundError: If there is no such folder.
    """
    if root.is_file():
        return [root]
    if not root.exists():
        raise FileNotFoundError(f"{root}: no such folder.")
    found: list[Path] = []
    seen: set[str] = set()
    for place, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(place, name) for name in files]
    return sorted(found, key=lambda path: path.relative_to(root).as_posix())


def caption_of(path: Path | TarMember) -> str:
    """The text beside an image: ``photo.txt`` beside ``photo.png``, white space at its ends left off.

    Raises:
        FileNotFoundError: If there is none.
    """
    text = retried(lambda: _text_beside(path), path)
    if text is None:
        raise FileNotFoundError(f"{path}: no caption beside it; add a file that ends in {CAPTION}.")
    return text.strip()


def _text_beside(path: Path | TarMember) -> str | None:
    if isinstance(path, TarMember):
        return path.text()
    beside = path.with_suffix(CAPTION)
    return beside.read_text(encoding="utf-8") if beside.is_file() else None


def _is_image(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(EXTENSIONS)


def name_of(path: Path | TarMember, folder: str | os.PathLike[str] | None) -> str:
    """Name of an image: its path in its folder or tar file, without the ending."""
    if isinstance(path, TarMember):
        return path.stem
    root = Path(folder) if folder is not None else path.parent
    relative = Path(path.name) if root.is_file() or not path.is_relative_to(root) else path.relative_to(root)
    return relative.with_suffix("").as_posix()
