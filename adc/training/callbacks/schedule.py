"""Stop and save by the updates of a role."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint

from adc.training.checkpoint import checkpoint_path, checkpoints
from adc.training.guard import check_finite


def count(stage: Any, role: str) -> int:
    """The role's updates.

    Raises:
        ValueError: If the stage has no such role.
    """
    if role not in stage.updates:
        raise ValueError(f"role: {type(stage).__name__} has no role {role!r}; it has {', '.join(stage.updates)}.")
    return stage.updates[role]


class StopAfter(pl.Callback):
    """Ends training when a role has had its updates."""

    def __init__(self, role: str, updates: int) -> None:
        """
        Args:
            role: The role that is counted.
            updates: Its updates at the end of the stage.
        """
        self.role, self.updates = role, updates

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ask the trainer to stop; a resumed run may be complete already."""
        if count(pl_module, self.role) >= self.updates:
            trainer.should_stop = True

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Ask the trainer to stop."""
        self.on_train_start(trainer, pl_module)


class SaveEvery(Checkpoint):
    """Writes ``checkpoints/<batches>.ckpt`` in the run folder and keeps the newest few."""

    def __init__(self, role: str, updates: int, keep: int = 2) -> None:
        """
        Args:
            role: The role that is counted.
            updates: Updates of the role between two checkpoints.
            keep: How many checkpoints stay; at least 2, so that a damaged one is no loss.
        """
        if keep < 2:
            raise ValueError(f"keep: {keep} checkpoints; at least 2, so that one is always whole.")
        self.role, self.updates, self.keep = role, updates, keep
        self._count = 0
        self._written: int | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Continue the count."""
        self._count = count(pl_module, self.role)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Save when the next multiple is reached."""
        now = count(pl_module, self.role)
        if now // self.updates > self._count // self.updates:
            self.save(trainer, pl_module)
        self._count = now

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """The last state is always kept."""
        if self._written != pl_module.batches_seen:
            self.save(trainer, pl_module)

    def save(self, trainer: pl.Trainer, stage: Any) -> None:
        """Write a checkpoint now; older ones make room, and those ahead are of another attempt."""
        check_finite(stage)
        path = checkpoint_path(trainer.default_root_dir, stage.batches_seen)
        trainer.save_checkpoint(path)
        self._written = stage.batches_seen
        if trainer.is_global_zero:
            names = checkpoints(trainer.default_root_dir)
            place = names.index(path) + 1
            for other in names[: max(place - self.keep, 0)] + names[place:]:
                other.unlink(missing_ok=True)
