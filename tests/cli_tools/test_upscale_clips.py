"""`adc upscale` on videos and folders of frames: what becomes of what, once and once more."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from filming import film, frames_of, picture
from PIL import Image

from adc.cli import main
from adc.errors import UsageError
from adc.files import scratch_beside
from adc.inference.jobs import plan
from adc.inference.upscaler import load
from adc.interfaces import Restorer
from adc.media.image_files import decode_image, image_writer
from adc.media.images import read_image, to_bytes, write_image
from adc.media.video_reader import VideoReader
from adc.media.video_source import list_video_sources

av = pytest.importorskip("av")
PICTURES = [picture(number, 32, 24) for number in range(8)]


class Double(Restorer):
    """Each pixel two times two; with `mixes` each frame is the mean of it and its neighbours."""

    scale = 2

    def __init__(self, mixes=False):
        super().__init__()
        self.mixes, self.shown = mixes, []

    def restore(self, lr, generator=None):
        self.shown.append(lr.shape[1])
        if self.mixes:
            count = lr.shape[1]
            beside = [[n for n in (place - 1, place, place + 1) if 0 <= n < count] for place in range(count)]
            lr = lr[:, [near[0] for near in beside]] / 2 + lr[:, [near[-1] for near in beside]] / 2
        return lr.repeat_interleave(2, -1).repeat_interleave(2, -2)


@pytest.fixture
def student(tmp_path, monkeypatch):
    """The student that is loaded; paths are relative to a new folder."""
    restorer = Double()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("adc.pruning.load_student", lambda folder: restorer)
    return restorer


def upscale(*words):
    with pytest.raises(SystemExit) as stop:
        main(["upscale", "--device", "cpu", *map(str, words), "--student", "student"])
    return stop.value.code or 0


def tree(folder="."):
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def double(pixels):
    return pixels.repeat(2, 0).repeat(2, 1)


def read(path):
    with VideoReader(path) as reader:
        return [to_bytes(frame.pixels) for frame in reader.frames()]


def clip(name="clip.mkv", pictures=PICTURES):
    """A lossless video of pictures."""
    return film(Path(name), pictures, "ffv1", "bgr0")


NUMBERED = [f"{number:06d}.png" for number in range(1, 9)]


@pytest.mark.parametrize(
    ("output", "results"),
    [("out", [f"out/{name}" for name in NUMBERED]), ("out/", ["out/clip.mkv"]), ("out.mp4", ["out.mp4"])],
)
def test_the_same_command_makes_the_same_twice(student, output, results):
    clip()
    for _ in range(2):
        assert upscale("clip.mkv", "-o", output) == 0
        assert tree() == sorted(["clip.mkv", *results])


def test_an_empty_folder_is_for_frames_and_one_with_other_files_is_not(student, capsys):
    clip()
    Path("out").mkdir()
    assert upscale("clip.mkv", "-o", "out") == 0
    assert tree("out") == NUMBERED
    Path("out/other.mp4").write_bytes(b"a video")
    assert upscale("clip.mkv", "-o", "out") == 2
    assert "out: holds other files than frames (other.mp4); end it with / for out/clip.mkv" in capsys.readouterr().err


def test_frames_of_a_longer_video_are_told(student, capsys):
    clip()
    clip("short.mkv", PICTURES[:3])
    assert upscale("clip.mkv", "-o", "out") == 0
    assert upscale("short.mkv", "-o", "out") == 0
    assert "adc: out: holds more images than this video has frames; those after 000003 are" in capsys.readouterr().err


def test_the_library_has_the_same_rule(student):
    clip()
    upscaler = load("student", device="cpu")
    with pytest.raises(UsageError, match=r"^output out\.gif: videos are written as"):
        upscaler.video("clip.mkv", "out.gif")
    for target, result in (("out", "out"), ("deep/", "deep/clip.mkv"), ("x.mkv", "x.mkv")):
        assert upscaler.video("clip.mkv", target) == Path(result)
    assert tree() == sorted(["clip.mkv", "deep/clip.mkv", "x.mkv", *(f"out/{name}" for name in NUMBERED)])


def test_folders_of_frames_that_are_named_like_videos(student, capsys):
    for name in ("a.mp4", "b"):
        frames_of(Path("in", name), PICTURES[:1])
    assert upscale("in", "-o", "out", "--frames") == 2
    assert "in/a.mp4: a folder of frames that is named like a video; rename it." in capsys.readouterr().err


@pytest.mark.parametrize("mixes", [False, True])
@pytest.mark.parametrize("of_folder", [False, True])
def test_resume_makes_the_frames_that_are_missing(student, capsys, mixes, of_folder):
    student.mixes = mixes
    given = ["in", "--frames"] if of_folder else ["clip.mkv"]
    frames_of(Path("in"), PICTURES) if of_folder else clip()
    assert upscale(*given, "-o", "out") == 0
    whole = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    assert len(whole) == 8
    names = sorted(whole)
    Path("out", names[7]).unlink()
    Path("out", names[4]).unlink()
    Path("out", names[0]).write_bytes(b"kept")
    capsys.readouterr()
    assert upscale(*given, "-o", "out", "--resume") == 0
    told = capsys.readouterr()
    assert "adc: out: 6 of 8 frames were there already" in told.err
    assert "1 video enlarged" in told.out
    assert Path("out", names[0]).read_bytes() == b"kept"
    assert {name: Path("out", name).read_bytes() for name in names[1:]} == {name: whole[name] for name in names[1:]}
    assert upscale(*given, "-o", "out", "--resume") == 0
    told = capsys.readouterr().out
    assert "1 of 1 was there already" in told and "enlarged" not in told


def test_a_video_that_is_there_is_told(student, capsys):
    clip()
    for _ in range(2):
        assert upscale("clip.mkv", "-o", "out.mkv", "--resume") == 0
    last = capsys.readouterr().out.splitlines()[1:]
    assert last == ["1 of 1 was there already"]


@pytest.mark.parametrize(
    "name", ["out.gif", "out.png", "out.mp44", "out.ts", "out.avi", "out.wmv", "out.ogv", "out.m4v", "OUT.GIF"]
)
@pytest.mark.parametrize("of_folder", [False, True])
def test_a_wrong_ending_is_refused(student, capsys, name, of_folder):
    given = ["in", "--frames"] if of_folder else ["clip.mkv"]
    frames_of(Path("in"), PICTURES[:1]) if of_folder else clip()
    before = tree()
    assert upscale(*given, "-o", name) == 2
    told = capsys.readouterr().err
    assert f"--output {name}: videos are written as .mp4, .mov, .mkv, .webm, or as a folder" in told
    assert f"`ffmpeg -i {Path(name).stem}.mkv {name}`" in told
    assert told.count("\n") == 1
    assert tree() == before and not Path(name).exists()


def test_videos_of_a_folder(student, capsys):
    """Those that are not written as what they are become .mkv."""
    clip("in/a.mkv")
    film(Path("in/deep/b.ts"), PICTURES, "mpeg2video")
    film(Path("in/c.avi"), PICTURES, "mpeg4")
    write_image("in/photo.png", PICTURES[0])
    for _ in range(2):
        assert upscale("in", "-o", "out") == 0
        assert tree("out") == ["a.mkv", "c.mkv", "deep/b.mkv", "photo.png"]
    assert "4 files enlarged" in capsys.readouterr().out
    assert upscale("in/c.avi", "-o", "one/") == 0
    assert tree("one") == ["c.mkv"]
    assert upscale("in", "-o", "out.mp4") == 2
    assert "in is a folder, so this must be a folder too" in capsys.readouterr().err


def test_folders_of_frames_are_clips_of_their_own(student):
    """As in Vid4 and REDS; a student that mixes frames never sees two of them together."""
    student.mixes = True
    shades = {"val/a": 10, "val/b": 200, "c": 90}
    for name, shade in shades.items():
        frames_of(Path("in", name), [np.full((24, 32, 3), shade, np.uint8)] * 3)
    for _ in range(2):  # results inside the input are no inputs
        assert upscale("in", "-o", "in/out", "--frames") == 0
        assert tree("in/out") == [f"{name}/{n}.png" for name in sorted(shades) for n in (1, 2, 3)]
    for name, shade in shades.items():
        for path in Path("in/out", name).iterdir():
            assert (read_image(path) == shade).all()
    assert upscale("in", "-o", "out.mp4", "--frames") == 2


def test_frames_beside_folders_of_frames(student, capsys):
    frames_of(Path("in"), PICTURES[:2])
    frames_of(Path("in/deep"), PICTURES[2:4])
    jobs = plan("in", "out", frames=True)
    assert [(job.source.as_posix(), job.target.as_posix()) for job in jobs] == [("in", "out"), ("in/deep", "out/deep")]
    assert upscale("in", "-o", "out.mkv", "--frames") == 0
    assert "in: 2 other files left out (.png)" in capsys.readouterr().err
    assert len(read("out.mkv")) == 2


def test_two_frames_of_one_name(student, capsys):
    write_image("in/1.png", PICTURES[0])
    write_image("in/1.jpg", PICTURES[1])
    assert upscale("in", "-o", "out", "--frames") == 3
    told = capsys.readouterr().err
    assert "in/1.png: in/1.jpg has the same name" in told
    assert not Path("out").exists()


@pytest.mark.parametrize("output", ["out", "out.mp4"])
def test_what_has_no_frame_leaves_nothing_behind(student, capsys, output):
    source = film(Path("a.mp4"), PICTURES)
    with av.open(str(source)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    content = source.read_bytes()
    for data in packets:
        content = content.replace(data, bytes(len(data)))
    source.write_bytes(content)
    assert upscale("a.mp4", "-o", output) == 3
    assert "not one frame of this video can be read" in capsys.readouterr().err
    assert tree() == ["a.mp4"] and not Path(output).exists()


@pytest.mark.parametrize("output", ["out", "out.mp4"])
def test_sizes_are_compared_before_the_first_frame(student, capsys, output):
    frames_of(Path("in"), PICTURES)
    write_image("in/thumb.jpg", PICTURES[0][:10])
    assert upscale("in", "-o", output, "--frames") == 3
    assert "in/thumb.jpg: 32x10 but 32x24 pixels before" in capsys.readouterr().err
    assert student.shown == [] and not Path(output).exists()


def test_turned_frames_are_of_the_size_that_is_seen(student):
    frames_of(Path("in"), PICTURES[:1])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PICTURES[1].swapaxes(0, 1)).save("in/2.jpg", exif=exif)
    assert upscale("in", "-o", "out", "--frames") == 0
    assert read_image("out/2.png").shape == (48, 64, 3)


ENDINGS = {
    "vob": "mpeg2video", "asf": "mpeg4", "y4m": "wrapped_avframe", "m2v": "mpeg2video", "h264": "libx264",
    "hevc": "libx265", "nut": "libx264", "3g2": "libx264", "f4v": "libx264", "mjpeg": "mjpeg", "ivf": "libvpx-vp9",
    "rm": "rv10", "m2t": "mpeg2video", "wtv": "mpeg2video", "gif": "gif", "apng": "apng",
}  # fmt: skip
LAYOUTS = {"gif": "rgb8", "apng": "rgb24", "mjpeg": "yuvj420p"}


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_read_is_an_input(student, ending):
    """The list of endings is one for all commands."""
    if ENDINGS[ending] not in av.codecs_available:
        pytest.skip(f"this build of FFmpeg has no {ENDINGS[ending]}")
    options = {"x265_params": "log-level=none"} if ending == "hevc" else {}
    pictures = [picture(4 * number) for number in range(8)]
    source = film(Path(f"in/a.{ending}"), pictures, ENDINGS[ending], LAYOUTS.get(ending, "yuv420p"), **options)
    assert upscale(source, "-o", "out.mkv", "--codec", "ffv1") == 0
    found = read("out.mkv")
    assert len(found) == 8
    for number, frame in enumerate(found):
        off = [np.abs(frame.astype(int) - double(other)).mean() for other in pictures]
        assert np.argmin(off) == number and off[number] < 20
    if ending not in LAYOUTS or ending == "mjpeg":
        assert [len(video.read([0, 7])) for video in list_video_sources("in")] == [2]


@pytest.mark.parametrize(
    ("source", "target", "status", "message"),
    [
        ("a.png", "x.mp4", 2, "--output x.mp4: a.png is an image, no video"),
        ("notes.xyz", "x.mp4", 3, "notes.xyz: not a video, or of an unknown format"),
        ("clip.mkv", "a.png", 2, "--output a.png: videos are written as"),
        ("a.png", "x.xyz", 2, "--output x.xyz: unknown image format"),
    ],
)
def test_the_file_at_fault_is_named(student, capsys, source, target, status, message):
    clip()
    write_image("a.png", PICTURES[0])
    Path("notes.xyz").write_text("nothing")
    assert upscale(source, "-o", target) == status
    assert message in capsys.readouterr().err


def deep_frames(folder, count=3):
    """Frames of 16 bits, whose values no 8 bits hold."""
    found = []
    for number in range(1, count + 1):
        pixels = np.random.default_rng(number).integers(0, 2**16, (24, 32, 3), dtype=np.uint16)
        with image_writer(Path(folder, f"{number}.png"), (32, 24), 3, depth=16) as writer:
            writer.write(pixels)
        found.append(pixels)
    return found


def test_sixteen_bits_of_frames(student, capsys):
    given = deep_frames("in")
    assert upscale("in", "-o", "out", "--frames", "--depth", 16) == 0
    for number, pixels in enumerate(given, start=1):
        found = decode_image(Path(f"out/{number}.png")).pixels
        assert found.dtype == np.uint16
        assert np.abs(found.astype(int) - double(pixels)).max() <= 1
    assert upscale("in", "-o", "plain", "--frames") == 0
    assert decode_image(Path("plain/1.png")).pixels.dtype == np.uint8
    assert upscale("in", "-o", "out.mkv", "--frames", "--depth", 16, "--codec", "ffv1") == 0
    with VideoReader("out.mkv") as reader:
        assert reader.layout == "yuv444p16le"
    assert upscale("in", "-o", "out.webm", "--frames", "--depth", 16, "--codec", "libvpx") == 3
    assert "libvpx has eight bits per channel; leave 16 out" in capsys.readouterr().err
    assert not Path("out.webm").exists()


def test_sixteen_bits_of_a_deep_video(student):
    pictures = [np.broadcast_to(np.linspace(0, 255, 32).astype(np.uint8)[None, :, None], (24, 32, 3))] * 3
    film(Path("deep.mov"), pictures, "prores_ks", "yuv422p10le")
    assert upscale("deep.mov", "-o", "out", "--depth", 16) == 0
    found = decode_image(Path("out/000002.png")).pixels
    assert found.dtype == np.uint16
    assert (found % 257 != 0).any()  # no eight bits, spread over sixteen
    film(Path("plain.mkv"), pictures)
    assert upscale("plain.mkv", "-o", "deep.mkv", "--depth", 16) == 0
    with VideoReader("deep.mkv") as reader:
        assert reader.layout == "yuv420p10le"


def test_transparency_and_metadata_of_frames(student, capsys):
    alpha = np.full((24, 32), 255, np.uint8)
    alpha[:12] = 0
    Path("in").mkdir()
    for number in (1, 2):
        Image.fromarray(np.dstack([PICTURES[number], alpha])).save(f"in/{number}.png", dpi=(300, 300))
    Image.fromarray(PICTURES[3][..., 0]).save("in/3.png", dpi=(300, 300))
    assert upscale("in", "-o", "out", "--frames") == 0
    found = decode_image(Path("out/1.png"))
    assert found.alpha is not None and (found.alpha[2:20] == 0).all() and (found.alpha[28:] == 255).all()
    assert found.metadata.dpi == pytest.approx((300, 300), abs=0.1)
    np.testing.assert_array_equal(found.pixels[28:], double(PICTURES[1])[28:])
    gray = decode_image(Path("out/3.png"))
    assert gray.gray and gray.alpha is None
    assert capsys.readouterr().err == ""
    for output, more in (("jpg", ["--format", "jpg"]), ("out.mkv", ["--codec", "ffv1"])):
        assert upscale("in", "-o", output, "--frames", *more) == 0
        assert "adc: in: what is transparent is laid over white (2 frames)" in capsys.readouterr().err
    assert (read("out.mkv")[0][2:20] > 250).all()


def test_chunks_end_at_cuts_for_students_that_mix_frames(student):
    """Two shots that stand still: a student that averages over time leaves them as they are."""
    shots = [np.full((24, 32, 3), shade, np.uint8) for shade in (30, 220)]
    clip(pictures=[shots[0]] * 6 + [shots[1]] * 5)
    assert upscale("clip.mkv", "-o", "alone") == 0
    alone = student.shown[2:]
    student.mixes, student.shown = True, []
    assert upscale("clip.mkv", "-o", "mixed") == 0
    assert alone == [11] and student.shown[2:] == [6, 5]
    for number in range(1, 12):
        assert (read_image(f"mixed/{number:06d}.png") == (30 if number <= 6 else 220)).all()


def signalled(student, monkeypatch, number, output):
    """The status of a run that gets a signal between two chunks of a video."""
    student.mixes, restore = True, student.restore

    def interrupted(clip):
        if len(student.shown) == 4:
            assert len(list(Path("out").iterdir())) == (1 if output == "out/b.mp4" else 32)
            signal.raise_signal(number)
        return restore(clip)

    monkeypatch.setattr(student, "restore", interrupted)
    clip(pictures=PICTURES[:2] * 30)
    return upscale("clip.mkv", "-o", output)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
@pytest.mark.parametrize("output", ["out/b.mp4", "out"])
def test_a_signal_leaves_nothing_half_written(student, monkeypatch, capsys, number, status, output):
    assert signalled(student, monkeypatch, number, output) == status
    assert capsys.readouterr().err.count("\n") == 1
    left = tree("out")
    assert left == ([] if output == "out/b.mp4" else [f"{number:06d}.png" for number in range(1, len(left) + 1)])
    for name in left:
        assert read_image(f"out/{name}").shape == (48, 64, 3)


def test_a_signal_ends_the_videos_of_several_devices(student, monkeypatch):
    student.mixes, restore = True, student.restore
    once = iter([signal.SIGTERM])

    def interrupted(clip):
        if len(student.shown) >= 6:
            for number in once:
                os.kill(os.getpid(), number)
            time.sleep(0.1)
        return restore(clip)

    monkeypatch.setattr(student, "restore", interrupted)
    for name in ("a", "b"):
        clip(f"in/{name}.mkv", PICTURES[:2] * 60)
    assert upscale("in", "-o", "out", "--device", "cpu,cpu") == 143
    assert tree("out") == [] and len(student.shown) < 60


def test_a_hangup_that_is_ignored_stays_so(student, monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        assert signalled(student, monkeypatch, signal.SIGHUP, "out/b.mp4") == 0
    finally:
        signal.signal(signal.SIGHUP, before)
    assert len(read("out/b.mp4")) == 60


def test_a_gap_in_the_numbers_of_frames_is_told(student, capsys):
    frames_of(Path("in"), PICTURES[:4])
    Path("in/3.png").unlink()
    for target in ("out", "out.mkv"):
        assert upscale("in", "--frames", "-o", target) == 0
        told = capsys.readouterr().err
        assert told == "adc: in: there is no frame between 2 and 4; those around a gap follow each other\n"
    assert tree("out") == ["1.png", "2.png", "4.png"]


def test_bits_that_a_result_lacks_are_told(student, capsys):
    Path("in").mkdir()
    for number in range(2):
        with image_writer(Path(f"in/{number}.png"), (32, 24), 3, depth=16) as writer:
            writer.write(PICTURES[number].astype(np.uint16) * 257 + 5)
    loss = "more than eight bits become eight; --depth 16 keeps them"
    for words in (["in", "--frames", "-o", "out.mkv"], ["in", "--frames", "-o", "out"], ["in", "-o", "images"]):
        assert upscale(*words) == 0
        assert loss in capsys.readouterr().err
        assert upscale(*words, "--depth", 16) == 0
        assert loss not in capsys.readouterr().err


def test_frames_of_a_killed_run_are_swept(student, monkeypatch):
    frames_of(Path("in"), PICTURES[:3])
    assert upscale("in", "--frames", "-o", "out") == 0
    left = scratch_beside(Path("out/2.png"))
    left.touch()
    Path("out/2.png").unlink()
    monkeypatch.setattr("adc.files._runs", lambda process: False)
    assert upscale("in", "--frames", "-o", "out", "--resume") == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["1.png", "2.png", "3.png"]
