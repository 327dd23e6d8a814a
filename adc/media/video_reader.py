"""Streaming reader of video files: times, colours, orientation, damage."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from adc.media.damage import decoder_errors
from adc.media.file_ends import missing_bytes
from adc.media.images import to_frame
from adc.media.retry import retried
from adc.media.video_color import UPRIGHT, Color, side_data_of, to_rgb, transform_of
from adc.memory import available_memory

if TYPE_CHECKING:
    import av

    from adc.media.image_files import DecodedImage

BYTES_PER_PIXEL = 24
"""Of a frame while it is read: as it is decoded, as RGB, and as numbers of 32 bits."""
COVER = 0x400
SELF_CONTAINED = ("ffv1", "png")
"""Intra-only codecs that FFmpeg does not mark as such."""
WITHOUT_TIMES = ("avi", "mpeg")
"""Containers without presentation times; reordered frames in them are counted."""
LONGEST_GROUP = 600
"""Packets after which a key frame is no longer waited for."""
HARMLESS = "APP fields"
"""Application data of cameras in MJPEG frames, which the decoder reports as an error."""


class BrokenVideoError(ValueError):
    """A file that is not a readable video; the message names it."""


@dataclass(frozen=True)
class Frame:
    """A frame with its start and duration, in units of the video's time base.

    Attributes:
        pixels: ``(3, H, W)`` in ``[-1, 1]``, upright.
        start: Presentation time.
        duration: 0 of a last frame whose duration is unknown.
        image: Of the image file that holds it, transparency and metadata, without its pixels; None if they are not
            asked for, or there is no such file.
    """

    pixels: Tensor
    start: int
    duration: int
    image: DecodedImage | None = None


@dataclass(frozen=True)
class Damage:
    """A damaged place of a video.

    Attributes:
        place: Its time in seconds, or its file.
        cause: What is wrong, and what stands in.
    """

    place: float | str
    cause: str

    def __str__(self) -> str:
        return f"{self.place if isinstance(self.place, str) else f'at {self.place:.3f} s'}: {self.cause}"


class VideoReader:
    """Streaming reader of the first video of a file.

    Frames are upright: a rotation or reflection of the file is applied to the pixels.
    Colours become RGB by the file's own matrix and range, by BT.601 if it names none, as in FFmpeg;
    primaries and transfer are left as they are. Transparency is dropped. Frames of another size
    than the first are resized to it.

    Damage is reported in `damage` and does not end the reading. Where the decoder delivers nothing, the
    frame before stands in, with the times of the missing one. So it does for a damaged frame in
    intra-only codecs (MJPEG, FFV1, ProRes); in the others what the decoder makes
    of a damaged frame is kept, as the next ones are built on it. Missing frames with none before
    them are left out. Damage that the decoder does not notice is not reported, nor are missing frames
    where times are counted (`WITHOUT_TIMES`): those after them come earlier.

    Attributes:
        width: Columns as they are stored, before frames are turned upright.
        height: Rows, likewise.
        time_base: Seconds per unit of time.
        rate: Frames per second, on average.
        count: Number of frames by the file's header; 0 if it has none.
        color: Its colour tags.
        layout: FFmpeg's name of its pixel format.
        deep: Whether it has more than eight bits per channel.
        has_alpha: Whether it has transparency, which is dropped.
        counted: Whether `count` is the number of samples in the file; elsewhere it counts frames that are no packets.
        pixel_aspect: Width of an upright pixel over its height; right from the first frame on.
        damage: What could not be read so far.
        is_interlaced: Whether a frame so far holds two fields, of two times.
        side_data: FFmpeg's names of what the first frame has beside its pixels; nothing before it is read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """
        Raises:
            FileNotFoundError: If there is no such file.
            BrokenVideoError: If it is no video, of a codec that is not known here, or too large for the memory.
        """
        import av

        self.path = Path(path)
        self.damage: list[Damage] = []
        self.is_interlaced = False
        self.side_data: frozenset[str] = frozenset()
        if not retried(self.path.exists, path):
            raise FileNotFoundError(f"{path}: no such file.")
        if not self.path.is_file():
            what = "is a folder" if self.path.is_dir() else "is a pipe or a device, which is not read twice"
            raise BrokenVideoError(f"{path}: {what}, not a video file.")
        try:
            self.container = retried(lambda: av.open(f"file:{self.path}", metadata_errors="replace"), path)
        except PermissionError:
            raise PermissionError(f"{path}: no permission to read it.") from None
        except (av.FFmpegError, ValueError):
            missing = missing_bytes(self.path)
            cause = f"ends early, {missing} bytes are missing" if missing else "not a video, or of an unknown format"
            raise BrokenVideoError(f"{path}: {cause}. Remove it or replace it.") from None
        try:
            self.stream = self._video_stream()
        except BrokenVideoError:
            self.container.close()
            raise
        context = self.stream.codec_context
        assert context.format is not None
        self.width, self.height = context.width, context.height
        self.time_base = self.stream.time_base or Fraction(1, 90000)
        self.rate = self.stream.average_rate or self.stream.guessed_rate or Fraction(25)
        self.count = self.stream.frames
        self._end = None if self.stream.duration is None else (self.stream.start_time or 0) + self.stream.duration
        self.color = Color(context.colorspace, context.color_range, context.color_primaries, context.color_trc)
        self.layout = context.format.name
        self.deep = max(component.bits for component in context.format.components) > 8
        alpha_mode = {key.lower(): value for key, value in self.stream.metadata.items()}.get("alpha_mode")
        self.has_alpha = alpha_mode == "1" or any(component.is_alpha for component in context.format.components)
        self.counted = "mov" in self.container.format.name
        self.pixel_aspect = self.stream.sample_aspect_ratio or Fraction(1)
        self._has_times = not (self.container.format.name in WITHOUT_TIMES and context.has_b_frames)
        self._self_contained = context.codec.intra_only or context.codec.canonical_name in SELF_CONTAINED
        self._lost = False
        self._early, self._begins = 0, -(2**62)
        self._transform = UPRIGHT
        context.options = {"flags": "+output_corrupt", "err_detect": "crccheck"}
        context.thread_count = 1  # with several, errors come late or not at all

    def _video_stream(self) -> av.VideoStream:
        videos = [stream for stream in self.container.streams.video if not int(stream.disposition) & COVER]
        if not videos:
            raise BrokenVideoError(f"{self.path}: there is no video in this file.")
        context = videos[0].codec_context
        if context is None:
            raise BrokenVideoError(f"{self.path}: its video is of a codec that is not known here; convert it first.")
        if not context.width or context.format is None:
            raise BrokenVideoError(f"{self.path}: not one frame of this video can be read. Replace it.")
        needed, free = context.width * context.height * BYTES_PER_PIXEL, available_memory()
        if needed > free:
            raise BrokenVideoError(
                f"{self.path}: its header claims frames of {context.width}x{context.height} pixels; one needs "
                f"{needed / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} GiB are free. Scale it down or replace it."
            )
        return videos[0]

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    @property
    def companions(self) -> list[Any]:
        """The audio and subtitle streams of the file."""
        return [*self.container.streams.audio, *self.container.streams.subtitles]

    def frames(self, on_packet: Callable[[Any], None] | None = None) -> Iterator[Frame]:
        """All frames in display order; once only.

        Args:
            on_packet: Called with each packet of the `companions`.

        Raises:
            BrokenVideoError: If not one frame can be read.
        """
        held: Frame | None = None
        for frame in self._in_order(on_packet):
            if held is not None:
                yield replace(held, duration=frame.start - held.start)
            held = frame
        if held is None:
            raise BrokenVideoError(f"{self.path}: not one frame of this video can be read. Replace it.")
        yield replace(held, duration=max((self._end or 0) - held.start, 0) or held.duration)

    def _in_order(self, on_packet: Callable[[Any], None] | None) -> Iterator[Frame]:
        """Frames and stand-ins in display order; durations as the file has them."""
        awaited: dict[int, int] = {}
        latest: Frame | None = None
        for av_frame, is_damaged in self._decoded(awaited, on_packet):
            start = self._start_of(av_frame, latest)
            awaited.pop(start, None)
            for missing in sorted(time for time in awaited if time < start):
                latest = self._stand_in(latest, missing, awaited.pop(missing))
                if latest is not None:
                    yield latest
            self.is_interlaced |= av_frame.interlaced_frame
            if latest is None:
                self._transform, self.side_data = transform_of(av_frame), side_data_of(av_frame)
                if self._transform[0] == 0:
                    self.pixel_aspect = 1 / self.pixel_aspect
            latest = self._frame(av_frame, start, latest, is_damaged)
            yield latest
        for missing in sorted(awaited):
            latest = self._stand_in(latest, missing, awaited[missing])
            if latest is not None:
                yield latest

    def _decoded(
        self, awaited: dict[int, int], on_packet: Callable[[Any], None] | None
    ) -> Iterator[tuple[av.VideoFrame, bool]]:
        """Decoded frames, and whether each is damaged.

        `awaited` takes the starts and durations of those that have been read but not yet delivered.
        """
        import av

        packets = reached = 0
        try:
            for packet in self._whole_groups(on_packet is not None):
                if packet.stream.index != self.stream.index:
                    if on_packet is not None and packet.size:
                        on_packet(packet)
                    continue
                packets += packet.size > 0
                if self._has_times and packet.pts is not None and is_displayed(packet) and packet.pts >= self._begins:
                    awaited[packet.pts] = packet.duration or 0
                av_frames, is_damaged = self._decode(packet)
                for av_frame in av_frames:
                    if self._has_times and av_frame.pts is not None and av_frame.pts < self._begins:
                        continue  # built on frames before the first key frame
                    reached = av_frame.pts if av_frame.pts is not None else reached
                    yield av_frame, is_damaged or av_frame.is_corrupt
                if is_damaged and not av_frames and packet.pts is None and packet.size:
                    self._report(packet.dts or reached, "cannot be decoded; left out")
        except av.FFmpegError as error:
            self._report(reached, f"reading ends here ({error.strerror})")
            return
        if self.counted and packets + self._early < self.count:
            self._report(reached, f"the file ends after this, with {packets} of {self.count} frames")
        elif missing := missing_bytes(self.path, self.container.format.name):
            self._report(reached, f"the file ends after this; by its header {missing} bytes are missing")

    def _whole_groups(self, with_companions: bool) -> Iterator[Any]:
        """The packets of the file, those of the video from its first key frame on.

        A recording may begin inside a group of pictures; what comes before the first picture that stands alone is no
        frame and no damage. All are given where none is marked as a key frame, and where a header lists the frames.
        """
        held: list[Any] | None = None if self.counted else []
        for packet in filled(self.container.demux([self.stream, *(self.companions if with_companions else [])])):
            if held is None or packet.stream.index != self.stream.index:
                yield packet
                continue
            if packet.is_keyframe and packet.size:
                self._early, self._begins = len(held), packet.pts if held and packet.pts is not None else self._begins
                held = None
                yield packet
                continue
            held.append(packet)
            if len(held) > LONGEST_GROUP or not packet.size:
                yield from held
                held = None

    def _decode(self, packet: Any) -> tuple[list[av.VideoFrame], bool]:
        """The frames of a packet, and whether the decoder reported an error."""
        import av

        try:
            if not self._self_contained:
                return packet.decode(), False
            self._lost = self._lost and not packet.is_keyframe
            with decoder_errors() as errors:
                av_frames = packet.decode()
            self._lost |= any(HARMLESS not in text for _, _, text in errors)
            return av_frames, self._lost
        except av.FFmpegError:
            self._lost = True
            return [], True

    def _start_of(self, av_frame: av.VideoFrame, latest: Frame | None) -> int:
        """Presentation time of a frame; always later than the one before."""
        start = av_frame.pts if av_frame.pts is not None else av_frame.dts
        if latest is None:
            return start or 0
        if start is None or not self._has_times:
            return latest.start + max(latest.duration, 1)
        return max(start, latest.start + 1)

    def _frame(self, av_frame: av.VideoFrame, start: int, latest: Frame | None, is_damaged: bool) -> Frame:
        duration = av_frame.duration or 0
        if is_damaged and self._self_contained and latest is not None:
            self._report(start, "damaged; the frame before stands in")
            return Frame(latest.pixels, start, duration)
        if is_damaged:
            self._report(start, "damaged; what the decoder makes of it is kept")
        pixels = to_rgb(av_frame, self.color, self.width, self.height, self.deep, self._transform)
        return Frame(to_frame(pixels), start, duration)

    def _stand_in(self, latest: Frame | None, start: int, duration: int) -> Frame | None:
        self._report(start, f"cannot be decoded; {'left out' if latest is None else 'the frame before stands in'}")
        return None if latest is None else Frame(latest.pixels, start, duration)

    def _report(self, time: int, cause: str) -> None:
        self.damage.append(Damage(float(time * self.time_base), cause))


def filled(packets: Iterable[Any]) -> Iterator[Any]:
    """Packets of a demuxer without empty ones, by which Theora and AVI repeat a frame; those at the end flush."""
    empty: dict[int, Any] = {}
    for packet in packets:
        if packet.size:
            yield packet
        else:
            empty[packet.stream.index] = packet  # its own number is 0 where it flushes
    yield from empty.values()


def is_displayed(packet: Any) -> bool:
    """Whether a packet holds a frame that is displayed; VP8 has some that are references only."""
    if packet.is_discard or not packet.size:
        return False
    return packet.stream.codec_context.codec.canonical_name != "vp8" or bool(bytes(packet)[0] & 0x10)
