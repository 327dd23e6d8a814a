"""What a written video takes over from its source, and that the rest is told in one line each."""

import errno
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from filming import film, picture

from adc import files
from adc.errors import describe
from adc.files import check_room, replacing, scratch_beside, sweep
from adc.inference.options import UpscaleOptions
from adc.inference.room import check_room_for
from adc.inference.video import upscale_video
from adc.media.frame_folders import FrameFolder
from adc.media.video_reader import VideoReader
from adc.media.video_writer import VideoWriter
from adc.progress import visible


def double(clip):
    return clip.repeat_interleave(2, -1).repeat_interleave(2, -2)


def with_companions(path, *codecs, options=None, metadata=None, chapters=None, images=4):
    """A video with a second of silence by each of some encoders, or one line of subtitles."""
    plain = film(path.with_name("plain.mp4"), [picture(number) for number in range(images)])
    with av.open(str(plain)) as before, av.open(str(path), "w", container_options=options or {}) as file:
        copies = [file.add_stream_from_template(before.streams.video[0])]
        file.metadata.update(metadata or {})
        if chapters:
            file.set_chapters(chapters)
        for codec in codecs:
            stream = file.add_stream(codec, rate=8000)
            stream.layout = "mono"
            copies.append(stream)
        for packet in before.demux(video=0):
            if packet.size:
                packet.stream = copies[0]
                file.mux(packet)
        for stream in copies[1:]:
            resampler = av.AudioResampler(stream.format.name, "mono", 8000)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1600), np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts = 8000, 0
            for part in resampler.resample(frame):
                file.mux(stream.encode(part))
            file.mux(stream.encode(None))
    plain.unlink()
    return path


