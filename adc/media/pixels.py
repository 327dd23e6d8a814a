"""Pixels of opened image files: upright, with all their bits, transparency apart, CMYK as sRGB."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright, by its EXIF orientation."""
DEEP_GRAY = ("I;16", "I;16L", "I;16B", "I;16N", "I")
BITS_PER_SAMPLE, SAMPLE_FORMAT = 258, 339
BAD_PROFILE = "its colour profile is damaged and left out"
PNG_DEPTH = 24
"""The place in a PNG file of its bits per channel."""


@dataclass(frozen=True)
class Pixels:
    """Pixels of an image.

    Attributes:
        values: ``(H, W, 3)``, uint8, or uint16 if the file holds more bits.
        gray: Whether the file holds no colours; the three channels are equal then.
        alpha: ``(H, W)``, of the values' type; None if nothing is transparent by the file's mode.
        icc: The colour profile of the values.
        notes: What was left out, each in a few words.
    """

    values: np.ndarray
    gray: bool
    alpha: np.ndarray | None
    icc: bytes | None
    notes: tuple[str, ...]


def over_white(values: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """``(H, W, 3)`` laid over white by its alpha ``(H, W)`` of the same type; as it is without."""
    if alpha is None:
        return values
    white = np.iinfo(values.dtype).max
    share = alpha[..., None].astype(np.float32) / white
    return np.rint(values * share + white * (1 - share)).astype(values.dtype)


def eight_bits(values: np.ndarray) -> np.ndarray:
    """Values of 16 bits, rounded to 8; those of 8 as they are."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8) if values.dtype == np.uint16 else values


def pixels_of(image: Image.Image, source: Path | bytes) -> Pixels:
    """The pixels of an opened image that has been read.

    Args:
        image: The image.
        source: Its file, or the content: what Pillow cuts to 8 bits is read by FFmpeg.

    Raises:
        ValueError: If the colours are CIELAB, or grey values do not fit into 16 bits.
    """
    notes: list[str] = []
    given = image.info.get("icc_profile") or None
    values, gray, alpha, icc = _deep(image, source, given, notes) or _split(image, given, notes)
    if given is not None and icc is None and BAD_PROFILE not in notes:
        notes.append("its colour profile is for another kind of colours and left out")
    turn = TURNS.get(orientation(image))
    return Pixels(_turned(values, turn), gray, None if alpha is None else _turned(alpha, turn), icc, tuple(notes))


def orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 if there is none that can be understood."""
    try:
        found: Any = image.getexif().get(ORIENTATION, 1)
        found = found[0] if isinstance(found, bytes | tuple) and len(found) == 1 else found
        number = int(found)
    except Exception:  # what Pillow raises for damaged EXIF is not foreseen
        return 1
    return number if 1 <= number <= 8 else 1


def _turned(values: np.ndarray, turn: Image.Transpose | None) -> np.ndarray:
    if turn is None:
        return values
    if turn in (Image.Transpose.TRANSPOSE, Image.Transpose.TRANSVERSE):
        values = values.swapaxes(0, 1)
        return np.ascontiguousarray(values if turn is Image.Transpose.TRANSPOSE else values[::-1, ::-1])
    if turn is Image.Transpose.FLIP_LEFT_RIGHT:
        return np.ascontiguousarray(values[:, ::-1])
    if turn is Image.Transpose.FLIP_TOP_BOTTOM:
        return np.ascontiguousarray(values[::-1])
    quarters = {Image.Transpose.ROTATE_90: 1, Image.Transpose.ROTATE_180: 2, Image.Transpose.ROTATE_270: 3}
    return np.ascontiguousarray(np.rot90(values, quarters[turn]))


Parts = tuple[np.ndarray, bool, np.ndarray | None, bytes | None]
"""Values, whether they are grey, alpha, and the colour profile of the values."""


def _deep(image: Image.Image, source: Path | bytes, icc: bytes | None, notes: list[str]) -> Parts | None:
    """Of PNG and TIFF files with more than 8 bits per channel; None of others."""
    if not _is_deep(image, source):
        return None
    try:
        samples = _decoded(source)
    except Exception:  # FFmpeg's errors are its own, and not all kinds of TIFF are known to it
        if image.mode in DEEP_GRAY:
            return None
        notes.append("its channels of more than 8 bits are read as 8")
        return None
    alpha = samples[..., -1] if samples.shape[2] in (2, 4) else None
    gray = samples.shape[2] < 3
    values = np.repeat(samples[..., :1], 3, axis=2) if gray else samples[..., :3]
    return values, gray, alpha, _if_space(icc, b"GRAY" if gray else b"RGB ")


def _is_deep(image: Image.Image, source: Path | bytes) -> bool:
    if image.format == "PNG":
        if isinstance(source, bytes):
            return source[PNG_DEPTH : PNG_DEPTH + 1] == b"\x10"
        with source.open("rb") as file:
            return file.read(PNG_DEPTH + 1)[PNG_DEPTH:] == b"\x10"
    if image.format == "TIFF":
        tags: Any = image.tag_v2  # type: ignore[attr-defined]
        bits, kinds = tags.get(BITS_PER_SAMPLE, (8,)), tags.get(SAMPLE_FORMAT, (1,))
        return max(bits) > 8 and set(kinds) == {1} and image.mode != "CMYK"
    return False


def _decoded(source: Path | bytes) -> np.ndarray:
    """Samples ``(H, W, channels)`` as uint16, over the whole range."""
    import av

    with av.open(io.BytesIO(source) if isinstance(source, bytes) else f"file:{source}") as file:
        frame = next(file.decode(video=0))
    name, bits = frame.format.name, frame.format.components[0].bits
    order, layout = name[-2:], name[:-2].rstrip("0123456789")
    channels = {"gray": 1, "ya": 2, "rgb": 3, "rgba": 4}[layout]
    plane = frame.planes[0]
    rows = np.frombuffer(bytes(plane), {"be": ">u2", "le": "<u2"}[order]).reshape(frame.height, -1)
    samples = rows[:, : frame.width * channels].reshape(frame.height, frame.width, channels).astype(np.uint16)
    return samples if bits == 16 else np.rint(samples * (65535 / (2**bits - 1))).astype(np.uint16)


def _split(image: Image.Image, icc: bytes | None, notes: list[str]) -> Parts:
    if (values := _deep_gray(image)) is not None:
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
    values = np.array(image.convert("L").convert("RGB") if gray else image.convert("RGB"))
    return values, gray, alpha, _if_space(icc, b"GRAY" if gray else b"RGB ")


def _deep_gray(image: Image.Image) -> np.ndarray | None:
    """The values ``(H, W)`` of grey of more than 8 bits; None for other modes."""
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers, save it in 8 or 16 bits")
    if image.mode not in DEEP_GRAY:
        return None
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("its grey values do not fit into 16 bits")
    return values


def profile_name(icc: bytes | None) -> str:
    """What a colour profile calls itself; sRGB without one, and for its many spellings."""
    if icc is None:
        return "sRGB"
    try:
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(icc))).strip()
    except (ImageCms.PyCMSError, OSError):
        return "of a damaged profile"
    return "sRGB" if "srgb" in name.lower() else name or "of a profile without a name"


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
            notes.append(BAD_PROFILE)
    return image.convert("RGB"), None
