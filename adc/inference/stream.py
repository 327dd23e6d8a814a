"""Streamed restoration of long clips, a few frames at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import groupby

import torch
from torch import Tensor

from adc.media.video_reader import Frame
from adc.ops.shots import CELLS, CUT, jumps

Restore = Callable[[Tensor], Tensor]
"""``(1, T, 3, h, w)`` in ``[-1, 1]`` to ``(1, T, 3, H, W)``, any ``T`` up to the length of a chunk."""
THERE = torch.empty(0)
"""What stands for a restored frame that is there already."""
SIDE = 128
"""Pixels of the shorter side, at least, on which cuts are looked for in larger frames."""


def stream_frames(
    restore: Restore,
    frames: Iterable[Frame],
    chunk: int,
    overlap: int = 0,
    aligned: bool = False,
    cuts: bool = False,
    is_done: Callable[[int, Frame], bool] = lambda number, frame: False,
) -> Iterator[Frame]:
    """Restored frames of a video, with all but the pixels of those they were made from; see `stream`.

    Args:
        restore: Restorer of a chunk.
        frames: Frames of the video.
        chunk: Frames restored at once.
        overlap: Frames that neighbouring chunks share.
        aligned: As in `stream`.
        cuts: Whether a chunk ends at a cut, so that frames of different shots are not mixed.
        is_done: Whether the result of a frame, by its number from 0, is there already; its pixels are `THERE` then.
    """
    numbered = ((frame, is_done(number, frame)) for number, frame in enumerate(frames))
    for shot in _shots(numbered) if cuts else (numbered,):
        yield from _restored_shot(restore, shot, chunk, overlap, aligned)


def _restored_shot(
    restore: Restore, shot: Iterable[tuple[Frame, bool]], chunk: int, overlap: int, aligned: bool
) -> Iterator[Frame]:
    pending: deque[tuple[int, Frame, bool]] = deque()

    def pixels() -> Iterator[Tensor]:
        for number, (frame, is_done) in enumerate(shot):
            pending.append((number, replace(frame, pixels=THERE), is_done))
            yield frame.pixels

    def there(number: int) -> bool:
        return pending[number - pending[0][0]][2]

    for restored in stream(restore, pixels(), chunk, overlap, aligned, there):
        yield replace(pending.popleft()[1], pixels=restored)


def _shots(frames: Iterable[tuple[Frame, bool]]) -> Iterator[Iterator[tuple[Frame, bool]]]:
    """The shots of a video, one after the other; each ends at a cut, as `adc.ops.shots.cuts` finds them."""
    for _, shot in groupby(_numbered(frames), lambda pair: pair[0]):
        yield (frame for _, frame in shot)


def _numbered(frames: Iterable[tuple[Frame, bool]]) -> Iterator[tuple[int, tuple[Frame, bool]]]:
    """Frames with the number of their shot, each when the next one is known."""
    held: tuple[Frame, bool] | None = None
    number, earlier, into = 0, 0.0, 0.0  # jumps into the frame before the one that is held, and into that
    for frame in frames:
        if held is not None:
            out = _jump(held[0].pixels, frame[0].pixels)
            number += into - max(earlier, out) > CUT
            yield number, held
            earlier, into = into, out
        held = frame
    if held is not None:
        yield number + (into - earlier > CUT), held


def _jump(one: Tensor, other: Tensor) -> float:
    height, width = one.shape[-2:]
    if min(height, width) < CELLS:
        return 0.0
    step = max(1, min(height, width) // SIDE)
    return jumps(torch.stack([one[:, ::step, ::step], other[:, ::step, ::step]])).item()


def stream(
    restore: Restore,
    frames: Iterable[Tensor],
    chunk: int,
    overlap: int = 0,
    aligned: bool = False,
    is_done: Callable[[int], bool] = lambda number: False,
) -> Iterator[Tensor]:
    """Restored frames of a stream; no more than a chunk is held.

    Every chunk but an only one has `chunk` frames: the last one reaches back over frames that were
    restored before. Where two chunks overlap, one fades into the other: the outer quarter of each,
    which lacks most of the frames around it, has weight zero, and the rest fades evenly.
    Without overlap frames are taken to be restored each by itself, and the last chunk is shorter.

    Args:
        restore: Restorer of a chunk.
        frames: ``(3, h, w)`` in ``[-1, 1]``, one after the other.
        chunk: Frames restored at once.
        overlap: Frames that neighbouring chunks share.
        aligned: Begin every chunk at a multiple of ``chunk - overlap``, so that what a restorer computes for groups of
            frames is grouped alike in all; the last chunk is shorter then.
        is_done: Whether the result of a frame, by its number from 0, is there already. Chunks in which all are done are
            not restored; the others are, so that every frame becomes what it would become without.

    Yields:
        ``(3, H, W)``, one for each frame, in order; `THERE` for those that are done.

    Raises:
        ValueError: If there is no frame in a chunk, or the overlap is more than half of it.
    """
    if chunk < 1:
        raise ValueError(f"chunk: {chunk} frames; at least 1.")
    if overlap < 0 or 2 * overlap > chunk:
        raise ValueError(f"chunk_overlap: {overlap} frames; at least 0 and at most half of the chunk's {chunk}.")
    window: deque[Tensor] = deque(maxlen=chunk)
    tail: list[Tensor] = []  # restored frames that the next chunk changes
    number = 0

    def advance() -> list[Tensor]:
        """Finished frames of a chunk; those that the next one still changes become the tail."""
        nonlocal tail
        start = number - fresh - len(tail)
        done = [is_done(place) for place in range(start, number)]
        if all(done):
            ready = [THERE] * len(done)
        else:
            given = list(window)[-(fresh + overlap) :] if aligned or not overlap else list(window)
            restored = _restored(restore, given)[-len(done) :]
            ready = [THERE if there else frame for there, frame in zip(done, _faded(tail, restored), strict=True)]
        last = max(len(ready) - overlap, len(tail))
        ready, tail = ready[:last], [frame if frame is THERE else frame.clone() for frame in ready[last:]]
        return ready

    fresh = 0
    for frame in frames:
        window.append(frame)
        fresh += 1
        number += 1
        if fresh == chunk - (overlap if number > chunk else 0):
            ready = advance()
            fresh = 0
            yield from ready
    if fresh:
        yield from advance()
    yield from tail


def _restored(restore: Restore, given: list[Tensor]) -> Tensor:
    with torch.no_grad():
        restored = restore(torch.stack(given)[None])[0]
    if len(restored) != len(given):
        raise ValueError(f"a clip of {len(given)} frames came back with {len(restored)}.")
    return restored


def _faded(tail: list[Tensor], restored: Tensor) -> list[Tensor]:
    """Restored frames, the first of which fade in from those of the chunk before; `THERE` fades into nothing."""
    frames = list(restored)
    for place, share in enumerate(crossfade(len(tail)).tolist()):
        if tail[place] is not THERE:
            frames[place] = torch.lerp(tail[place].to(restored), restored[place], share)
    return frames


def crossfade(length: int) -> Tensor:
    """Weight of the later of two chunks in each frame that they share: from 0 to 1."""
    return ((torch.arange(length) + 0.5) / length * 2 - 0.5).clamp(0, 1)


def mixes_frames(restore: Restore, side: int = 32) -> bool:
    """Whether the result of a frame depends on the frames beside it.

    Three small frames of noise are restored twice, the second time with another one in the middle.
    """
    noise = torch.rand(1, 4, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        one, other = (restore(noise[:, [0, middle, 3]]) for middle in (1, 2))
    return not (torch.equal(one[:, 0], other[:, 0]) and torch.equal(one[:, 2], other[:, 2]))
