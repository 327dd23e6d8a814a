"""Sound and subtitles of a video, which are copied as they are, and what a container cannot hold of a source."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adc.media.video_reader import VideoReader

FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""FFmpeg's names of the containers that are written."""
APPLE = "com.apple.quicktime."
"""How metadata of QuickTime begin; FFmpeg writes them only where it is asked to."""
FILE_METADATA = ("encoder", "major_brand", "minor_version", "compatible_brands", "rotate", "alpha_mode")
"""Metadata of the file, not of its content."""
STATISTICS = ("BPS", "DURATION", "NUMBER_OF_", "_STATISTICS_")
"""How metadata of Matroska begin that count what is in the file."""
UNSEEN = re.compile(r"vendor_id|handler_name|language|.*-[a-z]{3}", re.IGNORECASE)
"""Metadata of no interest, or that stand there a second time with a language, whose loss is not reported."""
NAMED = 5
"""Metadata that a note names."""


def holds(ending: str, streams: Sequence[Any]) -> bool:
    """Whether a container takes streams: a header with them is written, into memory."""
    import av

    try:
        with av.open(io.BytesIO(), "w", format=FORMATS[ending]) as file:
            for stream in streams:
                file.add_stream_from_template(stream)
            file.start_encoding()
    except (av.FFmpegError, ValueError, AttributeError):
        return False
    return True


def held_companions(path: Path, like: VideoReader, drop: bool) -> tuple[list[Any], list[str]]:
    """The sound and subtitle streams of a source that a video file can hold, and what is left out, in a few words.

    Raises:
        ValueError: If it cannot hold one, and it may not be dropped; the message says what can be done.
    """
    ending = path.suffix.lower()
    held = [stream for stream in like.companions if holds(ending, [stream])]
    others = [stream for stream in like.companions if stream not in held]
    if others and not drop:
        names = " and ".join(dict.fromkeys(_described(stream) for stream in others))
        able = [name for name in (".mkv", *FORMATS) if name != ending and holds(name, like.companions)]
        instead = f"write {'an' if able[0] == '.mkv' else 'a'} {able[0]} file, or " if able else ""
        one = "it" if len(others) == 1 else "them"
        raise ValueError(f"{path}: cannot hold the {names} of {like.path}; {instead}leave {one} out: --drop-streams.")
    return held, [f"left out, as {ending} cannot hold it: {_described(stream)}" for stream in others]


def left_streams(like: VideoReader) -> list[str]:
    """The streams of a source that are neither its video nor sound or subtitles, in a few words; chapters are kept."""
    chapters = like.container.chapters()
    taken = {like.stream.index, *(stream.index for stream in like.companions)}
    return [
        f"{stream.type} stream {stream.index} is left out"
        for stream in like.container.streams
        if stream.index not in taken
        and "timecode" not in stream.metadata
        and not (like.counted and chapters and stream.type == "data" and stream.frames == len(chapters))
    ]


def portable(metadata: dict[str, str]) -> dict[str, str]:
    """Metadata of the content, without those of the file it was in."""
    return {
        key: value
        for key, value in metadata.items()
        if key.lower() not in FILE_METADATA and not key.upper().startswith(STATISTICS)
    }


def missing_metadata(like: VideoReader, streams: Sequence[Any], written: Path) -> list[str]:
    """What of the metadata of a source a written file has not, in a few words.

    Args:
        like: The source.
        streams: Its streams that were written, in their order in the file.
        written: The file.
    """
    import av

    with av.open(f"file:{written}", metadata_errors="replace") as file:
        pairs = [(like.container, file), *zip(streams, file.streams, strict=False)]
        keys = [key for one, other in pairs for key in _missing(one.metadata, other.metadata)]
    if not (lost := sorted({*keys})):
        return []
    more = f" and {len(lost) - NAMED} more" if len(lost) > NAMED else ""
    return [f"metadata that {written.suffix} does not hold here are left out: {', '.join(lost[:NAMED])}{more}"]


def _missing(before: dict[str, str], after: dict[str, str]) -> list[str]:
    kept = {key.lower() for key in after}
    return [key for key in portable(before) if key.lower() not in kept and not UNSEEN.fullmatch(key)]


def _described(stream: Any) -> str:
    kind = "subtitles" if stream.type == "subtitle" else "sound"
    context = stream.codec_context
    return f"{'unknown' if context is None else context.name} {kind}"
