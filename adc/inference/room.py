"""Room on the disk that the result of a video needs at least."""

from __future__ import annotations

from pathlib import Path

from adc.files import check_room
from adc.inference.options import UpscaleOptions
from adc.media.frame_folders import FrameFolder
from adc.media.video_reader import VideoReader

OF_IMAGE = {".png": 0.05, ".tif": 0.05, ".jpg": 0.005, ".webp": 0.002}
"""Bytes that a frame takes at least, per byte of its pixels: a tenth or less of what photographs take."""
OF_VIDEO = 0.005 / 24
"""The same of a video of 0.005 bits per pixel; but none needs more than its source, if that is of less."""


def check_room_for(
    target: Path, reader: VideoReader | FrameFolder, size: tuple[int, int], options: UpscaleOptions, ending: str | None
) -> None:
    """Check that the disk has room for what the result takes at least; what is there already counts as room.

    Args:
        target: A video, or a folder for frames.
        reader: The source; nothing is checked if it does not say how long it is.
        size: Height and width of the frames.
        options: The bits per channel of frames.
        ending: Of the frames; None for a video.

    Raises:
        OSError: If it is certain that there is too little.
    """
    pixels = 3 * size[0] * size[1] * _count(reader)
    if ending is None:
        source = reader.path.stat().st_size if isinstance(reader, VideoReader) else pixels
        needed = min(source, int(pixels * OF_VIDEO))
        advice = "an estimate that is rather low. Make room, or write it elsewhere."
    else:
        there = [path for path in target.iterdir() if path.suffix == ending] if target.is_dir() else []
        needed = int(pixels * options.depth // 8 * OF_IMAGE[ending]) - sum(path.stat().st_size for path in there)
        advice = "an estimate that is rather low. Make room, write a video, or another --format."
    check_room(target, needed, advice)


def _count(reader: VideoReader | FrameFolder) -> int:
    if reader.count or isinstance(reader, FrameFolder):
        return reader.count
    return int((reader.container.duration or 0) / 1_000_000 * reader.rate)
