"""Many files, one after the other: what fails is told by name, and the rest goes on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from adc.cli import debugging, describe

SOME_FAILED = 3

Item = TypeVar("Item")


def work_through(items: Sequence[Item], work: Callable[[Item], None], doing: str) -> int:
    """Do something with every item, under a progress bar on a terminal.

    Args:
        items: What to work on.
        work: Raises ValueError or OSError, whose message names the file, if an item cannot be done.
        doing: What the progress bar says.

    Returns:
        How many items failed; each has been told in one line.
    """
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    failed = 0
    for item in track(items, doing, console=console, disable=not console.is_terminal, transient=True):
        try:
            work(item)
        except (ValueError, OSError) as error:
            if debugging():
                raise
            failed += 1
            console.file.write(f"adc: error: {describe(error)}\n")
    return failed


def leave(failed: int, total: int) -> None:
    """Exit with status 3 if some items failed."""
    if failed:
        sys.stderr.write(f"adc: {failed} of {total} failed\n")
        sys.exit(SOME_FAILED)
