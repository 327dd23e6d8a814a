"""Video files of unusual kinds: read whole, and written so that nothing is lost without a word."""

from fractions import Fraction

import av
import numpy as np
import pytest
from filming import film, picture

from adc.inference.video import upscale_video
from adc.media import video_reader
from adc.media.video_reader import BrokenVideoError, VideoReader
from adc.media.video_seek import VideoFile
from adc.media.video_writer import VideoWriter

RATE = Fraction(25)


def double(clip):
    return clip.repeat_interleave(2, -1).repeat_interleave(2, -2)


def pictures(count=20):
    return [picture(number) for number in range(count)]


def remux(source, target, change=lambda packet: packet, **options):
    """Copy the packets of a video into another container."""
    with av.open(str(source)) as before, av.open(str(target), "w", **options) as after:
        streams = {stream.index: after.add_stream_from_template(stream) for stream in before.streams}
        for packet in before.demux():
            if packet.size and (kept := change(packet)) is not None:
                kept.stream = streams[packet.stream.index]
                after.mux(kept)
    return target


def times(path):
    with VideoReader(path) as reader:
        return [float(frame.start * reader.time_base) for frame in reader.frames()]


@pytest.fixture
def clip(tmp_path):
    return film(tmp_path / "clip.mp4", pictures())


def with_sound(path, seconds=0.8):
    """A video whose sound begins with it."""
    with av.open(str(path), "w") as file:
        video, sound = file.add_stream("libx264", rate=RATE), file.add_stream("aac", rate=48000)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        for number, pixels in enumerate(pictures(int(seconds * 25))):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, 1 / RATE
            file.mux(video.encode(frame))
        for number in range(int(seconds * 48000 / 1024)):
            wave = np.sin(np.arange(1024) / 20).astype(np.float32)[None]
            frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            frame.pts, frame.sample_rate, frame.time_base = 1024 * number, 48000, Fraction(1, 48000)
            file.mux(sound.encode(frame))
        file.mux(video.encode())
        file.mux(sound.encode())
    return path


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_a_file_that_begins_late_begins_at_zero(tmp_path, ending):
    source = with_sound(tmp_path / "clip.mp4")
    late = remux(source, tmp_path / "late.ts", options={"output_ts_offset": "50000"})
    with av.open(str(late)) as file:
        assert file.start_time > 49_000_000_000
        before = {stream.type: float(stream.start_time * stream.time_base) for stream in file.streams}
    upscale_video(late, tmp_path / f"large{ending}", double)
    with av.open(str(tmp_path / f"large{ending}")) as file:
        after = {stream.type: float((stream.start_time or 0) * stream.time_base) for stream in file.streams}
        assert file.duration / 1e6 == pytest.approx(0.84, abs=0.08)
    assert all(0 <= begin < 0.1 for begin in after.values())
    assert after["video"] - after["audio"] == pytest.approx(before["video"] - before["audio"], abs=0.003)


@pytest.mark.parametrize("ending", [".avi", ".ts", ".ogv", ".wmv", ".mp44"])
def test_other_endings_are_not_written(tmp_path, ending):
    says = rf"x\{ending}: videos are written as \.mp4, \.mov, \.mkv, \.webm; .* ffmpeg -i x\.mkv x\{ending}"
    with pytest.raises(ValueError, match=says):
        VideoWriter(tmp_path / f"x{ending}", rate=RATE)
    assert list(tmp_path.iterdir()) == []


def test_avi_counts_frames_that_are_no_packets(tmp_path, clip):
    """An AVI header counts dropped frames too; here every fifth one is dropped."""
    gaps = remux(
        film(tmp_path / "all.avi", pictures(), codec="mpeg4", bf=0),
        tmp_path / "gaps.avi",
        lambda packet: None if packet.pts % 5 == 4 else packet,
    )
    with VideoReader(gaps) as reader:
        count = sum(1 for _ in reader.frames())
        assert reader.damage == [] and reader.count > count
    assert len(VideoFile(gaps, "gaps")) == count


def test_a_truncated_mp4_is_damaged_still(tmp_path, clip):
    content = film(tmp_path / "c.mp4", pictures(), movflags="faststart").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) * 2 // 3])
    try:
        with VideoReader(tmp_path / "cut.mp4") as reader:
            list(reader.frames())
            assert reader.damage
    except BrokenVideoError:
        pass  # the header stands at the end


