import gc
import math
import resource
import signal
import struct
from fractions import Fraction

import numpy as np
import pytest
import torch

from adc.media.frame_folders import FrameFolder, FrameFolderWriter
from adc.media.images import read_image, write_image
from adc.media.names import is_video
from adc.media.video_color import BT601, Color, to_av_frame, turn
from adc.media.video_reader import BrokenVideoError, Frame, VideoReader
from adc.media.video_writer import VideoWriter

av = pytest.importorskip("av")
WIDTH, HEIGHT = 96, 64
IRREGULAR = [0, 1001, 1900, 4004, 4500, 6006, 9000, 9001, 12012, 13000, 15015, 18018]


def still(number, width=WIDTH, height=HEIGHT):
    """A pattern of its own for each number: smooth, so that it survives a codec."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    waves = [np.sin(x / (7 + channel) + y / 11 + 0.7 * number + channel) for channel in range(3)]
    return np.round((np.stack(waves, 2) * 0.4 + 0.5) * 255).astype(np.uint8)


def write_clip(path, starts=range(12), base=Fraction(1, 25), codec="libx264", layout="yuv420p", sound=False, **tags):
    """A clip, and beside it a sine of 440 Hz, as other programs write it."""
    options = tags.pop("options", {})
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=25, options=options)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, layout
        video.codec_context.time_base = video.time_base = base
        for name, value in tags.items():
            setattr(video.codec_context, name, value)
        audio = container.add_stream("aac", rate=48000) if sound else None
        if audio is not None:
            audio.metadata["language"] = "deu"
            container.metadata["title"] = "A sine"
        for number, start in enumerate(starts):
            picture = av.VideoFrame.from_ndarray(still(number), format="rgb24")
            picture.pts, picture.time_base = start, base
            container.mux(video.encode(picture))
        container.mux(video.encode())
        if audio is not None:
            _write_sine(container, audio)
    return path


def _write_sine(container, stream):
    for block in range(30):
        times = np.arange(1024) + block * 1024
        samples = (np.sin(times * 440 * 2 * math.pi / 48000) * 0.3).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(np.stack([samples, samples]), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = 48000, block * 1024
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def packets(path, kind):
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        return [(packet.pts, packet.dts, bytes(packet)) for packet in container.demux(stream) if packet.size]


def starts_of(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [packet.pts * stream.time_base for packet in container.demux(stream) if packet.size]


def rewrite(source, target, **options):
    with VideoReader(source) as reader, VideoWriter(target, reader, **options) as writer:
        for frame in reader.frames(writer.copy):
            writer.write(frame)
    return reader, writer


def spoil(path, number, share=3):
    """Overwrite the end of a packet with noise, in the file; when it would have been shown."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packet = [packet for packet in container.demux(stream) if packet.size][number]
        data, when = bytes(packet), float(packet.pts * stream.time_base)
    content = path.read_bytes()
    assert content.count(data) == 1
    kept = len(data) // share
    noise = np.random.default_rng(0).integers(0, 256, len(data) - kept, dtype=np.uint8).tobytes()
    path.write_bytes(content.replace(data, data[:kept] + noise))
    return when


def error_of(frame, number):
    pixels = frame.pixels if isinstance(frame, Frame) else frame
    expected = torch.from_numpy(still(number)).permute(2, 0, 1).float() / 127.5 - 1
    return (pixels - expected).abs().mean().item()


def test_a_clip_is_read_frame_by_frame(tmp_path):
    path = write_clip(tmp_path / "a.mp4", IRREGULAR, Fraction(1, 30000))
    with VideoReader(path) as reader:
        frames = list(reader.frames())
    assert reader.damage == []
    assert reader.time_base == Fraction(1, 30000)
    assert [frame.start for frame in frames] == IRREGULAR
    assert [frame.duration for frame in frames][:-1] == list(np.diff(IRREGULAR))
    assert frames[0].pixels.shape == (3, HEIGHT, WIDTH)
    assert max(error_of(frame, number) for number, frame in enumerate(frames)) < 0.04
    assert min(error_of(frame, number + 1) for number, frame in enumerate(frames)) > 0.2


