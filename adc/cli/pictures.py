"""Pictures that put restorers side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from adc.interfaces import Restorer
from adc.ops.clip import to_unit

LABELS = {"bicubic": "LR bicubic"}
HEADER = 18
GAP = 4


def sample_sheet(
    clips: list[dict[str, Any]], restorers: Mapping[str, Restorer], crop: int = 192, zoom: int = 1
) -> Image.Image:
    """A row for each clip: its restorations in the order given, then the truth; the crop with the most detail.

    Args:
        clips: Batches of one clip with ``lr``, ``hr`` and ``name``.
        restorers: By name.
        crop: Side of the crop, in pixels of the large clip.
        zoom: Whole-number enlargement of what is shown.
    """
    names = [*restorers, "truth"]
    side = crop * zoom
    sheet = Image.new("RGB", (len(names) * (side + GAP) - GAP, len(clips) * (side + GAP) - GAP + HEADER), "white")
    pen = ImageDraw.Draw(sheet)
    for column, name in enumerate(names):
        pen.text((column * (side + GAP) + 3, 3), LABELS.get(name, name), fill="black")
    for row, batch in enumerate(clips):
        top, left = busiest(batch["hr"], crop)
        with torch.inference_mode():
            views = [restorer.restore(batch["lr"]) for restorer in restorers.values()]
        for column, view in enumerate([*views, batch["hr"]]):
            tile = to_image(view[..., top : top + crop, left : left + crop]).resize(
                (side, side), Image.Resampling.NEAREST
            )
            sheet.paste(tile, (column * (side + GAP), HEADER + row * (side + GAP)))
    return sheet


def to_image(clip: Tensor) -> Image.Image:
    """The first frame of the first clip as a picture."""
    frame = to_unit(clip[0, 0]).mul(255).round().byte().permute(1, 2, 0)
    return Image.fromarray(frame.contiguous().cpu().numpy())


def busiest(clip: Tensor, crop: int) -> tuple[int, int]:
    """Top and left of the crop with the strongest gradients, on a coarse grid."""
    grey = clip[0, 0].float().mean(dim=0)
    energy = torch.zeros_like(grey)
    energy[:, 1:] += (grey[:, 1:] - grey[:, :-1]).abs()
    energy[1:] += (grey[1:] - grey[:-1]).abs()
    height, width = grey.shape
    places = [
        (top, left)
        for top in range(0, max(height - crop, 0) + 1, max(crop // 4, 1))
        for left in range(0, max(width - crop, 0) + 1, max(crop // 4, 1))
    ]
    return max(places, key=lambda place: energy[place[0] : place[0] + crop, place[1] : place[1] + crop].sum().item())
