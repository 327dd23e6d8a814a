"""Upscaling, evaluation and training read the same frames."""

import numpy as np
import pytest
import torch
from filming import film, frames_of, picture, turn_left

from adc.evaluation.pairs import find_pairs, frames
from adc.inference.video import upscale_video
from adc.media.images import to_bytes
from adc.media.video_reader import VideoReader
from adc.media.video_source import list_video_sources

pytest.importorskip("av")
COUNT = 12


@pytest.mark.parametrize("kind", ["mp4", "rotated", "bt709", "folder"])
def test_frames_are_the_same_to_the_bit(tmp_path, kind):
    images = [picture(7 * number) for number in range(COUNT)]
    if kind == "folder":
        path = frames_of(tmp_path / "a", images)
    else:
        colors = {"colorspace": "bt709", "color_range": "pc"} if kind == "bt709" else {}
        path = film(tmp_path / "a.mp4", images, g=5, bf=2, **colors)
    if kind == "rotated":
        turn_left(path)

    upscaled = []
    upscale_video(path, tmp_path / "out", lambda clip: upscaled.append(clip[0]) or clip, chunk=4, chunk_overlap=0)
    upscaled = torch.cat([clip for clip in upscaled if clip.shape[-1] > 32])  # without probes
    evaluated = torch.stack([restored for restored, _ in frames(find_pairs(path, path, True)[0], True)])
    trained = np.stack(list_video_sources(str(path))[0].read(range(COUNT)))

    assert upscaled.shape[2:] == ((96, 64) if kind == "rotated" else (64, 96))
    assert torch.equal(upscaled, evaluated)
    assert np.array_equal(np.stack([to_bytes(frame) for frame in evaluated]), trained)
    if kind == "folder":
        assert np.array_equal(trained, np.stack(images)), "10.png comes after 9.png"


def test_evaluation_refuses_a_damaged_video(tmp_path):
    path = film(tmp_path / "a.mkv", [picture(number) for number in range(COUNT)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"^\S+a\.mkv: "):
        list(frames(find_pairs(path, path, True)[0], True))


@pytest.mark.parametrize("codec", ["mjpeg", "ffv1"])
def test_the_same_damage_is_found_again(tmp_path, codec):
    """FFmpeg does not say the same thing twice in a row, unless it is told to."""
    layout = {"mjpeg": "yuvj420p", "ffv1": "bgr0"}[codec]
    path = film(tmp_path / "a.mkv", [picture(0)] * 4, codec, layout, **({"strict": -1} if codec == "mjpeg" else {}))
    content, packets = path.read_bytes(), []
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(container.streams.video[0]) if packet.size]
    last = content.rindex(packets[-1])
    path.write_bytes(content[: last + 700] + bytes(200) + content[last + 900 :])
    found = []
    for _ in range(3):
        with VideoReader(path) as video:
            frames_read = sum(1 for _ in video.frames())
        found.append((frames_read, [str(damage) for damage in video.damage]))
    assert found[0] == found[1] == found[2] and found[0][0] == 4 and len(found[0][1]) == 1