def notes(source, target, capsys, **options):
    with visible():
        upscale_video(source, target, double, **options)
    return [line.partition(f"{source}: ")[2] for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize(
    ("source", "codec", "target", "says"),
    [
        (
            "a.mov",
            "pcm_mulaw",
            "x.mkv",
            r"cannot hold the pcm_mulaw sound of .*a\.mov; write a \.mov file, or leave it",
        ),
        ("a.mkv", "flac", "x.mov", r"cannot hold the flac sound of .*a\.mkv; write an \.mkv file, or leave it out"),
        ("a.mkv", "aac", "x.webm", r"cannot hold the aac sound of .*; write an \.mkv file, .* out: --drop-streams\."),
    ],
)
def test_sound_that_does_not_fit_is_refused_or_dropped(tmp_path, capsys, source, codec, target, says):
    source = with_companions(tmp_path / source, codec)
    with pytest.raises(ValueError, match=says):
        upscale_video(source, tmp_path / target, None)  # before a frame
    assert [path.name for path in tmp_path.iterdir()] == [source.name]
    (line,) = notes(source, tmp_path / target, capsys, drop_streams=True)
    assert line == f"left out, as {target[1:]} cannot hold it: {codec} sound"
    with av.open(str(tmp_path / target)) as file:
        assert [stream.type for stream in file.streams] == ["video"]


def test_sound_that_no_container_holds(tmp_path, monkeypatch):
    source = with_companions(tmp_path / "a.mkv", "aac", "flac")
    monkeypatch.setattr("adc.media.companions.holds", lambda ending, streams: False)
    with pytest.raises(ValueError, match=r"the aac sound and flac sound of .*a\.mkv; leave them out: --drop-streams\."):
        upscale_video(source, tmp_path / "x.mkv", double)


def test_what_fits_is_kept_beside_what_is_dropped(tmp_path, capsys):
    source = with_companions(tmp_path / "a.mkv", "flac", "aac")
    (line,) = notes(source, tmp_path / "x.mov", capsys, drop_streams=True)
    assert "flac sound" in line
    with av.open(str(tmp_path / "x.mov")) as file:
        assert [stream.codec_context.name for stream in file.streams.audio] == ["aac"]


def test_metadata_of_quicktime_are_kept_and_told_elsewhere(tmp_path, capsys):
    said = {"com.apple.quicktime.make": "Apple", "com.apple.quicktime.model": "iPhone", "title": "A film"}
    source = with_companions(tmp_path / "a.mov", options={"movflags": "use_metadata_tags"}, metadata=said)
    for name in ("x.mov", "x.mp4"):
        assert notes(source, tmp_path / name, capsys) == []
        with av.open(str(tmp_path / name)) as file:
            assert said.items() <= file.metadata.items()


def test_metadata_that_a_container_has_no_place_for_are_told(tmp_path, capsys):
    source = with_companions(tmp_path / "a.mkv", metadata={"title": "A film", "ABC": "x", "DEF": "y"})
    (line,) = notes(source, tmp_path / "x.mp4", capsys)
    assert line == "metadata that .mp4 does not hold here are left out: ABC, DEF"
    assert notes(source, tmp_path / "x.mkv", capsys) == []


def test_default_tracks_stay_default(tmp_path):
    plain = with_companions(tmp_path / "a.mkv", "aac", "flac")
    source = tmp_path / "b.mkv"
    with av.open(str(plain)) as before, av.open(str(source), "w") as file:
        copies = {stream.index: file.add_stream_from_template(stream) for stream in before.streams}
        for number, copy in copies.items():
            copy.disposition = av.stream.Disposition.default if number != 1 else av.stream.Disposition(0)
        for packet in before.demux():
            if packet.size:
                packet.stream = copies[packet.stream.index]
                file.mux(packet)
    upscale_video(source, tmp_path / "x.mkv", double)
    with av.open(str(source)) as one, av.open(str(tmp_path / "x.mkv")) as other:
        found = [[int(stream.disposition) & 1 for stream in file.streams] for file in (one, other)]
    assert found == [[1, 0, 1]] * 2


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv"])
def test_a_chapter_track_is_chapters(tmp_path, capsys, ending):
    base = Fraction(1, 1000)
    chapters = [
        {
            "id": number,
            "start": 80 * number,
            "end": 80 * number + 80,
            "time_base": base,
            "metadata": {"title": "abc"[number]},
        }
        for number in range(2)
    ]
    source = with_companions(tmp_path / "a.mov", chapters=chapters)
    with av.open(str(source)) as file:
        assert [stream.type for stream in file.streams] == ["video", "data"]
    assert notes(source, tmp_path / f"x{ending}", capsys) == []
    with av.open(str(tmp_path / f"x{ending}")) as file:
        assert [chapter["metadata"]["title"] for chapter in file.chapters()] == ["a", "b"]


def test_interlaced_sources_are_told(tmp_path, capsys):
    source = tmp_path / "a.mpg"
    with av.open(str(source), "w") as file:
        stream = file.add_stream("mpeg2video", rate=25, options={"flags": "+ilme+ildct"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(4):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number), format="rgb24")))
        file.mux(stream.encode())
    for target in ("x.mp4", "frames"):
        (line,) = notes(source, tmp_path / target, capsys)
        assert line.startswith("interlaced, and both fields") and "-vf bwdif" in line
    film(tmp_path / "b.mp4", [picture(number) for number in range(2)])
    assert notes(tmp_path / "b.mp4", tmp_path / "y.mp4", capsys) == []


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
@pytest.mark.parametrize("has_data", [True, False])
def test_static_data_of_hdr_are_told_if_there_are_any(tmp_path, capsys, transfer, has_data):
    display = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"
    options = f"log-level=error:colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc"
    options += f":repeat-headers=1:{display}" if has_data else ""
    images = [picture(number) for number in range(3)]
    film(tmp_path / "a.mkv", images, codec="libx265", layout="yuv420p10le", x265_params=options)
    lines = notes(tmp_path / "a.mkv", tmp_path / "x.mkv", capsys)
    assert lines == (["left out: the mastering display of HDR, the light levels of HDR"] if has_data else [])
    assert "HDR colours are not converted" in " ".join(notes(tmp_path / "a.mkv", tmp_path / "frames", capsys))


def test_a_folder_of_frames_holds_no_sound(tmp_path, capsys):
    source = with_companions(tmp_path / "a.mkv", "aac")
    assert notes(source, tmp_path / "frames", capsys) == ["a folder of frames holds no sound"]


@pytest.mark.parametrize("name", ["n" * 251 + ".mp4", "é" * 125 + ".mkv"])
def test_names_as_long_as_a_file_system_takes(tmp_path, name):
    source = film(tmp_path / "a.mp4", [picture(number) for number in range(2)])
    upscale_video(source, tmp_path / name, double)
    with replacing(tmp_path / f"{name[:-4]}.txt") as scratch:
        scratch.write_text("x")
    assert sorted(path.suffix for path in tmp_path.iterdir()) == sorted([".mp4", ".txt", name[-4:]])


def test_a_name_that_is_too_long_is_refused_at_once(tmp_path):
    with pytest.raises(OSError, match="File name too long") as raised:
        VideoWriter(tmp_path / f"{'n' * 252}.mp4")
    assert raised.value.errno == errno.ENAMETOOLONG and list(tmp_path.iterdir()) == []
    try:
        (tmp_path / ("n" * 256)).stat()
    except OSError as error:
        assert describe(error).endswith("nnn: File name too long")  # no bug of anyone


