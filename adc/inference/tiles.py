"""A large image as overlapping tiles, and the bands of rows that they blend into."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST = 16
"""The shortest side that `Restorer.restore` takes."""
GRID = 16
"""Large tiles begin at multiples of this, so that networks that stride see the pixels in the phase of the whole."""
FADE = 8
"""Small pixels over which one tile fades into the next; half of what they share, if that is less.

Zeros around a tile change a few pixels at its edge, which are left out: longer fades hide no more of them.
But colours are wrong in a tile that holds little of an object and right in the next one, where attention compares
all pixels of a tile, and the longer a fade, the more of those pixels count.
"""
BAND = 64
"""Rows of a band, at most."""
RestoreTiles = Callable[[Tensor, Sequence[tuple[int, int]]], Tensor]
"""`adc.interfaces.Restorer.restore_tiles`: tiles and their places to the tiles enlarged."""


@dataclass(frozen=True)
class Axis:
    """Tiles along one side of an image; the last one ends where the image ends and may be shorter than `tile`."""

    side: int
    tile: int
    starts: tuple[int, ...]

    @property
    def covered(self) -> int:
        """Pixels from the first tile's begin to where the last one would end if it had as many as the others."""
        return self.starts[-1] + self.tile


def plan_tiles(side: int, longest: int | None, overlap: int) -> Axis:
    """The fewest tiles of at most the longest side (None is one tile) that cover a side, no longer than needed.

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


def blend_weights(axis: Axis, scale: int) -> list[Tensor]:
    """Weight of each tile along its upscaled side; the weights of a pixel add up to one.

    Where two tiles overlap, they fade into each other in the middle, over `FADE` pixels; outside of that, where a tile
    has least context, its weight is zero.
    """
    total = torch.zeros(axis.covered * scale)
    found = []
    for index, start in enumerate(axis.starts):
        share = torch.ones(axis.tile * scale)
        if index > 0 and (shared := (axis.starts[index - 1] + axis.tile - start) * scale):
            share[:shared] *= _rise(shared, FADE * scale)
        if index + 1 < len(axis.starts) and (shared := (start + axis.tile - axis.starts[index + 1]) * scale):
            share[-shared:] *= _rise(shared, FADE * scale).flip(0)
        total[start * scale : (start + axis.tile) * scale] += share
        found.append(share)
    return [
        share / total[start * scale : (start + axis.tile) * scale]
        for share, start in zip(found, axis.starts, strict=True)
    ]


def _rise(length: int, fade: int) -> Tensor:
    inner = min(fade, length / 2)
    place = (torch.arange(length) + 0.5 - (length - inner) / 2) / inner
    return (0.5 - 0.5 * torch.cos(torch.pi * place.clamp(0, 1))).clamp(min=1e-6)


def in_bands(
    restore: RestoreTiles,
    lr: Tensor,
    scale: int,
    rows: Axis,
    columns: Axis,
    batch: int = 1,
    dtype: torch.dtype = torch.float32,
) -> Iterator[Tensor]:
    """Tiled restoration of an image ``(B, T, 3, h, w)``, as bands from top to bottom; only one row of tiles is held.

    Args:
        restore: Restores ``(N, T, 3, tile, tile)`` at N places, or less at the right and below; results are on the
            device of `lr`.
        lr: The image.
        scale: How many times larger the result is.
        rows: Tiles along the height.
        columns: Tiles along the width.
        batch: Tiles restored at once.
        dtype: Type of the buffer of the row of tiles.

    Yields:
        ``(B, T, 3, at most BAND, scale * w)``, float32; heights add up to ``scale * h``.
    """
    width, last = columns.side * scale, rows.side * scale
    if len(rows.starts) == len(columns.starts) == 1:
        yield from _sliced(restore(_piece(lr, 0, 0, rows.tile, columns.tile), [(0, 0)] * len(lr))[..., :last, :width])
        return
    down, across = blend_weights(rows, scale), blend_weights(columns, scale)
    canvas = torch.zeros(*lr.shape[:-2], rows.tile * scale, columns.covered * scale, dtype=dtype, device=lr.device)
    for index, top in enumerate(rows.starts):
        for together in _of_one_size(columns, batch):
            lefts = [columns.starts[number] for number in together]
            places = [(top, left) for left in lefts for _ in lr]
            large = restore(torch.cat([_piece(lr, top, left, rows.tile, columns.tile) for left in lefts]), places)
            high, wide = large.shape[-2:]
            for left, number, piece in zip(lefts, together, large.split(len(lr)), strict=True):
                share = torch.outer(down[index][:high], across[number][:wide]).to(piece)
                canvas[..., :high, left * scale : left * scale + wide] += share.mul(piece)
            del large
        ready = (rows.starts[index + 1] - top) * scale if index + 1 < len(rows.starts) else last - top * scale
        yield from _sliced(canvas[..., :ready, :width])
        rest = canvas[..., ready:, :].clone()
        canvas[..., : rest.shape[-2], :] = rest
        canvas[..., rest.shape[-2] :, :] = 0


def _sliced(large: Tensor) -> Iterator[Tensor]:
    for top in range(0, large.shape[-2], BAND):
        yield large[..., top : top + BAND, :].to(torch.float32, copy=True)  # the canvas is written again


def _of_one_size(axis: Axis, batch: int) -> Iterator[range]:
    """Numbers of tiles restored at once: the last one by itself if it has fewer pixels."""
    number = len(axis.starts) - (axis.covered > axis.side)
    for first in range(0, number, batch):
        yield range(first, min(first + batch, number))
    if number < len(axis.starts):
        yield range(number, number + 1)


def _piece(lr: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    piece = lr[..., top : top + height, left : left + width]
    below, right = (max(0, SMALLEST - side) for side in piece.shape[-2:])
    return F.pad(piece, (0, right, 0, below, 0, 0), mode="replicate") if below or right else piece
