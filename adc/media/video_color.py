"""Frames of a video as upright RGB in ``[-1, 1]``, and back."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from adc.media.images import to_bytes
from adc.ops.clip import to_unit

if TYPE_CHECKING:
    import av

LIMITED, FULL = 1, 2
RGB, BT709, UNKNOWN, BT601 = 0, 1, 2, 6
CONVERTIBLE = (1, 4, 5, 6, 7, 9)
"""Matrices between which and RGB FFmpeg converts."""
CAREFUL = 4 | 0x2000 | 0x4000 | 0x40000
"""Of swscale: bicubic, colours at every pixel on both sides, accurate rounding."""
Transform = tuple[int, int, int, int]
UPRIGHT: Transform = (1, 0, 0, 1)


@dataclass(frozen=True)
class Color:
    """Colour tags by the numbers of ITU-T H.273 (2 is unspecified); extent 1 is 16 to 235, 2 is 0 to 255, 0 unknown."""

    matrix: int = UNKNOWN
    extent: int = 0
    primaries: int = UNKNOWN
    transfer: int = UNKNOWN

    @property
    def conversion(self) -> int:
        """The matrix by which luma and chroma are converted: its own; BT.601, as in FFmpeg, if it names none."""
        return self.matrix if self.matrix in CONVERTIBLE else BT601

    def upscaled(self, before: tuple[int, int], after: tuple[int, int]) -> Color:
        """The tags of the upscaled video; sizes are width and height.

        Players take a small video without a matrix for BT.601 and a large one for BT.709. Where the
        new size would change that, the matrix is named.
        """
        if self.matrix in CONVERTIBLE or _seems_hd(*before) or not _seems_hd(*after):
            return self
        return Color(BT601, self.extent, self.primaries, self.transfer)


def is_rgb(layout: str) -> bool:
    """Whether a pixel format holds RGB, or a palette of it."""
    import av

    return layout == "pal8" or av.VideoFormat(layout).is_rgb


def _seems_hd(width: int, height: int) -> bool:
    return width >= 1280 or height > 576


def to_rgb(
    av_frame: av.VideoFrame, color: Color, width: int, height: int, deep: bool, transform: Transform = UPRIGHT
) -> np.ndarray:
    """A decoded frame as uint8 ``(H, W, 3)``, or uint16 if `deep`; transparency is dropped.

    It is converted by its colour tags, resized to width and height, and turned upright by its display transform.
    """
    if is_rgb(av_frame.format.name):
        av_frame.color_range = FULL
    else:
        av_frame.colorspace = color.conversion
        av_frame.color_range = color.extent or (FULL if av_frame.format.name.startswith("yuvj") else LIMITED)
    layout = "rgb48le" if deep else "rgb24"
    return turn(_converted(av_frame, layout, FULL, width, height).to_ndarray(), transform)


def to_av_frame(pixels: Tensor, color: Color, layout: str, deep: bool) -> av.VideoFrame:
    """A frame ``(3, H, W)`` in ``[-1, 1]``, clamped and rounded, for an encoder.

    Its pixel format `layout` has more than eight bits per channel if `deep`.
    """
    import av

    if deep:
        wide = to_unit(pixels.detach()).mul(65535).round().permute(1, 2, 0).cpu().numpy().astype(np.uint16)
        source = av.VideoFrame.from_ndarray(np.ascontiguousarray(wide), format="rgb48le")
    else:
        source = av.VideoFrame.from_ndarray(to_bytes(pixels), format="rgb24")
    is_rgb = av.VideoFormat(layout).is_rgb
    extent = FULL if is_rgb else color.extent or LIMITED
    source.color_range = FULL
    if not is_rgb:
        source.colorspace = color.conversion
    av_frame = _converted(source, layout, extent, source.width, source.height)
    av_frame.colorspace = RGB if is_rgb else color.matrix
    av_frame.color_range = color.extent
    av_frame.color_primaries, av_frame.color_trc = color.primaries, color.transfer
    return av_frame


def _converted(av_frame: av.VideoFrame, layout: str, extent: int, width: int, height: int) -> av.VideoFrame:
    """A frame in another pixel format; a thread keeps one converter for each way, so that memory does not grow."""
    from av.video.reformatter import VideoReformatter

    ways = _OF_THREAD.__dict__.setdefault("ways", {})
    way = ways.setdefault((av_frame.format.name, layout), VideoReformatter())
    return way.reformat(av_frame, width, height, layout, dst_color_range=extent, interpolation=CAREFUL, threads=1)


_OF_THREAD = threading.local()


def transform_of(av_frame: av.VideoFrame) -> Transform:
    """Display transform of a frame: ``a, b, c, d`` with ``x' = a x + c y``, ``y' = b x + d y``.

    Each is -1, 0 or 1; rotations that are no multiple of 90 degrees are left out. Call it for one frame only:
    frames whose side data were read stay in memory until garbage is collected.
    """
    side_data: Any = av_frame.side_data
    found = [bytes(data) for data in side_data if data.type.name == "DISPLAYMATRIX"]
    if not found:
        return UPRIGHT
    a, b, _, c, d, *_ = np.frombuffer(found[0], np.int32).tolist()
    signs = tuple((value > 0) - (value < 0) if abs(value) > 1 << 15 else 0 for value in (a, b, c, d))
    is_turn = abs(signs[0] * signs[3] - signs[1] * signs[2]) == 1 and sum(map(abs, signs)) == 2
    return (signs[0], signs[1], signs[2], signs[3]) if is_turn else UPRIGHT


def side_data_of(av_frame: av.VideoFrame) -> frozenset[str]:
    """FFmpeg's names of the side data of a frame; call it for one frame only, as `transform_of`."""
    side_data: Any = av_frame.side_data
    return frozenset(data.type.name for data in side_data)


def turn(pixels: np.ndarray, transform: Transform) -> np.ndarray:
    """Apply a display transform to ``(H, W, 3)``."""
    a, b, c, d = transform
    if a == 0:
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
