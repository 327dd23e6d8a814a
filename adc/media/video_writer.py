"""Writer of videos, frame by frame, with the sound and subtitles of their source."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

from adc.files import scratch_beside
from adc.media.companions import APPLE, held_companions, left_streams, missing_metadata, portable
from adc.media.damage import decoder_errors
from adc.media.losses import lost_pixels, lost_side_data
from adc.media.names import VIDEO_WRITTEN
from adc.media.video_color import BT709, LIMITED, Color, is_rgb, to_av_frame
from adc.media.video_reader import Frame, VideoReader

CODECS = {".webm": "libvpx-vp9"}
CODEC = "libx264"
DEEP_CODECS = {".webm": "libsvtav1"}
"""Encoders of more than eight bits, where the usual one has eight."""
QUALITY = {"libx264": 17, "libx264rgb": 17, "libx265": 19, "libvpx": 12, "libvpx-vp9": 22, "libsvtav1": 22}
"""Default constant rate factor of the codecs that have one."""
LARGEST = {"libx264": 51, "libx264rgb": 51, "libx265": 51, "libvpx": 63, "libvpx-vp9": 63, "libsvtav1": 63}
"""Largest constant rate factor."""
SETTINGS = {
    "libx264": {"preset": "medium", "rc-lookahead": "20"},
    "libx265": {"preset": "medium", "x265-params": "log-level=error:rc-lookahead=20"},
    "libvpx-vp9": {"row-mt": "1", "cpu-used": "3", "lag-in-frames": "12"},
}
MICROSECOND = Fraction(1, 1_000_000)
FRAME_DURATION = 1 << 8
"""Flag of FFmpeg's encoders: frames have durations."""
DEEP = ("yuv444p16le", "yuv420p10le")
"""Pixel formats of more than eight bits that are taken before a codec's others."""
UNTAGGED = Color(BT709, LIMITED, BT709, BT709)


