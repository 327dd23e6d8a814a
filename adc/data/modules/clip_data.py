"""Base class of data modules."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import Counter
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import Dataset

from adc.data.loader import ClipLoader, clip_loader
from adc.data.sampler import PositionSampler

log = logging.getLogger(__name__)


class ClipData(LightningDataModule, ABC):
    """Base class of data modules: training set, validation set and the position in the data.

    The position is the number of clips that all processes together have trained on. It is
    derived from the number of batches that the stage has processed, so that
    prefetched batches do not count, and it is part of the checkpoint: a resumed run continues with
    the clips that come next. Use it with ``use_distributed_sampler: false``; `PositionSampler`
    divides the clips among processes.
    """

    def __init__(self, batch_size: int, workers: int, seed: int) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size: {batch_size} is less than 1.")
        if workers < 0:
            raise ValueError(f"workers: {workers} is less than 0. Use 0 to load in the main process.")
        self.batch_size, self.workers, self.seed = batch_size, workers, seed
        self.start = 0
        self._batches_at_start: int | None = None
        self._train_loader: ClipLoader | None = None

    @abstractmethod
    def training_set(self) -> Dataset[Any]:
        """A sized dataset whose keys are pairs (position, index)."""

    @abstractmethod
    def validation_set(self) -> Dataset[Any] | None:
        """A dataset in order, or nothing."""

    def setup(self, stage: str) -> None:
        """Look for the files, so that a missing one ends the run before it begins."""
        if stage == "fit":
            self._training_set = self.training_set()
        self._validation_set = self.validation_set()

    @property
    def position(self) -> int:
        """The number of clips trained on, by all processes together."""
        if self._batches_at_start is None:
            return self.start
        return self.start + (self._batches() - self._batches_at_start) * self.batch_size * self._processes()[1]

    def state_dict(self) -> dict[str, Any]:
        """The position."""
        return {"position": self.position}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue at a position."""
        self.start, self._batches_at_start = int(state_dict["position"]), None

    def train_dataloader(self) -> ClipLoader:
        """Endless batches from the position on, wherever an iterator begins; ``overfit_batches`` repeats the first."""
        self.start, self._batches_at_start = self.position, self._batches()
        rank, world = self._processes()
        repeat = getattr(self.trainer, "overfit_batches", 0) > 0
        start = self.start if repeat else lambda: self.position
        sampler = PositionSampler(len(self._training_set), self.seed, rank, world, start)  # pyright: ignore[reportArgumentType]
        self._train_loader = clip_loader(
            self._training_set, self.batch_size, self.workers, sampler, pin_memory=self._on_gpu()
        )
        return self._train_loader

    def val_dataloader(self) -> ClipLoader | list[Any]:
        """The validation clips, one per batch, all of them in every process."""
        if self._validation_set is None:
            return []
        return clip_loader(self._validation_set, workers=min(self.workers, 2), pin_memory=self._on_gpu())

    test_dataloader = predict_dataloader = val_dataloader

    def teardown(self, stage: str) -> None:
        """Name the broken files that were skipped."""
        if skipped := self.skipped():
            counts = ", ".join(f"{cause} {count}" for cause, count in self.causes().items())
            log.warning("%d broken files were skipped (%s): %s", len(skipped), counts, ", ".join(skipped))

    def skipped(self) -> dict[str, str]:
        """Files that training passed over in this process, by name, each with its cause."""
        return {} if self._train_loader is None else self._train_loader.skipped

    def causes(self) -> dict[str, int]:
        """How many files were passed over for each cause."""
        return dict(sorted(Counter(self.skipped().values()).items()))

    def _batches(self) -> int:
        return self.trainer.lightning_module.batches_seen if self.trainer else 0  # pyright: ignore[reportReturnType]

    def _processes(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _on_gpu(self) -> bool:
        return self.trainer.strategy.root_device.type == "cuda" if self.trainer else torch.cuda.is_available()
