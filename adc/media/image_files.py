"""Image files with transparency, bit depth, colour profile, EXIF and resolution."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from adc.files import replacing
from adc.media.damage import has_bad_codes
from adc.media.images import COLOR_ONLY, FULL_COLOR, GRAY_ONLY, JPEG, NO_COLORS, opened
from adc.media.names import check_ending
from adc.media.pixels import ORIENTATION, pixels_of
from adc.media.png import LARGEST, XMP, PngWriter, color_chunks
from adc.ops.clip import to_unit

LARGEST_SIDE = {".png": LARGEST, ".jpg": 65500, ".jpeg": 65500, ".webp": 16383}
WITH_ALPHA = {".png", ".webp", ".tif", ".tiff"}
WITH_METADATA = {".jpg", ".jpeg", ".webp", ".tif", ".tiff"}
WITH_PROFILE = {".png", *WITH_METADATA}
WITH_XMP = {".png", *WITH_METADATA} - {".tif", ".tiff"}
SEGMENT = 65_500
"""Bytes that a segment of a JPEG file holds."""
COMMENT = "Comment"
"""The keyword of a comment, as PNG has it."""
PHOTO, WIDTH, HEIGHT = 0x8769, 0xA002, 0xA003
DIRECTORIES = (PHOTO, 0x8825)
"""Tags that point to further directories of tags: those of Exif and of GPS."""
STORAGE_TAGS = {
    *range(0x00FE, 0x0104), 0x0106, 0x010A, 0x0111, ORIENTATION, *range(0x0115, 0x011A), 0x011C, 0x013D, 0x0140,
    *range(0x0142, 0x014B), 0x0152, 0x0153, 0x015B, *range(0x0200, 0x0215), 0x02BC, 0x8649, 0x8773,
}  # fmt: skip
"""Tags about the storage of pixels in the file that was read."""


@dataclass(frozen=True)
class ImageMetadata:
    """What an image file says beside its pixels.

    Attributes:
        icc: Colour profile.
        exif: EXIF data without orientation, which has been applied.
        dpi: Dots per inch across and down.
        xmp: XMP packet.
        text: Keywords and texts of a PNG file; the comment of a JPEG file by the keyword `COMMENT`.
        chunks: Chunks of a PNG file that say what its colours mean (`COLOR_CHUNKS`), by their names.
    """

    icc: bytes | None = None
    exif: Image.Exif | None = None
    dpi: tuple[float, float] | None = None
    xmp: bytes | None = None
    text: dict[str, str] = field(default_factory=dict)
    chunks: dict[bytes, bytes] = field(default_factory=dict)

    def missing(self, ending: str, gray: bool) -> list[str]:
        """What a format cannot hold of it, each in a few words."""
        lost = []
        if self.icc and (ending not in WITH_PROFILE or (gray and ending == ".webp")):
            lost.append("its colour profile is left out")
        if self.exif is not None and ending not in WITH_PROFILE:
            lost.append("its EXIF data are left out")
        elif self.exif is not None and ending in JPEG and len(self.exif.tobytes()) > SEGMENT:
            lost.append("its EXIF data are too long for JPEG and left out")
        if self.xmp and (ending not in WITH_XMP or (ending in JPEG and len(self.xmp) > SEGMENT)):
            lost.append("its XMP data are left out")
        texts = [name for name in self.text if ending != ".png" and not (name == COMMENT and ending in JPEG)]
        if texts:
            lost.append(f"its text is left out ({', '.join(texts)[:60]})")
        if self.chunks and ending != ".png":
            lost.append(f"what it says of its colours is left out ({b', '.join(self.chunks).decode()})")
        return lost


@dataclass(frozen=True)
class DecodedImage:
    """Pixels and metadata of an image file.

    Attributes:
        pixels: ``(H, W, 3)``, uint8, or uint16 if the file has more than 8 bits per channel.
        gray: Whether the file held no colours; the three channels are equal then.
        alpha: ``(H, W)`` of the same type; None if nothing is transparent by the file's mode.
        metadata: Colour profile, EXIF, resolution and text.
        notes: What was left out, each in a few words.
    """

    pixels: np.ndarray
    gray: bool = False
    alpha: np.ndarray | None = None
    metadata: ImageMetadata = field(default_factory=ImageMetadata)
    notes: tuple[str, ...] = ()

    @property
    def is_transparent(self) -> bool:
        """Whether a pixel is."""
        return self.alpha is not None and bool((self.alpha < np.iinfo(self.alpha.dtype).max).any())


def decode_image(path: Path) -> DecodedImage:
    """Read an image of any mode, its EXIF orientation applied; of several frames the first.

    Colours under transparent pixels stay as they are. CMYK becomes sRGB, by the file's colour profile if it has one.

    Raises:
        FileNotFoundError: If there is no such file.
        BrokenImageError: As `adc.media.images.read_image`.
    """
    with opened(path) as (image, source):
        notes = _notes_on_frames(image)
        if image.format in ("JPEG", "MPO") and has_bad_codes(source):
            notes.append("damaged; parts of it may be wrong")
        exif, dpi = _exif_of(image, notes), _dpi_of(image)
        found = pixels_of(image, source)
        metadata = ImageMetadata(found.icc, exif, dpi, _xmp_of(image), _text_of(image), color_chunks(path))
    return DecodedImage(found.values, found.gray, found.alpha, metadata, (*notes, *found.notes))


def fill_transparent(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Pixels whose colours under full transparency are those of the nearest visible pixel.

    Nothing visible changes; a network that sees the neighbourhood of a visible pixel sees no colour that nobody does.

    Args:
        pixels: ``(H, W, 3)``.
        alpha: ``(H, W)``.
    """
    hidden = alpha == 0
    if not hidden.any() or hidden.all():
        return pixels
    from scipy.ndimage import distance_transform_edt

    nearest: Any = distance_transform_edt(hidden, return_distances=False, return_indices=True)
    return pixels[nearest[0], nearest[1]]


