"""Stable Diffusion's autoencoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adc.interfaces import Autoencoder
from adc.ops.clip import per_frame
from adc_sd21 import networks
from adc_sd21.decoder import HalfDecoder
from adc_sd21.encoder import HalfEncoder
from adc_sd21.folder import load, read_config, read_weights, resolve, save
from adc_sd21.published import current_names


class KLAutoencoder(HalfEncoder):
    """An encoder up to the posterior's mean, and a decoder; the state dict is diffusers' AutoencoderKL's, by name."""

    def __init__(self, config: dict[str, Any]) -> None:
        """Build from a ``vae/config.json``."""
        super().__init__(config)
        self.post_quant_conv: Any = networks.vae(config).post_quant_conv
        self.decoder = HalfDecoder(config)


class SDAutoencoder(Autoencoder):
    """The KL autoencoder of Stable Diffusion (Rombach et al., 2022), frame by frame.

    Height and width must be multiples of the stride (8 for Stable Diffusion). The latent is the
    posterior's mean times the scaling factor; nothing is drawn.
    """

    def __init__(self, folder: str | None = None, config: dict[str, Any] | None = None) -> None:
        """
        Args:
            folder: A folder in diffusers' layout that holds ``vae/``, or ``demo``; null leaves the
                weights at their initialisation.
            config: Entries that differ from Stable Diffusion's ``vae/config.json``, and ``shortcut``
                (`adc_sd21.shortcut`); only without a folder.
        """
        super().__init__()
        if folder is not None and config is not None:
            raise ValueError("config: a folder holds its configuration; give one of the two.")
        home = None if folder is None else resolve(folder) / "vae"
        self.config = networks.complete(networks.SD_VAE, config) if home is None else read_config(home, networks.SD_VAE)
        self.init_args = {"folder": None, "config": self.config}
        self.strides = (1, 2 ** (len(self.config["block_out_channels"]) - 1))
        if home is None:
            self.vae = KLAutoencoder(self.config)
        else:
            with torch.device("meta"):
                self.vae = KLAutoencoder(self.config)
            load(self.vae, current_names(read_weights(home)), home)

    def encode(self, pixels: Tensor) -> Tensor:
        """The scaled mean of the posterior."""
        return per_frame(self.vae, pixels) * self.config["scaling_factor"]

    def to_decoder_input(self, latent: Tensor) -> Tensor:
        """Unscale, and apply the post-quantisation convolution."""
        return per_frame(self.vae.post_quant_conv, latent / self.config["scaling_factor"])

    def decode(self, latent: Tensor) -> Tensor:
        """Pixels of a scaled latent."""
        return self.render(self.to_decoder_input(latent))

    def render(self, projected: Tensor) -> Tensor:
        """Pixels of a projected latent."""
        return per_frame(self.vae.decoder, projected)

    def save_pretrained(self, folder: str, precision: torch.dtype = torch.float16) -> None:
        """Write ``vae/`` in diffusers' layout."""
        save(self.vae, self.config, Path(folder) / "vae", precision)
