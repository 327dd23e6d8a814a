"""A warning where an update has another number of images than the learning rates of a recipe are for."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl

from adc.progress import note


class ImagesPerUpdate(pl.Callback):
    """Warns at the start where an update has another number of images than the recipe's learning rates are for.

    An update has ``processes x batch_size x accumulate`` images, or clips. Nothing is changed: the line says how to
    come to the recipe's number, or by what the rates would have to be multiplied to grow with it.
    """

    def __init__(self, images: int) -> None:
        """
        Args:
            images: Images of an update, on all processes together, that the recipe was made for.
        """
        if images < 1:
            raise ValueError(f"ImagesPerUpdate.images: {images}; at least 1.")
        self.images = images

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Count, and warn on the first process."""
        data: Any = getattr(trainer, "datamodule", None)
        batch: int | None = getattr(data, "batch_size", None)
        if batch is None or not trainer.is_global_zero:
            return
        once = trainer.world_size * batch
        found = once * pl_module.accumulate
        if found != self.images:
            processes = f"{trainer.world_size} process{'es' if trainer.world_size > 1 else ''}"
            note(
                f"an update has {found} images ({processes} x batch_size {batch} x accumulate {pl_module.accumulate}), "
                f"but the learning rates of this recipe are for {self.images}: {self._way_out(once, found)}."
            )

    def _way_out(self, once: int, found: int) -> str:
        rates = f"multiply the rates by {found / self.images:.4g}"
        if self.images % once:
            return f"choose a batch_size whose multiples on all processes come to {self.images}, or {rates}"
        return f"set --model.accumulate {self.images // once}, or {rates}"
