"""The names of Wan's autoencoder: those of the published file, and diffusers'."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from torch import Tensor

OUTER = {
    "conv1.": "quant_conv.",
    "conv2.": "post_quant_conv.",
    "encoder.downsamples.": "encoder.down_blocks.",
} | {
    f"{half}.{published}.": f"{half}.{ours}."
    for half in ("encoder", "decoder")
    for published, ours in {
        "conv1": "conv_in",
        "middle.0": "mid_block.resnets.0",
        "middle.1": "mid_block.attentions.0",
        "middle.2": "mid_block.resnets.1",
        "head.0": "norm_out",
        "head.2": "conv_out",
    }.items()
}
"""How names begin, published and in diffusers; ``decoder.upsamples`` is counted otherwise (`_up_block`)."""
INNER = {
    ".residual.0.": ".norm1.",
    ".residual.2.": ".conv1.",
    ".residual.3.": ".norm2.",
    ".residual.6.": ".conv2.",
    ".shortcut.": ".conv_shortcut.",
}
"""Layers of a residual block."""
UPSAMPLE = re.compile(r"decoder\.upsamples\.(\d+)\.(.*)")
UP_BLOCK = re.compile(r"decoder\.up_blocks\.(\d+)\.(resnets|upsamplers)\.(\d+)\.(.*)")


def is_original(names: Collection[str]) -> bool:
    """Whether these are the names of the published file."""
    return "encoder.conv1.weight" in names


def vae_to_diffusers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of the published ``Wan2.1_VAE.pth`` by diffusers' names; a name that it has not stays."""
    found = [UPSAMPLE.fullmatch(name) for name in state]
    places = {int(match[1]): match[2] for match in found if match}
    each = min((place for place, rest in places.items() if rest.startswith(("resample.", "time_conv."))), default=None)
    return {_to_diffusers(name, len(places) if each is None else each): tensor for name, tensor in state.items()}


def vae_to_original(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of diffusers' ``AutoencoderKLWan`` by the published names; the way back from `vae_to_diffusers`."""
    found = [UP_BLOCK.fullmatch(name) for name in state]
    each = 1 + max((int(match[3]) for match in found if match and match[2] == "resnets"), default=0)
    return {_to_original(name, each): tensor for name, tensor in state.items()}


def _to_diffusers(name: str, resnets: int) -> str:
    if match := UPSAMPLE.fullmatch(name):
        block, layer = divmod(int(match[1]), resnets + 1)
        place = f"resnets.{layer}" if layer < resnets else "upsamplers.0"
        name = f"decoder.up_blocks.{block}.{place}.{match[2]}"
    return _inside(_begun(name, OUTER), INNER)


def _to_original(name: str, resnets: int) -> str:
    name = _inside(name, {ours: published for published, ours in INNER.items()})
    if match := UP_BLOCK.fullmatch(name):
        layer = int(match[3]) if match[2] == "resnets" else resnets
        return f"decoder.upsamples.{int(match[1]) * (resnets + 1) + layer}.{match[4]}"
    return _begun(name, {ours: published for published, ours in OUTER.items()})


def _begun(name: str, table: Mapping[str, str]) -> str:
    begin = next((begin for begin in table if name.startswith(begin)), "")
    return table.get(begin, "") + name.removeprefix(begin)


def _inside(name: str, table: Mapping[str, str]) -> str:
    for old, new in table.items():
        name = name.replace(old, new)
    return name
