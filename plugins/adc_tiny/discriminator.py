"""A discriminator of any domain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from adc.interfaces import Discriminator
from adc.ops.clip import per_frame


class TinyDiscriminator(Discriminator):
    """One convolution, and one more for each head."""

    def __init__(
        self,
        domain: Literal["feature", "pixel", "score"] = "feature",
        channels: int = 8,
        heads: Sequence[str] = ("realism",),
        width: int = 8,
    ) -> None:
        """
        Args:
            domain: The view it judges: features, pixels or the taps of score models.
            channels: Channels of that view; 3 for pixels.
            heads: Names of the judgements.
            width: Channels between its convolutions.
        """
        super().__init__()
        self.domain, self.heads = domain, tuple(heads)
        self.trunk = nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.LeakyReLU(0.2))
        self.judges = nn.ModuleDict({head: nn.Conv2d(width, 1, 1) for head in self.heads})

    def forward(self, view: Tensor | Sequence[Tensor]) -> dict[str, Tensor]:
        """For each head a logit for each frame and tap, ``(B, T, taps)``; one tap if the view is a clip."""
        taps = [view] if isinstance(view, Tensor) else list(view)
        hidden = [per_frame(self.trunk, tap) for tap in taps]
        return {
            head: torch.stack([per_frame(layer, h).mean(dim=(2, 3, 4)) for h in hidden], dim=2)
            for head, layer in self.judges.items()
        }
