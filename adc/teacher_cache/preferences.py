"""Preference pairs: the best and the worst of several candidates of each LR clip."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice
from typing import Any, Literal, cast

import torch
from lightning.pytorch import seed_everything
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor
from torch.utils.data import Dataset

from adc.data.sampler import PositionSampler
from adc.interfaces import Batch, DiffusionRestorer, Scorer
from adc.media.tensor_shards import TensorShards
from adc.ops.random import generator_of


@torch.no_grad()
def cache_preferences(
    shards: TensorShards,
    clips: Dataset[dict[str, Any]],
    restorer: DiffusionRestorer,
    scorer: Scorer,
    count: int,
    candidates: int = 4,
    dtype: Literal["float32", "float16", "bfloat16"] = "float16",
    shard: int = 16,
    seed: int = 0,
    rank: int = 0,
    world: int = 1,
    progress: Callable[[], None] = lambda: None,
) -> tuple[int, int]:
    """Sample candidates, score them, and keep the latents of the best and of the worst; shards that are there stay.

    Facts of a pair are its candidates' ``scores`` and ``seeds``, and which were ``best`` and ``worst``. A clip whose
    candidates all score alike has no pair.

    Args:
        shards: The folder.
        clips: A training set, whose keys are pairs (position, index).
        restorer: Samples the candidates: latents from noise.
        scorer: Rates them, higher is better. What it draws at random is the same for all candidates of a clip (DOVER
            draws fragments).
        count: LR clips.
        candidates: Candidates of each; 4, the paper does not say.
        dtype: What is stored.
        shard: LR clips in a file.
        seed: Of the order of the clips and of the noise.
        rank: Number of this process among those that share the work.
        world: How many share it.
        progress: Called for each clip, also for those that are there already.

    Returns:
        The pairs that were made now, and all clips that have none.

    Raises:
        ValueError: If a score is not finite, the scale is not that of the clips, or a shard that is there is damaged.
    """
    device = next(restorer.parameters()).device
    keys = list(islice(PositionSampler(len(clips), seed), count))  # pyright: ignore[reportArgumentType]
    made = ties = 0
    for number, first in enumerate(range(0, count, shard)):
        own = keys[first : first + shard]
        if number % world != rank or shards.path(number).exists():
            for _ in own:
                progress()
            if shards.path(number).exists():
                ties += len(own) - len(shards.facts(number))
            continue
        pairs, facts = [], []
        for position, index in own:
            found = _pair(clips[position, index], restorer, scorer, candidates, (seed, position), device)
            progress()
            if found is None:
                ties += 1
                continue
            pairs.append({name: tensor.to(getattr(torch, dtype)) for name, tensor in found[0].items()})
            facts.append(found[1])
        shards.write(number, pairs, facts)
        made += len(pairs)
    return made, ties


def _pair(
    clip: dict[str, Any],
    restorer: DiffusionRestorer,
    scorer: Scorer,
    candidates: int,
    numbers: tuple[int, int],
    device: torch.device,
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    lr = cast(Tensor, clip["lr"])[None].to(device)
    if "hr" in clip and clip["hr"].shape[-1] != restorer.scale * lr.shape[-1]:
        sides = f"{clip['hr'].shape[-1]} pixels wide, LR {lr.shape[-1]}"
        raise ValueError(
            f"restorer: enlarges {restorer.scale} times, but HR is {sides}; give it the scale of the data."
        )
    cached = {"lr_latents": clip["lr_latents"][None].to(device)} if "lr_latents" in clip else {}
    condition = restorer.conditioner.condition(cast(Batch, {"lr": lr, "name": [clip["name"]], **cached}))
    latents, scores = [], []
    for candidate in range(candidates):
        noise = torch.randn(condition["lr"].shape, generator=generator_of(*numbers, candidate)).to(condition["lr"])
        latents.append(restorer.sample(condition, noise))
        pixels = restorer.decode(latents[-1], lr).clamp(-1, 1)
        with isolate_rng():
            seed_everything(generator_of(*numbers).initial_seed() % 2**32, verbose=False)
            scores.append(scorer.rate(pixels, lr).item())
    if not all(map(math.isfinite, scores)):
        kind, name = type(scorer).__name__, clip["name"]
        raise ValueError(f"scorer: {kind} rates candidates of {name} with {scores}; scores must be finite.")
    best, worst = (scores.index(wanted(scores)) for wanted in (max, min))
    if scores[best] == scores[worst]:
        return None
    tensors = {"lr": lr, "lr_latents": condition["lr"], "chosen": latents[best], "rejected": latents[worst]}
    facts = {"name": clip["name"], "scores": scores, "best": best, "worst": worst, "seeds": [*numbers]}
    return {name: tensor[0].cpu() for name, tensor in tensors.items()}, facts
