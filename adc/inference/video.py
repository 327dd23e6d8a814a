"""Upscaling of a video file: frames are streamed, everything else is copied."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from functools import partial
from itertools import chain
from pathlib import Path

from torch import Tensor

from adc.inference.options import UpscaleOptions
from adc.inference.stream import mixes_frames, stream
from adc.inference.upscaler import Upscaler, restore_clip
from adc.media.frame_folders import FrameFolder, FrameFolderWriter
from adc.media.images import name_of
from adc.media.video_reader import Damage, Frame, VideoReader, is_video
from adc.media.video_writer import VideoWriter
from adc.progress import note, track

CONTEXT = 8
"""Frames that neighbouring chunks share where a restorer mixes frames and has no `temporal_context`; a chunk is three
times as long."""
PIXELS_AT_ONCE = 512 * 512
"""Pixels of the frames that are enlarged at once by a restorer of single images, unless one has more."""


def upscale_video(
    source: Path,
    target: Path,
    restore: Callable[[Tensor], Tensor],
    options: UpscaleOptions | None = None,
    *,
    chunk: int | None = None,
    chunk_overlap: int | None = None,
    codec: str | None = None,
    crf: int | None = None,
    layout: str | None = None,
    rate: Fraction | int = 25,
) -> list[Damage]:
    """Upscale a video or a folder of frames, in memory that does not grow with its length.

    Times, audio, subtitles, colour tags, metadata and chapters are carried over from video to
    video; a rotation is applied to the pixels. Damage is noted by its time or its file, and
    the rest goes on.

    Args:
        source: A video file, or a folder of images of one size.
        target: A video file to write, by its ending; anything else is a folder for numbered images.
        restore: ``(1, T, 3, h, w)`` in ``[-1, 1]`` to ``(1, T, 3, H, W)``.
        options: `resume`, `format` and `quality` are used here.
        chunk: Frames restored at once; None is three times the context if `restore` mixes frames, else as many as make
            up one of 512x512.
        chunk_overlap: Frames that neighbouring chunks share; None is the context, the `temporal_context` of `restore`
            or 8, if it mixes frames, else 0. With a `temporal_stride` both are one frame longer: a first frame is
            apart.
        codec: FFmpeg's name of the encoder; None is libx264, or libvpx-vp9 for WebM.
        crf: Constant rate factor: lower is better and larger; None is a high-quality value.
        layout: FFmpeg's name of the pixel format; None keeps the source's where the codec has it.
        rate: Frames per second of a folder.

    Returns:
        The damage; nothing if the result is whole, or was there already and `options` say to resume.

    Raises:
        FileNotFoundError: If there is no such source.
        OSError: If the target cannot be written.
        ValueError: If the source is no video, or the target cannot hold its streams.
    """
    context, stride = getattr(restore, "temporal_context", 0), getattr(restore, "temporal_stride", 1)
    inner = restore.restore if isinstance(restore, Upscaler) else restore
    restore = partial(restore_clip, inner, source=source)
    if options is not None and options.resume and is_video(target) and target.is_file():
        return []
    with ExitStack() as open_files:
        folder = FrameFolder(source, rate) if source.is_dir() else None
        reader = folder or open_files.enter_context(VideoReader(source))
        if is_video(target) and not target.is_dir():
            like = reader if isinstance(reader, VideoReader) else None
            writer = open_files.enter_context(VideoWriter(target, like, reader.rate, codec, crf, layout))
        else:
            names = None if folder is None else [name_of(file, folder.path) for file in folder.files]
            options = options or UpscaleOptions()
            writer = FrameFolderWriter(target, names, f".{options.format}", options.quality)
        frames = reader.frames(writer.copy)
        first = next(frames)
        chunk, chunk_overlap = _chunks(restore, context, stride, first, chunk, chunk_overlap)
        times: deque[tuple[int, int]] = deque()
        bar = open_files.enter_context(track(source.name, reader.count or None, "frames"))
        for pixels in stream(restore, _noted(first, frames, times), chunk, chunk_overlap, aligned=stride > 1):
            writer.write(Frame(pixels, *times.popleft()))
            bar.advance()
    lines = [*_in_runs(reader.damage, float(1 / reader.rate)), *(f"{left} is left out" for left in writer.left_out)]
    for line in lines:
        note(f"{source}: {line}")
    return reader.damage


def _chunks(
    restore: Callable[[Tensor], Tensor],
    context: int,
    stride: int,
    first: Frame,
    chunk: int | None,
    overlap: int | None,
) -> tuple[int, int]:
    if chunk is not None and overlap is not None:
        return chunk, overlap
    if mixes_frames(restore):
        context = context or CONTEXT
        alone = 1 if stride > 1 else 0
        chunk = 3 * context + alone if chunk is None else chunk
        return chunk, min(context + alone, chunk // 2) if overlap is None else overlap
    height, width = first.pixels.shape[-2:]
    return max(1, PIXELS_AT_ONCE // (height * width)) if chunk is None else chunk, overlap or 0


def _noted(first: Frame, rest: Iterator[Frame], notes: deque[tuple[int, int]]) -> Iterator[Tensor]:
    """The pixels of frames; their times go into `notes`."""
    for frame in chain([first], rest):
        notes.append((frame.start, frame.duration))
        yield frame.pixels


def _in_runs(damage: list[Damage], spacing: float) -> Iterator[str]:
    """Damage in lines, neighbours (up to 1.5 frames of `spacing` seconds apart) of one cause in one line."""
    runs: list[list[Damage]] = []
    for found in damage:
        before = runs[-1][-1] if runs else found
        times = [place for place in (before.place, found.place) if isinstance(place, float)]
        if runs and before.cause == found.cause and len(times) == 2 and times[1] - times[0] <= 1.5 * spacing:
            runs[-1].append(found)
        else:
            runs.append([found])
    for first, *rest in runs:
        span = f"from {first.place:.3f} s to {rest[-1].place:.3f} s ({1 + len(rest)} frames)" if rest else ""
        yield f"{span}: {first.cause}" if rest else str(first)