def test_what_a_killed_process_left_is_swept(tmp_path, monkeypatch):
    left = scratch_beside(tmp_path / "clip.mp4")
    left.touch()
    sweep(tmp_path)
    assert left.exists()  # its process lives
    monkeypatch.setattr(files, "_runs", lambda process: False)
    sweep(tmp_path)
    assert not left.exists()


def free(monkeypatch, size):
    usage = files.shutil.disk_usage("/")
    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: usage._replace(free=size))


def test_room_is_checked_before_the_first_frame(tmp_path, monkeypatch):
    source = film(tmp_path / "a.mp4", [picture(number) for number in range(8)])
    source.write_bytes(source.read_bytes() + bytes(2**15))
    with VideoReader(source) as reader:
        least = 8 * 1080 * 1920 * 0.005 / 8
        free(monkeypatch, int(least) + 1)
        check_room_for(tmp_path / "x.mp4", reader, (1080, 1920), UpscaleOptions(), None)
        free(monkeypatch, int(least) - 1)
        with pytest.raises(OSError, match=r"x\.mp4: needs 0 MiB and 0 MiB are free there; an estimate"):
            check_room_for(tmp_path / "x.mp4", reader, (1080, 1920), UpscaleOptions(), None)
        check_room_for(tmp_path / "x.mp4", reader, (64, 96), UpscaleOptions(), None)
        free(monkeypatch, 2**20)
        with pytest.raises(OSError, match=r"new/frames: needs 2 MiB and 1 MiB are free there; .*--format"):
            check_room_for(tmp_path / "new/frames", reader, (1080, 1920), UpscaleOptions(), ".png")
        with pytest.raises(OSError, match=r"needs 4 MiB"):
            check_room_for(tmp_path / "new/frames", reader, (1080, 1920), UpscaleOptions(depth=16), ".png")
        (tmp_path / "frames").mkdir()
        (tmp_path / "frames/000001.png").write_bytes(bytes(2**21))
        check_room_for(tmp_path / "frames", reader, (1080, 1920), UpscaleOptions(), ".png")
    with pytest.raises(OSError, match="needs 3 MiB and 1 MiB are free there; go away"):
        check_room(tmp_path / "new/folder/file", 3 * 2**20, "go away")


def test_a_disk_that_is_full_in_the_middle_leaves_nothing(tmp_path, monkeypatch):
    source = film(tmp_path / "a.mp4", [picture(number) for number in range(8)])
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    monkeypatch.setattr("adc.media.video_writer.scratch_beside", lambda target: scratch_on_full(target))

    def scratch_on_full(target):
        place = scratch_beside(target)
        place.symlink_to("/dev/full")
        return place

    with pytest.raises(OSError, match=r"No space left on device: '.*x\.mkv'"):
        upscale_video(source, tmp_path / "x.mkv", double)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_a_long_folder_counts_its_files(tmp_path, monkeypatch):
    film_of = tmp_path / "frames"
    film_of.mkdir()
    from adc.media.images import write_image

    for number in range(3):
        write_image(film_of / f"{number}.png", picture(number))
    free(monkeypatch, 100)
    with pytest.raises(OSError, match="are free there"):
        check_room_for(tmp_path / "x.mp4", FrameFolder(film_of), (1080, 1920), UpscaleOptions(), None)


def test_encoders_write_nothing_to_the_terminal(tmp_path, capfd):
    if "libsvtav1" not in av.codecs_available:
        pytest.skip("no libsvtav1")
    source = film(tmp_path / "a.mp4", [picture(number) for number in range(2)])
    for codec in ("libsvtav1", "libx265", "libx264"):
        upscale_video(source, tmp_path / f"{codec}.mkv", double, codec=codec)
    assert capfd.readouterr() == ("", "")


def test_a_packet_is_never_decoded_after_it_is_displayed(tmp_path):
    muxed = []
    with VideoWriter(tmp_path / "b.mkv", rate=Fraction(25)) as writer:
        packets = [SimpleNamespace(pts=0, dts=2**58), SimpleNamespace(pts=2, dts=1), SimpleNamespace(pts=3, dts=None)]
        real = writer._stream, writer._container
        writer._stream = SimpleNamespace(encode=lambda frame: packets)
        writer._container = SimpleNamespace(mux=muxed.append)
        writer._encode(None)
        writer._stream, writer._container = real
        with VideoReader(film(tmp_path / "a.mp4", [picture(0)])) as reader:
            for frame in reader.frames():
                writer.write(frame)
    assert [(packet.pts, packet.dts) for packet in muxed] == [(0, 0), (2, 1), (3, None)]
