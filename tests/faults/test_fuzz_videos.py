"""Videos with bytes changed at random: frames, notes of damage, or one line that names the file."""

import pytest
from filming import film, picture
from mutated import mutated

from adc.errors import describe
from adc.media.video_reader import VideoReader
from adc.media.video_seek import VideoFile

KINDS = {
    "a.mp4": {"codec": "libx264", "g": 4},
    "a.mov": {"codec": "mjpeg", "layout": "yuvj420p"},
    "a.mkv": {"codec": "ffv1"},
    "a.webm": {"codec": "libvpx-vp9", "lossless": 1},
    "a.avi": {"codec": "mpeg4", "bf": 0},
    "a.ts": {"codec": "mpeg2video", "g": 4},
}
COUNT = 8


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", KINDS)
def test_changed_bytes(tmp_path, name, long):
    path = film(tmp_path / name, [picture(number, 48, 32) for number in range(COUNT)], **KINDS[name])
    whole = path.read_bytes()
    wrong = []
    for seed in range(100 if long else 12):
        path.write_bytes(mutated(seed, {name: whole})[-1])
        for read in (_all, _by_number):
            try:
                says = read(path)
            except Exception as error:
                says = describe(error)
                if "ADC_DEBUG" in says or name not in says or "\n" in says:
                    wrong.append((seed, read.__name__, says))
    assert not wrong


def _all(path):
    with VideoReader(path) as reader:
        frames = [frame.pixels.shape for frame in reader.frames()]
        assert frames
        return [str(damage) for damage in reader.damage]


def _by_number(path):
    film = VideoFile(path, path.name)
    return len(film.read(range(min(len(film), 3))))
