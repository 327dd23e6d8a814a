"""The half of the autoencoder that makes pixels; the student's, once it is pruned."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from adc_sd21 import networks
from adc_sd21.after import After
from adc_sd21.shortcut import CoarseOut


def middle(block: Any, x: Tensor, after: After) -> Tensor:
    """A decoder's middle block (diffusers' ``UNetMidBlock2D``), something applied to what each of its layers returns.

    Args:
        block: The block.
        x: ``(N, C, h, w)``.
        after: It is told ``resnets.0``, ``attentions.0``, ``resnets.1``.
    """
    x = after("resnets.0", block.resnets[0](x, None))
    for index, attention in enumerate(block.attentions):
        x = after(f"attentions.{index}", attention(x))
        x = after(f"resnets.{index + 1}", block.resnets[index + 1](x, None))
    return x


class Stem(nn.Module):
    """Projected latents to features: a decoder's first convolution and middle block."""

    def __init__(self, conv_in: nn.Module, mid_block: nn.Module) -> None:
        super().__init__()
        self.conv_in, self.mid_block = conv_in, mid_block

    def forward(self, projected: Tensor) -> Tensor:
        """``(N, Z, h, w)`` to ``(N, C, h, w)``."""
        return self.mid_block(self.conv_in(projected))


class HalfDecoder(nn.Module):
    """A decoder that can be entered before and after its middle block; diffusers' names and layers.

    Attributes:
        checkpoint_activations: Whether `render` recomputes its activations in the backward pass.
    """

    checkpoint_activations = False
    conv_in: nn.Conv2d
    mid_block: nn.Module
    up_blocks: Any
    conv_norm_out: nn.Module
    conv_out: nn.Conv2d
    coarse_out: CoarseOut | None

    def __init__(self, config: dict[str, Any]) -> None:
        """Build from a ``vae/config.json``."""
        super().__init__()
        whole: Any = networks.vae_decoder(config)
        self.conv_in, self.mid_block, self.up_blocks = whole.conv_in, whole.mid_block, whole.up_blocks
        self.conv_norm_out, self.conv_out = whole.conv_norm_out, whole.conv_out
        widths, factor = config["block_out_channels"], config.get(networks.SHORTCUT)
        self.coarse_out = CoarseOut(factor, 2 ** (len(widths) - 1), widths[-1]) if factor else None

    def render(self, feature: Tensor) -> Tensor:
        """Features after the middle block ``(N, C, h, w)`` to pixels ``(N, 3, H, W)``."""
        x = feature
        for block in self.up_blocks:
            for layer in block.resnets:
                x = self._run(layer, x, None)
            for layer in block.upsamplers or ():
                x = self._run(layer, x)
        detail = self._run(self._last, x)
        return detail if self.coarse_out is None else detail + self.coarse_out(feature)

    def _last(self, x: Tensor) -> Tensor:
        return self.conv_out(F.silu(self.conv_norm_out(x)))

    def _run(self, layer: Callable[..., Tensor], *inputs: Any) -> Tensor:
        again = self.checkpoint_activations and torch.is_grad_enabled()
        return checkpoint(layer, *inputs, use_reentrant=False) if again else layer(*inputs)

    def forward(self, projected: Tensor) -> Tensor:
        """Projected latents ``(N, Z, h, w)`` to pixels."""
        return self.render(self.mid_block(self.conv_in(projected)))

    def stem(self) -> Stem:
        """A frozen copy of the layers that span the feature space."""
        return copy.deepcopy(Stem(self.conv_in, self.mid_block)).requires_grad_(False)
