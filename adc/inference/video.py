"""Upscaling of a video file: frames are streamed, everything else is copied."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from functools import partial
from itertools import chain
from pathlib import Path

from torch import Tensor

from adc.inference.options import UpscaleOptions
from adc.inference.room import check_room_for
from adc.inference.stream import THERE, mixes_frames, stream_frames
from adc.inference.upscaler import Upscaler, restore_clip
from adc.media.frame_folders import FrameFolder, FrameFolderWriter
from adc.media.losses import lost_in_folder
from adc.media.names import is_video
from adc.media.pairing import by_name
from adc.media.video_reader import Damage, Frame, VideoReader
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
    drop_streams: bool = False,
    on_frame: Callable[[bool], None] = lambda is_new: None,
) -> list[Damage]:
    """Upscale a video or a folder of frames, in memory that does not grow with its length.

    Times, audio, subtitles, colour tags, metadata and chapters are carried over from video to
    video; a rotation is applied to the pixels. Damage is noted by its time or its file, and
    the rest goes on. A restorer that mixes frames is shown those of one shot at once; without an overlap it is taken to
    restore each by itself.

    Args:
        source: A video file, or a folder of images of one size.
        target: A video file to write, by its ending; anything else is a folder for images, numbered, or named as those
            of the source.
        restore: ``(1, T, 3, h, w)`` in ``[-1, 1]`` to ``(1, T, 3, H, W)``.
        options: `resume`, `format`, `depth` and `quality` are used here. With `resume` images that are there are left
            out; with a depth of 16 a video has more than eight bits.
        chunk: Frames restored at once; None is three times the context if `restore` mixes frames, else as many as make
            up one of 512x512.
        chunk_overlap: Frames that neighbouring chunks share; None is the context, the `temporal_context` of `restore`
            or 8, if it mixes frames, else 0. With a `temporal_stride` both are one frame longer: a first frame is
            apart.
        codec: FFmpeg's name of the encoder; None is libx264, or libvpx-vp9 for WebM.
        crf: Constant rate factor: lower is better and larger; None is a high-quality value.
        layout: FFmpeg's name of the pixel format; None keeps the source's where the codec has it.
        rate: Frames per second of a folder.
        drop_streams: Whether sound and subtitles that the target cannot hold are left out; else they are an error.
        on_frame: Called after each frame: whether it was made, or was there already.

    Returns:
        The damage; nothing if the result is whole, or was there already and `options` say to resume.

    Raises:
        FileNotFoundError: If there is no such source.
        OSError: If the target cannot be written.
        ValueError: If the source is no video, or its images are not of one size, or two have one name, or the target
            cannot hold its streams.
    """
    context, stride = getattr(restore, "temporal_context", 0), getattr(restore, "temporal_stride", 1)
    upscaler = restore
    inner = restore.restore if isinstance(restore, Upscaler) else restore
    restore = partial(restore_clip, inner, source=source)
    options = options or UpscaleOptions()
    if options.resume and is_video(target) and target.is_file():
        return []
    with ExitStack() as open_files:
        to_file = is_video(target) and not target.is_dir()
        becomes = target.suffix.lower() if to_file else f".{options.format}"
        folder = FrameFolder(source, rate, becomes=becomes) if source.is_dir() else None
        if folder is not None:
            folder.check_sizes()
        reader = folder or open_files.enter_context(VideoReader(source))
        if to_file:
            like = reader if isinstance(reader, VideoReader) else None
            deep = options.depth == 16
            writer = open_files.enter_context(
                VideoWriter(target, like, reader.rate, codec, crf, layout, deep, drop_streams)
            )
        else:
            names = None if folder is None else list(by_name((file.stem, file) for file in folder.files))
            writer = FrameFolderWriter(target, names, becomes, options.quality, options.depth)
        is_done = writer.is_there if isinstance(writer, FrameFolderWriter) and options.resume else _never
        frames = reader.frames(writer.copy)
        first = next(frames)
        if isinstance(upscaler, Upscaler):
            size = upscaler.size(*first.pixels.shape[1:])
            check_room_for(target, reader, size, options, None if to_file else becomes)
            if isinstance(writer, VideoWriter):
                writer.begin(*size)
        chunk, chunk_overlap, mixes = _chunks(restore, context, stride, first, chunk, chunk_overlap)
        bar = open_files.enter_context(track(source.name, reader.count or None, "frames"))
        found = chain([first], frames)
        counts = {True: 0, False: 0}
        for frame in stream_frames(restore, found, chunk, chunk_overlap, stride > 1, mixes, is_done):
            is_new = frame.pixels is not THERE
            if is_new:
                writer.write(frame)
            elif isinstance(writer, FrameFolderWriter):
                writer.skip()
            counts[is_new] += 1
            on_frame(is_new)
            bar.advance()
        lost = lost_in_folder(reader, options.depth) if isinstance(reader, VideoReader) and not to_file else []
    if isinstance(writer, FrameFolderWriter) and writer.has_more:
        note(f"{target}: holds more images than this video has frames; those after {writer.passed:06d} are others")
    if there := counts[False]:
        note(f"{target}: {there} of {sum(counts.values())} frames {'was' if there == 1 else 'were'} there already")
    if folder is not None:
        for line in _about_folder(folder, writer.deep):
            note(f"{source}: {line}")
    lines = [*_in_runs(reader.damage, float(1 / reader.rate)), *writer.left_out, *lost]
    for line in lines:
        note(f"{source}: {line}")
    return reader.damage


def _about_folder(folder: FrameFolder, deep: bool) -> list[str]:
    """What the result of a folder of frames lacks, and what its frames lack, each in a few words."""
    lines = [] if folder.gap is None else [folder.gap]
    lines += ["more than eight bits become eight; --depth 16 keeps them"] if folder.deep and not deep else []
    found = [(text, count) for text, count in folder.notes.items() if count]
    return lines + [f"{text} ({count} frame{'' if count == 1 else 's'})" for text, count in found]


def _chunks(
    restore: Callable[[Tensor], Tensor],
    context: int,
    stride: int,
    first: Frame,
    chunk: int | None,
    overlap: int | None,
) -> tuple[int, int, bool]:
    """Frames of a chunk, frames that two share, and whether the restorer mixes frames."""
    if chunk is not None and overlap is not None:
        return chunk, overlap, overlap > 0 or context > 0
    if mixes_frames(restore):
        context = context or CONTEXT
        alone = 1 if stride > 1 else 0
        chunk = 3 * context + alone if chunk is None else chunk
        return chunk, min(context + alone, chunk // 2) if overlap is None else overlap, True
    height, width = first.pixels.shape[-2:]
    return max(1, PIXELS_AT_ONCE // (height * width)) if chunk is None else chunk, overlap or 0, False


def _never(number: int, frame: Frame) -> bool:
    return False


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
