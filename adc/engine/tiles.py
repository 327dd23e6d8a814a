"""A large picture as overlapping tiles of one size, and the bands of rows that they blend into."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST = 16
"""The shortest side that `Restorer.restore` takes."""
GRID = 16
"""Large tiles begin at multiples of this, so that networks that stride see the pixels in the phase of the whole."""
BAND = 64
"""Rows of a band, at most."""


@dataclass(frozen=True)
class Axis:
    """Tiles along one side of a picture; the last one may reach beyond it.

    Attributes:
        side: Pixels of the picture.
        tile: Pixels of every tile.
        starts: Where they begin, in order.
    """

    side: int
    tile: int
    starts: tuple[int, ...]

    @property
    def covered(self) -> int:
        """Pixels from the first tile's begin to the last one's end."""
        return self.starts[-1] + self.tile


def spread(side: int, longest: int | None, overlap: int) -> Axis:
    """As few tiles as cover a side, no longer than they need to be.

    Args:
        side: Pixels of the picture.
        longest: Pixels of a tile, at most; None takes the side whole.
        overlap: Pixels that neighbours share, at least.

    Raises:
        ValueError: If the tiles are too small, or overlap by half a tile or more.
    """
    if longest is None:
        return Axis(side, max(side, SMALLEST), (0,))
    if longest < SMALLEST:
        raise ValueError(f"tile: {longest} pixels; at least {SMALLEST}.")
    if overlap < 0 or 2 * overlap >= longest:
        raise ValueError(f"overlap: {overlap} pixels; at least 0 and less than half of the tile's {longest}.")
    if side <= longest:
        return Axis(side, max(side, SMALLEST), (0,))
    grid = GRID if longest >= 4 * GRID else 1
    longest, padded = longest // grid * grid, _up(side, grid)
    step = (longest - overlap) // grid * grid
    number = 1 + -(-(padded - longest) // step)
    tile = max(_up(-(-(padded + (number - 1) * overlap) // number), grid), SMALLEST)
    while True:
        free = padded - tile
        starts = tuple(free * index // (number - 1) // grid * grid if number > 1 else 0 for index in range(number))
        if all(before + tile - after >= overlap for before, after in pairwise(starts)):
            return Axis(side, tile, starts)
        tile += grid


def _up(value: int, grid: int) -> int:
    return -(-value // grid) * grid


def shares(axis: Axis, scale: int) -> list[Tensor]:
    """What each tile counts for along its enlarged side; the shares of a pixel add up to one.

    Where two tiles overlap, the outer quarter of each, which knows least of what lies around it,
    counts for nothing, and the rest fades smoothly.
    """
    total = torch.zeros(axis.covered * scale)
    found = []
    for index, start in enumerate(axis.starts):
        share = torch.ones(axis.tile * scale)
        if index > 0 and (shared := (axis.starts[index - 1] + axis.tile - start) * scale):
            share[:shared] *= _rise(shared)
        if index + 1 < len(axis.starts) and (shared := (start + axis.tile - axis.starts[index + 1]) * scale):
            share[-shared:] *= _rise(shared).flip(0)
        total[start * scale : (start + axis.tile) * scale] += share
        found.append(share)
    return [
        share / total[start * scale : (start + axis.tile) * scale]
        for share, start in zip(found, axis.starts, strict=True)
    ]


def _rise(length: int) -> Tensor:
    place = (torch.arange(length) + 0.5) / length
    inner = (2 * place - 0.5).clamp(0, 1)
    return (inner * inner * (3 - 2 * inner)).clamp(min=1e-6)


def in_bands(
    show: Callable[[Tensor], Tensor],
    lr: Tensor,
    scale: int,
    rows: Axis,
    columns: Axis,
    batch: int = 1,
    keep: torch.dtype = torch.float32,
) -> Iterator[Tensor]:
    """Enlarge a picture tile by tile; what is done comes out from top to bottom.

    No more is held than one row of enlarged tiles.

    Args:
        show: Enlarges ``(N, T, 3, tile, tile)``; the result lies on the device of `lr`.
        lr: ``(B, T, 3, h, w)``.
        scale: How many times larger the result is.
        rows: Tiles along the height.
        columns: Tiles along the width.
        batch: Tiles shown at once.
        keep: In what the row of tiles is held.

    Yields:
        ``(B, T, 3, at most BAND, scale * w)``, float32; heights add up to ``scale * h``.
    """
    width, last = columns.side * scale, rows.side * scale
    if len(rows.starts) == len(columns.starts) == 1:
        large = show(_piece(lr, 0, 0, rows.tile, columns.tile))
        yield from _sliced(large[..., :last, :width])
        return
    down, across = shares(rows, scale), shares(columns, scale)
    canvas = torch.zeros(*lr.shape[:-2], rows.tile * scale, columns.covered * scale, dtype=keep, device=lr.device)
    for index, top in enumerate(rows.starts):
        for first in range(0, len(columns.starts), batch):
            lefts = columns.starts[first : first + batch]
            large = show(torch.cat([_piece(lr, top, left, rows.tile, columns.tile) for left in lefts]))
            for number, piece in enumerate(large.split(len(lr))):
                share = torch.outer(down[index], across[first + number]).to(piece)
                left = lefts[number] * scale
                canvas[..., left : left + columns.tile * scale] += share.mul(piece)
            del large
        ready = (rows.starts[index + 1] - top) * scale if index + 1 < len(rows.starts) else last - top * scale
        yield from _sliced(canvas[..., :ready, :width])
        rest = canvas[..., ready:, :].clone()
        canvas[..., : rest.shape[-2], :] = rest
        canvas[..., rest.shape[-2] :, :] = 0


def _sliced(large: Tensor) -> Iterator[Tensor]:
    for top in range(0, large.shape[-2], BAND):
        yield large[..., top : top + BAND, :].to(torch.float32, copy=True)  # the canvas is written again


def _piece(lr: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    piece = lr[..., top : top + height, left : left + width]
    below, right = height - piece.shape[-2], width - piece.shape[-1]
    return F.pad(piece, (0, right, 0, below, 0, 0), mode="replicate") if below or right else piece
