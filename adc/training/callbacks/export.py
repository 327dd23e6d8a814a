"""The result of a stage as a folder of data."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl

from adc.interfaces import Student
from adc.training.callbacks.ema import StudentEMA
from adc.training.callbacks.goal import reached
from adc.training.guard import check_finite


class Export(pl.Callback):
    """Writes the stage's restorer into a folder when its goal is met; its average if there is one.

    A stage that is stopped before writes nothing: the next one must not begin with it.
    """

    def __init__(self, folder: str | None = None) -> None:
        """
        Args:
            folder: Where it goes; null is the run folder.
        """
        self.folder = folder

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Write it on the first process; a sharded one is put together by all of them."""
        if not reached(trainer, pl_module):
            return
        averages = [callback for callback in trainer.callbacks if isinstance(callback, StudentEMA)]  # type: ignore[attr-defined]
        for average in averages:
            average.swap_in(pl_module)
        try:
            check_finite(pl_module)
            restorer = pl_module.whole_restorer()
            if trainer.is_global_zero:
                self.export(restorer, self.folder or trainer.default_root_dir)
        finally:
            for average in averages:
                average.swap_out(pl_module)

    @staticmethod
    def export(restorer: Any, folder: str) -> None:
        """Write a student as a student folder, any other restorer as it writes itself."""
        if isinstance(restorer, Student):
            from adc.pruning import save_student

            save_student(restorer, folder)
        elif hasattr(restorer, "save_pretrained"):
            restorer.save_pretrained(folder)
        else:
            raise ValueError(f"Export: {type(restorer).__name__} is no Student and has no save_pretrained(folder).")
