"""Whole pictures through a restorer: any size, in tiles if memory is short."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from adc.interfaces import Restorer
from adc.ops.clip import enlarge
from adc.ops.color import adain, wavelet

SMALLEST = 16
"""The shortest side that `Restorer.restore` takes."""


@torch.no_grad()
def restore_image(
    restorer: Restorer,
    lr: Tensor,
    tile: int | None = None,
    overlap: int = 16,
    color: Literal["none", "adain", "wavelet"] = "none",
) -> Tensor:
    """Enlarge pictures of any size.

    Tiles are shown to the restorer one at a time and blended where they overlap; colours are
    matched on the whole picture, after that.

    Args:
        restorer: What enlarges; tiles are brought to its device.
        lr: ``(B, T, 3, h, w)`` in ``[-1, 1]``, on any device.
        tile: Side of the tiles, in pixels of `lr`; None takes the picture whole.
        overlap: Pixels of `lr` that neighbouring tiles share.
        color: Take the colours of the small picture: all at once (``adain``), or only the coarse ones (``wavelet``).

    Returns:
        ``(B, T, 3, scale * h, scale * w)`` in ``[-1, 1]``, float32, on the device of `lr`.

    Raises:
        ValueError: If the tiles are too small, or overlap by half a tile or more.
    """
    height, width = lr.shape[-2:]
    padded = _at_least(lr, SMALLEST)
    if tile is None:
        hr = _run(restorer, padded)
    else:
        _check_tile(tile, overlap)
        hr = _in_tiles(restorer, padded, tile, overlap)
    hr = hr[..., : height * restorer.scale, : width * restorer.scale]
    if color == "adain":
        hr = adain(hr, lr.float())
    elif color == "wavelet":
        hr = wavelet(hr, enlarge(lr.float(), restorer.scale))
    return hr.clamp(-1, 1)


def _check_tile(tile: int, overlap: int) -> None:
    if tile < SMALLEST:
        raise ValueError(f"tile: {tile} pixels; at least {SMALLEST}.")
    if overlap < 0 or 2 * overlap >= tile:
        raise ValueError(f"overlap: {overlap} pixels; at least 0 and less than half of the tile's {tile}.")


def _run(restorer: Restorer, lr: Tensor) -> Tensor:
    places = [*restorer.parameters(), *restorer.buffers()]
    return restorer.restore(lr.to(places[0].device) if places else lr).float().to(lr.device)


def _in_tiles(restorer: Restorer, lr: Tensor, tile: int, overlap: int) -> Tensor:
    height, width = lr.shape[-2:]
    scale = restorer.scale
    total = lr.new_zeros(*lr.shape[:-2], height * scale, width * scale, dtype=torch.float32)
    shares = total.new_zeros(total.shape[-2:])
    for top, bottom in _spans(height, tile, overlap):
        for left, right in _spans(width, tile, overlap):
            hr = _run(restorer, lr[..., top:bottom, left:right])
            share = torch.outer(_ramp(hr.shape[-2], overlap * scale), _ramp(hr.shape[-1], overlap * scale)).to(hr)
            rows, columns = slice(top * scale, bottom * scale), slice(left * scale, right * scale)
            total[..., rows, columns] += hr * share
            shares[rows, columns] += share
    return total / shares


def _spans(side: int, tile: int, overlap: int) -> list[tuple[int, int]]:
    """Where tiles begin and end along a side; they are all of one size."""
    if side <= tile:
        return [(0, side)]
    starts = [*range(0, side - tile, tile - overlap), side - tile]
    return [(start, start + tile) for start in starts]


def _ramp(length: int, overlap: int) -> Tensor:
    """Rises over the overlap, stays at 1, falls."""
    distance = torch.arange(1, length + 1, dtype=torch.float32)
    return (torch.minimum(distance, distance.flip(0)) / (overlap + 1)).clamp(max=1)


def _at_least(lr: Tensor, side: int) -> Tensor:
    right, bottom = max(side - lr.shape[-1], 0), max(side - lr.shape[-2], 0)
    return F.pad(lr, (0, right, 0, bottom, 0, 0), mode="replicate") if right or bottom else lr
