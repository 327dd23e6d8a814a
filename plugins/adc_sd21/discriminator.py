"""Discriminators of pixels and of features."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from adc.interfaces import Discriminator
from adc_sd21 import networks
from adc_sd21.folder import load, read_config, resolve
from adc_sd21.one_step import unet_of, unet_weights


class PatchDiscriminator(Discriminator):
    """PatchGAN (Isola et al., 2017) as in latent diffusion: one logit for each patch of pixels.

    Strided 4x4 convolutions with batch normalisation and leaky ReLU 0.2; weights N(0, 0.02).
    """

    domain = "pixel"
    heads = ("realism",)

    def __init__(self, width: int = 64, layers: int = 3) -> None:
        """
        Args:
            width: Channels of the first convolution; they double with each layer, up to eight times.
            layers: Strided convolutions; three see patches of 70 pixels.
        """
        super().__init__()
        widths = [width * min(2**i, 8) for i in range(layers + 1)]
        blocks: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for i, (before, after) in enumerate(pairwise(widths)):
            stride = 2 if i < layers - 1 else 1
            blocks += [nn.Conv2d(before, after, 4, stride, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
        self.network = nn.Sequential(*blocks, nn.Conv2d(widths[-1], 1, 4, 1, 1))
        for module in self.network:
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.02)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1.0, 0.02)

    def forward(self, view: Tensor, condition: Tensor | None = None) -> dict[str, Tensor]:
        """Logits ``(B, T, 1, h, w)``."""
        return {"realism": self.network(view.flatten(0, 1)).unflatten(0, view.shape[:2])}


class UNetDiscriminator(Discriminator):
    """A diffusion UNet as discriminator of features (AdcSR, section 2.3).

    Its first convolution takes features in place of latents and is tuned whole; the rest learns
    through LoRA of every attention projection, feed-forward layer and convolution.
    """

    domain = "feature"
    prompt: Tensor

    def __init__(
        self,
        channels: int,
        folder: str | None = None,
        unet: dict[str, Any] | None = None,
        heads: Sequence[str] = ("realism",),
        lora_rank: int = 4,
        timestep: int = 999,
    ) -> None:
        """
        Args:
            channels: Channels of the features.
            folder: A folder with ``unet/`` or ``restorer/`` to start from, or ``demo``; null for fresh weights.
            unet: Entries that differ from Stable Diffusion's ``unet/config.json``; only without a folder.
            heads: Names of the judgements; each has its share of the UNet's output channels.
            lora_rank: Rank of the adapters; their scale is 8 / rank.
            timestep: The step at which the UNet is asked.
        """
        super().__init__()
        self.heads = tuple(heads)
        self.channels, self.timestep = channels, timestep
        if folder is None:
            config = networks.complete(networks.SD_UNET, unet)
            self.unet: Any = networks.unet(config)
        else:
            place, _ = unet_of(resolve(folder))
            config = read_config(place, networks.SD_UNET)
            with torch.device("meta"):
                self.unet = networks.unet(config)
            load(self.unet, unet_weights(resolve(folder)), place)
        self.unet.conv_in = widen(self.unet.conv_in, channels)
        self.register_buffer("prompt", torch.zeros(1, 1, config["cross_attention_dim"]), persistent=False)
        self._add_lora(lora_rank)

    def _add_lora(self, rank: int) -> None:
        from peft import LoraConfig

        names = r"to_q|to_k|to_v|to_out\.0|conv|conv1|conv2|conv_shortcut|conv_in|conv_out|proj_in|proj_out"
        targets = rf".*({names}|net\.0\.proj|net\.2)"
        self.unet.requires_grad_(False)
        self.unet.add_adapter(LoraConfig(r=rank, init_lora_weights="gaussian", target_modules=targets))
        self.unet.conv_in.requires_grad_(True)  # tuned whole, and adapted as well

    @property
    def checkpoint_activations(self) -> bool:
        """Whether blocks forget their activations and make them again in the backward pass."""
        return self.unet.is_gradient_checkpointing

    @checkpoint_activations.setter
    def checkpoint_activations(self, on: bool) -> None:
        (self.unet.enable_gradient_checkpointing if on else self.unet.disable_gradient_checkpointing)()

    def forward(self, view: Tensor, condition: Tensor | None = None) -> dict[str, Tensor]:
        """Logits ``(B, T, c, h, w)`` for each head; the UNet's output channels are shared out evenly.

        Raises:
            ValueError: If the view has other channels than the discriminator was made for.
        """
        if view.shape[2] != self.channels:
            raise ValueError(f"channels: {self.channels}, but the features have {view.shape[2]}; set it to that.")
        flat = view.flatten(0, 1)
        if condition is None:
            text = self.prompt.expand(len(flat), -1, -1)
        else:
            text = condition.repeat_interleave(view.shape[1], 0)
        logits = self.unet(flat, self.timestep, text).sample
        parts = logits.unflatten(0, view.shape[:2]).chunk(len(self.heads), dim=2)
        return dict(zip(self.heads, parts, strict=True))


def widen(conv: Any, channels: int) -> nn.Conv2d:
    """The same response to features that repeat a latent: weights tiled over the inputs and divided by the times."""
    wide: Any = nn.Conv2d(channels, conv.out_channels, 3, padding=1)
    times = channels / conv.in_channels
    with torch.no_grad():
        repeated = torch.cat([conv.weight] * -(-channels // conv.in_channels), dim=1)[:, :channels]
        wide.weight.copy_(repeated / times)
        wide.bias.copy_(conv.bias)
    return wide
