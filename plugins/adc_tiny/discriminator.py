"""Discriminators of a few convolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from adc.interfaces import Discriminator, ScoreDiscriminator
from adc.ops.clip import per_frame


class TinyDiscriminator(Discriminator):
    """One convolution, and one more for each head."""

    def __init__(
        self,
        domain: Literal["feature", "pixel"] = "feature",
        channels: int = 8,
        heads: Sequence[str] = ("realism",),
        width: int = 8,
    ) -> None:
        """
        Args:
            domain: The view that it takes: features or pixels.
            channels: Channels of that view; 3 for pixels.
            heads: Names of the heads.
            width: Channels between its convolutions.
        """
        super().__init__()
        self.domain, self.heads = domain, tuple(heads)
        self.trunk = nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.LeakyReLU(0.2))
        self.judges = nn.ModuleDict({head: nn.Conv2d(width, 1, 1) for head in self.heads})

    def forward(self, view: Tensor, condition: Tensor | None = None) -> dict[str, Tensor]:
        """For each head a logit for each frame, ``(B, T, 1)``."""
        hidden = per_frame(self.trunk, view)
        return {head: per_frame(conv, hidden).mean(dim=(2, 3, 4))[..., None] for head, conv in self.judges.items()}


class TinyScoreDiscriminator(ScoreDiscriminator):
    """One convolution for the features of each score network, the mean of all, and one convolution for each head."""

    def __init__(
        self,
        widths: dict[str, int] | None = None,
        taps: int = 1,
        heads: Sequence[str] = ("realism",),
        width: int = 8,
    ) -> None:
        """
        Args:
            widths: Channels of the features of the networks ``real`` and ``fake``; null is 16 and 8.
            taps: Features of each network.
            heads: Names of the heads.
            width: Channels between its convolutions.
        """
        super().__init__()
        self.widths = dict(widths or {"real": 16, "fake": 8})
        self.taps, self.heads = taps, tuple(heads)
        self.trunks = nn.ModuleDict({name: nn.Conv2d(channels, width, 1) for name, channels in self.widths.items()})
        self.time = nn.Linear(1, width)
        self.logits = nn.ModuleDict({head: nn.Conv2d(width, 1, 1) for head in self.heads})

    def forward(self, features: Mapping[str, Sequence[Tensor]], t: Tensor) -> dict[str, Tensor]:
        """For each head a logit for each frame of the latent, ``(B, T')``."""
        hidden = [per_frame(trunk, feature) for name, trunk in self.trunks.items() for feature in features[name]]
        mean = torch.stack(hidden).mean(0) + self.time(t[:, None])[:, None, :, None, None]
        activated = nn.functional.silu(mean)
        return {head: per_frame(conv, activated).mean(dim=(2, 3, 4)) for head, conv in self.logits.items()}
