"""Shots of a clip that is read frame by frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from adc.ops.shots import CELLS, cuts, reduced

Two = tuple[Tensor, Tensor]


def shot_starts(pairs: Iterable[Two], look: bool = True) -> Iterator[tuple[Two, bool]]:
    """Pairs of a restored and a reference frame ``(3, H, W)``, each with whether the reference cuts to it.

    One frame is read ahead: a cut is a jump that rises above those beside it (`adc.ops.shots.cuts`).

    Args:
        pairs: One after the other.
        look: Whether cuts are looked for.
    """
    small: deque[Tensor] = deque(maxlen=4)
    held: deque[Two] = deque()
    count = 0
    for two in pairs:
        if not look:
            yield two, False
            continue
        small.append(reduced(two[1]))
        held.append(two)
        count += 1
        if len(held) > 1:
            yield held.popleft(), count > 2 and _is_cut(list(small), len(small) - 3)
    if held:
        yield held.popleft(), count > 1 and _is_cut(list(small)[-3:], min(count, 3) - 2)


def _is_cut(frames: list[Tensor], place: int) -> bool:
    """Whether a cut lies between a frame and the next."""
    return min(frames[0].shape[-2:]) >= CELLS and bool(cuts(torch.stack(frames))[place])
