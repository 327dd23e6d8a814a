"""Datasets of clips for training and validation; every draw is a function of seed, sample and epoch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Generator
from torch.utils.data import Dataset

from adc.data.datasets.clip_maker import ClipMaker, ClipSample
from adc.data.datasets.stills import Stills
from adc.degradation.draws import randint
from adc.interfaces import Degradation
from adc.media.images import caption_of
from adc.ops.random import generator_of

DRAWS = "draws"
"""Key of an item or a batch: states of the generators with which clips are still to be degraded."""

Key = int | tuple[int, int]
"""An index, which means epoch 0, or a pair (position, index) of a `PositionSampler`."""


class TrainingClips(Dataset[dict[str, Any]]):
    """Random clips with their LR counterparts.

    Items are ``{"lr": (T, 3, h, w), "hr": (T, 3, H, W), "name": str}`` in ``[-1, 1]``, and, if they are asked for,
    ``stills``, as large as ``hr``, and ``text``. The same (seed, index, epoch) is the same item in every process.
    """

    def __init__(
        self,
        maker: ClipMaker,
        degradation: Degradation | None,
        seed: int = 0,
        stills: Stills | None = None,
        captions: bool = False,
        on_device: bool = False,
    ) -> None:
        """
        Args:
            maker: Maker of the clips.
            degradation: Degradation of HR clips; none for a maker that has LR clips.
            seed: Seed of all draws.
            stills: Source of the stills, if items have any.
            captions: Whether items have a ``text``, read from the file beside each source.
            on_device: Whether items hold the state of their generator (`DRAWS`) in place of ``lr``, for `degraded`.
        """
        self.maker, self.degradation, self.seed, self.stills = maker, degradation, seed, stills
        self.captions, self.on_device = captions, on_device

    @property
    def skipped(self) -> dict[str, str]:
        """Files passed over so far, each with its cause."""
        return self.maker.skipped | (self.stills.skipped if self.stills is not None else {})

    def __len__(self) -> int:
        return len(self.maker)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """The item of an index in epoch 0, or of a pair (position, index) in the position's epoch."""
        position, index = key if isinstance(key, tuple) else (0, key)
        generator = generator_of(self.seed, index, position // len(self))
        clip, augment = self.maker.draw(index, generator), self.maker.spec.augment
        if augment is not None and augment.blends(generator):
            other = self.maker.draw(randint(generator, 0, len(self) - 1), generator).hr
            clip = replace(clip, hr=augment.mix(clip.hr, other, generator))
        item = _item(clip, None if self.on_device else self.degradation, generator, self.captions)
        if self.on_device:
            item[DRAWS] = generator.get_state()
        if self.stills is not None:
            item["stills"] = self.stills.draw(clip.hr.shape[0], generator, index)
        return item


class ValidationClips(Dataset[dict[str, Any]]):
    """The middle of the first frames of each source, the same in every epoch; arguments as of `TrainingClips`.

    With more than one crop of each source the others are drawn, as training clips are.
    """

    def __init__(
        self,
        maker: ClipMaker,
        degradation: Degradation | None,
        seed: int = 0,
        limit: int | None = None,
        captions: bool = False,
        crops: int = 1,
    ) -> None:
        self.maker, self.degradation, self.seed = maker, degradation, seed
        self.limit, self.captions, self.crops = limit, captions, crops

    def __len__(self) -> int:
        return self.crops * self._sources

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The item of a file: first the middle of each, then further crops."""
        crop, source = divmod(index, self._sources)
        generator = generator_of(self.seed, source, crop)
        clip = self.maker.draw(source, generator) if crop else self.maker.first(source, generator)
        return _item(clip, self.degradation, generator, self.captions)

    @property
    def _sources(self) -> int:
        return min(len(self.maker), len(self.maker) if self.limit is None else self.limit)


def _item(clip: ClipSample, degradation: Degradation | None, generator: Generator, captions: bool) -> dict[str, Any]:
    item: dict[str, Any] = {"hr": clip.hr, "name": clip.name}
    lr = clip.lr if degradation is None else degradation(clip.hr, generator)
    return item | ({} if lr is None else {"lr": lr}) | ({"text": caption_of(clip.path)} if captions else {})


def degraded(batch: dict[str, Any], degradation: Degradation) -> dict[str, Any]:
    """A batch with ``lr``, made on the device of its ``hr`` in float32 from the states of its generators.

    The draws are those of a worker. Sums on another device may differ in their last bit, and so
    may a pixel by one step of 8 bits.
    """
    lr = []
    with torch.autocast(batch["hr"].device.type, enabled=False):
        for hr, state in zip(batch["hr"], batch[DRAWS], strict=True):
            generator = Generator()
            generator.set_state(state.cpu().clone())
            lr.append(degradation(hr.float(), generator))
    return {**{key: value for key, value in batch.items() if key != DRAWS}, "lr": torch.stack(lr)}