def test_what_has_been_read_is_not_kept(tmp_path):
    path = write_clip(tmp_path / "a.mp4", range(40))
    gc.collect()
    gc.disable()
    try:
        with VideoReader(path) as reader:
            assert sum(1 for _ in reader.frames()) == 40
            held = sum(isinstance(found, av.VideoFrame) for found in gc.get_objects())
    finally:
        gc.enable()
    assert held <= 3


def test_sound_and_times_survive(tmp_path):
    source = write_clip(tmp_path / "a.mp4", IRREGULAR, Fraction(1, 30000), sound=True)
    reader, writer = rewrite(source, tmp_path / "b.mp4")
    assert reader.damage == []
    assert writer.left_out == []
    assert packets(tmp_path / "b.mp4", "audio") == packets(source, "audio")
    assert len(packets(source, "audio")) > 25
    assert sorted(starts_of(tmp_path / "b.mp4")) == [Fraction(start, 30000) for start in IRREGULAR]
    with VideoReader(tmp_path / "b.mp4") as again, VideoReader(source) as before:
        for one, other in zip(again.frames(), before.frames(), strict=True):
            assert (one.start, one.duration) == (other.start, other.duration)
            assert (one.pixels - other.pixels).abs().mean() < 0.04
        assert again.rate == before.rate
        assert again.container.metadata["title"] == "A sine"
        assert again.container.streams.audio[0].metadata["language"] == "deu"
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.mp4", "b.mp4"]


def test_sound_goes_into_another_container(tmp_path):
    source = write_clip(tmp_path / "a.mp4", IRREGULAR, Fraction(1, 1000), sound=True)
    rewrite(source, tmp_path / "b.mkv")
    assert [data for _, _, data in packets(tmp_path / "b.mkv", "audio")] == [
        data for _, _, data in packets(source, "audio")
    ]
    delay = starts_of(tmp_path / "b.mkv")[0]
    assert sorted(start - delay for start in starts_of(tmp_path / "b.mkv")) == [Fraction(n, 1000) for n in IRREGULAR]


def test_subtitles_survive(tmp_path):
    lines = "1\n00:00:00,000 --> 00:00:00,200\nOne.\n\n2\n00:00:00,240 --> 00:00:00,400\nTwo.\n\n"
    (tmp_path / "a.srt").write_text(lines)
    plain = write_clip(tmp_path / "plain.mkv")
    both = av.open(str(tmp_path / "a.mkv"), "w")
    with av.open(str(plain)) as video, av.open(str(tmp_path / "a.srt")) as text, both:
        copies = [both.add_stream_from_template(part.streams[0]) for part in (video, text)]
        for part, copy in zip((video, text), copies, strict=True):
            for packet in part.demux():
                if packet.size:
                    packet.stream = copy
                    both.mux(packet)
    rewrite(tmp_path / "a.mkv", tmp_path / "b.mkv")
    assert packets(tmp_path / "b.mkv", "subtitles") == packets(tmp_path / "a.mkv", "subtitles")
    assert [data for _, _, data in packets(tmp_path / "b.mkv", "subtitles")] == [b"One.", b"Two."]
    with pytest.raises(
        ValueError, match=r"b\.mp4: cannot hold the (srt|subrip) subtitles of .*a\.mkv; write an \.mkv file"
    ):
        rewrite(tmp_path / "a.mkv", tmp_path / "b.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mkv", "a.srt", "b.mkv", "plain.mkv"]


