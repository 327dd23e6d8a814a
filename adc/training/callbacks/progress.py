"""The progress bar of a stage: how many updates each role has had, and how many are left."""

from __future__ import annotations

import sys
import time
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

from adc.progress import clock
from adc.training.callbacks.schedule import StopAfter

SECONDS_BETWEEN_LINES = 30.0
REFRESH_SECONDS = 0.2


class StageProgress(ProgressBar):
    """A bar on a terminal; a line now and then where output goes to a file."""

    def __init__(self) -> None:
        super().__init__()
        self._progress: Progress | None = None
        self._enabled = True
        self._start = self._drawn = 0.0
        self._first_batch = self._done_before = 0

    def disable(self) -> None:
        """Other processes than the first show nothing."""
        self._enabled = False

    def enable(self) -> None:
        """Show progress."""
        self._enabled = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Open the bar."""
        self._start = self._drawn = time.monotonic()
        self._done_before, _ = _target(trainer, pl_module)
        self._first_batch = getattr(pl_module, "batches_seen", 0)
        if not self._enabled or not sys.stderr.isatty():
            return
        self._progress = bar(Console(stderr=True))
        done, total = _target(trainer, pl_module)
        self._task = self._progress.add_task(
            _counts(trainer, pl_module), total=total, completed=done, rate="", facts=""
        )
        self._progress.start()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Move on."""
        now = time.monotonic()
        if not self._enabled or now - self._drawn < (REFRESH_SECONDS if self._progress else SECONDS_BETWEEN_LINES):
            return
        self._drawn = now
        self._show(trainer, pl_module, now)

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Close the bar."""
        if self._enabled:
            self._show(trainer, pl_module, time.monotonic())
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        """Give the terminal back."""
        self._close()

    def _close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _show(self, trainer: pl.Trainer, stage: Any, now: float) -> None:
        done, total = _target(trainer, stage)
        counts, facts, rate = _counts(trainer, stage), self._facts(trainer), self._rate(stage, now)
        if self._progress is not None:
            task, pace = self._task, f"{rate:.2f}/s"
            self._progress.update(task, completed=done, total=total, description=counts, facts=facts, rate=pace)
        else:
            share = f" ({100 * done // total}%)" if total else ""
            sys.stderr.write(
                f"{counts}{share}  {self._times(done, total, now)}  {rate:.2f} batches/s  {facts}".rstrip() + "\n"
            )

    def _times(self, done: int, total: int | None, now: float) -> str:
        """Time that has passed and time that is left, by the steps of this attempt."""
        passed, new = now - self._start, done - self._done_before
        left = f", {clock(passed / new * (total - done))} left" if total and new > 0 else ""
        return f"{clock(passed)} passed{left}"

    def _rate(self, stage: Any, now: float) -> float:
        """Batches in a second, since this attempt began."""
        return (getattr(stage, "batches_seen", 0) - self._first_batch) / max(now - self._start, 1e-6)

    def _facts(self, trainer: pl.Trainer) -> str:
        metrics = trainer.callback_metrics
        losses = {
            key: float(value)
            for key, value in metrics.items()
            if not key.startswith(("updates/", "rate/", "gradient/")) and not key.endswith(("_step", "_epoch"))
        }
        return "  ".join(f"{key} {value:.3g}" for key, value in list(losses.items())[:5])


def bar(console: Console) -> Progress:
    """A bar whose share, times and rate are never cut: where the terminal is narrow, figures are, then the counts."""

    def fixed(width: int) -> Column:
        return Column(no_wrap=True, min_width=width)

    return Progress(
        SpinnerColumn(table_column=fixed(1)),
        TextColumn("{task.percentage:>3.0f}%", table_column=fixed(4)),
        *([BarColumn(bar_width=16)] if console.width >= 100 else []),
        TimeElapsedColumn(table_column=fixed(7)),
        TimeRemainingColumn(table_column=fixed(7)),
        TextColumn("{task.fields[rate]}", table_column=fixed(6)),
        TextColumn("{task.description}", table_column=Column(ratio=2, no_wrap=True, overflow="ellipsis")),
        TextColumn("[dim]{task.fields[facts]}", table_column=Column(ratio=3, no_wrap=True, overflow="ellipsis")),
        console=console,
        refresh_per_second=4,
        expand=True,
    )


def _stops(trainer: pl.Trainer) -> dict[str, int]:
    """The role updates at which callbacks end the stage."""
    stops: list[StopAfter] = [c for c in getattr(trainer, "callbacks", ()) if isinstance(c, StopAfter)]
    return {stop.role: stop.updates for stop in stops}


def _target(trainer: pl.Trainer, stage: Any) -> tuple[int, int | None]:
    """Steps done and steps in all."""
    for role, updates in _stops(trainer).items():
        return stage.updates.get(role, 0), updates
    if trainer.max_steps > 0:
        return trainer.global_step, trainer.max_steps
    batches, epochs = trainer.num_training_batches, trainer.max_epochs or -1
    total = int(batches * epochs) if epochs > 0 and batches != float("inf") else None
    return getattr(stage, "batches_seen", 0), total


def _counts(trainer: pl.Trainer, stage: Any) -> str:
    stops = _stops(trainer)
    updates = getattr(stage, "updates", {})
    return "  ".join(f"{role} {n}/{stops[role]}" if role in stops else f"{role} {n}" for role, n in updates.items())