def _notes_on_frames(image: Image.Image) -> list[str]:
    try:
        frames = getattr(image, "n_frames", 1)
    except Exception:  # counting reads all of the file, whose rest may be damaged
        return ["how many frames it has cannot be counted; the first is taken"]
    return [f"of its {frames} frames only the first is taken"] if frames > 1 else []


def _xmp_of(image: Image.Image) -> bytes | None:
    found: Any = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    return found.encode() if isinstance(found, str) else bytes(found) if isinstance(found, bytes | bytearray) else None


def _text_of(image: Image.Image) -> dict[str, str]:
    if image.format == "PNG":
        texts: dict[str, Any] = getattr(image, "text", {})
        return {name: str(text) for name, text in texts.items() if name != "XML:com.adobe.xmp"}
    comment: Any = image.info.get("comment") if image.format == "JPEG" else None
    return {COMMENT: comment.decode("latin-1") if isinstance(comment, bytes) else str(comment)} if comment else {}


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
    """Number of channels of a file of that name: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA.

    Raises:
        ValueError: If the file holds grey only and the image has colours.
    """
    ending = path.suffix.lower()
    if ending == GRAY_ONLY and not gray:
        raise ValueError(f"{path}: {NO_COLORS}")
    return (1 if gray and ending != COLOR_ONLY else 3) + (1 if alpha and ending in WITH_ALPHA else 0)


def color_rows(pixels: Tensor, gray: bool, depth: int) -> np.ndarray:
    """``(3, H, W)`` in ``[-1, 1]``, clamped and rounded, as ``(H, W, 3)``, or ``(H, W, 1)`` if grey, of that depth."""
    shares = to_unit(pixels.detach())
    shares = shares.mean(dim=0, keepdim=True) if gray else shares
    scaled = shares.mul_(2**depth - 1).round_().permute(1, 2, 0).cpu().numpy()
    return scaled.astype(np.uint8 if depth == 8 else np.uint16)


def alpha_rows(alpha: np.ndarray, size: tuple[int, int], top: int, rows: int, depth: int) -> np.ndarray:
    """Rows ``(rows, W, 1)`` from `top` on of an alpha ``(h, w)``, resized to a width and height."""
    height, width = alpha.shape
    box = (0.0, top * height / size[0], float(width), min((top + rows) * height / size[0], float(height)))
    shares = Image.fromarray(alpha.astype(np.float32) / np.iinfo(alpha.dtype).max)
    large = np.asarray(shares.resize((size[1], rows), Image.Resampling.BICUBIC, box))[..., None].clip(0, 1)
    return np.rint(large * (2**depth - 1)).astype(np.uint8 if depth == 8 else np.uint16)


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
                writer = PngWriter(file, size, channels, depth)
                writer.describe(metadata.icc, exif[6:] or None, metadata.dpi, _texts(metadata), metadata.chunks)
                yield writer
                writer.finish()
            else:
                rows = RowBuffer(size, channels)
                yield rows
                file.write(_encoded(rows.image, path.suffix.lower(), metadata, exif, quality).getbuffer())
    except OSError as error:
        raise OSError(f"{path}: cannot be written ({error.strerror or error}).") from error


def _texts(metadata: ImageMetadata) -> dict[str, str]:
    xmp = {} if metadata.xmp is None else {XMP: metadata.xmp.decode("utf-8", "replace")}
    return {**metadata.text, **xmp}


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
        if exif and not (ending in JPEG and len(exif) > SEGMENT):
            options["exif"] = exif
        if metadata.xmp and ending in WITH_XMP and not (ending in JPEG and len(metadata.xmp) > SEGMENT):
            options["xmp"] = metadata.xmp
        if not ending.startswith(".tif"):
            options["quality"] = quality
            if ending in JPEG:
                options["comment"] = metadata.text.get(COMMENT, "").encode("latin-1", "replace") or None
                options |= {"subsampling": 0} if quality >= FULL_COLOR else {}
        elif not exif:  # libtiff, which compresses, cannot write what Pillow reads from EXIF
            options["compression"] = "tiff_adobe_deflate"
    buffer = io.BytesIO()
    image.save(buffer, Image.registered_extensions()[ending], **options)
    return buffer
