"""Many files, one after the other or divided among workers: what fails is told by name, and the rest goes on."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from adc.errors import debugging, describe

SOME_FAILED = 3

Item = TypeVar("Item")


def work_through(
    items: Sequence[Item],
    work: Callable[[Item], None] | Sequence[Callable[[Item], None]],
    doing: str,
    unit: str = "images",
    progress: bool = True,
) -> int:
    """Do something with every item, under a progress bar on a terminal.

    Args:
        items: What to work on.
        work: Raises ValueError or OSError, whose message names the file, if an item cannot be done.
            Of several, each takes the next item in a thread of its own.
        doing: What the progress bar says.
        unit: What items are called; the bar shows how many are done in a second.
        progress: Whether there is a bar.

    Returns:
        How many items failed; each has been told in one line.
    """
    workers = [work] if callable(work) else list(work)
    failed = 0
    with _Bar(doing, unit, len(items), progress) as bar:
        waiting, turn, stop = iter(items), threading.Lock(), threading.Event()

        def serve(worker: Callable[[Item], None]) -> None:
            nonlocal failed
            for item in _taken(waiting, turn, stop):
                try:
                    worker(item)
                except (ValueError, OSError) as error:
                    if debugging():
                        raise
                    with turn:
                        failed += 1
                        bar.tell(f"adc: error: {describe(error)}\n")
                with turn:
                    bar.advance()

        if len(workers) == 1:
            serve(workers[0])
        else:
            _in_threads(serve, workers, stop)
    return failed


def _taken(waiting: Iterator[Item], turn: threading.Lock, stop: threading.Event) -> Iterator[Item]:
    while not stop.is_set():
        with turn:
            try:
                item = next(waiting)
            except StopIteration:
                return
        yield item


def _in_threads(serve: Callable[[Any], None], workers: Iterable[Any], stop: threading.Event) -> None:
    workers = list(workers)
    with ThreadPoolExecutor(len(workers)) as pool:
        tasks = [pool.submit(serve, worker) for worker in workers]
        try:
            for task in tasks:
                task.result()
        finally:
            stop.set()


class _Bar:
    """A progress bar on a terminal, with how many are done in a second; elsewhere nothing."""

    def __init__(self, doing: str, unit: str, total: int, shown: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.console = Console(stderr=True)
        speed = TextColumn("{task.fields[speed]}")
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), speed, TimeRemainingColumn())
        hidden = not shown or not self.console.is_terminal
        self.progress = Progress(*columns, console=self.console, transient=True, disable=hidden)
        self.unit, self.task = unit, self.progress.add_task(doing, total=total, speed="")

    def __enter__(self) -> _Bar:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def advance(self) -> None:
        task = self.progress.tasks[0]
        seconds = task.elapsed or 0.0
        speed = f"{(task.completed + 1) / seconds:.2f} {self.unit}/s" if seconds else ""
        self.progress.update(self.task, advance=1, speed=speed)

    def tell(self, line: str) -> None:
        self.console.file.write(line)


def leave(failed: int, total: int) -> None:
    """Exit with status 3 if some items failed."""
    if failed:
        sys.stderr.write(f"adc: {failed} of {total} failed\n")
        sys.exit(SOME_FAILED)
