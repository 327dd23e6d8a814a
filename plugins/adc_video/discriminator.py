"""A discriminator of clips."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from adc.interfaces import Discriminator
from adc.ops.clip import per_frame, per_position
from adc_video.backbone import FrozenBackbone

PUBLISHED_HEADS = {"detail": 192, "consistency": 64}


class ClipDiscriminator(Discriminator):
    """Logits of detail and of consistency over time, on features of a frozen network (AdcVSR, Chen et al.).

    Convolutions in each frame and over three frames take turns, each followed by leaky ReLU 0.2;
    each head judges its share of their channels.
    """

    def __init__(self, backbone: FrozenBackbone, heads: dict[str, int] | None = None, layers: int = 2) -> None:
        """
        Args:
            backbone: Makes the features; what it is shown is what is judged.
            heads: The judgements, and how many channels each has for its own; null is the
                published ``{detail: 192, consistency: 64}``.
            layers: Convolutions in each frame; as many over frames.

        Raises:
            ValueError: If there are no heads, or one has no channels, or there are no layers.
        """
        super().__init__()
        self.shares = dict(PUBLISHED_HEADS if heads is None else heads)
        if not self.shares or min(self.shares.values()) < 1:
            raise ValueError(f"heads: {self.shares}; at least one, and each with one channel or more.")
        if layers < 1:
            raise ValueError(f"layers: {layers}; at least 1.")
        self.domain, self.heads = backbone.domain, tuple(self.shares)
        self.backbone = backbone
        width = sum(self.shares.values())
        steps = pairwise([backbone.channels] + [width] * layers)
        self.space = nn.ModuleList(nn.Conv2d(before, after, 3, padding=1) for before, after in steps)
        self.time = nn.ModuleList(nn.Conv1d(width, width, 3, padding=1) for _ in range(layers))
        self.judges = nn.ModuleDict({head: nn.Conv2d(share, 1, 1) for head, share in self.shares.items()})

    def forward(self, view: Tensor, condition: Tensor | None = None) -> dict[str, Tensor]:
        """For each head logits ``(B, T, 1, h, w)``."""
        x = self.backbone(view)
        for space, time in zip(self.space, self.time, strict=True):
            x = F.leaky_relu(per_frame(space, x), 0.2)
            x = F.leaky_relu(per_position(time, x), 0.2)
        parts = x.split(list(self.shares.values()), dim=2)
        return {head: per_frame(self.judges[head], part) for head, part in zip(self.heads, parts, strict=True)}
