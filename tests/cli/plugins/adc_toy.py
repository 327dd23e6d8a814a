"""Stands in for data and a stage: one epoch is eight seeded clips."""

import time

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from adc.data import ClipData
from adc.interfaces import Teacher
from adc.stages import Regression


class ToyClips(LightningDataModule):
    """Seeded noise, the same each time."""

    def __init__(self, size: int = 8, batch_size: int = 2) -> None:
        """
        Args:
            size: Side of the small clips.
            batch_size: Clips in a batch.
        """
        super().__init__()
        self.size, self.batch_size = size, batch_size

    def train_dataloader(self):
        return DataLoader(_Clips(self.size), batch_size=self.batch_size)

    def val_dataloader(self):
        return DataLoader(_Clips(self.size), batch_size=self.batch_size)


class ToyPositions(ClipData):
    """The same noise, each clip at its position."""

    def __init__(self, size: int = 8, batch_size: int = 2) -> None:
        """
        Args:
            size: Side of the small clips.
            batch_size: Clips in a batch.
        """
        super().__init__(batch_size, workers=0, seed=0)
        self.size = size

    def training_set(self):
        return _Clips(self.size)

    def validation_set(self):
        return None


class _Clips(Dataset):
    def __init__(self, size):
        self.size = size

    def __len__(self):
        return 8

    def __getitem__(self, key):
        index = key[1] if isinstance(key, tuple) else key
        generator = torch.Generator().manual_seed(index)
        hr = torch.rand(1, 3, 4 * self.size, 4 * self.size, generator=generator) * 2 - 1
        return {"lr": hr[..., ::4, ::4], "hr": hr, "name": str(index)}


class ToyTeacher(Teacher):
    """Needs a file."""

    def __init__(self, weights: str) -> None:
        """
        Args:
            weights: The file.
        """
        super().__init__()
        raise FileNotFoundError(f"teacher weights {weights!r} not found; download them first.")

    def restore(self, lr, generator=None):
        return lr


class ToyBug(Teacher):
    """Is broken."""

    def __init__(self) -> None:
        super().__init__()
        {}["key"]

    def restore(self, lr, generator=None):
        return lr


class SlowRegression(Regression):
    """Regression that takes its time."""

    def network_loss(self, batch):
        time.sleep(0.05)
        return super().network_loss(batch)
