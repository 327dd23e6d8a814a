"""Frames of a video file by their number, without decoding all that comes before them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from adc.media.video_color import Transform, to_rgb, transform_of
from adc.media.video_reader import BrokenVideoError, VideoReader, is_shown

OPTIONS = {"err_detect": "crccheck"}
"""Of decoders; without output_corrupt nothing is delivered that is built on what was not decoded."""


@dataclass(frozen=True)
class FrameIndex:
    """Index of the frames and key frames of a video, from its packets.

    Attributes:
        starts: When each frame is shown, ascending.
        keys: When each key frame is shown, ascending.
        decoded: When each key frame is decoded.
        counted: Whether the file does not tell times apart; then all times are numbers of frames.
    """

    starts: tuple[int, ...]
    keys: tuple[int, ...]
    decoded: tuple[int, ...]
    counted: bool = False


class VideoFile:
    """A video whose frames are read by their number, each as reading from the beginning gives it.

    The packets of the file are listed when something is first asked of it. To read frames, decoding begins at the
    key frame before the first of them; if that does not bring forth all of them (the container lands elsewhere, or
    the key frame is no clean start), it begins earlier, at last at the beginning. It always begins there in files
    that do not say when their frames are shown, such as AVI files with frames that are stored in another order than
    shown. Frames are upright, and their colours are converted as those of `VideoReader`. What comes before the first
    key frame does not count.
    """

    def __init__(self, path: Path, name: str) -> None:
        """
        Args:
            path: A video file; it is not opened yet.
            name: What it is called.
        """
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
        import av

        try:
            with VideoReader(self.path) as reader:
                packets = [_Packet(packet) for packet in reader.container.demux(reader.stream) if packet.size]
                reorders = bool(reader.stream.codec_context.has_b_frames)
        except av.FFmpegError as error:
            raise BrokenVideoError(f"{self.path}: cannot be read ({error.strerror}). Replace it.") from None
        if len(packets) < reader.count:
            raise BrokenVideoError(
                f"{self.path}: ends after {len(packets)} of its {reader.count} frames. Replace it, or convert it."
            )
        if not _tells_times(packets, reorders):
            return FrameIndex(tuple(range(self._count())), (0,), (0,), counted=True)
        keys = sorted((packet.pts, packet.dts) for packet in packets if packet.is_key)
        if not keys:
            raise BrokenVideoError(f"{self.path}: no key frame in this video, at which decoding could begin.")
        starts = sorted({packet.pts for packet in packets if packet.is_shown and packet.pts >= keys[0][0]})
        return FrameIndex(tuple(starts), tuple(key for key, _ in keys), tuple(decoded for _, decoded in keys))

    def _count(self) -> int:
        import av

        try:
            with VideoReader(self.path) as reader:
                reader.stream.codec_context.options = OPTIONS
                return sum(1 for _ in reader.container.decode(reader.stream))
        except av.FFmpegError as error:
            raise BrokenVideoError(f"{self.path}: cannot be read ({error.strerror}). Replace it.") from None

    @property
    def keyframes(self) -> list[int]:
        """The numbers of the frames that are read without others: the key frames."""
        numbers = {start: number for number, start in enumerate(self.index.starts)}
        return [numbers[key] for key in self.index.keys if key in numbers]

    def read(self, numbers: Sequence[int]) -> list[np.ndarray]:
        """Frames, uint8 ``(H, W, 3)``.

        Args:
            numbers: Ascending, from 0.

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
        """Where to begin, in the order of hope: containers seek by the one or the other time."""
        index = self.index
        key = bisect_right(index.keys, start) - 1
        if key > 0:
            yield index.keys[key]
            yield index.decoded[key]
            yield index.decoded[key - 1]
        yield None

    def _decode(self, place: int | None, starts: Sequence[int]) -> dict[int, np.ndarray]:
        """The frames that are found, by their starts, when decoding begins at a place; none if damage is met."""
        import av

        found: dict[int, np.ndarray] = {}
        wanted = set(starts)
        try:
            with VideoReader(self.path) as reader:
                reader.stream.codec_context.options = OPTIONS
                if place is not None:
                    reader.container.seek(place, stream=reader.stream)
                for number, picture in enumerate(self._pictures(reader, starts[0])):
                    if picture.is_corrupt:
                        return {}
                    start = number if self.index.counted else picture.pts
                    if start in wanted:
                        found[start] = self._rgb(picture, reader)
                    if start is not None and start >= starts[-1]:
                        break
        except av.FFmpegError:
            return {}
        return found

    def _pictures(self, reader: VideoReader, first: int) -> Iterator[Any]:
        """What is decoded from where the container is on; before the first that is wanted, only what others need."""
        context = reader.stream.codec_context
        for packet in reader.container.demux(reader.stream):
            needed = self.index.counted or packet.pts is None or packet.pts >= first
            context.skip_frame = "DEFAULT" if needed else "NONREF"
            yield from packet.decode()

    def _rgb(self, picture: Any, reader: VideoReader) -> np.ndarray:
        if self._transform is None:
            self._transform = transform_of(picture)
        return np.ascontiguousarray(to_rgb(picture, reader.color, reader.width, reader.height, False, self._transform))


class _Packet:
    """What is kept of a packet."""

    def __init__(self, packet: Any) -> None:
        self.pts, self.is_key, self.is_shown = packet.pts, packet.is_keyframe, is_shown(packet)
        self.dts = packet.dts if packet.dts is not None else packet.pts


def _tells_times(packets: Sequence[_Packet], reorders: bool) -> bool:
    """Whether the times of packets are those at which frames are shown, or only made up from their order."""
    times = {packet.pts for packet in packets}
    if None in times or len(times) < len(packets):
        return False
    return not reorders or len(packets) < 2 or len({packet.pts - packet.dts for packet in packets}) > 1
