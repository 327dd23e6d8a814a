"""DOVE's one step on seeded weights of a small CogVideoX: what its golden files hold, by our code.

A file holds ``lr`` ``(1, T, 3, h, w)`` and ``restored`` ``(1, 3, T, 4h, 4w)``, both in ``[0, 1]``, and ``prompt``
``(1, L, D)``; its JSON the configurations and the precision.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from _seeded import seeded_like
from adc_sd21.folder import WEIGHTS
from adc_sd21.text import name_of
from adc_video import DOVE, cogvideox
from safetensors.torch import save_file
from torch import Tensor

from adc.ops.clip import to_unit

SHARDS = 3


def tolerances(facts: dict[str, Any]) -> dict[str, tuple[str, float]]:
    """How far each figure may be off.

    In float32 no value by more than 1e-4. In bfloat16 the published code itself, run with the instructions of
    another processor, differs in single values by up to 0.1, so there the norm of the difference counts.
    """
    exact = facts["dtype"] == "float32"
    return {"restored": ("largest difference", 1e-4) if exact else ("relative difference", 2e-2)}


def computed(golden: dict[str, Tensor], facts: dict[str, Any], home: Path, say: Any) -> Iterator[tuple[str, Any]]:
    """Everything that a golden file holds, name by name, computed on seeded weights in the published layout.

    Args:
        golden: The file's tensors; its inputs are used.
        facts: Its JSON.
        home: An empty folder for the weights.
        say: Called with a line of progress.
    """
    say("seeded, written as published, read")
    write_folder(home, facts, golden["prompt"][0])
    lr = golden["lr"]
    teacher = DOVE(str(home), precision=facts["dtype"], multiple=multiple_of(lr)).eval()
    with torch.no_grad():
        restored = teacher.restore(lr * 2 - 1)
    yield "restored", to_unit(restored).transpose(1, 2)


def multiple_of(lr: Tensor) -> int:
    """What sides are padded to: the files hold what ``process_video`` returns, which pads nothing.

    Where it could not run, the published script pads to multiples of 16 before it.
    """
    fits = lr.shape[1] % 8 == 1 and all(side % 4 == 0 for side in lr.shape[-2:])
    return 4 if fits else 16


def write_folder(home: Path, facts: dict[str, Any], prompt: Tensor) -> None:
    """Seeded weights as DOVE publishes its own: configurations, a transformer in shards, and the prompt."""
    number = getattr(torch, facts["dtype"])
    for part, file in cogvideox.FILES.items():
        (home / part).mkdir(parents=True, exist_ok=True)
        config = {"_diffusers_version": "0.32.2", **cogvideox.complete(part, facts[part])}
        (home / part / file).write_text(json.dumps(config))
    with torch.device("meta"):
        transformer = cogvideox.transformer(cogvideox.complete("transformer", facts["transformer"])).state_dict()
        vae = cogvideox.vae(cogvideox.complete("vae", facts["vae"])).state_dict()
    _write_shards(_cast(seeded_like(transformer, "transformer."), number), home / "transformer")
    save_file(_cast(seeded_like(vae, "vae."), number), home / "vae" / WEIGHTS)
    save_file({cogvideox.KEY: prompt.to(torch.bfloat16 if number != torch.float32 else number)}, home / name_of(""))


def _cast(weights: dict[str, Tensor], number: torch.dtype) -> dict[str, Tensor]:
    return {name: tensor.to(number) for name, tensor in weights.items()}


def _write_shards(weights: dict[str, Tensor], folder: Path) -> None:
    names = list(weights)
    stem = WEIGHTS.removesuffix(".safetensors")
    places = {}
    for number in range(SHARDS):
        file = f"{stem}-{number + 1:05d}-of-{SHARDS:05d}.safetensors"
        save_file({name: weights[name] for name in names[number::SHARDS]}, folder / file)
        places |= dict.fromkeys(names[number::SHARDS], file)
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
