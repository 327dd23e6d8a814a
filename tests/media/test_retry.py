"""File systems that fail for a moment are read again; files that are broken are not."""

import errno
import logging
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from adc.media import retry, tensor_shards
from adc.media.images import BrokenImageError, caption_of, read_image
from adc.media.tar_shards import members
from adc.media.tensor_shards import CachedTensors, TensorShards
from adc.media.video_reader import VideoReader
from adc.media.video_source import VideoFile


@pytest.fixture
def waits(monkeypatch):
    """The seconds that were waited, at once."""
    found = []
    monkeypatch.setattr(retry.time, "sleep", found.append)
    return found


class Failing:
    """A function whose first calls raise an error."""

    def __init__(self, function, times, error):
        self.function, self.times, self.error, self.calls = function, times, error, 0

    def __call__(self, *arguments, **options):
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return self.function(*arguments, **options)


def failing(monkeypatch, owner, name, times, number=errno.EIO):
    """Let a function of a library fail at its first calls."""
    stub = Failing(getattr(owner, name), times, OSError(number, "it failed"))
    monkeypatch.setattr(owner, name, lambda *arguments, **options: stub(*arguments, **options))
    return stub


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.full((8, 8, 3), 7, np.uint8)).save(path)
    return path


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.ECONNRESET])
def test_a_photo_is_read_again_with_growing_waits(monkeypatch, waits, caplog, photo, number):
    stub = failing(monkeypatch, Image, "open", 3, number)
    with caplog.at_level(logging.WARNING):
        assert read_image(photo).mean() == 7
    assert stub.calls == 4 and waits == [0.1, 0.2, 0.4]
    assert caplog.records[0].getMessage() == f"{photo}: it failed; reading it again in 0.1 s (try 2 of 5)"


def test_a_photo_whose_status_fails_is_read_again(monkeypatch, waits, photo):
    failing(monkeypatch, Path, "exists", 1)
    assert read_image(photo).mean() == 7 and waits == [0.1]


def test_a_disk_that_stays_broken_is_named(monkeypatch, waits, photo):
    stub = failing(monkeypatch, Image, "open", 99)
    with pytest.raises(BrokenImageError, match=r"a\.png: cannot be read \(it failed\)\.$"):
        read_image(photo)
    assert stub.calls == retry.TRIES and sum(waits) == pytest.approx(1.5)


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.ENOSPC])
def test_other_errors_are_not_tried_again(monkeypatch, waits, photo, number):
    stub = failing(monkeypatch, Image, "open", 1, number)
    with pytest.raises(BrokenImageError):
        read_image(photo)
    assert stub.calls == 1 and not waits


def test_a_broken_photo_is_decoded_once(monkeypatch, waits, photo):
    photo.write_bytes(photo.read_bytes()[:40])
    stub = failing(monkeypatch, Image, "open", 0)
    with pytest.raises(BrokenImageError, match="not an image"):
        read_image(photo)
    assert stub.calls == 1 and not waits


def test_waits_have_a_limit(waits, monkeypatch):
    monkeypatch.setattr(retry, "TRIES", 8)
    with pytest.raises(OSError):
        retry.retried(Failing(None, 99, OSError(errno.EIO, "it failed")), "file")
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


def test_captions_and_members_of_tar_files_are_read_again(monkeypatch, waits, tmp_path, photo):
    import tarfile

    photo.with_suffix(".txt").write_text("a photo")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(photo, "a.png")
        archive.add(photo.with_suffix(".txt"), "a.txt")
    (member,) = members(tmp_path / "a.tar", (".png",))
    for read, expected in ((lambda: caption_of(photo), "a photo"), (lambda: caption_of(member), "a photo")):
        with monkeypatch.context() as patched:
            failing(patched, Path, "open", 1)
            assert read() == expected
    with monkeypatch.context() as patched:
        failing(patched, Path, "open", 1)
        assert read_image(member).mean() == 7
    assert len(waits) == 3


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 32
        for number in range(4):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 40 * number, np.uint8), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_a_video_is_opened_again(monkeypatch, waits, video):
    stub = failing(monkeypatch, av, "open", 2)
    with VideoReader(video) as reader:
        assert reader.width == 32
    assert stub.calls == 3 and waits == [0.1, 0.2]


def test_a_video_is_decoded_again(monkeypatch, waits, video):
    """Its index and its frames: FFmpeg's errors carry the numbers of the system's."""
    expected = VideoFile(video, "a").read([1, 2])
    found = VideoFile(video, "a")
    error = av.error.OSError(errno.EIO, "it failed", str(video))
    for name in ("_packets", "_found"):
        from adc.media import video_seek

        owner = video_seek if name == "_packets" else VideoFile
        stub = Failing(getattr(owner, name), 1, error)
        monkeypatch.setattr(owner, name, lambda *arguments, stub=stub: stub(*arguments))
    assert all(np.array_equal(*pair) for pair in zip(found.read([1, 2]), expected, strict=True))
    assert waits == [0.1, 0.1]


def test_cached_tensors_are_read_again(monkeypatch, waits, tmp_path):
    import torch

    TensorShards(tmp_path / "s", {}).write(0, [{"z": torch.ones(2)}], [{"name": "a"}])
    clips = CachedTensors(tmp_path / "s")
    stub = Failing(safe_open, 2, OSError(errno.ESTALE, "stale"))
    monkeypatch.setattr(tensor_shards, "safe_open", stub)
    assert clips[0]["z"].sum() == 2 and stub.calls == 3
