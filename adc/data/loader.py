"""Data loader that raises errors of its workers as they were raised."""

from __future__ import annotations

import os
import re
import signal
import threading
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import DataLoader, Dataset, Sampler, default_collate


class WorkerTraceback(Exception):
    """Traceback of an error in a worker; the cause of the error."""


class _Deferred(Dataset[Any]):
    """A dataset with errors as items, because a `DataLoader` turns those of its workers into long texts."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.dataset = dataset
        self.skipped: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self.dataset)  # pyright: ignore[reportArgumentType]

    def __getitem__(self, key: Any) -> Any:
        try:
            return self.dataset[key], dict(getattr(self.dataset, "skipped", {}))
        except (ValueError, OSError) as error:
            return error, traceback.format_exc()


def _collate(items: Sequence[Any]) -> Any:
    for item in items:
        if isinstance(item[0], Exception):
            return item
    return default_collate([item for item, _ in items]), {k: v for _, skipped in items for k, v in skipped.items()}


class WorkerDiedError(OSError):
    """A worker's process ended; the message names it, its signal and the way out."""


_DIED = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (?:is killed by signal: ([^.]+)|exited)")


def _as_died(error: BaseException, workers: Sequence[Any] = ()) -> WorkerDiedError | None:
    """The error of a worker that ended, if that is what is behind an error: torch says so, or a worker is gone.

    What a worker was handing over when it ended arrives as an end of file or a broken connection.
    """
    found = _DIED.search(str(error))
    if found is not None and found[2]:
        return _died(found[1], found[2])
    if found is not None or isinstance(error, EOFError | OSError):
        for worker in workers:
            worker.join(0.5)
            if worker.exitcode:
                return _died(str(worker.pid), signal.strsignal(-worker.exitcode) if worker.exitcode < 0 else None)
    return None if found is None else _died(found[1], None)


def _died(who: str, signal_name: str | None) -> WorkerDiedError:
    how = f"was killed by the signal {signal_name}" if signal_name else "exited unexpectedly"
    if signal_name == "Bus error":
        cause = "shared memory (/dev/shm) is full: enlarge it, or lower workers or batch_size"
    else:
        cause = "often the system ends it where memory runs out: lower workers, batch_size or cache"
    return WorkerDiedError(f"data worker {who} {how}; {cause}.")


def _name_dead_workers() -> None:
    """Let torch's handler, which raises wherever the main thread is when a worker ends, raise a `WorkerDiedError`."""
    usual: Any = signal.getsignal(signal.SIGCHLD)
    if not callable(usual) or getattr(usual, "names_workers", False):
        return

    def handler(number: int, frame: Any) -> None:
        try:
            usual(number, frame)
        except RuntimeError as error:
            raise _as_died(error) or error from None

    handler.names_workers = True  # pyright: ignore[reportFunctionMemberAccess]
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, handler)


class ClipLoader(DataLoader[Any]):
    """Yields batches ``{"lr": (B, T, 3, h, w), "hr": (B, T, 3, H, W), "name": list of str}``.

    A ``ValueError`` or ``OSError`` of the dataset is raised as it is, with the place in the
    worker as its cause; a worker that ends itself is a `WorkerDiedError`. Make it with `clip_loader`.
    """

    def __iter__(self) -> Iterator[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Yield batches."""
        for batch, remark in self._items():
            if isinstance(batch, Exception):
                if self.num_workers and self._iterator is not None:
                    self._iterator._shutdown_workers()  # pyright: ignore[reportAttributeAccessIssue]
                    self._iterator = None
                try:
                    raise batch from WorkerTraceback(remark)
                finally:
                    del batch
            self.dataset.skipped |= remark  # pyright: ignore[reportAttributeAccessIssue]
            yield batch

    def _items(self) -> Iterator[Any]:
        iterator: Any = None
        try:
            iterator = super().__iter__()
            if self.num_workers:
                _name_dead_workers()
            yield from iterator
        except (RuntimeError, EOFError, OSError) as error:
            if (
                isinstance(error, WorkerDiedError)
                or (died := _as_died(error, getattr(iterator, "_workers", ()))) is None
            ):
                raise
            raise died from None

    @property
    def skipped(self) -> dict[str, str]:
        """Broken files that the dataset passed over so far, by name, each with its cause."""
        return dict(sorted(self.dataset.skipped.items()))  # pyright: ignore[reportAttributeAccessIssue]


def clip_loader(
    dataset: Dataset[Any],
    batch_size: int = 1,
    workers: int = 0,
    sampler: Sampler[Any] | Sequence[Any] | None = None,
    pin_memory: bool = False,
) -> ClipLoader:
    """A loader of clips; `workers` processes read and degrade, each on one thread, 0 is this process."""
    return ClipLoader(
        _Deferred(dataset),
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=pin_memory,
        collate_fn=_collate,
        worker_init_fn=_outlive_signals,
    )


def _outlive_signals(worker: int) -> None:
    """Let the main process decide when a worker ends; a signal to all processes of a job would end it before."""
    for name in {"SIGINT", "SIGUSR1"} & set(dir(signal)):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_wait_for_main, args=(os.getppid(),), daemon=True).start()


def _wait_for_main(main: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != main:
        pass
    os._exit(0)
