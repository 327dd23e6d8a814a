"""Data of a recipe: endless training batches, and validation clips."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import Any, Literal

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import Dataset

from adc.data.datasets.augment import Augmentation
from adc.data.datasets.photo_pairs import TrainingPairs, ValidationPairs
from adc.data.datasets.photos import (
    DRAWS,
    TrainingClips,
    ValidationClips,
    check_frames,
    check_largest,
    check_size,
    degraded,
)
from adc.data.loader import ClipLoader, clip_loader
from adc.data.sampler import PositionSampler
from adc.interfaces import Degradation

log = logging.getLogger(__name__)


class ClipData(LightningDataModule, ABC):
    """Loaders over a training set and a validation set; knows and saves the position in the data.

    The position is the number of clips that all processes together have trained on. It is
    derived from the number of batches that the module has processed (``batches``), so that what
    workers have prefetched does not count, and it is part of the checkpoint: a resumed run sees
    the clips that come next. Run it with ``use_distributed_sampler: false``; `PositionSampler`
    shares the clips out.
    """

    def __init__(self, batch_size: int, workers: int, seed: int) -> None:
        """
        Args:
            batch_size: Clips per batch and process.
            workers: Processes that load.
            seed: Of the order.
        """
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
        """Look for the files, so that what is missing is missed before anything runs."""
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
        """Endless batches from the position on."""
        self.start, self._batches_at_start = self.position, self._batches()
        rank, world = self._processes()
        sampler = PositionSampler(len(self._training_set), self.seed, rank, world, self.start)  # pyright: ignore[reportArgumentType]
        self._train_loader = clip_loader(
            self._training_set, self.batch_size, self.workers, sampler, pin_memory=self._on_gpu()
        )
        return self._train_loader

    def val_dataloader(self) -> ClipLoader | list[Any]:
        """The validation clips, one per batch, all of them in every process."""
        if self._validation_set is None:
            return []
        return clip_loader(self._validation_set, workers=min(self.workers, 2), pin_memory=self._on_gpu())

    def test_dataloader(self) -> ClipLoader | list[Any]:
        """The same as `val_dataloader`."""
        return self.val_dataloader()

    def predict_dataloader(self) -> ClipLoader | list[Any]:
        """The same as `val_dataloader`."""
        return self.val_dataloader()

    def teardown(self, stage: str) -> None:
        """Name the broken files that were skipped."""
        if self._train_loader is not None and self._train_loader.skipped:
            names = self._train_loader.skipped
            log.warning("%d broken files were skipped: %s", len(names), ", ".join(names))

    def _batches(self) -> int:
        return self.trainer.lightning_module.batches_seen if self.trainer else 0  # pyright: ignore[reportReturnType]

    def _processes(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _on_gpu(self) -> bool:
        return self.trainer.strategy.root_device.type == "cuda" if self.trainer else torch.cuda.is_available()


class DegradedClips(ClipData):
    """Photos, and their small, spoilt twins made on the fly.

    Which crop, which degradation: all is drawn from (seed, photo, epoch), so that any number of
    workers and processes makes the same pictures.
    """

    def __init__(
        self,
        degradation: Degradation,
        batch_size: int,
        train_dir: str | None = None,
        val_dir: str | None = None,
        frames: int = 1,
        size: int = 512,
        workers: int = 2,
        seed: int = 0,
        small: Literal["error", "reflect"] = "error",
        broken: Literal["error", "skip"] = "error",
        cache: int = 64,
        validation_size: int | None = None,
        validation_limit: int | None = None,
        multiple: int = 16,
        augment: Augmentation | None = None,
        captions: bool = False,
        degrade: Literal["workers", "device"] = "workers",
    ) -> None:
        """
        Args:
            degradation: What makes the small clip; it knows the scale.
            batch_size: Clips per batch and process.
            train_dir: Folder of training photos, searched with its sub-folders and the tar files in them; eleven photos
                of scikit-image if none.
            val_dir: Folder of validation photos; four other photos of scikit-image if none.
            frames: Frames per clip; photos have one.
            size: Height and width of the large clip, a multiple of the scale.
            workers: Processes that read and degrade, each on one thread; 0 does it in the main process.
            seed: Of the order, the crops and the degradations.
            small: What to do with a photo smaller than size: stop, or mirror it at its borders.
            broken: What to do with an unreadable file: stop, or take the next one in its place and name it at the end.
            cache: Megabytes of decoded photos that each worker keeps in memory.
            validation_size: Largest height and width of validation photos, cut from the middle; whole photos if none.
            validation_limit: Validate on the first so many photos only.
            multiple: Validation photos are cut so that the small clip's height and width are multiples of this.
            augment: Changes training crops before they are degraded, for where photos are few.
            captions: Read the text beside each photo (photo.txt beside photo.png), for prompts.
            degrade: Where training clips are degraded: in the workers, or in float32 on the device that trains.
        """
        super().__init__(batch_size, workers, seed)
        check_frames(frames)
        check_size("size", size, degradation.scale)
        check_largest(validation_size, multiple * degradation.scale)
        self.degradation, self.train_dir, self.val_dir = degradation, train_dir, val_dir
        self.frames, self.size, self.cache = frames, size, cache
        self.small: Literal["error", "reflect"] = small
        self.broken: Literal["error", "skip"] = broken
        self.validation_size, self.validation_limit, self.multiple = validation_size, validation_limit, multiple
        self.augment, self.captions = augment, captions
        self.degrade: Literal["workers", "device"] = degrade

    def training_set(self) -> TrainingClips:
        """Random crops."""
        return TrainingClips(
            self.degradation,
            self.train_dir,
            self.frames,
            self.size,
            self.seed,
            self.small,
            self.broken,
            self.cache,
            self.augment,
            self.captions,
            self.degrade,
        )

    def validation_set(self) -> ValidationClips:
        """Middles of the validation photos."""
        return ValidationClips(
            self.degradation,
            self.val_dir,
            self.validation_size,
            self.seed,
            self.multiple,
            self.validation_limit,
            self.captions,
        )

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Degrade what the workers left to the device."""
        return degraded(batch, self.degradation) if DRAWS in batch else batch


