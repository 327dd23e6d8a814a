"""A velocity in three convolutions, and its conditioning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from adc.interfaces import Conditioner, Denoiser
from adc.ops.clip import per_frame, upsample_bicubic
from adc_tiny.latent import TinyAutoencoder
from adc_tiny.student import LATENT

TEXT = 4


class TinyDenoiser(Denoiser):
    """Three convolutions over the noisy latent, the small clip's latent, the time and the text."""

    def __init__(self, width: int = 16) -> None:
        """
        Args:
            width: Channels of the hidden features.
        """
        super().__init__()
        self.told = nn.Linear(1 + TEXT, width)
        self.blocks = nn.ModuleList([nn.Conv2d(2 * LATENT, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)])
        self.out = nn.Conv2d(width, LATENT, 3, padding=1)

    def forward(
        self, z_t: Tensor, t: Tensor, condition: dict[str, Tensor], taps: Sequence[int] = ()
    ) -> tuple[Tensor, list[Tensor]]:
        """Predict the velocity; there are two blocks to tap.

        Args:
            z_t: ``(B, T, 12, h, w)``.
            t: ``(B,)``.
            condition: What `TinyConditioner` made: ``lr`` ``(B, T, 12, h, w)`` and ``text`` ``(B, 4)``.
            taps: Of 0 and 1.
        """
        embedding = self.told(torch.cat([t[:, None].to(z_t), condition["text"]], dim=1))[:, None, :, None, None]
        hidden, features = torch.cat([z_t, condition["lr"]], dim=2), []
        for block in self.blocks:
            hidden = nn.functional.silu(per_frame(block, hidden) + embedding)
            features.append(hidden)
        return per_frame(self.out, hidden), [features[tap] for tap in taps]


class TinyConditioner(Conditioner):
    """Latents of `TinyAutoencoder`: clean ones of HR, those of LR as condition; the text is one vector."""

    def __init__(self, scale: int = 4) -> None:
        """
        Args:
            scale: How many times larger ``hr`` is than ``lr``.
        """
        super().__init__()
        self.scale = scale
        self.autoencoder = TinyAutoencoder()

    def clean(self, batch: dict[str, Any]) -> Tensor:
        """``(B, T, 12, H / 4, W / 4)``."""
        return self.autoencoder.encode(batch["hr"])

    def condition(self, batch: dict[str, Any], null: bool = False) -> dict[str, Tensor]:
        """``lr``: the enlarged small clip's latent; ``text``: ones, or zeros when it is dropped."""
        lr = batch["lr"]
        text = lr.new_full((len(lr), TEXT), 0.0 if null else 1.0)
        return {"lr": self.autoencoder.encode(upsample_bicubic(lr, self.scale)), "text": text}
