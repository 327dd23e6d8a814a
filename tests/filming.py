"""Small videos for tests, made with PyAV."""

import struct
from fractions import Fraction

import numpy as np

from adc.media.images import write_image

WIDTH, HEIGHT = 96, 64


def training_clips(degradation, folder=None, **options):
    """The training set of a recipe's data module."""
    from adc.data import DegradedClips

    return DegradedClips(degradation, 1, folder, workers=0, **options).training_set()


def validation_clips(degradation, folder=None, **options):
    """The validation set of a recipe's data module; size and limit are those of validation."""
    from adc.data import DegradedClips

    options = {f"validation_{key}" if key in ("size", "limit") else key: value for key, value in options.items()}
    return DegradedClips(degradation, 1, val_dir=folder, workers=0, **options).validation_set()


def training_pairs(lr, hr, **options):
    """The training set of pairs of a recipe's data module."""
    from adc.data import PairedClips

    return PairedClips(lr, hr, 1, workers=0, **options).training_set()


def picture(number, width=WIDTH, height=HEIGHT):
    """A pattern of its own for each number: smooth, so that it survives a codec."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    waves = [np.sin(x / (7 + channel) + y / 11 + 0.1 * number + channel) for channel in range(3)]
    return np.round((np.stack(waves, 2) * 0.4 + 0.5) * 255).astype(np.uint8)


def film(path, pictures, codec="libx264", layout="yuv420p", **options):
    """Write pictures (H, W, 3) as a video; options are those of the encoder, _ for -."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            codec, rate=25, options={key.replace("_", "-"): str(value) for key, value in options.items()}
        )
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = layout
        for number, pixels in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def frames_of(path, pictures):
    """Write pictures as a folder of frames, 1.png, 2.png, ..., 10.png."""
    for number, pixels in enumerate(pictures, start=1):
        write_image(path / f"{number}.png", pixels)
    return path


def spoil(path, number):
    """Overwrite the end of a packet of a video, in the file, with noise."""
    import av

    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(container.streams.video[0]) if packet.size]
    data, content = packets[number], path.read_bytes()
    assert content.count(data) == 1
    noise = np.random.default_rng(0).integers(0, 256, len(data) - len(data) // 3, dtype=np.uint8).tobytes()
    path.write_bytes(content.replace(data, data[: len(data) // 3] + noise))


def turn_left(path):
    """Write into the header of an MP4 file's track that it is to be shown turned by a quarter."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 44
    content[place : place + 20] = struct.pack(">5i", 0, -1 << 16, 0, 1 << 16, 0)
    path.write_bytes(content)
    return path
