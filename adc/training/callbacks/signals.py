"""Stopping for a signal, at a batch boundary and with a checkpoint of that moment."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import lightning.pytorch as pl
import torch
from torch.distributed import ReduceOp

from adc import signals
from adc.training.callbacks.schedule import SaveEvery, StopAfter
from adc.training.checkpoint import checkpoint_path

SETTLING_SECONDS = 0.5
"""Interrupts that follow the first within this time are the same one, passed on by a terminal and by a launcher."""


class Stopped(SystemExit):
    """The end of training that a signal asked for; `code` is the exit status.

    Attributes:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signals.STATUS[number])
        self.number = number


class StopOnSignal(pl.Callback):
    """Ends training at the next batch boundary after SIGTERM, SIGUSR1 or one interrupt, and saves.

    The handlers are in place from the start of training to its end, in the main thread; they only set a flag. All
    processes look at it together after each batch, so that a signal to one of them stops all at the same batch. A
    validation is abandoned after its present batch; `ValidateOnResume` runs it again, whole. The first `SaveEvery` of
    the trainer writes the checkpoint, then `Stopped` leaves ``trainer.fit``: neither a validation nor the callbacks of
    the end of training run, since this is not the end of the stage. A second interrupt raises ``KeyboardInterrupt`` at
    once and saves nothing.
    """

    def __init__(self) -> None:
        self._received = 0
        self._interrupted: float | None = None
        self._replaced: dict[int, Any] = {}
        self._terminal = self._trained = False
        self._validated = self._common = 0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Note the handlers of before training, before Lightning adds its own."""
        self._replaced = {number: signal.getsignal(number) for number in signals.STATUS}
        self._terminal = trainer.is_global_zero and sys.stderr.isatty()

    def on_sanity_check_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put them back over Lightning's: training has not begun."""
        signals.install(self._replaced)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Install the handlers."""
        signals.install(dict.fromkeys(signals.STATUS, self._receive))

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Stop if any process was asked to."""
        self._trained = True
        if number := self._asked(trainer):
            connector: Any = trainer._logger_connector  # pyright: ignore[reportPrivateUsage]
            connector.on_batch_end()  # log this batch, as Lightning does next
            connector.update_train_step_metrics()
            raise Stopped(number)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count the validation batches that all processes have."""
        self._validated = 0
        if not trainer.sanity_checking:
            self._common = _reduced(trainer, sum(trainer.num_val_batches), ReduceOp.MIN)

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Stop before the next validation batch if any process was asked to."""
        self._validated += 1
        if not trainer.sanity_checking and self._validated < self._common and (number := self._asked(trainer)):
            raise Stopped(number)

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        """Save if a signal is the reason, and say so; the handlers of before come back."""
        try:
            if isinstance(exception, Stopped):
                saved = self._save(trainer, pl_module)
                _release_launched(trainer)
                if trainer.is_global_zero:
                    way = f", saved in {saved}; the same command goes on" if saved else f"; {_NOTHING_SAVED}"
                    name = signals.name_of(exception.number)
                    sys.stderr.write(f"adc: stopped by {name} at {_place(trainer, pl_module)}{way}.\n")
        finally:
            self._put_back()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Put the handlers of before back."""
        self._put_back()

    def _put_back(self) -> None:
        ours = {n: found for n, found in self._replaced.items() if signal.getsignal(n) == self._receive}
        signals.install(ours)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            now = time.monotonic()
            if self._interrupted is not None and now - self._interrupted > SETTLING_SECONDS:
                raise KeyboardInterrupt
            if self._interrupted is None and self._terminal:
                os.write(2, b"\nadc: stopping after this batch; Ctrl-C once more stops at once.\n")
            self._interrupted = self._interrupted or now
        self._received = max(self._received, number)

    def _asked(self, trainer: pl.Trainer) -> int:
        """The signal that any process has received; 0 if none has."""
        return _reduced(trainer, self._received, ReduceOp.MAX)

    def _save(self, trainer: pl.Trainer, stage: Any) -> Path | str | None:
        """The file that holds this moment; None if there is none."""
        if not self._trained:
            return trainer.ckpt_path
        savers: list[Any] = [callback for callback in _callbacks(trainer) if isinstance(callback, SaveEvery)]
        if savers and not any(saver._written == stage.batches_seen for saver in savers):
            savers[0].save(trainer, stage)
        return checkpoint_path(trainer.default_root_dir, stage.batches_seen) if savers else None


_NOTHING_SAVED = "nothing was saved, since the recipe has no SaveEvery, and the same command starts over"


def _callbacks(trainer: pl.Trainer) -> list[pl.Callback]:
    return trainer.callbacks  # type: ignore[attr-defined]


def _reduced(trainer: pl.Trainer, value: float, operation: Any) -> int:
    """The largest or smallest value of all processes."""
    value = int(min(value, 2**31))
    if trainer.world_size == 1:
        return value
    everywhere = torch.tensor(value, device=trainer.strategy.root_device)
    torch.distributed.all_reduce(everywhere, operation)  # one operation; Lightning's own adds a barrier
    return int(everywhere.item())


def _place(trainer: pl.Trainer, stage: Any) -> str:
    """How far a stage is, such as ``student 15 of 24``."""
    stops = {callback.role: callback.updates for callback in _callbacks(trainer) if isinstance(callback, StopAfter)}
    if not stops:
        return ", ".join(f"{role} {count}" for role, count in stage.updates.items())
    return ", ".join(f"{role} {stage.updates[role]} of {updates}" for role, updates in stops.items())


def _release_launched(trainer: pl.Trainer) -> None:
    """Keep Lightning from killing this process because one that it launched ended first with the same status."""
    launched: list[Any] = getattr(getattr(trainer.strategy, "launcher", None), "procs", [])
    launched.clear()
