"""Ends of video files: how many bytes are missing by what a file says of itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

UNKNOWN = 2**32 - 2**16
"""Sizes of 32 bits from here on stand for one that was not known when the header was written."""
EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def missing_bytes(path: Path, container: str | None = None) -> int:
    """Bytes that a file lacks, by the sizes of its outermost parts; 0 if it is whole or does not say.

    Recordings whose writer never came back to their beginning do not say, nor do containers without such sizes.

    Args:
        path: The file.
        container: FFmpeg's name of its container; None, if it cannot be opened, goes by its first bytes.
    """
    with path.open("rb") as file:
        first = file.read(12)
        kinds = (
            size_of
            for name, (size_of, beginning) in SIZES.items()
            if (beginning in first if container is None else name in container)
        )
        if (size_of := next(kinds, None)) is None:
            return 0
        length, place = file.seek(0, os.SEEK_END), 0
        while place < length:
            file.seek(place)
            if not (size := size_of(file.read(24))):
                return 0
            place += size
    return place - length if place > length + 1 else 0


def _box(head: bytes) -> int:
    size = int.from_bytes(head[:4], "big")
    return int.from_bytes(head[8:16], "big") if size == 1 else size


def _element(head: bytes) -> int:
    """Matroska's: its size has as many octets as its first bit says, and is unknown if all bits are set."""
    octets = 9 - head[4].bit_length() if len(head) > 4 else 9
    if head[:4] not in (EBML, SEGMENT) or octets > 8:
        return 0
    limit = 1 << 7 * octets
    size = int.from_bytes(head[4 : 4 + octets], "big") & (limit - 1)
    return 0 if size == limit - 1 else 4 + octets + size


def _riff(head: bytes) -> int:
    size = int.from_bytes(head[4:8], "little")
    return 8 + size + size % 2 if head[:4] == b"RIFF" and 0 < size < UNKNOWN else 0


def _object(head: bytes) -> int:
    return int.from_bytes(head[16:24], "little")


SIZES: dict[str, tuple[Callable[[bytes], int], bytes]] = {
    "matroska": (_element, EBML),
    "mov": (_box, b"ftyp"),
    "avi": (_riff, b"AVI "),
    "asf": (_object, bytes.fromhex("3026b275")),
}
"""By container: the size of the outermost part that begins with some bytes, head included, 0 if unknown; and what
the first twelve bytes of a file hold."""
