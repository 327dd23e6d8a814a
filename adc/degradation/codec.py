"""JPEG and video codecs as a camera or a web page uses them, in memory."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from adc.degradation.filters import resize

CODECS = ("libx264", "h264", "mpeg4")
"""FFmpeg's names of the encoders that RealBasicVSR draws from; ``h264`` is its default for H.264."""
REPRODUCIBLE = "cpu-independent=1"
"""Of x264, which otherwise decides differently on other processors, and even where its memory lies differently."""
LIMITED, FULL, BT601 = 1, 2, 6
EXACT = 4 | 0x2000 | 0x4000 | 0x40000 | 0x80000
"""Of swscale: bicubic, colours at every pixel on both sides, accurate rounding, alike on all processors."""


def compress(frames: Tensor, quality: int) -> Tensor:
    """Write every frame as a JPEG file in memory (4:2:0) and read it back.

    Args:
        frames: ``(T, 3, H, W)``; clamped to ``[0, 1]`` and rounded to 8 bits first.
        quality: 1 to 100, libjpeg's scale.

    Returns:
        ``(T, 3, H, W)`` in ``[0, 1]`` on the grid of 8-bit values, on the same device.
    """
    return from_bytes([_round_trip(frame, quality) for frame in to_bytes(frames)], frames)


def to_bytes(frames: Tensor) -> np.ndarray:
    """``(T, C, H, W)``, clamped to ``[0, 1]`` first so that nothing wraps around, as uint8 ``(T, H, W, C)``."""
    return (frames.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()


def from_bytes(images: Sequence[np.ndarray], like: Tensor) -> Tensor:
    """uint8 ``(H, W, C)`` each, as ``(T, C, H, W)`` in ``[0, 1]`` of the kind and on the device of ``like``."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous().to(like) / 255


def _round_trip(frame: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return np.array(Image.open(file))


def require_encoders(codecs: Iterable[str]) -> None:
    """See that PyAV is there and can encode.

    Raises:
        ValueError: Names the first encoder that is missing.
    """
    try:
        import av
    except ImportError as error:
        raise ValueError(
            "codec_passes: video codecs need PyAV, which is not installed; 'pip install av', or codec_passes: 0."
        ) from error
    for name in codecs:
        try:
            av.Codec(name, "w")
        except ValueError as error:
            raise ValueError(
                f"codec_probabilities: PyAV {av.__version__} has no encoder '{name}'; reinstall it from its wheels "
                f"('pip install --force-reinstall --only-binary av av'), or give '{name}' the probability 0 among "
                f"{', '.join(CODECS)} in overrides, or set codec_passes: 0."
            ) from error


def recode(frames: Sequence[Tensor], codec: str, bitrate: int) -> list[Tensor]:
    """Write frames as an MP4 file in memory, one frame per second, and read it back.

    Colours go through 8-bit YUV 4:2:0 (BT.601, 16 to 235). Encoder, decoder and conversions use
    one thread, and x264 decides as on any processor, so that every process makes the same bytes.

    Args:
        frames: ``(1, 3, H, W)`` each, clamped to ``[0, 1]`` and rounded to 8 bits first. The first
            one's size is the video's, the others are resized to it (bilinear); an odd side is coded
            with its last line doubled.
        codec: One of `CODECS`.
        bitrate: In bits per frame.

    Returns:
        As many frames of the first one's size, on the grid of 8-bit values.

    Raises:
        RuntimeError: If the codec fails or loses a frame.
    """
    import av

    height, width = frames[0].shape[-2:]
    where = f"frames of {width}x{height} at {bitrate} bits per frame"
    try:
        decoded = _decoded(_encoded([_image(frame, height, width) for frame in frames], codec, bitrate))
    except av.FFmpegError as error:
        raise RuntimeError(f"{codec} failed on {where}: {error}") from error
    if len(decoded) != len(frames):
        raise RuntimeError(
            f"{codec} gave back {len(decoded)} of {len(frames)} {where}; give it the probability 0 among "
            f"{', '.join(CODECS)} in overrides: {{codec_probabilities: ...}}."
        )
    return [from_bytes([image[:height, :width]], frames[0]) for image in decoded]


def _image(frame: Tensor, height: int, width: int) -> np.ndarray:
    same = resize(frame, height, width, "bilinear")
    return to_bytes(F.pad(same, (0, width % 2, 0, height % 2), mode="replicate"))[0]


def _encoded(images: Sequence[np.ndarray], codec: str, bitrate: int) -> io.BytesIO:
    import av
    from av.video.reformatter import VideoReformatter

    file, converter = io.BytesIO(), VideoReformatter()
    options = {"x264-params": REPRODUCIBLE} if av.Codec(codec, "w").name == "libx264" else {}
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=1, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt, stream.bit_rate = *images[0].shape[:2], "yuv420p", bitrate
        stream.codec_context.thread_count = 1
        for number, image in enumerate(images):
            source = av.VideoFrame.from_ndarray(image, format="rgb24")
            source.colorspace, source.color_range = BT601, FULL
            frame = converter.reformat(
                source, format="yuv420p", dst_color_range=LIMITED, interpolation=EXACT, threads=1
            )
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    file.seek(0)
    return file


def _decoded(file: io.BytesIO) -> list[np.ndarray]:
    import av
    from av.video.reformatter import VideoReformatter

    images, converter = [], VideoReformatter()
    with av.open(file, "r", format="mp4") as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for frame in container.decode(stream):
            frame.colorspace, frame.color_range = BT601, LIMITED
            rgb = converter.reformat(frame, format="rgb24", dst_color_range=FULL, interpolation=EXACT, threads=1)
            images.append(rgb.to_ndarray())
    return images
