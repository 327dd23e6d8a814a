import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from adc.inference.options import UpscaleOptions
from adc.inference.stream import stream
from adc.inference.video import CONTEXT, upscale_video
from adc.media.images import read_image, write_image
from adc.media.video_reader import BrokenVideoError, VideoReader
from adc.progress import visible

av = pytest.importorskip("av")
SHARED = Path(os.environ.get("ADC_SHARED", Path(__file__).parents[2].parent / "shared"))


def twice(clip):
    return F.interpolate(clip[0], scale_factor=2, mode="bicubic").clamp(-1, 1)[None]


class Mixing:
    """Twice as large, each frame the mean of it and its neighbours; remembers how many it was shown."""

    def __init__(self):
        self.shown = []
        self.mean = nn.AvgPool1d(3, stride=1, padding=1, count_include_pad=False)

    def __call__(self, clip):
        self.shown.append(tuple(clip.shape[1:]))
        lines = clip[0].permute(1, 2, 3, 0).flatten(0, 1)
        mixed = self.mean(lines).unflatten(0, clip.shape[2:4]).permute(3, 0, 1, 2)
        return twice(mixed[None])


def still(number, width=64, height=48):
    y, x = np.mgrid[:height, :width].astype(np.float32)
    waves = [np.sin(x / (7 + channel) + y / 11 + 0.3 * number + channel) for channel in range(3)]
    return np.round((np.stack(waves, 2) * 0.4 + 0.5) * 255).astype(np.uint8)


def write_clip(path, number=20, width=64, height=48, sound=True, **options):
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options=options)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        audio = container.add_stream("aac", rate=48000) if sound else None
        for place in range(number):
            container.mux(video.encode(av.VideoFrame.from_ndarray(still(place, width, height), format="rgb24")))
            if audio is not None:
                times = (np.arange(1920) + 1920 * place) / 48000
                frame = av.AudioFrame.from_ndarray(
                    np.sin(times * 440 * 2 * np.pi).astype(np.float32)[None], format="fltp", layout="mono"
                )
                frame.sample_rate, frame.pts = 48000, 1920 * place
                container.mux(audio.encode(frame))
        container.mux(video.encode())
        if audio is not None:
            container.mux(audio.encode())
    return path


def read(path):
    with VideoReader(path) as reader:
        return [(frame.start * reader.time_base, frame.pixels) for frame in reader.frames()]


def sound_of(path):
    with av.open(str(path)) as container:
        return [(packet.pts, bytes(packet)) for packet in container.demux(audio=0) if packet.size]


def test_a_video(tmp_path, capsys):
    source = write_clip(tmp_path / "a.mp4")
    assert upscale_video(source, tmp_path / "deep/b.mp4", twice) == []
    small, large = read(source), read(tmp_path / "deep/b.mp4")
    assert [time for time, _ in large] == [Fraction(number, 25) for number in range(20)]
    for (_, before), (_, after) in zip(small, large, strict=True):
        assert after.shape == (3, 96, 128)
        assert (twice(before[None, None])[0, 0] - after).abs().mean() < 0.03
    assert sound_of(tmp_path / "deep/b.mp4") == sound_of(source)
    assert capsys.readouterr() == ("", "")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["b.mp4"]


def test_frames_that_mix_are_shown_in_overlapping_chunks(tmp_path):
    source = write_clip(tmp_path / "a.mkv", 40, sound=False)
    restore = Mixing()
    upscale_video(source, tmp_path / "b.mkv", restore, codec="ffv1", layout="bgr0")
    assert restore.shown[2:] == [(24, 3, 48, 64)] * 2
    whole = Mixing()(torch.stack([pixels for _, pixels in read(source)])[None])[0]
    found = torch.stack([pixels for _, pixels in read(tmp_path / "b.mkv")])
    assert (found - whole).abs().max() < 1.01 / 127.5
    restore = Mixing()
    upscale_video(source, tmp_path / "c.mkv", restore, chunk=8, chunk_overlap=2, crf=30)
    assert set(restore.shown) == {(8, 3, 48, 64)}
    assert (tmp_path / "c.mkv").stat().st_size < (tmp_path / "b.mkv").stat().st_size


def test_a_restorer_may_declare_its_temporal_context(tmp_path):
    source = write_clip(tmp_path / "a.mp4", 10)
    restore = Mixing()
    restore.temporal_context = 2
    upscale_video(source, tmp_path / "b.mkv", restore)
    assert {shape[0] for shape in restore.shown[2:]} == {6}


