"""Wan's transformer with the outputs of its blocks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from adc_wan.patches import unpatchify


class TappedForward:
    """The forward of Wan's transformer with taps.

    All parameters are used inside the forward of the module that holds them, as sharding (FSDP2) asks.
    """

    def forward(
        self: Any,
        latents: Tensor,
        time: Tensor,
        text: Tensor,
        taps: Sequence[int] = (),
        stop_early: bool = False,
        gradient_checkpointing: bool = False,
    ) -> tuple[Tensor | None, list[Tensor]]:
        """The velocity, and the outputs of blocks.

        Args:
            latents: ``(B, Z, T', h, w)``, LR's behind the noisy ones.
            time: ``1000 t``, ``(B,)`` in float32.
            text: ``(B, L, D)``.
            taps: Blocks, from 0.
            stop_early: Whether to end after the last of the taps.
            gradient_checkpointing: Whether the activations of blocks are computed again in the backward pass.

        Returns:
            ``(B, T', Z, h, w)``, or None with ``stop_early``; and features ``(B, T', C, h / p, w / p)`` for each tap.
        """
        patches = self.patch_embedding(latents)
        grid, places = patches.shape[2:], self.rope(latents)
        tokens = patches.flatten(2).transpose(1, 2).contiguous()
        embedded, modulation, rows, _ = self.condition_embedder(time, text.to(tokens), None)
        modulation = modulation.unflatten(1, (6, -1))
        features: dict[int, Tensor] = {}
        blocks: Any = list(self.blocks)[: max(taps, default=-1) + 1] if stop_early else self.blocks
        for number, block in enumerate(blocks):
            if gradient_checkpointing and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, rows, modulation, places, use_reentrant=False)
            else:
                tokens = block(tokens, rows, modulation, places)
            if number in taps:
                features[number] = tokens.transpose(1, 2).unflatten(2, grid).transpose(1, 2)
        found = [features[tap] for tap in taps]
        if stop_early:
            return None, found
        shift, scale = (self.scale_shift_table + embedded[:, None]).chunk(2, dim=1)
        normed = (self.norm_out(tokens.float()) * (1 + scale) + shift).type_as(tokens)
        return unpatchify(self.proj_out(normed), grid, self.config["patch_size"]), found


@cache
def tapped_wan() -> type:
    """The class of diffusers' transformer, of the same weights and configuration, whose forward gives taps too."""
    from diffusers import WanTransformer3DModel

    return type("TappedWan", (TappedForward, WanTransformer3DModel), {})


def __getattr__(name: str) -> type:
    """``TappedWan``, where a pickled network is read."""
    if name == "TappedWan":
        return tapped_wan()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
