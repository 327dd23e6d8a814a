"""Where the clips that ``adc predict`` restores go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor

from adc.media.images import to_bytes, write_image


class PredictionWriter(BasePredictionWriter):
    """Writes each frame as a PNG file, named like its clip, into ``predictions`` of the run folder."""

    def write_on_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        prediction: Tensor,
        batch_indices: Sequence[int] | None,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write a batch; the frames of a longer clip are numbered."""
        for clip, name in zip(prediction, batch["name"], strict=True):
            path = Path(trainer.default_root_dir, "predictions", f"{name}.png")
            paths = [path] if len(clip) == 1 else [path.with_suffix("") / f"{n:05d}.png" for n in range(len(clip))]
            for frame, place in zip(clip, paths, strict=True):
                write_image(place, to_bytes(frame))

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say where they are."""
        if trainer.is_global_zero:
            print(f"predictions: {Path(trainer.default_root_dir, 'predictions')}")
