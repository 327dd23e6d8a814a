"""Damage of image files that decoders pass over: wrong checksums, missing parts, meaningless codes of JPEG."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from adc.media.png import SIGNATURE

WIDTH, HEIGHT, ROWS, TILE_WIDTH, TILE_HEIGHT = 256, 257, 278, 322, 323
STRIPS, TILES = (273, 279), (324, 325)
"""Tags of the places and the lengths of what a TIFF file is divided into."""
COMPRESSION, DEFLATE = 259, (8, 32946)
BAD_CODES = ("error count", "error y=", "error dc", "bad vlc", "overread")
"""How FFmpeg's messages begin that say so."""


def check_sums(image: Image.Image, source: Path | bytes) -> None:
    """Verify the checksums of the pixels of an opened PNG or TIFF file: Pillow stops reading when all rows are there.

    Raises:
        ValueError: If one is wrong, or parts of a TIFF file are missing, which Pillow leaves black.
    """
    if image.format not in ("PNG", "TIFF"):
        return
    with _opened(source) as file:
        right = _png_is_right(file) if image.format == "PNG" else _tiff_is_right(file, image)
    if not right:
        raise ValueError("its data are damaged: a checksum is wrong, or a part is missing")


def has_bad_codes(source: Path | bytes) -> bool:
    """Whether the pixels of a JPEG file are coded in a way that no encoder writes; they are decoded once more.

    Pillow hides what libjpeg says of it. Damage whose codes mean other pixels, and as many as there are, is not found.
    """
    import av

    try:
        with decoder_errors() as messages, _opened(source) as held, av.open(held, format="jpeg_pipe") as file:
            file.streams.video[0].codec_context.thread_count = 1  # messages of other threads are not captured
            for _ in file.decode(video=0):
                pass
    except av.FFmpegError:
        return False  # a kind of JPEG that FFmpeg does not know
    return any(text.startswith(BAD_CODES) for _, _, text in messages)


@contextmanager
def decoder_errors() -> Iterator[list[Any]]:
    """Errors that FFmpeg logs in this thread, repeated ones too."""
    from av import logging

    before = logging.get_level(), logging.get_skip_repeated()
    logging.set_level(logging.ERROR)
    logging.set_skip_repeated(False)
    try:
        with logging.Capture() as messages:
            yield messages
    finally:
        logging.set_level(before[0])
        logging.set_skip_repeated(before[1])


@contextmanager
def _opened(source: Path | bytes) -> Iterator[BinaryIO]:
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        yield file


def _png_is_right(file: BinaryIO) -> bool:
    """Of the chunks up to the last of the pixels; of what follows nothing is read."""
    file.seek(len(SIGNATURE))
    found = False
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if found and name != b"IDAT":
            return True
        found = name == b"IDAT"
        if found or name in (b"IHDR", b"PLTE", b"tRNS"):
            data, stored = file.read(length), file.read(4)
            if len(data) < length or zlib.crc32(data, zlib.crc32(name)) != int.from_bytes(stored, "big"):
                return False
        else:
            file.seek(length + 4, 1)
    return found


def _tiff_is_right(file: BinaryIO, image: Image.Image) -> bool:
    """All parts are there, and those that zlib has packed have right checksums; other compressions have none."""
    tags: Any = image.tag_v2  # type: ignore[attr-defined]
    width, height = tags[WIDTH], tags[HEIGHT]
    if STRIPS[0] not in tags and TILES[0] not in tags:
        return True  # an old kind of JPEG inside TIFF
    sides = (width, tags.get(ROWS) or height) if STRIPS[0] in tags else (tags[TILE_WIDTH], tags[TILE_HEIGHT])
    places, lengths = (tags.get(tag, ()) for tag in (STRIPS if STRIPS[0] in tags else TILES))
    if len(places) < -(-width // sides[0]) * -(-height // sides[1]):
        return False
    for place, length in zip(places, lengths, strict=False) if tags.get(COMPRESSION) in DEFLATE else ():
        file.seek(place)
        try:
            zlib.decompressobj().decompress(file.read(length))
        except zlib.error:
            return False
    return True
