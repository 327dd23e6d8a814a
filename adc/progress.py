"""Progress bars and notes of long work; silent in a library. rich is imported where it is needed."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SECONDS_BETWEEN_LINES = 30.0
"""Where standard error is no terminal, progress is a line now and then."""

_visible = False
_owner: Bar | None = None
"""The bar that has the terminal."""


@contextmanager
def visible() -> Iterator[None]:
    """Show bars and write notes to standard error until the block ends; what a command does."""
    global _visible
    before, _visible = _visible, True
    try:
        yield
    finally:
        _visible = before


def note(line: str) -> None:
    """Report a problem after which the work goes on: a line of a command, a warning of a library."""
    if _visible:
        sys.stderr.write(f"adc: {line}\n")
    else:
        warnings.warn(line, stacklevel=2)


def clock(seconds: float) -> str:
    """Seconds as ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


class Bar:
    """How far some work is, its rate and the time left; a bar on a terminal, lines elsewhere, or nothing."""

    def __init__(self, description: str, total: int | None, unit: str = "steps", visible: bool = True) -> None:
        """
        Args:
            description: What is done.
            total: How many steps there are; None if that is unknown.
            unit: What a step is called, in the plural.
            visible: Whether anything is written.
        """
        self.description, self.total, self.unit, self.visible = description, total, unit, visible
        self.done, self.start = 0, time.monotonic()
        self._written, self._live = self.start, None

    def __enter__(self) -> Bar:
        """Begin to show progress, unless another bar has the terminal."""
        global _owner
        if not self.visible or _owner is not None or not sys.stderr.isatty():
            return self
        from rich.console import Console

        live = bar_of(Console(stderr=True))
        live.add_task(self.description, total=self.total, rate="")
        live.start()
        self._live, _owner = live, self
        return self

    def advance(self, description: str | None = None) -> None:
        """Count one step."""
        self.done += 1
        self.description = description or self.description
        now = time.monotonic()
        per_second = self.done / max(now - self.start, 1e-6)
        rate = f"{per_second:{'.2f' if per_second >= 0.1 else '.2g'}} {self.unit}/s"
        if self._live is not None:
            self._live.update(self._live.task_ids[0], advance=1, description=self.description, rate=rate)
        elif self.visible and now - self._written >= SECONDS_BETWEEN_LINES and not sys.stderr.isatty():
            self._written = now
            passed = now - self.start
            left = f", {clock(passed / self.done * max(self.total - self.done, 0))} left" if self.total else ""
            of = f" of {self.total}" if self.total else ""
            sys.stderr.write(f"{self.description}: {self.done}{of}, {clock(passed)} passed{left}, {rate}\n")

    def __exit__(self, *error: object) -> None:
        """Give the terminal back."""
        global _owner
        if self._live is not None:
            self._live.stop()
            self._live = _owner = None


def bar_of(console: Any) -> Any:
    """rich's bar on a console: counts, rate and time left are never cut; long descriptions are."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    whole = Column(no_wrap=True, min_width=7)
    columns = (
        TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
        *([BarColumn()] if console.width >= 100 else []),
        MofNCompleteColumn(table_column=whole.copy()),
        TextColumn("{task.fields[rate]}", table_column=whole.copy()),
        TimeRemainingColumn(table_column=whole.copy()),
    )
    return Progress(*columns, console=console, transient=True, expand=True)


def track(description: str, total: int | None, unit: str = "steps", visible: bool = True) -> Bar:
    """A bar for a ``with`` block, with the arguments of `Bar`; silent unless a command made progress `visible`."""
    return Bar(description, total, unit, visible and _visible)
