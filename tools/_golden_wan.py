"""Wan's transformer on seeded weights: what its golden files hold, by our code.

A file holds ``z_t`` ``(B, 16, T, h, w)``, ``t`` ``(B,)``, ``prompt`` ``(B, L, D)``, perhaps ``lr`` like ``z_t``, and of
them ``velocity`` and the hidden states ``(B, tokens, C)`` after blocks counted from one; its JSON the configuration.
Everything is computed twice: on weights read by their published names and by diffusers'.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from _seeded import seeded_like
from adc_wan import WanDenoiser
from adc_wan.convert import transformer_to_original
from torch import Tensor


def tolerances(facts: dict[str, Any]) -> dict[str, tuple[str, float]]:
    """How far each figure may be off, as the file states it."""
    stated = facts["tolerances"]
    return {name: (stated["measure"], entry) for name, entry in stated.items() if name != "measure"}


def computed(golden: dict[str, Tensor], facts: dict[str, Any], home: Path, say: Any) -> Iterator[tuple[str, Any]]:
    """Everything that a golden file holds, name by name.

    Args:
        golden: The file's tensors; its inputs are used.
        facts: Its JSON.
        home: An empty folder for the weights.
        say: Called with a line of progress.
    """
    say("seeded by their published names, written, read")
    published, config, lr = home / "wan.pth", facts["diffusers"], "lr" in golden
    with torch.device("meta"):
        names = transformer_to_original(WanDenoiser(config=config, lr_channels=lr).network.state_dict())
    torch.save(seeded_like(names, "transformer."), published)
    denoiser = WanDenoiser(str(published), config, lr).eval()
    yield from _outputs(denoiser, golden, "")
    say("the same through diffusers' names")
    denoiser.save_pretrained(str(home))
    yield from _outputs(WanDenoiser(str(home), lr_channels=lr).eval(), golden, " (diffusers)")


@torch.no_grad()
def _outputs(denoiser: WanDenoiser, golden: dict[str, Tensor], end: str) -> Iterator[tuple[str, Tensor]]:
    hidden = sorted(name for name in golden if name.startswith("hidden_"))
    taps = [denoiser.depth - 1 if name == "hidden_last" else int(name.removeprefix("hidden_")) - 1 for name in hidden]
    condition = {"text": golden["prompt"]} | ({"lr": golden["lr"].transpose(1, 2)} if "lr" in golden else {})
    velocity, features = denoiser(golden["z_t"].transpose(1, 2), golden["t"], condition, taps)
    assert velocity is not None
    yield f"velocity{end}", velocity.transpose(1, 2)
    for name, feature in zip(hidden, features, strict=True):
        yield f"{name}{end}", feature.transpose(1, 2).flatten(2).transpose(1, 2)
