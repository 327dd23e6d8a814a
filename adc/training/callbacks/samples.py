"""Validation samples for TensorBoard."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from adc.ops.clip import to_unit, upsample_bicubic
from adc.ops.temporal import profiles


class Samples(pl.Callback):
    """Logs ``bicubic | restored | truth`` of the first validation clips to TensorBoard at each validation.

    Of clips of more than one frame it shows the frame in the middle, and in a second picture their temporal
    profiles: the stretch of a row that changes most in the truth, over time from top to bottom.
    """

    def __init__(self, clips: int = 4, size: int = 256) -> None:
        """
        Args:
            clips: How many clips.
            size: Side of the central crop that is shown, and length of the stretch.
        """
        self.clips, self.size = clips, size
        self._rows: list[Tensor] = []
        self._profiles: list[Tensor] = []

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Collect a row; all processes compute it, since a sharded network needs all of them."""
        if len(self._rows) >= self.clips:
            return
        with torch.no_grad():
            views = (
                upsample_bicubic(batch["lr"], pl_module.restorer.scale),
                pl_module.restorer.restore(batch["lr"]),
                batch["hr"],
            )
        self._rows.append(torch.cat([self._crop(view) for view in views], dim=-1))
        if batch["hr"].shape[1] > 1:
            images = profiles([view[:1] for view in views], self.size)
            self._profiles.append(to_unit(torch.cat(images, dim=-1)).cpu())

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Log the grids."""
        experiment: Any = getattr(trainer.logger, "experiment", None)
        for name, rows in (("bicubic_restored_truth", self._rows), ("temporal_profiles", self._profiles)):
            if rows and hasattr(experiment, "add_image"):
                width = min(row.shape[-1] for row in rows)
                grid = torch.cat([row[..., :width] for row in rows], dim=-2)
                experiment.add_image(f"validation/{name}", grid, pl_module.batches_seen)
        self._rows, self._profiles = [], []

    def _crop(self, clip: Tensor) -> Tensor:
        frame = to_unit(clip[0, clip.shape[1] // 2])
        top, left = ((side - min(side, self.size)) // 2 for side in frame.shape[-2:])
        return frame[:, top : top + self.size, left : left + self.size].cpu()
