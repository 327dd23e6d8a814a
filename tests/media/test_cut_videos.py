"""Video files that end early, and those whose packets are empty: both readers, and containers of many kinds."""

import os

import av
import numpy as np
import pytest
from filming import film, picture

from adc.media.file_ends import missing_bytes
from adc.media.images import to_bytes
from adc.media.video_reader import BrokenVideoError, VideoReader
from adc.media.video_seek import VideoFile

KINDS = {
    "a.mkv": ("matroska,webm", {"codec": "libx264", "g": 4}),
    "a.webm": ("matroska,webm", {"codec": "libvpx-vp9", "g": 4}),
    "a.avi": ("avi", {"codec": "mpeg4", "g": 4}),
    "a.wmv": ("asf", {"codec": "wmv2", "g": 4}),
    "a.mp4": ("mov,mp4,m4a,3gp,3g2,mj2", {"codec": "libx264", "g": 4, "movflags": "frag_keyframe+empty_moov"}),
}


def filmed(path, count=24, **options):
    flags = options.pop("movflags", None)
    film(path, [picture(number) for number in range(count)], **options)
    if flags:
        whole = path.rename(path.with_stem("whole"))
        with av.open(str(whole)) as before, av.open(str(path), "w", options={"movflags": flags}) as after:
            stream = after.add_stream_from_template(before.streams.video[0])
            for packet in before.demux():
                if packet.size:
                    packet.stream = stream
                    after.mux(packet)
    return path


def read(path):
    with VideoReader(path) as reader:
        return list(reader.frames()), [str(damage) for damage in reader.damage]


@pytest.mark.parametrize("name", KINDS)
def test_a_part_of_a_file_is_damaged(tmp_path, name):
    container, options = KINDS[name]
    path = filmed(tmp_path / name, **options)
    whole = path.read_bytes()
    assert missing_bytes(path, container) == 0 and read(path)[1] == []
    assert len(VideoFile(path, name)) == len(read(path)[0])
    path.write_bytes(whole[: len(whole) * 3 // 4])
    assert missing_bytes(path, container) > 0
    frames, damage = read(path)
    assert frames and any("the file ends after this; by its header" in line for line in damage)
    with pytest.raises(BrokenVideoError, match=rf"{name}: ends early; by its header \d+ bytes are missing"):
        len(VideoFile(path, name))


def test_a_part_that_cannot_be_opened_is_called_so(tmp_path):
    path = filmed(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes()[:-500])  # what lists the frames stands at the end
    with pytest.raises(BrokenVideoError, match=r"a\.mp4: ends early, 500 bytes are missing\. Remove"):
        VideoReader(path)
    path.write_bytes(b"no video, whatever its name says")
    with pytest.raises(BrokenVideoError, match=r"a\.mp4: not a video, or of an unknown format\."):
        VideoReader(path)


@pytest.mark.parametrize("name", ["a.mkv", "a.avi"])
def test_a_recording_that_never_knew_its_size_is_whole(tmp_path, name):
    container, options = KINDS[name]
    path = filmed(tmp_path / name, **options)
    content = path.read_bytes()
    if name == "a.avi":
        content = content[:4] + bytes(4) + content[8:]
    else:
        place = content.index(b"\x18\x53\x80\x67") + 4
        content = content[:place] + b"\x01" + b"\xff" * 7 + content[place + 8 :]
    path.write_bytes(content)
    assert missing_bytes(path, container) == 0 and read(path)[1] == []


class Repeating:
    """A container that repeats every third frame, which Theora does by a packet without a byte."""

    def __init__(self, container):
        self.container = container

    def __getattr__(self, name):
        return getattr(self.container, name)

    def demux(self, *streams):
        for number, packet in enumerate(self.container.demux(*streams)):
            yield packet
            if number % 3 == 1 and packet.size:
                empty = av.Packet()
                empty.stream, empty.pts, empty.dts = packet.stream, packet.pts + 1, packet.dts
                yield empty


@pytest.mark.parametrize("codec", ["mpeg4", "libvpx"])
def test_frames_repeated_by_empty_packets(tmp_path, monkeypatch, codec):
    path = filmed(tmp_path / "a.mkv", codec=codec, g=8)
    whole = [to_bytes(frame.pixels) for frame in read(path)[0]]
    there = av.open
    monkeypatch.setattr(av, "open", lambda *words, **options: Repeating(there(*words, **options)))
    frames, damage = read(path)
    found = VideoFile(path, "a")
    assert damage == [] and len(whole) == len(frames) == len(found) == 24
    for number, pixels in enumerate(whole):
        assert (to_bytes(frames[number].pixels) == pixels).all() and (found.read([number])[0] == pixels).all()


@pytest.mark.parametrize("with_sound", [True, False])
def test_the_last_frames_of_a_video_behind_its_sound(tmp_path, with_sound):
    """Reordered frames come out at the end only, whichever stream comes first in the file."""
    plain = filmed(tmp_path / "plain.mp4", codec="libx264", bf=2)
    path = tmp_path / "a.mkv"
    with av.open(str(plain)) as before, av.open(str(path), "w") as after:
        sound = after.add_stream("pcm_s16le", rate=8000)
        copy = after.add_stream_from_template(before.streams.video[0])
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts = 8000, 0
        after.mux([*sound.encode(frame), *sound.encode()])
        for packet in before.demux(video=0):
            if packet.size:
                packet.stream = copy
                after.mux(packet)
    with VideoReader(path) as reader:
        assert reader.stream.index == 1
        frames = [*reader.frames((lambda packet: None) if with_sound else None)]
        assert len(frames) == 24 and reader.damage == []
    assert len({float(frame.pixels.sum()) for frame in frames}) == 24


def test_pipes_and_folders_are_no_video_files(tmp_path):
    os.mkfifo(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").mkdir()
    for name, says in (("a.mp4", "is a pipe or a device"), ("b.mp4", "is a folder")):
        with pytest.raises(BrokenVideoError, match=rf"{name}: {says}"):
            VideoReader(tmp_path / name)
