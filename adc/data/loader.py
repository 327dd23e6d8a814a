"""Data loader that raises errors of its workers as they were raised."""

from __future__ import annotations

import os
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
        self.skipped: set[str] = set()

    def __len__(self) -> int:
        return len(self.dataset)  # pyright: ignore[reportArgumentType]

    def __getitem__(self, key: Any) -> Any:
        try:
            return self.dataset[key], frozenset(getattr(self.dataset, "skipped", ()))
        except (ValueError, OSError) as error:
            return error, traceback.format_exc()


def _collate(items: Sequence[Any]) -> Any:
    for item in items:
        if isinstance(item[0], Exception):
            return item
    return default_collate([item for item, _ in items]), frozenset().union(*(skipped for _, skipped in items))


class ClipLoader(DataLoader[Any]):
    """Yields batches ``{"lr": (B, T, 3, h, w), "hr": (B, T, 3, H, W), "name": list of str}``.

    A ``ValueError`` or ``OSError`` of the dataset is raised as it is, with the place in the
    worker as its cause. Make it with `clip_loader`.
    """

    def __iter__(self) -> Iterator[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Yield batches."""
        for batch, remark in super().__iter__():
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

    @property
    def skipped(self) -> list[str]:
        """Broken files that the dataset passed over so far."""
        return sorted(self.dataset.skipped)  # pyright: ignore[reportAttributeAccessIssue]


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
