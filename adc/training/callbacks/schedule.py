"""Stop and save by the updates of a role."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint

from adc.training.checkpoint import checkpoint_path, checkpoints
from adc.training.guard import check_finite

SET_ASIDE = "set_aside"
"""The folder beside checkpoints for those of an attempt that was given up."""
log = logging.getLogger(__name__)


def count(stage: Any, role: str) -> int:
    """The role's updates.

    Raises:
        ValueError: If the stage has no such role.
    """
    if role not in stage.updates:
        raise ValueError(f"role: {type(stage).__name__} has no role {role!r}; it has {', '.join(stage.updates)}.")
    return stage.updates[role]


class StopAfter(pl.Callback):
    """Ends training when a role has had its updates: the goal of a stage."""

    def __init__(self, role: str, updates: int) -> None:
        """
        Args:
            role: The role that is counted.
            updates: Its updates at the end of the stage.
        """
        if updates < 1:
            raise ValueError(f"StopAfter.updates: {updates}; at least 1.")
        self.role, self.updates = role, updates

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ask the trainer to stop; a resumed run may be complete already."""
        self._stop(trainer, pl_module)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Ask the trainer to stop."""
        self._stop(trainer, pl_module)

    def _stop(self, trainer: pl.Trainer, stage: Any) -> None:
        if count(stage, self.role) >= self.updates:
            trainer.should_stop = True


class SaveEvery(Checkpoint):
    """Writes ``checkpoints/<batches>.ckpt`` in the run folder and keeps the newest few.

    A checkpoint is removed only when at least two newer ones were written, or read whole, by this process; those of an
    attempt that was given up, which are ahead of the present one, are moved to ``checkpoints/set_aside``. Several of
    these callbacks each keep their own.
    """

    def __init__(self, role: str, updates: int, keep: int = 2) -> None:
        """
        Args:
            role: The role that is counted.
            updates: Updates of the role between two checkpoints.
            keep: How many checkpoints stay; at least 2, so that a damaged one is no loss.
        """
        if updates < 1:
            raise ValueError(f"SaveEvery.updates: {updates}; at least 1.")
        if keep < 2:
            raise ValueError(f"SaveEvery.keep: {keep} checkpoints; at least 2, so that one is always whole.")
        self.role, self.updates, self.keep = role, updates, keep
        self.files: list[str] = []
        self._count = 0
        self._written: int | None = None
        self._proven: set[str] = set()

    @property
    def state_key(self) -> str:
        """One state for each of several."""
        return f"{type(self).__qualname__}{{'role': {self.role!r}, 'updates': {self.updates}}}"

    def state_dict(self) -> dict[str, Any]:
        """The names of the files that it keeps."""
        return {"files": list(self.files)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on keeping them."""
        self.files = list(state_dict["files"])

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Continue the count."""
        self._count = count(pl_module, self.role)
        self._proven = {Path(trainer.ckpt_path).name} if trainer.ckpt_path else set()

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
        """Write a checkpoint now, then make room.

        Raises:
            OSError: If it cannot be written; earlier ones stay.
            ValueError: If weights are not finite.
        """
        check_finite(stage)
        path = checkpoint_path(trainer.default_root_dir, stage.batches_seen)
        self.files = [*(name for name in self.files if name < path.name), path.name][-self.keep :]
        trainer.save_checkpoint(path)
        self._written = stage.batches_seen
        self._proven.add(path.name)
        if trainer.is_global_zero:
            self._make_room(path, trainer)

    def _make_room(self, path: Path, trainer: pl.Trainer) -> None:
        savers: list[Any] = [c for c in trainer.callbacks if isinstance(c, SaveEvery)]  # type: ignore[attr-defined]
        kept = {name for saver in savers for name in saver.files}
        proven = {name for saver in savers for name in saver._proven}
        for other in checkpoints(trainer.default_root_dir):
            if other.name > path.name:
                aside = other.parent / SET_ASIDE / other.name
                aside.parent.mkdir(exist_ok=True)
                other.replace(aside)
                log.warning("%s is ahead of this attempt and was moved to %s", other, aside.parent)
            elif other.name not in kept and sum(name > other.name for name in proven) >= 2:
                other.unlink(missing_ok=True)
