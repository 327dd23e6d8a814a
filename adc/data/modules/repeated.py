"""A fixed set of clips out of endlessly many."""

from __future__ import annotations

from typing import Any

from torch.utils.data import Dataset

from adc.data.datasets.clips import Key
from adc.data.modules.clip_data import ClipData


class RepeatedClips(ClipData):
    """Another module's clips, with the crops and degradations of the first epochs again and again.

    The set is finite, so that `adc cache` can store a teacher's outputs for all of it. The order is new in every epoch.
    """

    def __init__(self, data: ClipData, epochs: int = 1) -> None:
        """
        Args:
            data: The other module.
            epochs: How many different crops and degradations of each photo there are.
        """
        super().__init__(data.batch_size, data.workers, data.seed)
        if epochs < 1:
            raise ValueError(f"epochs: {epochs} is less than 1.")
        self.data, self.epochs = data, epochs

    def training_set(self) -> Dataset[Any]:
        """Its clips, for ever those of the first epochs."""
        return _Repeated(self.data.training_set(), self.epochs)

    def validation_set(self) -> Dataset[Any] | None:
        """Its validation clips."""
        return self.data.validation_set()

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Those of the other module."""
        return self.data.on_after_batch_transfer(batch, dataloader_idx)


class _Repeated(Dataset[dict[str, Any]]):
    def __init__(self, clips: Any, epochs: int) -> None:
        self.clips, self.epochs = clips, epochs

    @property
    def skipped(self) -> dict[str, str]:
        return getattr(self.clips, "skipped", {})

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        position, index = key if isinstance(key, tuple) else (0, key)
        return self.clips[position % (self.epochs * len(self)), index]