def test_names_with_a_colon(tmp_path, clip, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clip.rename(tmp_path / "Movie: the sequel.mp4")
    from pathlib import Path

    upscale_video(Path("Movie: the sequel.mp4"), Path("12:31.mkv"), double)
    assert len(times(Path("12:31.mkv"))) == 20


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_a_recording_that_begins_inside_a_group_of_pictures(tmp_path, codec):
    options = {} if codec == "mpeg2video" else {"x264_params": "open-gop=1:scenecut=0"}
    whole = film(tmp_path / "whole.ts", pictures(32), codec=codec, g=8, bf=2, **options)
    seen = []

    def later(packet):
        seen.append(packet)
        return packet if len(seen) > 4 else None

    cut = remux(whole, tmp_path / "cut.ts", later)
    with VideoReader(cut) as reader:
        found = [frame.pixels for frame in reader.frames()]
        assert reader.damage == []
    assert 20 <= len(found) <= 25
    assert min(float(pixels.std()) for pixels in found) > 0.1  # none of them is grey
    assert len(VideoFile(cut, "cut")) == len(found)


@pytest.mark.parametrize(("codec", "layout"), [("ffv1", "bgr0"), ("png", "rgb24"), ("qtrle", "argb")])
@pytest.mark.parametrize("ending", [".mp4", ".webm"])
def test_rgb_becomes_tagged_video(tmp_path, codec, layout, ending):
    source = tmp_path / ("source.mkv" if codec == "ffv1" else "source.mov")
    still = np.full((64, 96, 3), (224, 48, 32), np.uint8)
    film(source, [still] * 3, codec=codec, layout=layout)
    upscale_video(source, tmp_path / f"large{ending}", double)
    with VideoReader(tmp_path / f"large{ending}") as reader:
        assert (reader.color.matrix, reader.color.extent) == (1, 1)
        pixels = (next(iter(reader.frames())).pixels + 1) * 127.5
    assert abs(pixels.mean((1, 2)).numpy() - (224, 48, 32)).max() < 3


def test_what_pixels_lose_is_told(tmp_path):
    film(tmp_path / "alpha.mov", pictures(3), codec="qtrle", layout="argb")
    film(tmp_path / "deep.mkv", pictures(3), codec="ffv1", layout="yuv420p10le")
    film(tmp_path / "plain.mkv", pictures(3), codec="ffv1", layout="yuv420p")
    says = {}
    for name, codec in (("alpha.mov", None), ("deep.mkv", "libvpx-vp9"), ("plain.mkv", None)):
        with VideoReader(tmp_path / name) as reader, VideoWriter(tmp_path / "x.webm", reader, codec=codec) as writer:
            says[name] = list(writer.left_out)
            for frame in reader.frames():
                writer.write(frame)
    assert says["alpha.mov"] == ["transparency is left out"]
    assert says["plain.mkv"] == []
    offered = [found.name for found in av.Codec("libvpx-vp9", "w").video_formats]
    assert bool(says["deep.mkv"]) != ("yuv420p10le" in offered)


def test_ten_bits_into_webm(tmp_path):
    film(tmp_path / "deep.mkv", pictures(3), codec="ffv1", layout="yuv420p10le")
    upscale_video(tmp_path / "deep.mkv", tmp_path / "large.webm", double)
    with VideoReader(tmp_path / "large.webm") as reader:
        assert reader.deep and len(list(reader.frames())) == 3


@pytest.mark.parametrize(("codec", "crf"), [("libx264", 99), ("libx265", -1), ("libvpx-vp9", 64)])
def test_a_rate_factor_out_of_range(tmp_path, codec, crf):
    with pytest.raises(ValueError, match=rf"crf: {crf}; {codec} takes 0 to (51|63)\."):
        VideoWriter(tmp_path / "x.mkv", rate=RATE, codec=codec, crf=crf)


def test_frames_that_do_not_fit_into_memory_are_refused(clip, monkeypatch):
    needed = 96 * 64 * video_reader.BYTES_PER_PIXEL
    monkeypatch.setattr(video_reader, "available_memory", lambda: needed)
    VideoReader(clip).container.close()
    monkeypatch.setattr(video_reader, "available_memory", lambda: needed - 1)
    with pytest.raises(BrokenVideoError, match=r"clip\.mp4: its header claims frames of 96x64 pixels"):
        VideoReader(clip)


def test_what_an_encoder_refuses_is_known_before_the_first_frame(tmp_path):
    with (
        pytest.raises(ValueError, match=r"x\.mp4: libx264 cannot begin with 20000x18000 pixels \(.+\)\."),
        VideoWriter(tmp_path / "x.mp4", rate=RATE) as writer,
    ):
        writer.begin(18000, 20000)
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_was_only_opened_leaves_nothing(tmp_path):
    with VideoWriter(tmp_path / "x.mp4", rate=RATE) as writer:
        writer.begin(64, 96)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_upscaled_for_an_encoder_that_refuses(tmp_path):
    from adc_tiny import TinyStudent

    import adc
    from adc.pruning import save_student

    clip = film(tmp_path / "clip.mp4", [picture(number, 480, 320) for number in range(2)])
    save_student(TinyStudent(), tmp_path / "student")
    upscaler = adc.load(tmp_path / "student", scale=64)
    upscaler.restore = None  # which would be called for a frame
    with pytest.raises(ValueError, match=r"cannot begin with 30720x20480 pixels"):
        upscaler.video(clip, tmp_path / "large.mp4")