@pytest.mark.parametrize(
    "tags",
    [(1, 1, 1, 1), (6, 1, 6, 6), (5, 2, 5, 6), (9, 1, 9, 16), (9, 2, 9, 18), (2, 0, 2, 2)],
    ids=["709", "601-525", "601-625-full", "pq", "hlg-full", "untagged"],
)
def test_colors_and_their_tags_survive(tmp_path, tags):
    layout = "yuv420p10le" if tags[0] == 9 else "yuv420p"
    color = Color(*tags)
    flat = torch.tensor([0.6, -0.4, 0.1]).view(3, 1, 1).expand(3, HEIGHT, WIDTH)
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "2"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, layout
        context = stream.codec_context
        context.colorspace, context.color_range, context.color_primaries, context.color_trc = tags
        for number in range(3):
            picture = to_av_frame(flat, color, layout, deep=layout.endswith("10le"))
            picture.pts = number
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    reader, _ = rewrite(tmp_path / "a.mp4", tmp_path / "b.mp4", crf=2)
    assert reader.color == color
    with VideoReader(tmp_path / "b.mp4") as again:
        frame = next(again.frames())
        assert (again.color, again.deep) == (color, layout.endswith("10le"))
        assert again.layout.replace("yuvj", "yuv") == layout
    assert (frame.pixels - flat).abs().max() < 0.025


def test_matrix_and_range_are_those_of_the_standards():
    red = torch.tensor([1.0, -1.0, -1.0]).view(3, 1, 1).expand(3, 16, 16)
    expected = {(1, 1): (63, 102, 240), (1, 2): (54, 99, 255), (6, 1): (81, 90, 240), (9, 1): (74, 97, 240)}
    for (matrix, extent), values in expected.items():
        planes = to_av_frame(red, Color(matrix, extent), "yuv444p", deep=False).planes
        found = [int(np.frombuffer(plane, np.uint8)[0]) for plane in planes]
        assert max(abs(one - other) for one, other in zip(found, values, strict=True)) <= 1


def test_a_size_that_would_be_taken_for_hd_names_its_matrix():
    untagged, tagged = Color(), Color(matrix=1)
    assert untagged.upscaled((320, 180), (1280, 720)).matrix == BT601
    assert untagged.upscaled((320, 180), (640, 360)) == untagged
    assert untagged.upscaled((1280, 720), (2560, 1440)) == untagged
    assert tagged.upscaled((320, 180), (1280, 720)) == tagged


