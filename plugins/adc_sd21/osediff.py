"""OSEDiff: one step of a diffusion model as a restorer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from adc.ops import diffusion
from adc.ops.precision import Precision
from adc_sd21.one_step import OneStepTeacher


class OSEDiff(OneStepTeacher):
    """One-step effective diffusion (Wu et al., 2024).

    The UNet's answer is the noise of step 999, and the restored latent its closed form
    ``(z - sqrt(1 - a_t) noise) / sqrt(a_t)``, in float32 whatever the autocast says: half precision
    would enlarge the error of the noise 14.6 times. What encoder and UNet compute in is ``precision``.
    The encoder is a tuned copy of the autoencoder's.
    """

    usual_timestep = 999
    own_encoder = True

    def __init__(
        self,
        folder: str | None = None,
        vae: dict[str, Any] | None = None,
        unet: dict[str, Any] | None = None,
        autoencoder: str | None = None,
        timestep: int | None = None,
        prompt_tokens: int = 77,
        precision: Precision | None = None,
    ) -> None:
        """See `OneStepTeacher`."""
        super().__init__(folder, vae, unet, autoencoder, timestep, prompt_tokens, precision)
        if folder is None:
            self._start_silent()

    @property
    def alpha(self) -> float:
        """What is left of the clean latent's variance at the teacher's step."""
        return diffusion.scaled_linear_alphas()[self.timestep].item()

    @torch.no_grad()
    def _start_silent(self) -> None:
        """Scale the encoder's last layers so that a UNet that says nothing leaves the autoencoder's latent as it is."""
        assert self.encoder is not None
        for layer in (self.encoder.quant_conv, self.encoder.coarse_in and self.encoder.coarse_in.mix):
            for parameter in layer.parameters() if layer is not None else ():
                parameter.mul_(self.alpha**0.5)
        self.unet.conv_out.weight.zero_()
        self.unet.conv_out.bias.zero_()

    def clean(self, z: Tensor, prediction: Tensor) -> Tensor:
        """The closed form."""
        return diffusion.clean_from_noise(z, prediction, self.alpha)
