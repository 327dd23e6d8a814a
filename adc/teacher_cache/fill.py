"""How ``adc cache`` goes through the data: shard after shard, each batch as training will meet it."""

from __future__ import annotations

import math
import sys
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from adc.data.loader import ClipLoader, clip_loader
from adc.data.modules.clip_data import ClipData
from adc.data.sampler import PositionSampler
from adc.interfaces import Prompt, Teacher
from adc.progress import track
from adc.teacher_cache.store import (
    Shard,
    ShardReader,
    ShardWriter,
    UnfinishedError,
    keys_of,
    on_grid,
    prompt_fingerprint,
    read_index,
    shards_of,
    write_index,
)
from adc.teacher_cache.teacher import run_teacher


class MissingShards(pl.LightningDataModule):
    """The batches of a data module that a cache still lacks, each as training will meet it."""

    def __init__(self, folder: Path, data: ClipData, about: dict[str, Any], config: Any) -> None:
        """
        Args:
            folder: The cache.
            data: The recipe's.
            about: What makes the answers.
            config: The command's options.
        """
        super().__init__()
        self.folder, self.data, self.about, self.config = folder, data, about, config

    def setup(self, stage: str) -> None:
        """Begin the cache or go on with it, and see which of this process's shards are missing."""
        assert self.trainer is not None
        clips, world = self.data.training_set(), self.config.world * self.trainer.world_size
        length: int = len(clips)  # pyright: ignore[reportArgumentType]
        batch = self.data.batch_size
        epochs = self.config.epochs or getattr(self.data, "epochs", 1)
        total = self.config.batches or math.ceil(epochs * length / (batch * world))
        span = max(1, self.config.shard // batch)
        shared = {"clips": length, "world": world, "span": span, "batches": total}
        self.index = write_index(self.folder, {**self.about, **shared})
        self.rank = self.config.rank * self.trainer.world_size + self.trainer.global_rank
        own = shards_of(self.index, self.rank)
        self.missing = [shard for shard in own if not self._is_whole(shard)]
        self.clips, self.positions = clips, []
        for shard in self.missing:  # in the order in which a process trains on them
            sampler = PositionSampler(length, self.data.seed, self.rank, world, shard.first * batch * world)
            self.positions += islice(sampler, shard.batches * batch)

    def val_dataloader(self) -> ClipLoader:
        """Their batches, shard by shard."""
        on_gpu = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        return clip_loader(self.clips, self.data.batch_size, self.data.workers, self.positions, pin_memory=on_gpu)

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """What the recipe's data do on the device."""
        return self.data.on_after_batch_transfer(batch, dataloader_idx)

    def summary(self) -> str:
        """What there is now; the batches may have been walked in other processes."""
        index = read_index(self.folder)
        assert index is not None
        shards = [shard for rank in range(index["world"]) for shard in shards_of(index, rank)]
        there = [self.folder / shard.name for shard in shards if (self.folder / shard.name).is_file()]
        size = sum(path.stat().st_size for path in there) / 2**20
        return f"{len(there)} of {len(shards)} shards, {size:.1f} MB"

    def _is_whole(self, shard: Shard) -> bool:
        try:
            ShardReader(self.folder, shard, self.index)
        except UnfinishedError:
            return False
        except ValueError as error:
            sys.stderr.write(f"adc: warning: {error}\n")
            return False
        return True


class TeacherRunner(pl.LightningModule):
    """A frozen teacher run over batches; its answers fill one shard after the other."""

    def __init__(
        self, teacher: Teacher | None, prompt: Prompt | None, walk: MissingShards, domains: list[str], numbers: str
    ) -> None:
        """
        Args:
            teacher: The live one, or none: the large clips are its answers.
            prompt: Its text embedding.
            walk: Which shards are missing.
            domains: ``pixel`` and ``feature``, or one of them.
            numbers: ``exact``, or the precision to round to.
        """
        super().__init__()
        self.teacher, self.prompt = teacher, prompt
        self.domains, self.numbers, self.seed = domains, numbers, torch.initial_seed()
        self._walk = [walk]  # not a part of it
        self.requires_grad_(False).eval()
        for parameter in self.parameters():  # as a stage lays them out: sums depend on it in their last bit
            if parameter.dim() == 4:
                parameter.data = parameter.data.to(memory_format=torch.channels_last)

    def on_validation_start(self) -> None:
        """Begin with the first missing shard."""
        self._left = list(self._walk[0].missing)
        self._pending, self._batches = ShardWriter(), 0

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Ask, and write the shard when it is full."""
        lr, walk = batch["lr"], self._walk[0]
        if not on_grid(lr):
            raise ValueError(
                f"data: clips such as {batch['name'][0]} are not on the grid of 8-bit values, by which a cache knows "
                "them; a Degradation must round its result."
            )
        number = self._left[0].first + self._batches
        torch.manual_seed((self.seed * 1_000_003 + number) * 4099 % 2**62 + walk.rank)  # as a stage does
        text = {} if self.prompt is None else {"prompt": self.prompt(batch)}
        answer = {"pixel": batch["hr"]} if self.teacher is None else run_teacher(self.teacher, lr, self.domains, **text)
        speaker = "the data" if self.teacher is None else type(self.teacher).__name__
        for place, name in enumerate(batch["name"]):
            if not all(bool(view[place].isfinite().all()) for view in answer.values()):
                raise ValueError(f"{name}: what {speaker} says of it is not finite.")
        self._pending.add(keys_of(lr), answer, prompt_fingerprint(text["prompt"]) if text else None, self.numbers)
        self._batches += 1
        if self._batches == self._left[0].batches:
            self._pending.write(walk.folder, self._left.pop(0), walk.index)
            self._pending, self._batches = ShardWriter(), 0


class CacheProgress(pl.Callback):
    """A bar of the first process's batches; see `track`."""

    def __init__(self) -> None:
        self._open = ExitStack()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Open the bar."""
        total = int(sum(trainer.num_val_batches))
        visible = trainer.is_global_zero and total > 0
        self._bar = self._open.enter_context(track("running the teacher", total, "batches", visible))

    def on_validation_batch_end(self, trainer: pl.Trainer, *arguments: Any) -> None:
        """Move on."""
        self._bar.advance()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException | None = None) -> None:
        """Give the terminal back."""
        self._open.close()

    on_exception = on_validation_end