def with_matrix(path, a, b, c, d):
    """Write how the picture is to be turned into the header of its track."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 44
    assert struct.unpack(">9i", content[place : place + 36]) == (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    content[place : place + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("transform", "shown"),
    [
        ((0, 1, -1, 0), lambda pixels: np.rot90(pixels, -1)),
        ((0, -1, 1, 0), np.rot90),
        ((-1, 0, 0, -1), lambda pixels: np.rot90(pixels, 2)),
        ((-1, 0, 0, 1), np.fliplr),
        ((1, 0, 0, -1), np.flipud),
        ((0, 1, 1, 0), lambda pixels: pixels.swapaxes(0, 1)),
    ],
)
def test_a_turned_picture_is_upright(tmp_path, transform, shown):
    path = write_clip(tmp_path / "a.mp4", range(2), sample_aspect_ratio=Fraction(4, 3))
    with_matrix(path, *transform)
    expected = torch.from_numpy(shown(still(0)).copy()).permute(2, 0, 1).float() / 127.5 - 1
    reader, _ = rewrite(path, tmp_path / "b.mp4")
    with VideoReader(tmp_path / "b.mp4") as again:
        frame = next(again.frames())
        assert frame.pixels.shape == expected.shape
        assert (frame.pixels - expected).abs().mean() < 0.04
        assert again.pixel_aspect == (Fraction(3, 4) if transform[0] == 0 else Fraction(4, 3)) == reader.pixel_aspect


def test_turning_moves_the_corner():
    corner = np.zeros((2, 3, 3), np.uint8)
    corner[0, 0] = 1
    assert turn(corner, (0, 1, -1, 0))[0, 1].all()
    assert turn(corner, (1, 0, 0, 1)) is not None
    assert turn(corner, (0, 1, -1, 0)).shape == (3, 2, 3)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mkv", "mjpeg", {}),
        ("a.mkv", "ffv1", {"level": "3", "slicecrc": "1", "g": "1"}),
        ("a.mov", "prores_ks", {}),
        ("a.mp4", "libx264", {"g": "1"}),
        ("a.mp4", "libx264", {"g": "250"}),
    ],
    ids=["mjpeg", "ffv1", "prores", "h264-intra", "h264"],
)
def test_a_corrupt_frame_is_told_by_its_time(tmp_path, name, codec, options):
    layout = {"mjpeg": "yuvj420p", "prores_ks": "yuv422p10le"}.get(codec, "yuv420p")
    path = write_clip(tmp_path / name, range(20), codec=codec, layout=layout, options=options)
    when = spoil(path, 8, share=9)
    assert 0.2 < when < 0.6
    number = round(when * 25)
    with VideoReader(path) as reader:
        frames = list(reader.frames())
    assert [damage.place for damage in reader.damage] == [pytest.approx(when)]
    assert str(reader.damage[0]).startswith(f"at {when:.3f} s: ")
    assert [round(float(frame.start * reader.time_base) * 25) for frame in frames] == list(range(20))
    if codec != "libx264":
        assert reader.damage[0].cause.endswith("the frame before stands in")
        assert torch.equal(frames[number].pixels, frames[number - 1].pixels)
    if options.get("g") != "250":
        others = [error_of(frame, place) for place, frame in enumerate(frames) if place != number]
        assert max(others) < 0.05


def test_frames_that_rest_on_a_lost_one_are_lost(tmp_path):
    path = write_clip(tmp_path / "a.mkv", range(20), codec="ffv1", options={"level": "3", "slicecrc": "1", "g": "6"})
    assert spoil(path, 8) == 0.32
    with VideoReader(path) as reader:
        frames = list(reader.frames())
    assert [round(float(damage.place) * 25) for damage in reader.damage] == [8, 9, 10, 11]
    errors = [error_of(frame, number) for number, frame in enumerate(frames)]
    assert max(errors[:8] + errors[12:]) < 0.05
    assert all(torch.equal(frame.pixels, frames[7].pixels) for frame in frames[8:12])


def test_what_a_decoder_conceals_is_told(tmp_path):
    path = write_clip(tmp_path / "a.mp4", range(20), options={"g": "1"})
    with av.open(str(path)) as container:
        data = bytes([packet for packet in container.demux(video=0) if packet.size][8])
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 0x5A
    path.write_bytes(path.read_bytes().replace(data, bytes(flipped)))
    with VideoReader(path) as reader:
        frames = list(reader.frames())
    assert [str(damage) for damage in reader.damage] == ["at 0.320 s: damaged; what the decoder makes of it is kept"]
    assert len(frames) == 20


def test_the_first_frame_has_none_before_it(tmp_path):
    path = write_clip(tmp_path / "a.mp4", range(6), options={"g": "1"})
    spoil(path, 0)
    with VideoReader(path) as reader:
        frames = list(reader.frames())
    assert [str(damage) for damage in reader.damage] == ["at 0.000 s: cannot be decoded; left out"]
    assert [error_of(frame, number) < 0.05 for number, frame in enumerate(frames, start=1)] == [True] * 5


def test_a_file_that_ends_early(tmp_path):
    path = write_clip(tmp_path / "a.mp4", range(40), options={"movflags": "faststart"})
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(40):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(still(number), format="rgb24")))
        container.mux(stream.encode())
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    path.write_bytes(content[: len(content) * 2 // 3])
    with VideoReader(path) as reader:
        frames = list(reader.frames())
    assert 10 < len(frames) < 40
    assert any("of 40 frames" in damage.cause for damage in reader.damage)


def test_hidden_frames_are_not_missed(tmp_path):
    path = write_clip(tmp_path / "a.webm", range(10), Fraction(1, 25), codec="libvpx", options={"error-resilient": "1"})
    with av.open(str(path)) as container:
        data = bytes([packet for packet in container.demux(video=0) if packet.size][5])
    assert data[0] & 0x10
    path.write_bytes(path.read_bytes().replace(data, bytes([data[0] & ~0x10]) + data[1:]))
    with VideoReader(path) as reader:
        assert len(list(reader.frames())) == 9
    assert reader.damage == []


@pytest.mark.parametrize("name", ["a.webm", "a.mov", "a.mkv"])
def test_containers(tmp_path, name):
    source = write_clip(tmp_path / "source.mkv", range(8))
    rewrite(source, tmp_path / name)
    with VideoReader(tmp_path / name) as reader:
        frames = list(reader.frames())
        assert reader.rate == 25
    times = [float(frame.start * reader.time_base) for frame in frames]
    assert [time - times[0] for time in times] == pytest.approx([number / 25 for number in range(8)], abs=1e-3)
    assert max(error_of(frame, number) for number, frame in enumerate(frames)) < 0.06


def test_lossless(tmp_path):
    source = write_clip(tmp_path / "a.mkv", range(4))
    rewrite(source, tmp_path / "b.mkv", codec="ffv1", layout="bgr0")
    with VideoReader(source) as before, VideoReader(tmp_path / "b.mkv") as after:
        for one, other in zip(before.frames(), after.frames(), strict=True):
            assert (one.pixels - other.pixels).abs().max() < 1e-6


def test_odd_sides(tmp_path):
    with VideoWriter(tmp_path / "a.mp4") as writer:
        for number in range(3):
            writer.write(Frame(torch.zeros(3, 33, 51), number, 1))
    with VideoReader(tmp_path / "a.mp4") as reader:
        assert next(reader.frames()).pixels.shape == (3, 32, 50)
    with VideoWriter(tmp_path / "b.mp4", layout="yuv444p") as writer:
        writer.write(Frame(torch.zeros(3, 33, 51), 0, 1))
    with VideoReader(tmp_path / "b.mp4") as reader:
        assert next(reader.frames()).pixels.shape == (3, 33, 51)


def test_the_target_appears_whole_or_not_at_all(tmp_path):
    source = write_clip(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").write_bytes(b"before")
    reader = VideoReader(source)
    with pytest.raises(RuntimeError, match="stop"), VideoWriter(tmp_path / "b.mp4", reader) as writer:
        for number, frame in enumerate(reader.frames(writer.copy)):
            writer.write(frame)
            assert (tmp_path / "b.mp4").read_bytes() == b"before"
            if number == 5:
                raise RuntimeError("stop")
    assert (tmp_path / "b.mp4").read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def test_a_full_disk(tmp_path):
    source = write_clip(tmp_path / "a.mp4", range(40))
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as stop:
            rewrite(source, tmp_path / "b.mkv", crf=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert stop.value.filename == str(tmp_path / "b.mkv")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


BROKEN = {
    "empty.mp4": (b"", "not a video, or of an unknown format"),
    "text.mkv": (b"no video at all\n" * 100, "not a video, or of an unknown format"),
    "zeros.mp4": (bytes(5000), "not a video, or of an unknown format"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_video(tmp_path, name):
    content, message = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BrokenVideoError, match=message) as stop:
        VideoReader(tmp_path / name)
    assert name in str(stop.value)
    assert "\n" not in str(stop.value)


def test_other_files_that_are_no_video(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.mp4: no such file"):
        VideoReader(tmp_path / "absent.mp4")
    with pytest.raises(BrokenVideoError, match="is a folder"):
        VideoReader(tmp_path)
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        _write_sine(container, container.add_stream("aac", rate=48000))
    with pytest.raises(BrokenVideoError, match=r"sound\.mp4: there is no video in this file"):
        VideoReader(tmp_path / "sound.mp4")
    randint = write_clip(tmp_path / "a.mp4").read_bytes()
    (tmp_path / "half.mp4").write_bytes(randint[: len(randint) // 2])
    with pytest.raises(BrokenVideoError, match=r"half\.mp4"):
        VideoReader(tmp_path / "half.mp4")
    place = randint.index(b"mdat") + 4
    (tmp_path / "hollow.mp4").write_bytes(
        randint[:place] + bytes(randint.index(b"moov") - place) + randint[randint.index(b"moov") :]
    )
    with pytest.raises(BrokenVideoError, match=r"hollow\.mp4: not one frame"):
        list(VideoReader(tmp_path / "hollow.mp4").frames())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("b.xyz", {}, r"b.xyz: videos are written as \.mp4, \.mov, \.mkv, \.webm; .*ffmpeg -i b\.mkv b\.xyz"),
        ("b.mp4", {"codec": "libx999"}, "codec: FFmpeg has no encoder libx999"),
        ("b.mp4", {"codec": "aac"}, "codec: aac is no video encoder"),
        ("b.webm", {"codec": "libx264"}, "cannot hold libx264 video"),
        ("b.mkv", {"codec": "ffv1", "crf": 20}, "crf: ffv1 has no constant"),
        ("b.mp4", {"layout": "nonsense"}, "layout: libx264 has no pixel format nonsense"),
    ],
)
def test_requests_that_make_no_sense(tmp_path, name, options, message):
    source = write_clip(tmp_path / "a.mp4")
    with VideoReader(source) as reader, pytest.raises(ValueError, match=message):
        VideoWriter(tmp_path / name, reader, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_which_files_are_videos():
    assert is_video("a.MP4")
    assert is_video("b.mkv")
    assert not is_video("c.png")


def test_a_folder_of_frames(tmp_path):
    for number in (1, 2, 10):
        write_image(tmp_path / "in" / f"f{number}.png", still(number))
    folder = FrameFolder(tmp_path / "in", rate=10)
    frames = list(folder.frames())
    assert [file.name for file in folder.files] == ["f1.png", "f2.png", "f10.png"]
    assert [frame.start * folder.time_base for frame in frames] == [0, Fraction(1, 10), Fraction(1, 5)]
    assert error_of(frames[2], 10) < 1e-5
    writer = FrameFolderWriter(tmp_path / "out", ["x", "y", "z"])
    for frame in folder.frames():
        writer.write(frame)
    assert (read_image(tmp_path / "out/z.png") == still(10)).all()
    writer = FrameFolderWriter(tmp_path / "numbered", ending=".webp")
    for frame in folder.frames():
        writer.write(frame)
    assert sorted(path.name for path in (tmp_path / "numbered").iterdir()) == [f"00000{n}.webp" for n in (1, 2, 3)]


def test_a_broken_image_among_the_frames(tmp_path):
    for number in range(4):
        write_image(tmp_path / f"{number}.png", still(number))
    for number in (0, 2):
        (tmp_path / f"{number}.png").write_bytes((tmp_path / f"{number}.png").read_bytes()[:200])
    folder = FrameFolder(tmp_path)
    frames = list(folder.frames())
    assert [frame.start for frame in frames] == [1, 2, 3]
    assert torch.equal(frames[1].pixels, frames[0].pixels)
    assert [damage.place for damage in folder.damage] == ["0", "2"]
    assert folder.damage[0].cause.endswith("Left out.")
    assert folder.damage[1].cause.endswith("The frame before stands in.")


def test_folders_that_are_no_videos(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no image in this folder"):
        FrameFolder(tmp_path / "empty")
    write_image(tmp_path / "mixed/1.png", still(0))
    write_image(tmp_path / "mixed/2.png", still(0)[:32])
    with pytest.raises(ValueError, match=r"2\.png: 96x32 but 96x64"):
        list(FrameFolder(tmp_path / "mixed").frames())
    with pytest.raises(ValueError, match="rate: 0 frames per second"):
        FrameFolder(tmp_path / "mixed", rate=0)
    with pytest.raises(ValueError, match="is a file"):
        FrameFolderWriter(tmp_path / "mixed/1.png")
    with pytest.raises(ValueError, match="unknown image format"):
        FrameFolderWriter(tmp_path / "out", ending=".gif")
