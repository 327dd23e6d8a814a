"""Image files with all that belongs to them: transparency, depth, colour profile, EXIF, dots per inch."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image, ImageCms, ImageOps

from adc.media.images import DEEP_GRAY, EXTENSIONS, opened
from adc.media.png import LARGEST, PngWriter

LARGEST_SIDE = {".png": LARGEST, ".jpg": 65500, ".jpeg": 65500, ".webp": 16383}
WITH_ALPHA = {".png", ".webp", ".tif", ".tiff"}
WITH_BELONGINGS = {".jpg", ".jpeg", ".webp", ".tif", ".tiff"}
ORIENTATION, PHOTO, WIDTH, HEIGHT = 0x0112, 0x8769, 0xA002, 0xA003
INNER = (PHOTO, 0x8825)
"""Tags that point to more tags: of the photo, and of the place."""
OF_THE_FILE = {
    *range(0x00FE, 0x0104), 0x0106, 0x010A, 0x0111, ORIENTATION, *range(0x0115, 0x011A), 0x011C, 0x013D, 0x0140,
    *range(0x0142, 0x014B), 0x0152, 0x0153, 0x015B, *range(0x0200, 0x0215), 0x02BC, 0x8649, 0x8773,
}  # fmt: skip
"""Tags that say how the old file keeps its pixels."""


@dataclass(frozen=True)
class ImageMetadata:
    """What a file holds besides pixels.

    Attributes:
        icc: The colour profile of the pixels.
        exif: EXIF data; its orientation has been applied and taken out.
        dpi: Dots per inch, across and down.
    """

    icc: bytes | None = None
    exif: Image.Exif | None = None
    dpi: tuple[float, float] | None = None


@dataclass(frozen=True)
class Picture:
    """An image file, read.

    Attributes:
        pixels: uint8 ``(H, W, 3)``, or uint16 if the file held grey of 16 bits.
        gray: Whether the file held no colours; the three channels are equal then.
        alpha: uint8 ``(H, W)``; None if nothing is transparent by the file's mode.
        belongings: What else the file held.
        notes: What was left out, each in a few words.
    """

    pixels: np.ndarray
    gray: bool = False
    alpha: np.ndarray | None = None
    metadata: ImageMetadata = field(default_factory=ImageMetadata)
    notes: tuple[str, ...] = ()

    def frame(self) -> Any:
        """Float32 ``(3, H, W)`` in ``[-1, 1]``."""
        import torch

        planes = np.ascontiguousarray(self.pixels.transpose(2, 0, 1)).astype(np.float32)
        return torch.from_numpy(planes).div_(np.iinfo(self.pixels.dtype).max).mul_(2).sub_(1)


def read_picture(path: Path) -> Picture:
    """Read an image of any mode, its EXIF orientation applied; of several frames the first.

    Colours under transparent pixels stay as they are. CMYK becomes sRGB, by the file's colour profile if it has one.

    Raises:
        FileNotFoundError: If there is no such file.
        BrokenImageError: As `adc.media.images.read_image`.
    """
    with opened(path) as image:
        frames = getattr(image, "n_frames", 1)
        notes = [f"of its {frames} frames only the first is taken"] if frames > 1 else []
        exif = _exif_of(image, notes)
        dpi = _dpi_of(image)
        icc = image.info.get("icc_profile") or None
        upright = ImageOps.exif_transpose(image)
        pixels, gray, alpha, icc = _taken_apart(upright, icc, notes)
    return Picture(pixels, gray, alpha, ImageMetadata(icc, exif, dpi), tuple(notes))


def _exif_of(image: Image.Image, notes: list[str]) -> Image.Exif | None:
    try:
        found = image.getexif()
        inner = {pointer: dict(found.get_ifd(pointer)) for pointer in INNER}
        kept = Image.Exif()
        for tag, value in found.items():
            if tag not in OF_THE_FILE and tag not in INNER:
                kept[tag] = value
        for pointer, values in inner.items():
            if values:
                kept.get_ifd(pointer).update(values)
        return kept if kept.tobytes() and (len(kept) or any(inner.values())) else None
    except Exception:  # what Pillow raises for damaged EXIF is not foreseen
        notes.append("its EXIF data are damaged and left out")
        return None


def _dpi_of(image: Image.Image) -> tuple[float, float] | None:
    try:
        across, down = (float(dots) for dots in image.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return (across, down) if 0 < across < 1e6 and 0 < down < 1e6 else None


def _taken_apart(
    image: Image.Image, icc: bytes | None, notes: list[str]
) -> tuple[np.ndarray, bool, np.ndarray | None, bytes | None]:
    """Pixels, whether they are grey, alpha, and the colour profile of the pixels."""
    if image.mode in DEEP_GRAY:
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("its grey values do not fit into 16 bits")
        return np.repeat(values.astype(np.uint16)[..., None], 3, axis=2), True, None, _if_of(icc, b"GRAY")
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers, save it in 8 or 16 bits")
    if image.mode == "LAB":
        raise ValueError("its colours are CIELAB, save it as RGB")
    if image.mode == "CMYK":
        image, icc = _from_ink(image, icc, notes)
    alpha = None
    if image.has_transparency_data:
        image = image.convert("LA" if image.mode in ("1", "L", "LA", "La") else "RGBA")
        alpha = np.array(image.getchannel("A"))
    gray = image.mode in ("1", "L", "LA")
    pixels = np.array(image.convert("L")) if gray else np.array(image.convert("RGB"))
    if gray:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    return pixels, gray, alpha, _if_of(icc, b"GRAY" if gray else b"RGB ")


def _if_of(icc: bytes | None, space: bytes) -> bytes | None:
    return icc if icc is not None and icc[16:20] == space else None


def _from_ink(image: Image.Image, icc: bytes | None, notes: list[str]) -> tuple[Image.Image, bytes | None]:
    if _if_of(icc, b"CMYK") is not None:
        try:
            standard = ImageCms.createProfile("sRGB")
            light = ImageCms.profileToProfile(image, io.BytesIO(icc or b""), standard, outputMode="RGB")
            if light is not None:
                return light, ImageCms.ImageCmsProfile(standard).tobytes()
        except (ImageCms.PyCMSError, OSError):
            notes.append("its colour profile is damaged and left out")
    return image.convert("RGB"), None


class Writer(Protocol):
    """Takes rows from top to bottom."""

    def write(self, pixels: np.ndarray) -> None:
        """Take the next rows, ``(rows, width, channels)``."""


class _Whole:
    """Keeps the rows until all are there, for formats that Pillow writes."""

    def __init__(self, size: tuple[int, int], channels: int) -> None:
        self.image = Image.new({1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels], size)
        self.top = 0

    def write(self, pixels: np.ndarray) -> None:
        rows = pixels[..., 0] if pixels.shape[2] == 1 else pixels
        self.image.paste(Image.fromarray(np.ascontiguousarray(rows)), (0, self.top))
        self.top += len(pixels)


def check_target(path: Path, size: tuple[int, int], depth: int = 8) -> None:
    """Whether a file of that name can hold such a picture.

    Raises:
        ValueError: If not; the message says what can.
    """
    ending = path.suffix.lower()
    if ending not in EXTENSIONS:
        raise ValueError(f"{path}: unknown image format '{path.suffix}'. There are: {', '.join(EXTENSIONS)}.")
    if depth == 16 and ending != ".png":
        raise ValueError(f"{path}: 16 bits per channel are written as PNG only; let the name end in .png.")
    if max(size) > LARGEST_SIDE.get(ending, LARGEST):
        raise ValueError(
            f"{path}: {size[0]}x{size[1]} pixels, but {ending} holds {LARGEST_SIDE[ending]} a side at most; take .png."
        )


def channels_for(path: Path, gray: bool, alpha: bool) -> int:
    """How many channels a file of that name gets: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA."""
    return (1 if gray else 3) + (1 if alpha and path.suffix.lower() in WITH_ALPHA else 0)


@contextmanager
def picture_writer(
    path: Path,
    size: tuple[int, int],
    channels: int,
    metadata: ImageMetadata | None = None,
    depth: int = 8,
    quality: int = 95,
) -> Iterator[Writer]:
    """Write an image row by row; when the block is left without an error, the file appears whole.

    PNG is written as rows come; what Pillow writes waits in memory, in eight bits.

    Args:
        path: Where to; missing folders are made.
        size: Width and height.
        channels: As `channels_for` says.
        belongings: What else the file gets, as far as its format can hold it.
        depth: Bits per channel.
        quality: Of formats that lose something, 1 to 100.

    Raises:
        ValueError: As `check_target`.
        OSError: If the file cannot be written; the message names it.
    """
    check_target(path, size, depth)
    metadata = metadata or ImageMetadata()
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    exif = _enlarged(metadata.exif, size)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            if path.suffix.lower() == ".png":
                writer = PngWriter(file, size, channels, depth, metadata.icc, exif[6:] or None, metadata.dpi)
                yield writer
                writer.finish()
            else:
                whole = _Whole(size, channels)
                yield whole
                file.write(_packed(whole.image, path.suffix.lower(), metadata, exif, quality).getbuffer())
        temporary.replace(path)
    except OSError as error:
        raise OSError(f"{path}: cannot be written ({error.strerror or error}).") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _enlarged(exif: Image.Exif | None, size: tuple[int, int]) -> bytes:
    """EXIF data that tell the new size; they begin with ``Exif`` and two zeros."""
    if exif is None:
        return b""
    inner = exif.get_ifd(PHOTO)
    for tag, side in ((WIDTH, size[0]), (HEIGHT, size[1])):
        if tag in inner:
            inner[tag] = side
    return exif.tobytes()


def _packed(image: Image.Image, ending: str, metadata: ImageMetadata, exif: bytes, quality: int) -> io.BytesIO:
    options: dict[str, Any] = {}
    if metadata.dpi:
        options["dpi"] = metadata.dpi
    if ending in WITH_BELONGINGS:
        if image.mode not in ("L", "LA") or ending != ".webp":
            options["icc_profile"] = metadata.icc
        if exif:
            options["exif"] = exif
        if not ending.startswith(".tif"):
            options["quality"] = quality
        elif not exif:  # libtiff, which packs, cannot write what Pillow reads from EXIF
            options["compression"] = "tiff_adobe_deflate"
    buffer = io.BytesIO()
    image.save(buffer, Image.registered_extensions()[ending], **options)
    return buffer
