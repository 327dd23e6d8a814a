from itertools import pairwise

import pytest
import torch
from torch import nn

from adc.inference.stream import THERE, crossfade, mixes_frames, stream, stream_frames
from adc.media.video_reader import Frame
from adc.ops.shots import cuts


class Counting:
    """Enlarges each frame by itself and remembers how many frames it was shown."""

    def __init__(self):
        self.shown = []

    def __call__(self, clip):
        self.shown.append(clip.shape[1])
        return clip.repeat_interleave(2, -1).repeat_interleave(2, -2)


class Smoothing:
    """Two layers of convolution over frames, padded with zeros: five frames meet, the ends are off."""

    def __init__(self):
        torch.manual_seed(0)
        self.layers = nn.Sequential(*(nn.Conv1d(3, 3, 3, padding=1) for _ in range(2))).requires_grad_(False)
        for layer in self.layers:
            nn.init.dirac_(layer.weight)
            layer.weight += torch.randn_like(layer.weight) * 0.1

    def __call__(self, clip):
        lines = clip[0].permute(2, 3, 1, 0).flatten(0, 1)
        return self.layers(lines).unflatten(0, clip.shape[-2:]).permute(3, 2, 0, 1)[None]


def frames(number, side=8):
    generator = torch.Generator().manual_seed(1)
    start, speed = torch.rand(2, 3, side, side, generator=generator)
    return [torch.sin(start * 6 + speed * place) for place in range(number)]


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 7, 8, 9, 20, 23])
@pytest.mark.parametrize(("chunk", "overlap"), [(1, 0), (3, 0), (4, 2), (5, 2), (8, 4), (8, 1)])
def test_frames_that_do_not_mix_come_out_as_alone(number, chunk, overlap):
    clip, restore = frames(number), Counting()
    found = list(stream(restore, clip, chunk, overlap))
    assert len(found) == number
    for one, other in zip(found, clip, strict=True):
        torch.testing.assert_close(one, Counting()(other[None, None])[0, 0])
    assert max(restore.shown) <= chunk
    if overlap == 0:
        assert sum(restore.shown) == number
    elif number >= chunk:
        assert set(restore.shown) == {chunk}


def test_frames_are_asked_for_when_they_are_needed():
    asked = []

    def counted():
        for frame in frames(40):
            asked.append(frame)
            yield frame

    found = stream(Counting(), counted(), 8, 4)
    lead = [len(asked) - number for number, _ in enumerate(found)]
    assert len(lead) == 40
    assert max(lead) <= 8


def test_seams_of_chunks_cannot_be_found():
    clip, restore = frames(64), Smoothing()
    whole = restore(torch.stack(clip)[None])[0]
    steps = whole.diff(dim=0).abs().mean((1, 2, 3))
    seams = {}
    for overlap in (0, 8):
        found = torch.stack(list(stream(restore, clip, 16, overlap)))
        off = (found.diff(dim=0) - whole.diff(dim=0)).abs().mean((1, 2, 3))
        seams[overlap] = (off / steps.mean()).max().item()
    assert seams[0] > 0.2
    assert seams[8] < 1e-5


def test_what_chunks_do_not_agree_on_fades():
    shades = iter(range(100))

    def restore(clip):
        return torch.full_like(clip, float(next(shades)))

    found = torch.stack(list(stream(restore, frames(40), 16, 6))).mean((1, 2, 3))
    steps = found.diff()
    assert found[0] == 0
    assert (steps >= -1e-6).all()
    assert steps.max() < 0.34
    assert found[-1] == next(shades) - 1


def test_the_outer_quarter_of_an_overlap_counts_for_nothing():
    for length in (1, 2, 4, 8, 9):
        share = crossfade(length)
        torch.testing.assert_close(share + share.flip(0), torch.ones(length))
        assert (share.diff() >= 0).all()
    assert crossfade(8)[:2].tolist() == [0, 0]
    assert crossfade(1).tolist() == [0.5]


def test_who_mixes_frames():
    assert mixes_frames(Smoothing())
    assert not mixes_frames(Counting())


@pytest.mark.parametrize(
    ("chunk", "overlap", "message"),
    [
        (0, 0, "chunk: 0 frames"),
        (4, 3, "chunk_overlap: 3 frames; at least 0 and at most half"),
        (4, -1, "chunk_overlap"),
    ],
)
def test_chunks_that_make_no_sense(chunk, overlap, message):
    with pytest.raises(ValueError, match=message):
        next(stream(Counting(), frames(4), chunk, overlap))


def test_a_restorer_that_loses_frames():
    with pytest.raises(ValueError, match="a clip of 4 frames came back with 3"):
        list(stream(lambda clip: clip[:, 1:], frames(4), 4))


@pytest.mark.parametrize(("chunk", "overlap", "aligned"), [(5, 0, False), (6, 2, False), (8, 4, False), (9, 1, True)])
@pytest.mark.parametrize("number", [3, 8, 31])
def test_what_is_done_is_left_out_and_the_rest_is_as_without(chunk, overlap, aligned, number):
    clip, restore = frames(number), Smoothing()
    whole = list(stream(restore, clip, chunk, overlap, aligned))
    for seed in range(4):
        done = (torch.rand(number, generator=torch.Generator().manual_seed(seed)) < 0.25 * seed + 0.1).tolist()
        found = list(stream(restore, clip, chunk, overlap, aligned, lambda place, done=done: done[place]))
        assert [frame is THERE for frame in found] == done
        assert all(torch.equal(one, other) for one, other, there in zip(found, whole, done, strict=True) if not there)


def test_chunks_that_are_done_are_not_restored():
    restore = Counting()
    assert len(list(stream(restore, frames(40), 8, 4, is_done=lambda place: place < 20))) == 40
    assert restore.shown == [8] * 5  # of nine; the first that is needed begins with frame 16
    restore = Counting()
    assert all(frame is THERE for frame in stream(restore, frames(40), 8, 4, is_done=lambda place: True))
    assert restore.shown == []


def shades(*levels):
    return [Frame(torch.full((3, 16, 24), level), place, 1) for place, level in enumerate(levels)]


@pytest.mark.parametrize(
    "levels",
    [
        (-0.9, -0.9, 0.9, 0.9, 0.9, -0.5, -0.5, -0.5),
        (-0.9, 0.9, 0.9),
        (0.9, 0.9, -0.9),
        (0.5, 0.5, -0.9, 0.5, 0.5),  # a flash is no cut
        (0.1, 0.2, 0.3, 0.4),
        (0.3,),
    ],
)
def test_a_chunk_ends_at_a_cut(levels):
    given, restore = shades(*levels), Counting()
    found = list(stream_frames(restore, given, 20, 4, cuts=True))
    assert [frame.start for frame in found] == [*range(len(levels))]
    assert all(torch.equal(one.pixels[:, ::2, ::2], other.pixels) for one, other in zip(found, given, strict=True))
    places = cuts(torch.stack([frame.pixels for frame in given])).nonzero().flatten().tolist() if given[1:] else []
    edges = [0, *(place + 1 for place in places), len(levels)]
    assert restore.shown == [after - before for before, after in pairwise(edges)]
    restore = Counting()
    list(stream_frames(restore, given, 20, 4))
    assert restore.shown == [len(levels)]


def test_frames_too_small_for_cuts():
    given = [Frame(torch.full((3, 2, 3), level), 0, 1) for level in (-0.9, 0.9)]
    assert len(list(stream_frames(Counting(), given, 4, 1, cuts=True))) == 2
