"""The half of the autoencoder that makes latents."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from adc_sd21 import networks
from adc_sd21.shortcut import CoarseIn


class HalfEncoder(nn.Module):
    """An encoder up to the posterior's mean; diffusers' names and layers."""

    def __init__(self, config: dict[str, Any]) -> None:
        """Build from a ``vae/config.json``."""
        super().__init__()
        whole: Any = networks.vae(config)
        self.encoder, self.quant_conv = whole.encoder, whole.quant_conv
        stride = 2 ** (len(config["block_out_channels"]) - 1)
        factor = config.get(networks.SHORTCUT)
        self.coarse_in = CoarseIn(factor, stride, config["latent_channels"]) if factor else None

    def forward(self, image: Tensor) -> Tensor:
        """``(N, 3, H, W)`` to the unscaled mean ``(N, Z, h, w)``."""
        mean = self.quant_conv(self.encoder(image)).chunk(2, dim=1)[0]
        return mean if self.coarse_in is None else mean + self.coarse_in(image)
