"""Losses of discriminator heads on changed validation clips."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from adc import runs
from adc.degradation.filters import blur
from adc.degradation.kernels import gaussian
from adc.ops import gan
from adc.ops.clip import per_frame, shuffled, to_unit

FILE = "heads.json"


class HeadProbe(pl.Callback):
    """Losses of every head on validation clips as they are, with frames out of order, and blurred.

    Written into the run folder as ``heads.json``: ``{domain: {head: {variant: loss}}}``, where the loss is the
    discriminators' own for the label 1
    (`adc.ops.gan.discriminator_loss`). The loss of a consistency head should rise with shuffled frames, that of a
    detail head with blur. The stage must have a method ``head_logits`` (`AdversarialDistillation`).
    """

    def __init__(self, clips: int = 4, blur_sigma: float = 2.0) -> None:
        """
        Args:
            clips: How many validation clips are shown.
            blur_sigma: Standard deviation of the Gaussian blur, in pixels of the large clip.
        """
        if blur_sigma <= 0:
            raise ValueError(f"blur_sigma: {blur_sigma} pixels; above 0.")
        self.clips, self.blur_sigma = clips, blur_sigma
        self._found: dict[tuple[str, str, str], list[float]] = defaultdict(list)
        self._probed = 0

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Compute the losses of a clip's variants; on all processes, since a sharded network needs all of them."""
        if self._probed >= self.clips:
            return
        self._probed += len(batch["hr"])
        for variant, clip in self.variants(batch["hr"]).items():
            for domain, head, logits in pl_module.head_logits(clip, batch):
                loss = gan.discriminator_loss(logits, 1, pl_module.adversarial).item()
                self._found[domain, head, variant].append(loss)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Log the means, and write them."""
        found, self._found, self._probed = self._found, defaultdict(list), 0
        if not found or trainer.sanity_checking or not trainer.is_global_zero:
            return
        table: dict[str, dict[str, dict[str, float]]] = {}
        for (domain, head, variant), losses in found.items():
            mean = sum(losses) / len(losses)
            table.setdefault(domain, {}).setdefault(head, {})[variant] = mean
            for logger in trainer.loggers:
                logger.log_metrics({f"heads/{domain}_{head}_{variant}": mean}, pl_module.batches_seen)
        runs.write_json(Path(trainer.default_root_dir, FILE), table)

    def variants(self, clip: Tensor) -> dict[str, Tensor]:
        """A clip ``(B, T, 3, H, W)`` as it is, with its frames in a fixed wrong order, and blurred."""
        order = shuffled(clip.shape[1], torch.Generator().manual_seed(0))
        size = 2 * round(3 * self.blur_sigma) + 1
        kernel = gaussian(size, self.blur_sigma, self.blur_sigma)
        blurred = per_frame(lambda frames: blur(frames, kernel), to_unit(clip)) * 2 - 1
        return {"video": clip, "shuffled": clip[:, order.to(clip.device)], "blurred": blurred}
