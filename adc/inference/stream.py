"""Streamed restoration of long clips, a few frames at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

Restore = Callable[[Tensor], Tensor]
"""``(1, T, 3, h, w)`` in ``[-1, 1]`` to ``(1, T, 3, H, W)``, any ``T`` up to the length of a chunk."""


def stream(
    restore: Restore, frames: Iterable[Tensor], chunk: int, overlap: int = 0, aligned: bool = False
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

    Yields:
        ``(3, H, W)``, one for each frame, in order.

    Raises:
        ValueError: If there is no frame in a chunk, or the overlap is more than half of it.
    """
    if chunk < 1:
        raise ValueError(f"chunk: {chunk} frames; at least 1.")
    if overlap < 0 or 2 * overlap > chunk:
        raise ValueError(f"chunk_overlap: {overlap} frames; at least 0 and at most half of the chunk's {chunk}.")
    window: deque[Tensor] = deque(maxlen=chunk)
    tail: Tensor | None = None
    fresh = 0
    for frame in frames:
        window.append(frame)
        fresh += 1
        if fresh == chunk - (overlap if tail is not None else 0):
            ready, tail = _advance(restore, _given(window, fresh, overlap, aligned), fresh, tail, overlap)
            fresh = 0
            yield from ready
    if fresh:
        ready, tail = _advance(restore, _given(window, fresh, overlap, aligned), fresh, tail, overlap)
        yield from ready
    if tail is not None:
        yield from tail


def _given(window: deque[Tensor], fresh: int, overlap: int, aligned: bool) -> list[Tensor]:
    return list(window)[-(fresh + overlap) :] if aligned or not overlap else list(window)


def _advance(
    restore: Restore, given: list[Tensor], fresh: int, tail: Tensor | None, overlap: int
) -> tuple[Sequence[Tensor], Tensor | None]:
    """Restore a chunk: finished frames, and those that the next chunk still changes."""
    with torch.no_grad():
        restored = restore(torch.stack(given)[None])[0]
    if len(restored) != len(given):
        raise ValueError(f"a clip of {len(given)} frames came back with {len(restored)}.")
    if not overlap:
        return list(restored), None
    first, last = len(given) - fresh, max(len(given) - overlap, 0)
    faded: list[Tensor] = []
    if tail is not None:
        share = crossfade(overlap).to(restored).view(-1, 1, 1, 1)
        both = torch.lerp(tail.to(restored), restored[first - overlap : first], share)
        last = max(last, first)
        faded = list(both)
    return [*faded, *restored[first:last]], restored[last:].clone()


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
