"""OSEDiff: one step of a diffusion model as a restorer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from adc.interfaces import FeatureSpace, Teacher
from adc.ops import diffusion
from adc.ops.clip import enlarge, per_frame
from adc.ops.padding import crop, pad_to_multiple
from adc_sd21 import networks
from adc_sd21.codec import SDCodec
from adc_sd21.encoder import HalfEncoder
from adc_sd21.folder import load, one_step, read_config, read_weights, resolve, save


class OSEDiff(Teacher):
    """One-step effective diffusion (Wu et al., 2024).

    ``z = encode(enlarge(lr))``, ``noise = unet(z, t, prompt)``, and the restored latent in closed
    form ``(z - sqrt(1 - a_t) noise) / sqrt(a_t)``, in float32 whatever the autocast says; the
    decoder makes pixels of it. The encoder is a tuned copy of the codec's, the decoder the codec's own.
    """

    scale = 4

    def __init__(
        self,
        folder: str | None = None,
        vae: dict[str, Any] | None = None,
        unet: dict[str, Any] | None = None,
        codec: str | None = None,
        timestep: int = 999,
        prompt_tokens: int = 77,
    ) -> None:
        """
        Args:
            folder: A folder that holds ``vae/`` and ``restorer/``, or ``demo``; null leaves the
                weights at their initialisation.
            vae: Entries that differ from Stable Diffusion's ``vae/config.json``; only without a folder.
            unet: Entries that differ from Stable Diffusion's ``unet/config.json``; only without a folder.
            codec: A folder that holds ``vae/``, the codec to start from; only without a folder.
            timestep: The step of the noise schedule at which the UNet is asked; only without a folder.
            prompt_tokens: Length of the fixed prompt embedding; only without a folder.
        """
        super().__init__()
        if folder is None:
            self.codec = SDCodec(codec, vae) if codec is None else SDCodec(codec)
            changes = {"in_channels": self.latent_channels, "out_channels": self.latent_channels, **(unet or {})}
            self.unet_config = networks.complete(networks.SD_UNET, changes)
            self.timestep = timestep
        else:
            home = resolve(folder) / "restorer"
            self.codec = SDCodec(folder)
            self.unet_config = read_config(home)
            extra = one_step(home)
            self.timestep, prompt_tokens = extra["timestep"], extra["prompt_tokens"]
        self.encoder = HalfEncoder(self.codec.config)
        self.encoder.load_state_dict(
            {k: v for k, v in self.codec.vae.state_dict().items() if k in self.encoder.state_dict()}
        )
        self.unet: Any = networks.unet(self.unet_config)
        self.prompt = nn.Parameter(torch.zeros(1, prompt_tokens, self.unet_config["cross_attention_dim"]))
        if folder is None:
            self._start_silent()
        else:
            self._load(resolve(folder) / "restorer")

    @torch.no_grad()
    def _start_silent(self) -> None:
        """Scale the encoder's last layers so that a UNet that says nothing leaves the codec's latent as it is."""
        for layer in (self.encoder.quant_conv, self.encoder.coarse_in and self.encoder.coarse_in.mix):
            for parameter in layer.parameters() if layer is not None else ():
                parameter.mul_(self._alpha**0.5)
        self.unet.conv_out.weight.zero_()
        self.unet.conv_out.bias.zero_()

    @property
    def _alpha(self) -> float:
        return diffusion.scaled_linear_alphas()[self.timestep].item()

    @property
    def latent_channels(self) -> int:
        """Channels of the codec's latent."""
        return self.codec.config["latent_channels"]

    @property
    def multiple(self) -> int:
        """The enlarged picture's sides are padded to multiples of this."""
        return self.codec.stride * 2 ** (len(self.unet_config["block_out_channels"]) - 1)

    def latent(self, lr: Tensor) -> Tensor:
        """The restored latent ``(B, T, Z, h', w')``, scaled, of a padded clip."""
        large = pad_to_multiple(enlarge(lr, self.scale), self.multiple)
        z = (per_frame(self.encoder, large) * self.codec.config["scaling_factor"]).float()
        noise = per_frame(self._noise, z).float()
        return diffusion.clean_from_noise(z, noise, self._alpha)

    def _noise(self, z: Tensor) -> Tensor:
        return self.unet(z, self.timestep, self.prompt.expand(len(z), -1, -1)).sample

    def restore(self, lr: Tensor) -> Tensor:
        """Enlarge a clip; any size."""
        return crop(self.codec.decode(self.latent(lr)), lr.shape[-2] * self.scale, lr.shape[-1] * self.scale)

    def features(self, lr: Tensor, space: FeatureSpace) -> Tensor:
        """The restored latent lifted into the space; the decoder does not run. A clip is padded as in `latent`."""
        return space.lift(self.codec.project(self.latent(lr)))

    def save_pretrained(self, folder: str, precision: torch.dtype = torch.float16) -> None:
        """Write ``vae/`` and ``restorer/``, to be read by ``folder``."""
        home = Path(folder) / "restorer"
        self.codec.save_pretrained(folder, precision)
        save(self._tuned(), self.unet_config, home, precision)
        one_step = {"timestep": self.timestep, "prompt_tokens": self.prompt.shape[1]}
        (home / "one_step.json").write_text(json.dumps(one_step) + "\n")

    def _tuned(self) -> nn.Module:
        tuned = nn.Module()
        tuned.unet, tuned.encoder = self.unet, self.encoder
        tuned.prompt = self.prompt
        return tuned

    def _load(self, home: Path) -> None:
        load(self._tuned(), read_weights(home), home)
