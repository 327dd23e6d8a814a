"""Where one shot ends and the next begins."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from adc.ops.clip import to_unit
from adc.ops.color import brightness

CELLS = 4
BINS = 16
CUT = 0.25
"""A jump this far above its neighbours is a cut. On eight real clips without cuts, every frame or every fourth,
none rises more than 0.12; jumps from one of them to another are 0.38 and more."""
SIDE = 160
"""Longest side, about, of the reduced frames on which cuts are looked for."""


def jumps(clip: Tensor) -> Tensor:
    """How differently brightness is distributed in successive frames.

    Each frame is divided into 4 x 4 cells with a histogram of 16 bins each; a jump is the mean over the cells
    of the total variation distance ``|p - q|_1 / 2`` between a cell's histograms. Motion inside of cells does not
    count, a small offset of what is shown counts little.

    Args:
        clip: ``(T, 3, H, W)`` in ``[-1, 1]``, H and W at least 4.

    Returns:
        ``(T - 1,)`` in ``[0, 1]``.
    """
    frames, _, height, width = clip.shape
    level = (brightness(to_unit(clip))[:, 0] * BINS).long().clamp(0, BINS - 1)
    rows, columns = height // CELLS, width // CELLS
    cells = level[:, : rows * CELLS, : columns * CELLS].reshape(frames, CELLS, rows, CELLS, columns)
    cells = cells.transpose(2, 3).flatten(3).flatten(1, 2)
    shares = F.one_hot(cells, BINS).float().mean(dim=2)
    return (shares[1:] - shares[:-1]).abs().sum(dim=2).mean(dim=1) / 2


def cuts(clip: Tensor, rise: float = CUT) -> Tensor:
    """Where a clip goes over to another shot: its jump rises above the larger of the jumps beside it.

    A pan is no cut, because its jumps are all alike; neither is a flash, whose jumps are two.

    Args:
        clip: ``(T, 3, H, W)`` in ``[-1, 1]``.
        rise: By how much.

    Returns:
        ``(T - 1,)``, true between the last frame of a shot and the first one of the next.
    """
    found = jumps(clip)
    ends = F.pad(found, (1, 1))
    return found - torch.maximum(ends[:-2], ends[2:]) > rise


def reduced(frames: Tensor) -> Tensor:
    """Frames ``(..., H, W)`` small enough to look for cuts on them: every so many-th row and column."""
    step = max(1, max(frames.shape[-2:]) // SIDE)
    return frames[..., ::step, ::step]


def moving_shots(clip: Tensor) -> list[slice]:
    """The shots of a clip that have two frames or more; the whole clip if none has, or if its frames are too small.

    Args:
        clip: ``(T, 3, H, W)`` in ``[-1, 1]``.
    """
    small = reduced(clip)
    found = [bool(one) for one in cuts(small)] if min(small.shape[-2:]) >= CELLS else []
    places = [0, *(place for place in range(1, len(clip)) if found and found[place - 1]), len(clip)]
    return [slice(a, b) for a, b in pairwise(places) if b - a > 1] or [slice(0, len(clip))]