class PairedClips(ClipData):
    """Photos that exist in both sizes, in two folders with the same names."""

    def __init__(
        self,
        lr: str,
        hr: str,
        batch_size: int,
        val_lr: str | None = None,
        val_hr: str | None = None,
        scale: int = 4,
        frames: int = 1,
        size: int = 512,
        workers: int = 2,
        seed: int = 0,
        cache: int = 64,
        validation_size: int | None = None,
        validation_limit: int | None = None,
        multiple: int = 16,
    ) -> None:
        """
        Args:
            lr: Folder of small training photos.
            hr: Folder of large training photos; the names are those of the small ones, endings aside.
            batch_size: Clips per batch and process.
            val_lr: Folder of small validation photos; no validation if none.
            val_hr: Folder of large validation photos.
            scale: How many times larger the large photos are.
            frames: Frames per clip; photos have one.
            size: Height and width of the large clip, a multiple of the scale.
            workers: Processes that read, each on one thread; 0 does it in the main process.
            seed: Of the order and the crops.
            cache: Megabytes of decoded photos that each worker keeps in memory.
            validation_size: Largest height and width of large validation photos, cut from the middle; whole if none.
            validation_limit: Validate on the first so many pairs only.
            multiple: Validation photos are cut so that the small one's height and width are multiples of this.
        """
        super().__init__(batch_size, workers, seed)
        check_frames(frames)
        check_size("size", size, scale)
        check_largest(validation_size, multiple * scale)
        if (val_lr is None) != (val_hr is None):
            raise ValueError("val_lr and val_hr belong together: give both folders, or neither.")
        self.lr, self.hr, self.val_lr, self.val_hr = lr, hr, val_lr, val_hr
        self.scale, self.frames, self.size, self.cache = scale, frames, size, cache
        self.validation_size, self.validation_limit, self.multiple = validation_size, validation_limit, multiple

    def training_set(self) -> TrainingPairs:
        """Random crops."""
        return TrainingPairs(self.lr, self.hr, self.scale, self.size, self.seed, self.cache)

    def validation_set(self) -> ValidationPairs | None:
        """Middles of the validation pairs."""
        if self.val_lr is None or self.val_hr is None:
            return None
        return ValidationPairs(
            self.val_lr, self.val_hr, self.scale, self.validation_size, self.multiple, self.validation_limit
        )