class Deep(nn.Module):
    """Thirty residual blocks of two convolutions over three frames each, padded with zeros, as in AdcVSR's student."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv1d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv1d(8, 8, 3, padding=1)) for _ in range(30)
        )
        for block in self.blocks:
            nn.init.kaiming_normal_(block[0].weight)
            nn.init.normal_(block[2].weight, std=0.2 / 24**0.5)

    @torch.no_grad()
    def forward(self, clip):
        series = clip[0].permute(2, 3, 1, 0).flatten(0, 1)
        x = torch.cat([series, -series, series[:, :2]], dim=1)
        for block in self.blocks:
            x = x + block(x)
            x = x / x.square().mean(dim=1, keepdim=True).sqrt().clamp(min=0.1)
        return x[:, :3].unflatten(0, clip.shape[-2:]).permute(3, 2, 0, 1)[None] / 2


def test_chunks_of_a_deep_network_have_no_seams():
    clip = torch.stack([torch.from_numpy(still(number, 16, 16)).permute(2, 0, 1) / 127.5 - 1 for number in range(72)])
    whole = Deep()(clip[None])[0]
    found = torch.stack(list(stream(Deep(), clip, 3 * CONTEXT, CONTEXT)))
    error = ((found - whole) / 2).square().mean((1, 2, 3))
    assert whole.std() > 0.3
    assert -10 * error.mean().log10() >= 50
    assert -10 * error.max().log10() >= 38


def test_frames_that_do_not_mix_are_shown_together_while_they_are_small(tmp_path):
    shown = []

    def restore(clip):
        shown.append(clip.shape[1])
        return twice(clip)

    upscale_video(write_clip(tmp_path / "a.mp4", 5, 320, 256, sound=False), tmp_path / "b.mp4", restore)
    assert shown[2:] == [3, 2]


def test_a_corrupt_frame_is_told_and_the_rest_goes_on(tmp_path, capsys):
    source = write_clip(tmp_path / "a.mp4", g="1")
    with av.open(str(source)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    content = source.read_bytes()
    for place in (5, 9, 10):
        content = content.replace(packets[place], bytes(len(packets[place])))
    source.write_bytes(content)
    with visible():
        damage = upscale_video(source, tmp_path / "b.mp4", twice)
    assert [found.place for found in damage] == [0.2, 0.36, 0.4]
    assert capsys.readouterr().err == (
        f"adc: {source}: at 0.200 s: cannot be decoded; the frame before stands in\n"
        f"adc: {source}: from 0.360 s to 0.400 s (2 frames): cannot be decoded; the frame before stands in\n"
    )
    assert len(read(tmp_path / "b.mp4")) == 20
    assert sound_of(tmp_path / "b.mp4") == sound_of(source)


def test_resume(tmp_path):
    source = write_clip(tmp_path / "a.mp4", 3)
    (tmp_path / "b.mp4").write_bytes(b"done")
    assert upscale_video(source, tmp_path / "b.mp4", twice, UpscaleOptions(resume=True)) == []
    assert (tmp_path / "b.mp4").read_bytes() == b"done"
    upscale_video(source, tmp_path / "b.mp4", twice, UpscaleOptions(resume=False))
    assert len(read(tmp_path / "b.mp4")) == 3


def test_folders_of_frames(tmp_path):
    for number in (1, 2, 10):
        write_image(tmp_path / f"in/{number}.png", still(number))
    upscale_video(tmp_path / "in", tmp_path / "out", twice)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1.png", "10.png", "2.png"]
    assert read_image(tmp_path / "out/10.png").shape == (96, 128, 3)
    upscale_video(tmp_path / "in", tmp_path / "out.mp4", twice, rate=10)
    assert [time for time, _ in read(tmp_path / "out.mp4")] == [0, Fraction(1, 10), Fraction(1, 5)]
    upscale_video(tmp_path / "out.mp4", tmp_path / "frames", twice, UpscaleOptions(format="jpg"))
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == [f"00000{n}.jpg" for n in (1, 2, 3)]


def test_memory_that_runs_out_is_asked_to_give_way(tmp_path):
    source = write_clip(tmp_path / "a.mp4", 3)

    class Greedy:
        given = 0

        def __call__(self, clip):
            if self.given < 2:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return twice(clip)

        def shrink_tiles(self):
            self.given += 1
            return True

    upscale_video(source, tmp_path / "b.mp4", Greedy())
    assert len(read(tmp_path / "b.mp4")) == 3
    Greedy.shrink_tiles = lambda self: False
    with pytest.raises(ValueError, match=r"a\.mp4: .* need more memory than there is; .*--tile"):
        upscale_video(source, tmp_path / "c.mp4", Greedy())

    def broken(clip):
        raise RuntimeError("shapes\nof many lines")

    with pytest.raises(ValueError, match=r"a\.mp4: the student failed on .* \(shapes\)"):
        upscale_video(source, tmp_path / "c.mp4", broken)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def test_what_is_no_video_leaves_nothing_behind(tmp_path):
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(BrokenVideoError, match=r"a\.mp4: not a video"):
        upscale_video(tmp_path / "a.mp4", tmp_path / "b.mp4", twice)
    with pytest.raises(FileNotFoundError, match=r"absent\.mp4: no such file"):
        upscale_video(tmp_path / "absent.mp4", tmp_path / "b.mp4", twice)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


MEASURE = """
import json, resource, sys
from pathlib import Path
import torch
import torch.nn.functional as F
from adc.inference.video import upscale_video
torch.set_num_threads(1)
upscale_video(Path(sys.argv[1]), Path(sys.argv[2]), lambda clip: F.interpolate(clip[0], scale_factor=2)[None])
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
"""


def peak(source, target):
    """Megabytes that a process needs at most."""
    told = subprocess.run(
        [sys.executable, "-c", MEASURE, str(source), str(target)], capture_output=True, text=True, check=True
    )
    return json.loads(told.stdout)


@pytest.mark.slow
def test_memory_does_not_grow_with_length(tmp_path):
    short, long = (write_clip(tmp_path / f"{number}.mp4", number, 320, 180) for number in (100, 400))
    needed = {path: peak(path, tmp_path / f"large_{path.name}") for path in (short, long)}
    frames_in_between = 300 * 4 * (3 * 320 * 180 + 3 * 640 * 360) / 2**20
    assert needed[long] - needed[short] < 0.1 * frames_in_between
    assert len(read(tmp_path / "large_400.mp4")) == 400


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "data/video/lq").is_dir(), reason="needs the shared clips")
def test_a_real_clip(tmp_path):
    source = SHARED / "data/video/lq/dove_demo_003.mp4"
    assert upscale_video(source, tmp_path / "b.mp4", twice) == []
    small, large = read(source), read(tmp_path / "b.mp4")
    assert [time for time, _ in small] == [time for time, _ in large]
    assert len(large) == 50
    assert all(
        (twice(a[None, None])[0, 0] - b).abs().mean() < 0.02 for (_, a), (_, b) in zip(small, large, strict=True)
    )
