"""The discriminator of Real-ESRGAN: a UNet of pixels with spectral norm."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from adc.interfaces import Discriminator
from adc.ops.clip import per_frame


class SpectralUNetDiscriminator(Discriminator):
    """A UNet of pixels with spectral norm, a logit for each pixel (Real-ESRGAN, Wang et al., 2021).

    Three convolutions of stride 2 halve the sides, three bilinear enlargements double them again, and what was there
    on the way down is added on the way up. Spectral norm (Miyato et al., 2018) bounds all layers but the first and
    the last ones.
    """

    domain = "pixel"

    def __init__(self, width: int = 64, heads: Sequence[str] = ("realism",)) -> None:
        """
        Args:
            width: Channels at full size; twice, four and eight times as many below.
            heads: Names of the judgements.
        """
        super().__init__()
        self.heads = tuple(heads)
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.down = nn.ModuleList(
            spectral_norm(nn.Conv2d(above, below, 4, stride=2, padding=1, bias=False))
            for above, below in pairwise(widths)
        )
        self.up = nn.ModuleList(
            spectral_norm(nn.Conv2d(below, above, 3, padding=1, bias=False))
            for above, below in reversed(list(pairwise(widths)))
        )
        self.mix = nn.ModuleList(spectral_norm(nn.Conv2d(width, width, 3, padding=1, bias=False)) for _ in range(2))
        self.logits = nn.ModuleDict({head: nn.Conv2d(width, 1, 3, padding=1) for head in self.heads})

    def forward(self, view: Tensor, condition: Tensor | None = None) -> dict[str, Tensor]:
        """For each head logits ``(B, T, 1, H, W)`` of pixels ``(B, T, 3, H, W)`` with sides of at least 8."""
        hidden = per_frame(self._hidden, view)
        return {head: per_frame(layer, hidden) for head, layer in self.logits.items()}

    def _hidden(self, image: Tensor) -> Tensor:
        levels = [F.leaky_relu(self.first(image), 0.2)]
        for layer in self.down:
            levels.append(F.leaky_relu(layer(levels[-1]), 0.2))
        hidden = levels.pop()
        for layer in self.up:
            skipped = levels.pop()
            larger = F.interpolate(hidden, size=skipped.shape[-2:], mode="bilinear", align_corners=False)
            hidden = F.leaky_relu(layer(larger), 0.2) + skipped
        for layer in self.mix:
            hidden = F.leaky_relu(layer(hidden), 0.2)
        return hidden
