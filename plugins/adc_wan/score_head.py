"""The discriminator head of RFS-GAN, on the features of two score networks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from adc.interfaces import ScoreDiscriminator


class ScoreHead(ScoreDiscriminator):
    """A convolutional head on taps of the real and the fake score (RFS-GAN; Lv et al., 2026).

    For each tap the features of both networks, side by side: a 1x1x1 convolution to ``width``, normalised in groups,
    and twice a 3x3x3 convolution that halves both sides; then one logit for each position. The paper gives no layers;
    these follow the heads of its peers.
    """

    heads = ("realism",)

    def __init__(self, channels: int = 1536, taps: int = 3, width: int = 512, fake_channels: int | None = None) -> None:
        """
        Args:
            channels: Channels of the real score's features; 1536 is Wan 2.1 1.3B.
            taps: Features of each network.
            width: Channels of the head.
            fake_channels: Channels of the fake score's features; null is as many as the real score's.
        """
        super().__init__()
        self.widths = {"real": channels, "fake": channels if fake_channels is None else fake_channels}
        self.taps = taps
        self.branches = nn.ModuleList(_branch(sum(self.widths.values()), width) for _ in range(taps))

    def forward(self, features: Mapping[str, Sequence[Tensor]], t: Tensor) -> dict[str, Tensor]:
        """Logits of all positions of all taps, ``(B, N)``; the time is in the features."""
        pairs = zip(features["real"], features["fake"], strict=True)
        joined = [torch.cat([real, fake], dim=2).transpose(1, 2) for real, fake in pairs]
        logits = [branch(tap).flatten(1) for branch, tap in zip(self.branches, joined, strict=True)]
        return {"realism": torch.cat(logits, dim=1)}


def _branch(channels: int, width: int) -> nn.Sequential:
    def normed() -> list[nn.Module]:
        return [nn.GroupNorm(math.gcd(32, width), width), nn.LeakyReLU(0.2)]

    def halving() -> nn.Conv3d:
        return nn.Conv3d(width, width, 3, stride=(1, 2, 2), padding=1)

    return nn.Sequential(
        nn.Conv3d(channels, width, 1), *normed(), halving(), *normed(), halving(), *normed(), nn.Conv3d(width, 1, 1)
    )
