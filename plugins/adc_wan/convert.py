"""The names of Wan's transformer: those of the published files, and diffusers'."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from torch import Tensor

OUTER = {
    "time_embedding.0": "condition_embedder.time_embedder.linear_1",
    "time_embedding.2": "condition_embedder.time_embedder.linear_2",
    "text_embedding.0": "condition_embedder.text_embedder.linear_1",
    "text_embedding.2": "condition_embedder.text_embedder.linear_2",
    "time_projection.1": "condition_embedder.time_proj",
    "head.modulation": "scale_shift_table",
    "head.head": "proj_out",
}
"""Names outside of blocks, published and diffusers'; ``patch_embedding`` has one name."""
BLOCK = {
    "modulation": "scale_shift_table",
    "ffn.0": "ffn.net.0.proj",
    "ffn.2": "ffn.net.2",
    "norm3": "norm2",
    **{
        f"{published}.{layer}": f"{ours}.{ours_layer}"
        for published, ours in (("self_attn", "attn1"), ("cross_attn", "attn2"))
        for layer, ours_layer in {
            "q": "to_q",
            "k": "to_k",
            "v": "to_v",
            "o": "to_out.0",
            "norm_q": "norm_q",
            "norm_k": "norm_k",
        }.items()
    },
}
"""Names inside a block. The published ``norm3`` stands before the cross-attention, which is diffusers' ``norm2``."""


def is_original(names: Collection[str]) -> bool:
    """Whether these are the names of a published file."""
    return "time_embedding.0.weight" in names


def transformer_to_diffusers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a published transformer by diffusers' names; a name that it has not stays."""
    return {_renamed(name, OUTER, BLOCK): tensor for name, tensor in state.items()}


def transformer_to_original(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of diffusers' ``WanTransformer3DModel`` by the published names; the way back."""
    outer, block = ({ours: published for published, ours in table.items()} for table in (OUTER, BLOCK))
    return {_renamed(name, outer, block): tensor for name, tensor in state.items()}


def _renamed(name: str, outer: Mapping[str, str], block: Mapping[str, str]) -> str:
    inside = re.fullmatch(r"(blocks\.\d+\.)(.*)", name)
    begin, rest, table = (inside[1], inside[2], block) if inside else ("", name, outer)
    layer, _, tensor = rest.rpartition(".")
    if rest in table:
        return begin + table[rest]
    return f"{begin}{table.get(layer, layer)}.{tensor}" if layer else name
