"""Random access to the frames of a video file."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from adc.media.file_ends import missing_bytes
from adc.media.retry import retried
from adc.media.video_color import Transform, to_rgb, transform_of
from adc.media.video_reader import BrokenVideoError, VideoReader, filled, is_displayed

T = TypeVar("T")
OPTIONS = {"err_detect": "crccheck"}
"""Options of decoders; without output_corrupt no frame is delivered whose references are missing."""


@dataclass(frozen=True)
class FrameIndex:
    """Index of the frames and key frames of a video, from its packets.

    Attributes:
        starts: Presentation times of the frames, ascending.
        keys: Presentation times of the key frames, ascending.
        decoded: Decoding times of the key frames.
        counted: Whether the file has no presentation times; then all times are numbers of frames.
    """

    starts: tuple[int, ...]
    keys: tuple[int, ...]
    decoded: tuple[int, ...]
    counted: bool = False


class VideoFile:
    """A video whose frames are read by their number, equal to those of a reading from the beginning.

    The packets of the file are listed at its first use. To read frames, decoding begins at the
    key frame before the first of them; if that does not give all of them (the container lands elsewhere, or
    the key frame is no clean start), it begins earlier, at last at the beginning. It always begins there in files
    without presentation times, such as AVI files with reordered frames.
    Frames are upright, and their colours are converted as those of `VideoReader`. Frames before the first
    key frame do not count.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        self._transform: Transform | None = None

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.index.starts)

    @cached_property
    def index(self) -> FrameIndex:
        """Its frames and key frames.

        Raises:
            FileNotFoundError: If there is no such file.
            BrokenVideoError: If it is no video or ends early.
        """
        packets, expected, reorders, missing = self._read(_packets)
        if len(packets) < expected:
            raise BrokenVideoError(
                f"{self.path}: ends after {len(packets)} of its {expected} frames. Replace it, or convert it."
            )
        if missing:
            raise BrokenVideoError(
                f"{self.path}: ends early; by its header {missing} bytes are missing. Replace it, or convert it."
            )
        if not _has_times(packets, reorders):
            count = self._read(lambda reader: sum(len(packet.decode()) for packet in _packets_of(reader)))
            return FrameIndex(tuple(range(count)), (0,), (0,), counted=True)
        keys = sorted((packet.pts, packet.dts) for packet in packets if packet.is_key)
        if not keys:
            raise BrokenVideoError(f"{self.path}: no key frame in this video, at which decoding could begin.")
        starts = sorted({packet.pts for packet in packets if packet.is_displayed and packet.pts >= keys[0][0]})
        return FrameIndex(tuple(starts), tuple(key for key, _ in keys), tuple(decoded for _, decoded in keys))

    def _read(self, read: Callable[[VideoReader], T]) -> T:
        """What a function reads from the video; a file system that fails for a moment is tried again."""
        import av

        try:
            return retried(lambda: self._once(read), self.path)
        except av.FFmpegError as error:
            raise BrokenVideoError(f"{self.path}: cannot be read ({error.strerror}). Replace it.") from None

    def _once(self, read: Callable[[VideoReader], T]) -> T:
        with VideoReader(self.path) as reader:
            reader.stream.codec_context.options = OPTIONS
            return read(reader)

    @property
    def keyframes(self) -> list[int]:
        """Numbers of the frames that need no others to be decoded."""
        numbers = {start: number for number, start in enumerate(self.index.starts)}
        return [numbers[key] for key in self.index.keys if key in numbers]

    def read(self, numbers: Sequence[int]) -> list[np.ndarray]:
        """Frames, uint8 ``(H, W, 3)``, by their ascending numbers.

        Raises:
            BrokenVideoError: If one of them, or one on which it may be built, is damaged or cannot be decoded.
        """
        starts = [self.index.starts[number] for number in numbers]
        for place in self._places(starts[0]):
            found = self._decode(place, starts)
            if len(found) == len(starts):
                return [found[start] for start in starts]
        raise BrokenVideoError(
            f"{self.path}: damaged; its frames {numbers[0]} to {numbers[-1]} cannot be decoded. Replace it."
        )

    def _places(self, start: int) -> Iterator[int | None]:
        """Places to begin, the likeliest first: containers seek by presentation or by decoding time."""
        index = self.index
        key = bisect_right(index.keys, start) - 1
        if key > 0:
            yield index.keys[key]
            yield index.decoded[key]
            yield index.decoded[key - 1]
        yield None

    def _decode(self, place: int | None, starts: Sequence[int]) -> dict[int, np.ndarray]:
        """Frames by their starts, when decoding begins at a place; none if something is damaged."""
        import av

        try:
            return retried(lambda: self._once(lambda reader: self._found(reader, place, starts)), self.path)
        except av.FFmpegError:
            return {}

    def _found(self, reader: VideoReader, place: int | None, starts: Sequence[int]) -> dict[int, np.ndarray]:
        found: dict[int, np.ndarray] = {}
        if place is not None:
            reader.container.seek(place, stream=reader.stream)
        for number, av_frame in enumerate(self._decoded(reader, starts[0])):
            if av_frame.is_corrupt:
                return {}
            start = number if self.index.counted else av_frame.pts
            if start in starts:
                if self._transform is None:
                    self._transform = transform_of(av_frame)
                size = reader.width, reader.height
                rgb = to_rgb(av_frame, reader.color, *size, False, self._transform)
                found[start] = np.ascontiguousarray(rgb)
            if start is not None and start >= starts[-1]:
                break
        return found

    def _decoded(self, reader: VideoReader, first: int) -> Iterator[Any]:
        """Frames decoded from the container's position on; before the first requested one, only references."""
        context = reader.stream.codec_context
        for packet in _packets_of(reader):
            needed = self.index.counted or packet.pts is None or packet.pts >= first
            context.skip_frame = "DEFAULT" if needed else "NONREF"
            yield from packet.decode()


def _packets(reader: VideoReader) -> tuple[list[_Packet], int, bool, int]:
    """The packets of a video, how many it says there are, whether frames are reordered, and how many bytes miss."""
    packets = [_Packet(packet) for packet in _packets_of(reader) if packet.size]
    reorders, missing = (
        reader.stream.codec_context.has_b_frames,
        missing_bytes(reader.path, reader.container.format.name),
    )
    return packets, reader.count if reader.counted else 0, bool(reorders), missing


def _packets_of(reader: VideoReader) -> Iterator[Any]:
    return filled(reader.container.demux(reader.stream))


class _Packet:
    """Times and flags of a packet."""

    def __init__(self, packet: Any) -> None:
        self.pts, self.is_key, self.is_displayed = packet.pts, packet.is_keyframe, is_displayed(packet)
        self.dts = packet.dts if packet.dts is not None else packet.pts


def _has_times(packets: Sequence[_Packet], reorders: bool) -> bool:
    """Whether the times of packets are presentation times, and not made up from their order."""
    times = {packet.pts for packet in packets}
    if None in times or len(times) < len(packets):
        return False
    return not reorders or len(packets) < 2 or len({packet.pts - packet.dts for packet in packets}) > 1
