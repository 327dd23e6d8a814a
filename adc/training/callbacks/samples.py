"""Validation samples in the logs of a run."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from adc.ops.clip import to_unit, upsample_bicubic
from adc.ops.temporal import profiles
from adc.progress import note
from adc.training.image_logs import log_image


class Samples(pl.Callback):
    """Logs ``bicubic | restored | truth`` of the first validation clips at each validation.

    Of clips of more than one frame it shows the frame in the middle, and in a second picture their temporal
    profiles: the stretch of a row that changes most in the truth, over time from top to bottom.

    TensorBoard, W&B, MLflow and Comet get images; a CSVLogger gets PNG files in its folder. Of a logger that takes
    none there is a note.
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
        self._without: set[str] = set()

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
        for name, rows in (("bicubic_restored_truth", self._rows), ("temporal_profiles", self._profiles)):
            if rows and trainer.is_global_zero:
                width = min(row.shape[-1] for row in rows)
                grid = torch.cat([row[..., :width] for row in rows], dim=-2)
                for logger in trainer.loggers:
                    if not log_image(logger, f"validation/{name}", grid, pl_module.batches_seen):
                        self._note(type(logger).__name__)
        self._rows, self._profiles = [], []

    def _note(self, logger: str) -> None:
        if logger not in self._without:
            self._without.add(logger)
            note(f"Samples: {logger} takes no images; TensorBoardLogger and CSVLogger do.")

    def _crop(self, clip: Tensor) -> Tensor:
        frame = to_unit(clip[0, clip.shape[1] // 2])
        top, left = ((side - min(side, self.size)) // 2 for side in frame.shape[-2:])
        return frame[:, top : top + self.size, left : left + self.size].cpu()
