"""Tiled restoration of images of any size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from adc.inference import bands
from adc.inference.options import Color
from adc.inference.tiles import SMALLEST, RestoreTiles, in_bands, plan_tiles
from adc.interfaces import Restorer

__all__ = ["SMALLEST", "Tiling", "restore_bands", "restore_image"]


@dataclass(frozen=True)
class Tiling:
    """Tiling of an image.

    Attributes:
        tile: Longest side of the tiles, in pixels of the LR image; None is one tile.
        overlap: Pixels of the LR image that neighbouring tiles share, at least.
        batch: Tiles restored at once; those at the right and below may have fewer pixels and go alone.
    """

    tile: int | None = None
    overlap: int = 32
    batch: int = 1


@torch.no_grad()
def restore_image(
    restorer: Restorer,
    lr: Tensor,
    tile: int | None = None,
    overlap: int = 16,
    color: Color = "none",
    batch: int = 1,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Restore images of any size.

    Tiles are blended where they overlap; colours are matched on the whole image, after that.

    Args:
        restorer: Restorer of the tiles, which are brought to its device.
        lr: ``(B, T, 3, h, w)`` in ``[-1, 1]``, on any device.
        tile: Like `overlap` and `batch` as of `Tiling`.
        color: Take the colours of the LR image: all at once (``adain``), or only the coarse ones (``wavelet``).
        size: Height and width of the result, if not those of the restorer.

    Returns:
        ``(B, T, 3, scale * h, scale * w)`` in ``[-1, 1]``, float32, on the device of `lr`.

    Raises:
        ValueError: If the tiles are too small, or overlap by half a tile or more, or the result is not finite.
    """
    tiling = Tiling(tile, overlap, batch)
    return torch.cat(list(restore_bands(restorer, lr, tiling, color, size)), dim=-2)


@torch.no_grad()
def restore_bands(
    restorer: Restorer,
    lr: Tensor,
    tiling: Tiling,
    color: Color = "none",
    size: tuple[int, int] | None = None,
    dtype: torch.dtype = torch.float32,
    scratch: Path | None = None,
) -> Iterator[Tensor]:
    """The result of `restore_image` in bands ``(B, T, 3, rows, W)`` from top to bottom, never held whole.

    Args:
        restorer: As in `restore_image`, like `lr`, `size` and the errors.
        tiling: Tiling of the image.
        color: As in `restore_image`; ``adain`` buffers the image in a file.
        dtype: Type of what is buffered: float16 is enough for eight bits.
        scratch: Folder of that file; None is the system's.
    """
    height, width = lr.shape[-2:]
    scale = restorer.scale
    rows, columns = (plan_tiles(side, tiling.tile, tiling.overlap) for side in (height, width))
    lr = lr.detach()
    found = in_bands(_checked(restorer), lr, scale, rows, columns, tiling.batch, dtype)
    if color == "adain":
        found = bands.with_adain(found, lr.float(), scratch, dtype)
    elif color == "wavelet":
        found = bands.with_wavelet(found, lr.float(), scale)
    if size is not None and size != (height * scale, width * scale):
        found = bands.resized(found, (height * scale, width * scale), size)
    for band in found:
        yield band.clamp(-1, 1)


def _checked(restorer: Restorer) -> RestoreTiles:
    held = [*restorer.parameters(), *restorer.buffers()]

    def restore(lr: Tensor, places: Sequence[tuple[int, int]]) -> Tensor:
        given = lr.to(held[0].device) if held else lr
        hr = restorer.restore_tiles(given, places).to(lr.device, torch.float32)
        if not hr.isfinite().all():
            raise ValueError("the restorer's result is not finite: its weights or its precision are at fault.")
        return hr

    return restore
