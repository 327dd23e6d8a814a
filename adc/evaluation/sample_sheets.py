"""Sample sheets: crops of restorers side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from adc.interfaces import Restorer
from adc.media.images import to_bytes
from adc.ops.temporal import profiles

LABELS = {"bicubic": "LR bicubic"}
HEADER = 18
GAP = 4


def sheets(
    clips: list[dict[str, Any]], restorers: Mapping[str, Restorer], crop: int = 192
) -> tuple[Image.Image, Image.Image | None]:
    """The sheet of samples and, if a clip has more than one frame, a sheet of the same order with temporal profiles.

    A row for each batch of one clip: the restorations in the order given, then the truth. A sample is the crop of the
    frame in the middle with the most detail. A profile is the stretch of a row that changes most in the truth, over
    time from top to bottom, each frame drawn several lines tall if the clip is short. Both are `crop` HR pixels long.
    """
    samples, motion = [], []
    for batch in clips:
        with torch.inference_mode():
            views = [*(restorer.restore(batch["lr"]) for restorer in restorers.values()), batch["hr"]]
        top, left = busiest(batch["hr"], crop)
        tiles = [to_image(view[..., top : top + crop, left : left + crop]) for view in views]
        samples.append([tile.resize((crop, crop), Image.Resampling.NEAREST) for tile in tiles])
        if batch["hr"].shape[1] > 1:
            tiles = [Image.fromarray(to_bytes(profile)) for profile in profiles(views, crop)]
            motion.append([tile.resize((crop, tile.height), Image.Resampling.NEAREST) for tile in tiles])
    names = [*restorers, "truth"]
    return _sheet(names, samples, crop), _sheet(names, motion, crop) if motion else None


def to_image(clip: Tensor) -> Image.Image:
    """Frame in the middle of the first clip as an image."""
    return Image.fromarray(to_bytes(clip[0, clip.shape[1] // 2]))


def busiest(clip: Tensor, crop: int) -> tuple[int, int]:
    """Top and left of the crop with the strongest gradients in the frame in the middle, on a coarse grid."""
    grey = clip[0, clip.shape[1] // 2].float().mean(dim=0)
    energy = torch.zeros_like(grey)
    energy[:, 1:] += (grey[:, 1:] - grey[:, :-1]).abs()
    energy[1:] += (grey[1:] - grey[:-1]).abs()
    step = max(crop // 4, 1)
    height, width = (min(crop, side) for side in grey.shape)
    sums = energy.unfold(0, height, step).unfold(1, width, step).sum(dim=(2, 3))
    row, column = divmod(int(sums.argmax()), sums.shape[1])
    return row * step, column * step


def _sheet(names: Sequence[str], rows: Sequence[Sequence[Image.Image]], width: int) -> Image.Image:
    """Tiles in a grid, a name above each column."""
    height = sum(row[0].height for row in rows)
    across = width + GAP
    sheet = Image.new("RGB", (len(names) * across - GAP, height + (len(rows) - 1) * GAP + HEADER), "white")
    pen = ImageDraw.Draw(sheet)
    for column, name in enumerate(names):
        pen.text((column * across + 3, 3), LABELS.get(name, name), fill="black")
    top = HEADER
    for row in rows:
        for column, tile in enumerate(row):
            sheet.paste(tile, (column * across, top))
        top += row[0].height + GAP
    return sheet
