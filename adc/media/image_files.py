"""Image files with transparency, bit depth, colour profile, EXIF and resolution."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps

from adc.files import replacing
from adc.media.images import check_ending, deep_gray, opened
from adc.media.png import LARGEST, PngWriter

LARGEST_SIDE = {".png": LARGEST, ".jpg": 65500, ".jpeg": 65500, ".webp": 16383}
WITH_ALPHA = {".png", ".webp", ".tif", ".tiff"}
WITH_METADATA = {".jpg", ".jpeg", ".webp", ".tif", ".tiff"}
ORIENTATION, PHOTO, WIDTH, HEIGHT = 0x0112, 0x8769, 0xA002, 0xA003
DIRECTORIES = (PHOTO, 0x8825)
"""Tags that point to further directories of tags: those of Exif and of GPS."""
STORAGE_TAGS = {
    *range(0x00FE, 0x0104), 0x0106, 0x010A, 0x0111, ORIENTATION, *range(0x0115, 0x011A), 0x011C, 0x013D, 0x0140,
    *range(0x0142, 0x014B), 0x0152, 0x0153, 0x015B, *range(0x0200, 0x0215), 0x02BC, 0x8649, 0x8773,
}  # fmt: skip
"""Tags about the storage of pixels in the file that was read."""


@dataclass(frozen=True)
class ImageMetadata:
    """Colour profile, EXIF data without orientation (which has been applied), dots per inch across and down."""

    icc: bytes | None = None
    exif: Image.Exif | None = None
    dpi: tuple[float, float] | None = None


@dataclass(frozen=True)
class DecodedImage:
    """Pixels and metadata of an image file.

    Attributes:
        pixels: uint8 ``(H, W, 3)``, or uint16 if the file held grey of 16 bits.
        gray: Whether the file held no colours; the three channels are equal then.
        alpha: uint8 ``(H, W)``; None if nothing is transparent by the file's mode.
        metadata: Colour profile, EXIF and resolution.
        notes: What was left out, each in a few words.
    """

    pixels: np.ndarray
    gray: bool = False
    alpha: np.ndarray | None = None
    metadata: ImageMetadata = field(default_factory=ImageMetadata)
    notes: tuple[str, ...] = ()


def decode_image(path: Path) -> DecodedImage:
    """Read an image of any mode, its EXIF orientation applied; of several frames the first.

    Colours under transparent pixels stay as they are. CMYK becomes sRGB, by the file's colour profile if it has one.

    Raises:
        FileNotFoundError: If there is no such file.
        BrokenImageError: As `adc.media.images.read_image`.
    """
    with opened(path) as image:
        frames = getattr(image, "n_frames", 1)
        notes = [f"of its {frames} frames only the first is taken"] if frames > 1 else []
        exif, dpi = _exif_of(image, notes), _dpi_of(image)
        icc = image.info.get("icc_profile") or None
        pixels, gray, alpha, icc = _split(ImageOps.exif_transpose(image), icc, notes)
    return DecodedImage(pixels, gray, alpha, ImageMetadata(icc, exif, dpi), tuple(notes))


def _exif_of(image: Image.Image, notes: list[str]) -> Image.Exif | None:
    try:
        found = image.getexif()
        inner = {pointer: dict(found.get_ifd(pointer)) for pointer in DIRECTORIES}
        kept = Image.Exif()
        kept.update({tag: value for tag, value in found.items() if tag not in STORAGE_TAGS and tag not in DIRECTORIES})
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


def _split(
    image: Image.Image, icc: bytes | None, notes: list[str]
) -> tuple[np.ndarray, bool, np.ndarray | None, bytes | None]:
    """Pixels, whether they are grey, alpha, and the colour profile of the pixels."""
    if (values := deep_gray(image)) is not None:
        return np.repeat(values.astype(np.uint16)[..., None], 3, axis=2), True, None, _if_space(icc, b"GRAY")
    if image.mode == "LAB":
        raise ValueError("its colours are CIELAB, save it as RGB")
    if image.mode == "CMYK":
        image, icc = _cmyk_to_rgb(image, icc, notes)
    alpha = None
    if image.has_transparency_data:
        image = image.convert("LA" if image.mode in ("1", "L", "LA", "La") else "RGBA")
        alpha = np.array(image.getchannel("A"))
    gray = image.mode in ("1", "L", "LA")
    pixels = np.array(image.convert("L").convert("RGB") if gray else image.convert("RGB"))
    return pixels, gray, alpha, _if_space(icc, b"GRAY" if gray else b"RGB ")


def _if_space(icc: bytes | None, space: bytes) -> bytes | None:
    return icc if icc is not None and icc[16:20] == space else None


def _cmyk_to_rgb(image: Image.Image, icc: bytes | None, notes: list[str]) -> tuple[Image.Image, bytes | None]:
    if _if_space(icc, b"CMYK") is not None:
        try:
            srgb = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, io.BytesIO(icc or b""), srgb, outputMode="RGB")
            if converted is not None:
                return converted, ImageCms.ImageCmsProfile(srgb).tobytes()
        except (ImageCms.PyCMSError, OSError):
            notes.append("its colour profile is damaged and left out")
    return image.convert("RGB"), None


class RowBuffer:
    """Buffer of the rows of an image, for formats that Pillow writes."""

    def __init__(self, size: tuple[int, int], channels: int) -> None:
        self.image = Image.new({1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels], size)
        self.top = 0

    def write(self, pixels: np.ndarray) -> None:
        """Append rows, uint8 ``(rows, width, channels)``."""
        rows = pixels[..., 0] if pixels.shape[2] == 1 else pixels
        self.image.paste(Image.fromarray(np.ascontiguousarray(rows)), (0, self.top))
        self.top += len(pixels)


def check_target(path: Path, size: tuple[int, int], depth: int = 8) -> None:
    """Check that a file of that name can hold an image of that size and depth.

    Raises:
        ValueError: If not; the message names a format that can.
    """
    ending = check_ending(path)
    if depth == 16 and ending != ".png":
        raise ValueError(f"{path}: 16 bits per channel are written as PNG only; let the name end in .png.")
    if max(size) > LARGEST_SIDE.get(ending, LARGEST):
        raise ValueError(
            f"{path}: {size[0]}x{size[1]} pixels, but {ending} holds {LARGEST_SIDE[ending]} a side at most; take .png."
        )


def channels_for(path: Path, gray: bool, alpha: bool) -> int:
    """Number of channels of a file of that name: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA."""
    return (1 if gray else 3) + (1 if alpha and path.suffix.lower() in WITH_ALPHA else 0)


@contextmanager
def image_writer(
    path: Path,
    size: tuple[int, int],
    channels: int,
    metadata: ImageMetadata | None = None,
    depth: int = 8,
    quality: int = 95,
) -> Iterator[PngWriter | RowBuffer]:
    """Writer of an image, row by row; the file appears whole, when the block ends without an error.

    PNG is written as rows come; the other formats wait in memory, in eight bits.

    Args:
        path: The file; missing folders are made.
        size: Width and height.
        channels: Those of `channels_for`.
        metadata: Written as far as the format can hold it.
        depth: Bits per channel.
        quality: Quality of lossy formats, 1 to 100.

    Raises:
        ValueError: As `check_target`.
        OSError: If the file cannot be written; the message names it.
    """
    check_target(path, size, depth)
    metadata = metadata or ImageMetadata()
    exif = _resized(metadata.exif, size)
    try:
        with replacing(path) as scratch, scratch.open("wb") as file:
            if path.suffix.lower() == ".png":
                writer = PngWriter(file, size, channels, depth, metadata.icc, exif[6:] or None, metadata.dpi)
                yield writer
                writer.finish()
            else:
                rows = RowBuffer(size, channels)
                yield rows
                file.write(_encoded(rows.image, path.suffix.lower(), metadata, exif, quality).getbuffer())
    except OSError as error:
        raise OSError(f"{path}: cannot be written ({error.strerror or error}).") from error


def _resized(exif: Image.Exif | None, size: tuple[int, int]) -> bytes:
    """EXIF data with the new size; they begin with ``Exif`` and two zeros."""
    if exif is None:
        return b""
    inner = exif.get_ifd(PHOTO)
    for tag, side in ((WIDTH, size[0]), (HEIGHT, size[1])):
        if tag in inner:
            inner[tag] = side
    return exif.tobytes()


def _encoded(image: Image.Image, ending: str, metadata: ImageMetadata, exif: bytes, quality: int) -> io.BytesIO:
    options: dict[str, Any] = {}
    if metadata.dpi:
        options["dpi"] = metadata.dpi
    if ending in WITH_METADATA:
        if image.mode not in ("L", "LA") or ending != ".webp":
            options["icc_profile"] = metadata.icc
        if exif:
            options["exif"] = exif
        if not ending.startswith(".tif"):
            options["quality"] = quality
        elif not exif:  # libtiff, which compresses, cannot write what Pillow reads from EXIF
            options["compression"] = "tiff_adobe_deflate"
    buffer = io.BytesIO()
    image.save(buffer, Image.registered_extensions()[ending], **options)
    return buffer
