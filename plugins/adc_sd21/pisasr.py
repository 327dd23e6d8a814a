"""PiSA-SR: a residual step with two adapters, one for fidelity and one for detail."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adc.ops.precision import Precision
from adc_sd21.folder import read_tensors, resolve
from adc_sd21.lora import merge
from adc_sd21.one_step import RESTORER, OneStepTeacher

PIXEL, SEMANTIC = "pixel.safetensors", "semantic.safetensors"


class PiSASR(OneStepTeacher):
    """Pixel-level and semantic-level adjustable super-resolution (Sun et al., CVPR 2025).

    ``restored = z - residual`` with the UNet asked at step 1. A pixel and a semantic LoRA are added
    to Stable Diffusion's UNet; with ``u_p`` the UNet with the first and ``u_ps`` the one with both,

    - ``residual = u_ps(z)`` for weights (1, 1), the default, and ``u_p(z)`` for (1, 0);
    - ``residual = pixel u_p(z) + semantic (u_ps(z) - u_p(z))`` for any others, in two passes.

    The folder's ``restorer/`` holds Stable Diffusion's UNet and the adapters beside it, in
    ``pixel.safetensors`` and ``semantic.safetensors``. The autoencoder is Stable Diffusion's own.
    """

    usual_timestep = 1
    own_encoder = False

    def __init__(
        self,
        folder: str | None = None,
        pixel: float = 1.0,
        semantic: float = 1.0,
        vae: dict[str, Any] | None = None,
        unet: dict[str, Any] | None = None,
        autoencoder: str | None = None,
        prompt_tokens: int = 77,
        precision: Precision | None = None,
    ) -> None:
        """
        Args:
            folder: A folder that holds ``vae/`` and ``restorer/`` with both adapters; null leaves the
                weights at their initialisation.
            pixel: Strength of the pixel-level restoration.
            semantic: Strength of the semantic-level detail; 0 leaves it out.
            vae: Entries that differ from Stable Diffusion's ``vae/config.json``; only without a folder.
            unet: Entries that differ from Stable Diffusion's ``unet/config.json``; only without a folder.
            autoencoder: A folder that holds ``vae/``, the autoencoder to start from; only without a folder.
            prompt_tokens: Length of the teacher's own prompt embedding; only without a folder.
            precision: What encoder and UNet compute in, whatever the trainer's precision says; null follows the
                trainer.
        """
        super().__init__(folder, vae, unet, autoencoder, None, prompt_tokens, precision)
        self.pixel, self.semantic = pixel, semantic
        self.pixel_unet: Any = None if self._one_pass else copy.deepcopy(self.unet)
        if folder is not None:
            self._adapt(resolve(folder) / RESTORER)

    @property
    def _one_pass(self) -> bool:
        return self.pixel == 1 and self.semantic in (0, 1)

    @torch.no_grad()
    def _adapt(self, place: Path) -> None:
        """Merge the adapters: both into the UNet, unless detail is left out, the pixel adapter alone into the other."""
        merge(self.unet, read_tensors(place / PIXEL))
        if self.pixel_unet is not None:
            merge(self.pixel_unet, read_tensors(place / PIXEL))
        if self.semantic:
            merge(self.unet, read_tensors(place / SEMANTIC))

    def _restored(self, z: Tensor, prompt: Tensor) -> Tensor:
        residual = self.unet(z, self.timestep, prompt).sample.float()
        if self.pixel_unet is not None:
            faithful = self.pixel_unet(z, self.timestep, prompt).sample.float()
            residual = self.pixel * faithful + self.semantic * (residual - faithful)
        return self.clean(z, residual)

    def clean(self, z: Tensor, prediction: Tensor) -> Tensor:
        """Take the residual away."""
        return z - prediction
