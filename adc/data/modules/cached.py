"""Data module of tensors that were computed beforehand."""

from __future__ import annotations

from typing import Any

from lightning import LightningDataModule
from torch.utils.data import Dataset

from adc.data.modules.clip_data import ClipData
from adc.media.tensor_shards import CachedTensors


class CachedClips(ClipData):
    """Training clips of a folder that ``adc cache-latents`` or ``adc cache-preferences`` wrote.

    Batches hold ``lr``, ``name`` and the latents of the folder (`adc.interfaces.Batch`), and no ``hr``. Validation
    clips are those of another data module.
    """

    def __init__(
        self,
        folder: str,
        batch_size: int,
        validation: LightningDataModule | None = None,
        workers: int = 0,
        seed: int = 0,
    ) -> None:
        """
        Args:
            folder: The folder.
            batch_size: Clips per batch and process.
            validation: Its validation clips are taken; no validation if none.
            workers: Processes that read; 0 reads in the main process.
            seed: Of the order.
        """
        super().__init__(batch_size, workers, seed)
        if validation is not None and not isinstance(validation, ClipData):
            raise ValueError(f"validation: {type(validation).__name__} has no clips; name a data module of clips.")
        self.folder, self.validation = folder, validation

    def training_set(self) -> Dataset[Any]:
        """The clips of the folder, in a new order in every epoch."""
        return CachedTensors(self.folder)  # pyright: ignore[reportReturnType] - a dataset by its methods

    def validation_set(self) -> Dataset[Any] | None:
        """Those of the other data module."""
        return None if self.validation is None else self.validation.validation_set()