class VideoWriter:
    """A video file that appears whole, at the end, or not at all.

    It is written under a temporary name beside its own, which is removed on an error or without a frame.

    Copied from `like`: the colour tags, the shape of pixels, audio and subtitle packets as
    they are, metadata, chapters. Its pixel format is kept where the codec has it; otherwise the
    result is 4:2:0, in ten bits if it has more than eight, and RGB becomes BT.709. 4:2:0 has even sides only: an odd
    last row or column is cut off. Times are exact if the container's clock is as fine as the source's: MP4 and MOV take
    any clock, Matroska and WebM count milliseconds. A file that begins late (transport streams) begins at 0 here, all
    its streams moved alike.

    Attributes:
        left_out: What of `like` is not written, each in a few words: other streams, transparency, bits; at the end also
            metadata, data of HDR, and that frames are interlaced.
        deep: Whether it has more than eight bits per channel.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        like: VideoReader | None = None,
        rate: Fraction | int = 25,
        codec: str | None = None,
        crf: int | None = None,
        layout: str | None = None,
        deep: bool = False,
        drop_streams: bool = False,
    ) -> None:
        """
        Args:
            path: Where to; its ending names the container. Missing folders are made.
            like: The source video, for all that is not pixels; None writes BT.709.
            rate: Frames per second, without `like`.
            codec: FFmpeg's name of the encoder; None is libx264, or for WebM libvpx-vp9, and libsvtav1 for more than
                eight bits.
            crf: Constant rate factor: lower is better and larger; None is the codec's default here.
            layout: FFmpeg's name of the pixel format; None keeps that of `like` where the codec has it.
            deep: Whether it has more than eight bits per channel even if `like` has not: 16 where the codec has them.
            drop_streams: Whether sound and subtitles that the container cannot hold are left out; else they are an
                error.

        Raises:
            ValueError: If the container or the codec is not known, or the one cannot hold the other, or a stream.
        """
        import av

        self.path, self.like = Path(path), like
        if self.path.suffix.lower() not in VIDEO_WRITTEN:
            raise ValueError(
                f"{path}: videos are written as {', '.join(VIDEO_WRITTEN)}; write one of these, and convert it: "
                f"ffmpeg -i {self.path.stem}.mkv {self.path.name}"
            )
        begins = like.container.start_time if like is not None else None
        self._origin = max(0, begins or 0) * MICROSECOND
        self.left_out: list[str] = []
        companions, dropped = ([], []) if like is None else held_companions(self.path, like, drop_streams)
        self.left_out += dropped
        self._temporary = scratch_beside(self.path)
        self._waiting: list[Any] | None = []
        self._is_empty = True
        self._earliest = -(2**62)
        self._time_base = like.time_base if like is not None else 1 / Fraction(rate)
        self._container = self._open()
        try:
            self._stream = self._add_video(like.rate if like is not None else Fraction(rate), codec, crf)
            self._copies = {} if like is None else self._add_companions(like, companions)
            self._layout = self._choose_layout(layout, deep)
            self._format = av.VideoFormat(self._layout)
            self.deep = max(component.bits for component in self._format.components) > 8
            self.left_out += [] if like is None else lost_pixels(like, self.deep, self._stream.codec_context.name)
        except BaseException:
            self._drop()
            raise

    def _open(self) -> Any:
        import av

        try:
            flags = {"movflags": "use_metadata_tags"} if self._is_apple() else {}
            return av.open(f"file:{self._temporary}", "w", container_options=flags)
        except (av.FFmpegError, ValueError) as error:
            if isinstance(error, OSError) and error.errno and not isinstance(error, ValueError):
                raise OSError(error.errno, error.strerror, str(self.path)) from None
            raise ValueError(f"{self.path}: FFmpeg cannot write {self.path.suffix} files here.") from None

    def _is_apple(self) -> bool:
        metadata = {} if self.like is None else self.like.container.metadata
        return self.path.suffix.lower() in (".mov", ".mp4") and any(key.startswith(APPLE) for key in metadata)

    def _add_video(self, rate: Fraction, codec: str | None, crf: int | None) -> Any:
        import av

        ending = self.path.suffix.lower()
        usual = DEEP_CODECS if self.like is not None and self.like.deep and ending in DEEP_CODECS else CODECS
        name = codec or usual.get(ending, CODEC)
        known = ", ".join(QUALITY)
        if crf is not None and name not in QUALITY:
            raise ValueError(f"crf: {name} has no constant rate factor; leave it out. Those that have: {known}.")
        if crf is not None and not 0 <= crf <= LARGEST[name]:
            raise ValueError(f"crf: {crf}; {name} takes 0 to {LARGEST[name]}.")
        quality = {"crf": str(QUALITY[name] if crf is None else crf)} if name in QUALITY else {}
        try:
            is_video = av.Codec(name, "w").type == "video"
        except ValueError:
            raise ValueError(f"codec: FFmpeg has no encoder {name} here; take one of {known}.") from None
        if not is_video:
            raise ValueError(f"codec: {name} is no video encoder; take one of {known}.")
        if name == "libsvtav1":
            os.environ.setdefault("SVT_LOG", "1")  # what it logs besides errors goes to the terminal
        try:
            stream = self._container.add_stream(name, rate, options={**SETTINGS.get(name, {}), **quality})
        except (av.FFmpegError, ValueError):
            raise ValueError(f"{self.path}: cannot hold {name} video; write an .mkv file.") from None
        stream.codec_context.time_base = stream.time_base = self._time_base
        return stream

    def _add_companions(self, like: VideoReader, companions: Sequence[Any]) -> dict[int, Any]:
        copies = {}
        for stream in companions:
            copies[stream.index] = copy = self._container.add_stream_from_template(stream)
            copy.metadata.update(portable(stream.metadata))
            copy.disposition = stream.disposition
        self.left_out += left_streams(like)
        self._stream.metadata.update(portable(like.stream.metadata))
        self._stream.disposition = like.stream.disposition
        self._container.metadata.update(portable(like.container.metadata))
        if chapters := like.container.chapters():
            self._container.set_chapters([_moved(chapter, self._origin) for chapter in chapters])
        return copies

    def _choose_layout(self, layout: str | None, deep: bool) -> str:
        offered = [found.name for found in self._stream.codec_context.codec.video_formats or ()]
        if layout is not None:
            if layout not in offered:
                name = self._stream.codec_context.name
                raise ValueError(f"layout: {name} has no pixel format {layout}; there are {', '.join(offered[:12])}.")
            return layout
        if deep and not (self.like is not None and self.like.deep and self.like.layout in offered):
            return self._deep_layout(offered)
        deep = self.like is not None and self.like.deep
        same = "" if self.like is None else self.like.layout.replace("yuvj", "yuv")
        for name in (same, "yuv420p10le" if deep else "yuv420p", "yuv420p"):
            if name in offered:
                return name
        return offered[0]

    def _deep_layout(self, offered: list[str]) -> str:
        import av

        for name in (*DEEP, *offered):
            if name in offered and max(component.bits for component in av.VideoFormat(name).components) > 8:
                return name
        codec = self._stream.codec_context.name
        raise ValueError(f"depth: {codec} has eight bits per channel; leave 16 out, or take another codec, as libx265.")

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and not self._is_empty:
            self._finish()
        else:
            self._drop()

    def copy(self, packet: Any) -> None:
        """Write a packet of one of the `companions` of `like` as it is."""
        if packet.stream_index not in self._copies:
            return
        packet.stream = self._copies[packet.stream_index]
        shift = round(self._origin / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts - shift
        packet.dts = None if packet.dts is None else packet.dts - shift
        if self._waiting is None:
            self._named(lambda: self._container.mux(packet))
        else:
            self._waiting.append(packet)

    def write(self, frame: Frame) -> None:
        """Encode a frame; times count in the time base of `like`, or in frames. All are of one size.

        Raises:
            OSError: If it cannot be written, on a full disk for one.
            ValueError: If the encoder refuses it.
        """
        if self._waiting is not None:
            self.begin(*frame.pixels.shape[1:])
        height, width = self._whole_chroma(*frame.pixels.shape[1:])
        pixels = frame.pixels[:, :height, :width]
        av_frame = to_av_frame(pixels, self._color, self._layout, self.deep)
        clock = self._stream.codec_context.time_base
        start = max(round((frame.start * self._time_base - self._origin) / clock), self._earliest)
        self._earliest = start + 1
        av_frame.pts, av_frame.time_base = start, clock
        av_frame.duration = round(frame.duration * self._time_base / clock)
        self._named(lambda: self._encode(av_frame))
        self._is_empty = False

    def begin(self, height: int, width: int) -> None:
        """Open the encoder for frames of a size, and write the header and the packets that came before; once.

        The first `write` does it too. Before frames are computed it finds out what cannot be written.

        Raises:
            OSError: If the file cannot be written.
            ValueError: If the encoder or the container refuses; ends with FFmpeg's own words.
        """
        with decoder_errors() as messages:
            try:
                self._begin(*self._whole_chroma(height, width))
            except (OSError, ValueError) as error:
                words = [text.strip() for _, _, text in messages if text.strip()]
                if isinstance(error, OSError) and (error.errno != errno.EPERM or not words):
                    raise
                name = self._stream.codec_context.name
                cause = words[-1] if words else str(error)
                raise ValueError(f"{self.path}: {name} cannot begin with {width}x{height} pixels ({cause}).") from None

    def _whole_chroma(self, height: int, width: int) -> tuple[int, int]:
        """A size without an odd last row or column where chroma has half of them."""
        height -= height % 2 if self._format.chroma_height(2) == 1 else 0
        width -= width % 2 if self._format.chroma_width(2) == 1 else 0
        return height, width

    def _begin(self, height: int, width: int) -> None:
        context, like = self._stream.codec_context, self.like
        context.height, context.width = height, width
        context.pix_fmt = self._layout
        before = (like.width, like.height) if like is not None else (0, 0)
        foreign = like is None or (is_rgb(like.layout) and not self._format.is_rgb)
        self._color = (
            UNTAGGED if like is None or foreign else like.color.upscaled(before, (context.width, context.height))
        )
        context.color_range, context.colorspace = self._color.extent, self._color.matrix
        context.color_primaries, context.color_trc = self._color.primaries, self._color.transfer
        if like is not None and like.pixel_aspect != 1:
            context.sample_aspect_ratio = like.pixel_aspect
        context.flags |= FRAME_DURATION
        waiting, self._waiting = self._waiting or [], None
        self._named(self._container.start_encoding)
        for packet in waiting:
            self._named(lambda packet=packet: self._container.mux(packet))

    def _encode(self, av_frame: Any) -> None:
        for packet in self._stream.encode(av_frame):
            if packet.dts is not None and packet.pts is not None and packet.dts > packet.pts:
                packet.dts = packet.pts  # libx265 does not set it for clips that are shorter than its delay
            self._container.mux(packet)

    def _finish(self) -> None:
        try:
            self._named(lambda: self._encode(None))
            self._named(self._container.close)
            if self.like is not None:
                written = [self.like.stream, *(s for s in self.like.companions if s.index in self._copies)]
                self.left_out += [*lost_side_data(self.like), *missing_metadata(self.like, written, self._temporary)]
            self._temporary.replace(self.path)
        except BaseException:
            self._drop()
            raise

    def _drop(self) -> None:
        import av

        with suppress(av.FFmpegError, OSError, ValueError):
            self._container.close()
        self._temporary.unlink(missing_ok=True)

    def _named(self, act: Callable[[], object]) -> None:
        import av

        try:
            act()
        except av.FFmpegError as error:
            if isinstance(error, OSError) and error.errno:
                raise OSError(error.errno, error.strerror, str(self.path)) from None
            raise ValueError(f"{self.path}: cannot be written ({error.strerror}).") from None


def _moved(chapter: Any, origin: Fraction) -> Any:
    """A chapter, earlier by some seconds."""
    shift = round(origin / chapter["time_base"])
    return {**chapter, "start": max(0, chapter["start"] - shift), "end": max(0, chapter["end"] - shift)}
