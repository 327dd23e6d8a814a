"""Latents of training clips, computed once: an autoencoder costs more than a step of the denoiser behind it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any, Literal, cast

import torch
from torch.utils.data import Dataset

from adc.data.loader import clip_loader
from adc.data.sampler import PositionSampler
from adc.interfaces import Batch, Conditioner
from adc.media.tensor_shards import TensorShards
from adc.ops.clip import soften


class _Picked(Dataset[dict[str, Any]]):
    def __init__(self, clips: Dataset[dict[str, Any]], keys: list[tuple[int, int]]) -> None:
        self.clips, self.keys = clips, keys

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, number: int) -> dict[str, Any]:
        return self.clips[self.keys[number]]


@torch.no_grad()
def cache_latents(
    shards: TensorShards,
    clips: Dataset[dict[str, Any]],
    conditioner: Conditioner,
    count: int,
    negative_factor: int | None = None,
    precision: Literal["float32", "bfloat16"] = "float32",
    dtype: Literal["float32", "float16", "bfloat16"] = "float16",
    shard: int = 64,
    seed: int = 0,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
    progress: Callable[[], None] = lambda: None,
) -> int:
    """Encode training clips into a folder; shards that are there stay.

    Args:
        shards: The folder.
        clips: A training set, whose keys are pairs (position, index).
        conditioner: Its autoencoder encodes.
        count: Clips of the folder.
        negative_factor: The negative target is HR through a size so many times smaller; null stores no
            ``negative_latents``.
        precision: What the autoencoder computes in.
        dtype: What is stored.
        shard: Clips in a file.
        seed: Of the order of the clips.
        workers: Processes that read and degrade.
        rank: Number of this process among those that share the work.
        world: How many share it.
        progress: Called for each clip, also for those that are there already.

    Returns:
        The clips that were encoded now.

    Raises:
        ValueError: If the conditioner's scale is not that of the clips, or a shard that is there is damaged.
    """
    device = next(conditioner.parameters(), torch.empty(0)).device
    keys = list(islice(PositionSampler(len(clips), seed), count))  # pyright: ignore[reportArgumentType]
    stored, done = getattr(torch, dtype), 0
    for number, first in enumerate(range(0, count, shard)):
        own = keys[first : first + shard]
        if number % world != rank or shards.path(number).exists():
            for _ in own:
                progress()
            if shards.path(number).exists():
                shards.facts(number)  # a damaged one is named
            continue
        found, facts = [], []
        for batch in clip_loader(_Picked(clips, own), workers=workers):
            batch = cast(Batch, {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in batch.items()})
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
                tensors = {
                    "lr": batch["lr"],
                    "hr_latents": conditioner.clean(batch),
                    "lr_latents": conditioner.condition(batch)["lr"],
                }
                if negative_factor is not None:
                    negative = soften(batch["hr"], negative_factor)
                    tensors["negative_latents"] = conditioner.autoencoder.encode(negative)
            hr, lr = (tensors[name].shape for name in ("hr_latents", "lr_latents"))
            if hr != lr:
                raise ValueError(
                    f"conditioner: latents of HR are {list(hr[1:])}, those of LR enlarged {conditioner.scale} times "
                    f"{list(lr[1:])}; give it the scale of the data."
                )
            found.append({name: tensor[0].to(stored) for name, tensor in tensors.items()})
            facts.append({"name": batch["name"][0]})
            progress()
        shards.write(number, found, facts)
        done += len(found)
    return done
