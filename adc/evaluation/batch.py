"""Batch processing of files, one after the other or divided among workers; failures are noted by name."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from adc.errors import debugging, describe
from adc.progress import note, track

Item = TypeVar("Item")


def work_through(
    items: Sequence[Item],
    work: Callable[[Item], None] | Sequence[Callable[[Item], None]],
    doing: str,
    progress: bool = True,
    stop: threading.Event | None = None,
) -> int:
    """Process every item, under a progress bar on a terminal, and count those that fail.

    Args:
        items: The items.
        work: Raises ValueError or OSError, noted in one line, if an item fails. Of several, each takes the next item in
            a thread of its own.
        doing: Description for the progress bar.
        progress: Whether there is a bar.
        stop: Set when the work ends early; several workers are waited for, and may end their items by it.
    """
    workers = [work] if callable(work) else list(work)
    failed = 0
    with track(doing, len(items), "images", progress) as bar:
        waiting: Iterator[Any] = iter(items)
        lock, stop = threading.Lock(), stop or threading.Event()

        def serve(worker: Callable[[Item], None]) -> None:
            nonlocal failed
            while not stop.is_set():
                with lock:
                    item: Any = next(waiting, stop)
                if item is stop:
                    return
                try:
                    worker(item)
                except (ValueError, OSError) as error:
                    if debugging():
                        raise
                    with lock:
                        failed += 1
                        note(f"error: {describe(error)}")
                with lock:
                    bar.advance()

        if len(workers) == 1:
            serve(workers[0])
            return failed
        with ThreadPoolExecutor(len(workers)) as pool:
            tasks = [pool.submit(serve, worker) for worker in workers]
            try:
                for task in tasks:
                    task.result()
            finally:
                stop.set()
    return failed
