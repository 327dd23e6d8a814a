"""PNG files, written row by row: Pillow writes no 16-bit colour and holds the whole image."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LARGEST = 2**31 - 1
COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
LEVEL = 6
XMP = "XML:com.adobe.xmp"
"""The keyword of an XMP packet."""
COLOR_CHUNKS = (b"gAMA", b"cHRM", b"cICP", b"mDCV", b"cLLI", b"sRGB")
"""Chunks that say what colours mean, beside a colour profile."""

SRGB = {
    b"gAMA": struct.pack(">I", 45455),
    b"cHRM": struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000),
    b"cICP": bytes((1, 13, 0, 1)),
}
"""Chunks that say no more than that colours are sRGB."""


class PngWriter:
    """Writer of a PNG file from top to bottom.

    Sizes are width and height; channels are 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA; depth is 8 or 16 bits per channel.
    """

    def __init__(self, file: BinaryIO, size: tuple[int, int], channels: int, depth: int = 8) -> None:
        self.file, self.bytes = file, channels * depth // 8
        self.row = np.zeros(size[0] * self.bytes, np.uint8)
        self.packer = zlib.compressobj(LEVEL, strategy=zlib.Z_FILTERED)
        file.write(SIGNATURE)
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, COLOR_TYPES[channels], 0, 0, 0))

    def describe(
        self,
        icc: bytes | None = None,
        exif: bytes | None = None,
        dpi: tuple[float, float] | None = None,
        text: Mapping[str, str] | None = None,
        chunks: Mapping[bytes, bytes] | None = None,
    ) -> None:
        """Write what the file says beside its pixels; before the first rows.

        Args:
            icc: Colour profile.
            exif: EXIF data, from the TIFF header on.
            dpi: Dots per inch across and down.
            text: Texts by their keywords, which PNG allows up to 79 characters.
            chunks: Those of `color_chunks`.
        """
        for name, data in (chunks or {}).items():
            self._chunk(name, data)
        if icc:
            self._chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc))
        if dpi:
            self._chunk(b"pHYs", struct.pack(">IIB", *(round(dots / 0.0254) for dots in dpi), 1))
        if exif:
            self._chunk(b"eXIf", exif)
        for keyword, content in (text or {}).items():
            name = keyword.encode("latin-1", "replace")[:79]
            self._chunk(b"iTXt", name + b"\0\0\0\0\0" + content.encode("utf-8", "replace"))

    def write(self, pixels: np.ndarray) -> None:
        """Write rows ``(rows, width, channels)``, uint8 or uint16 by the depth."""
        deep = pixels.dtype == np.uint16
        rows = np.ascontiguousarray(pixels.astype(">u2") if deep else pixels).view(np.uint8).reshape(len(pixels), -1)
        packed = self.packer.compress(self._filtered(rows).data)
        if packed:
            self._chunk(b"IDAT", packed)

    def finish(self) -> None:
        """Write the end; the file stays open."""
        self._chunk(b"IDAT", self.packer.flush())
        self._chunk(b"IEND", b"")

    def _filtered(self, rows: np.ndarray) -> np.ndarray:
        """Each row less its prediction, by the one of three PNG filters that leaves least."""
        above = np.concatenate([self.row[None], rows[:-1]])
        self.row = rows[-1].copy()
        left, corner = np.zeros_like(rows), np.zeros_like(rows)
        left[:, self.bytes :] = rows[:, : -self.bytes]
        corner[:, self.bytes :] = above[:, : -self.bytes]
        best = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
        least = np.full(len(rows), np.iinfo(np.int64).max)
        for number, predicted in ((1, left), (2, above), (4, _paeth(left, above, corner))):
            rest = rows - predicted
            cost = np.minimum(rest, 0 - rest).sum(axis=1, dtype=np.int64)
            better = cost < least
            least[better] = cost[better]
            best[better, 0] = number
            best[better, 1:] = rest[better]
        return best

    def _chunk(self, kind: bytes, data: bytes) -> None:
        self.file.write(struct.pack(">I", len(data)) + kind)
        self.file.write(data)
        self.file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))


def color_chunks(path: Path) -> dict[bytes, bytes]:
    """The `COLOR_CHUNKS` of a PNG file, in their order; none of other files."""
    found: dict[bytes, bytes] = {}
    with path.open("rb") as file:
        if file.read(len(SIGNATURE)) != SIGNATURE:
            return found
        while len(head := file.read(8)) == 8:
            length, name = struct.unpack(">I4s", head)
            if name in (b"IDAT", b"IEND"):
                break
            if name in COLOR_CHUNKS and length <= 64:
                found[name] = file.read(length)
                file.seek(4, 1)
            else:
                file.seek(length + 4, 1)
    return found


def is_srgb(name: bytes, data: bytes) -> bool:
    """Whether one of the `COLOR_CHUNKS` says what holds of sRGB anyway."""
    return name == b"sRGB" or data == SRGB.get(name)


def _paeth(left: np.ndarray, above: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """The neighbour that is nearest to ``left + above - corner``."""
    a, b, c = (plane.astype(np.int16) for plane in (left, above, corner))
    to_left, to_above = np.abs(b - c), np.abs(a - c)
    to_corner = np.abs(a + b - 2 * c)
    nearest = np.where(to_above <= to_corner, above, corner)
    return np.where((to_left <= to_above) & (to_left <= to_corner), left, nearest)
