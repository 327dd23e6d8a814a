"""Image files of any mode as 8-bit RGB, and back."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

import numpy as np
import torch
from PIL import Image, ImageFile, UnidentifiedImageError
from torch import Tensor

from adc.files import replacing
from adc.media.damage import check_sums
from adc.media.names import (
    EXTENSIONS,
    FOREIGN,
    check_ending,
    describe_rest,
    is_image_name,
    list_files,
    no_image,
)
from adc.media.pixels import eight_bits, over_white, pixels_of
from adc.media.retry import retried
from adc.media.tar_shards import CAPTION, TarMember, members
from adc.media.tiff_errors import tiff_errors
from adc.memory import available_memory
from adc.ops.clip import to_unit
from adc.progress import note

SHARD = ".tar"
JPEG, FULL_COLOR = (".jpg", ".jpeg"), 90
"""Endings of JPEG files, and the quality from which their colours are not halved."""
COLOR_ONLY, GRAY_ONLY, NO_COLORS = (
    ".ppm",
    ".pgm",
    ".pgm holds grey only, and this image has colours; take .ppm or .png.",
)
"""Endings of Netpbm's formats, each of which holds one kind of image."""
BYTES_PER_PIXEL = 12
"""That decoding takes: the file's own pixels, RGB of up to 16 bits, and a copy."""

Image.MAX_IMAGE_PIXELS = None  # what memory holds is the limit
warnings.filterwarnings("ignore", module="PIL")  # what is wrong with a file is said in its name


class BrokenImageError(ValueError):
    """A file that is not a readable image; the message names it."""


def read_image(path: str | os.PathLike[str] | TarMember) -> np.ndarray:
    """An image of any mode (perhaps inside a tar file) as uint8 ``(H, W, 3)``, writable.

    What `adc.media.image_files.decode_image` reads, in 8 bits: transparent pixels are laid over white, 16 bits are
    rounded to 8. Of several pages or frames the first one is read.

    Raises:
        FileNotFoundError: If there is no such file.
        BrokenImageError: If it is truncated, not an image, too large for the memory, or of a mode that has no clear
            meaning in 8 bits.
    """
    with opened(path) as (image, source):
        found = pixels_of(image, source)
    return eight_bits(over_white(found.values, found.alpha))


@contextmanager
def opened(path: str | os.PathLike[str] | TarMember) -> Iterator[tuple[Image.Image, Path | bytes]]:
    """An open image whose pixels have been read, and its file, or content in a tar file.

    Errors in the block are raised as those of `read_image`: what libraries raise for damaged files is not foreseen.
    """
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
        image, source = retried(lambda: _loaded(path), path)
        with image:
            yield image, source
    except UnidentifiedImageError:
        raise BrokenImageError(_unidentified(path)) from None
    except PermissionError:
        raise BrokenImageError(f"{path}: may not be read; change its permissions.") from None
    except Exception as error:
        if isinstance(error, BrokenImageError):
            raise
        if isinstance(error, OSError) and error.errno is not None:
            raise BrokenImageError(f"{path}: cannot be read ({error.strerror}).") from None
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BrokenImageError(f"{path}: cannot be read as an image ({reason}). Replace it.") from None


def _unidentified(path: Path | TarMember) -> str:
    ending = PurePath(path.member if isinstance(path, TarMember) else path).suffix.lower()
    if ending in FOREIGN:
        return f"{path}: {ending} is not read; convert it, for one to PNG."
    if ending in (".tif", ".tiff"):
        return f"{path}: not an image, or of a kind of TIFF that is not read (floating-point colours, for one)."
    return f"{path}: not an image, or of an unknown format. Remove it or replace it."


def _check_file(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file.")
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "a pipe, a socket or a device"
        raise BrokenImageError(f"{path}: is {kind}, not an image file.")


def _loaded(path: Path | TarMember) -> tuple[Image.Image, Path | bytes]:
    source = path.read() if isinstance(path, TarMember) else path
    image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
    try:
        _check_memory(path, image.size)
        _load(image)
        check_sums(image, source)
    except BaseException:
        image.close()
        raise
    return image, source


def _load(image: Image.Image) -> None:
    """Read the pixels; errors of libtiff, some of which Pillow does not know of, are raised in its words.

    Raises:
        ValueError: If libtiff reports one.
    """
    with tiff_errors() as errors:
        try:
            image.load()
        except OSError as error:
            if not errors or error.errno is not None:
                raise
    if errors:
        raise ValueError(f"its data are damaged: {errors[0]}")


def _check_memory(path: Path | TarMember, size: tuple[int, int]) -> None:
    """Refuse what claims more pixels than memory holds, before it is decoded: a file of few bytes may."""
    needed, free = size[0] * size[1] * BYTES_PER_PIXEL, available_memory()
    if needed > free:
        raise BrokenImageError(
            f"{path}: {size[0]}x{size[1]} pixels need {needed / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free; "
            "cut it into parts, or take a machine with more memory."
        )


def write_image(path: str | os.PathLike[str], pixels: np.ndarray, quality: int = 95) -> None:
    """Write uint8 ``(H, W, 3)`` in the format of the ending; the file appears whole or not at all.

    JPEG keeps colours at every pixel from quality 90 on.

    Raises:
        ValueError: If the ending is none of `WRITTEN`, the pixels are no 8-bit RGB image, or the format has no colours.
    """
    path = Path(path)
    ending = check_ending(path)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"{path}: an image is written from uint8 (H, W, 3), not {pixels.dtype} {pixels.shape}.")
    if ending == GRAY_ONLY:
        if (pixels != pixels[..., :1]).any():
            raise ValueError(f"{path}: {NO_COLORS}")
        pixels = pixels[..., 0]
    with replacing(path) as scratch:
        options = {"quality": quality, **({"subsampling": 0} if ending in JPEG and quality >= FULL_COLOR else {})}
        Image.fromarray(pixels).save(scratch, Image.registered_extensions()[ending], **options)


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
    found = [path for path in list_files(Path(folder)) if is_image_name(path.name)]
    if not found:
        raise no_image(folder)
    return found


def list_photos(folder: str | os.PathLike[str]) -> list[Path | TarMember]:
    """The images of `list_images`, and those inside uncompressed tar files; a tar file stands for itself.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If no image is in it, or a tar file cannot be read.
    """
    found: list[Path | TarMember] = []
    rest: list[Path] = []
    for path in list_files(Path(folder)):
        if path.suffix.lower() == SHARD:
            found += members(path, EXTENSIONS)
        elif is_image_name(path.name):
            found.append(path)
        elif path.suffix.lower() != CAPTION and not path.name.startswith("."):
            rest.append(path)
    if not found:
        raise no_image(folder, SHARD)
    if left_out := describe_rest(rest):
        note(f"{folder}: {left_out}")
    return found


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
