"""Restorers that run a diffusion UNet once."""

from __future__ import annotations

import json
from abc import abstractmethod
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from adc.interfaces import FeatureSpace, Teacher
from adc.ops.clip import per_frame, upsample_bicubic
from adc.ops.padding import crop, pad_to_multiple
from adc.ops.precision import Precision, computing_in
from adc_sd21 import networks
from adc_sd21.autoencoder import SDAutoencoder
from adc_sd21.encoder import HalfEncoder
from adc_sd21.folder import below, load, read_config, read_weights, resolve, save

RESTORER, SETTINGS = "restorer", "one_step.json"


class OneStepTeacher(Teacher):
    """An autoencoder around one call of a conditional UNet; the restored latent is computed in float32.

    ``z = encode(enlarge(lr))``, ``restored = clean(z, unet(z, t, prompt))``, decode. Sides are padded
    to what the networks need, and cropped again.

    A folder holds ``vae/`` (the autoencoder), ``restorer/`` (``config.json`` of the UNet, ``one_step.json`` and
    weights named ``unet.*``, with ``encoder.*`` if the encoder is not the autoencoder's own, and ``prompt`` if
    the teacher knows one).
    """

    scale = 4
    takes_prompt = True
    usual_timestep: int
    own_encoder: bool

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
        """
        Args:
            folder: A folder that holds ``vae/`` and ``restorer/``, or ``demo``; null leaves the
                weights at their initialisation.
            vae: Entries that differ from Stable Diffusion's ``vae/config.json``; only without a folder.
            unet: Entries that differ from Stable Diffusion's ``unet/config.json``; only without a folder.
            autoencoder: A folder that holds ``vae/``, the autoencoder to start from; only without a folder.
            timestep: The step of the noise schedule at which the UNet is asked, null for the
                published one; only without a folder.
            prompt_tokens: Length of the teacher's own prompt embedding; only without a folder.
            precision: What encoder and UNet compute in, whatever the trainer's precision says; null follows the
                trainer. OSEDiff's closed form multiplies their error by 14.6: published is float16.
        """
        super().__init__()
        self.precision: Precision | None = precision
        if folder is None:
            self.autoencoder = SDAutoencoder(autoencoder, vae) if autoencoder is None else SDAutoencoder(autoencoder)
            changes = {"in_channels": self.latent_channels, "out_channels": self.latent_channels, **(unet or {})}
            self.unet_config = networks.complete(networks.SD_UNET, changes)
            self.timestep = self.usual_timestep if timestep is None else timestep
            self.encoder = self._copied_encoder() if self.own_encoder else None
            self.unet: Any = networks.unet(self.unet_config)
            self.prompt = nn.Parameter(torch.zeros(1, prompt_tokens, self.unet_config["cross_attention_dim"]))
        else:
            self._read(resolve(folder))

    @abstractmethod
    def clean(self, z: Tensor, prediction: Tensor) -> Tensor:
        """The restored latent of an encoded one and the UNet's answer to it; float32 ``(N, Z, h, w)``."""

    @property
    def latent_channels(self) -> int:
        """Channels of the autoencoder's latent."""
        return self.autoencoder.config["latent_channels"]

    @property
    def multiple(self) -> int:
        """The enlarged image's sides are padded to multiples of this."""
        return self.autoencoder.strides[1] * 2 ** (len(self.unet_config["block_out_channels"]) - 1)

    def latent(self, lr: Tensor, prompt: Tensor | None = None) -> Tensor:
        """The restored latent ``(B, T, Z, h', w')``, scaled, of a padded clip.

        Raises:
            ValueError: If there is no prompt, neither given nor of the teacher's own.
        """
        text = self._prompt_of(lr, prompt)
        with nullcontext() if self.precision is None else computing_in(self.precision, lr.device):
            if self.precision is not None:
                lr, text = lr.float(), text.float()
            large = pad_to_multiple(upsample_bicubic(lr, self.scale), self.multiple)
            encoder = self.autoencoder.vae if self.encoder is None else self.encoder
            z = (per_frame(encoder, large) * self.autoencoder.config["scaling_factor"]).float()
            return self._restored(z.flatten(0, 1), text).unflatten(0, z.shape[:2])

    def _restored(self, z: Tensor, prompt: Tensor) -> Tensor:
        prediction = self.unet(z, self.timestep, prompt).sample
        return self.clean(z, prediction.float())

    def _prompt_of(self, lr: Tensor, prompt: Tensor | None) -> Tensor:
        """One prompt for each frame."""
        if prompt is not None:
            return prompt.repeat_interleave(lr.shape[1], dim=0)
        if self.prompt is None:
            raise ValueError(
                f"prompt: {type(self).__name__}'s folder holds no prompt of its own; name a prompt in the recipe, "
                "or convert the weights with a text encoder."
            )
        return self.prompt.expand(lr.shape[0] * lr.shape[1], -1, -1)

    def restore(self, lr: Tensor, generator: Generator | None = None, prompt: Tensor | None = None) -> Tensor:
        """Super-resolve a clip; any size."""
        return self._pixels(self._projected(lr, prompt), lr)

    def features(self, lr: Tensor, space: FeatureSpace, prompt: Tensor | None = None) -> Tensor:
        """The restored latent lifted into the space; the decoder does not run. A clip is padded as in `latent`."""
        return space.project_latents(self._projected(lr, prompt))

    def restore_with_features(
        self, lr: Tensor, space: FeatureSpace, prompt: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Pixels and features of one restored latent."""
        projected = self._projected(lr, prompt)
        return self._pixels(projected, lr), space.project_latents(projected)

    def _projected(self, lr: Tensor, prompt: Tensor | None) -> Tensor:
        return self.autoencoder.to_decoder_input(self.latent(lr, prompt))

    def _pixels(self, projected: Tensor, lr: Tensor) -> Tensor:
        return crop(self.autoencoder.render(projected), lr.shape[-2] * self.scale, lr.shape[-1] * self.scale)

    def _copied_encoder(self) -> HalfEncoder:
        encoder = HalfEncoder(self.autoencoder.config)
        encoder.load_state_dict(
            {k: v for k, v in self.autoencoder.vae.state_dict().items() if k in encoder.state_dict()}
        )
        return encoder

    def _read(self, home: Path) -> None:
        place = home / RESTORER
        self.autoencoder, self.unet_config = SDAutoencoder(str(home)), read_config(place, networks.SD_UNET)
        settings = one_step(place)
        self.timestep, tokens = settings["timestep"], settings["prompt_tokens"]
        weights = read_weights(place)
        with torch.device("meta"):
            self.encoder = HalfEncoder(self.autoencoder.config) if settings["encoder"] == "own" else None
            self.unet = networks.unet(self.unet_config)
        width = self.unet_config["cross_attention_dim"]
        self.prompt = nn.Parameter(torch.zeros(1, tokens, width)) if tokens else None
        load(self._tuned(), weights, place)

    def save_pretrained(self, folder: str, precision: torch.dtype = torch.float16) -> None:
        """Write ``vae/`` and ``restorer/``, to be read by ``folder``."""
        home = Path(folder) / RESTORER
        self.autoencoder.save_pretrained(folder, precision)
        save(self._tuned(), self.unet_config, home, precision)
        write_settings(home, self.timestep, self.prompt, own_encoder=self.encoder is not None)

    def _tuned(self) -> nn.Module:
        """What ``restorer/`` holds."""
        tuned = nn.Module()
        tuned.unet = self.unet
        if self.encoder is not None:
            tuned.encoder = self.encoder
        if self.prompt is not None:
            tuned.prompt = self.prompt
        return tuned


def write_settings(home: Path, timestep: int, prompt: Tensor | None, own_encoder: bool) -> None:
    """Write ``one_step.json`` into a restorer's folder."""
    settings = {
        "timestep": timestep,
        "prompt_tokens": 0 if prompt is None else prompt.shape[1],
        "encoder": "own" if own_encoder else "codec",
    }
    (home / SETTINGS).write_text(json.dumps(settings) + "\n")


def one_step(folder: Path) -> dict[str, Any]:
    """The settings of a one-step restorer: its timestep, its prompt's length (0: none), whose encoder it has.

    Raises:
        FileNotFoundError: If the folder holds no ``one_step.json``.
    """
    path = folder / SETTINGS
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; a one-step restorer's folder holds it beside its config.json.")
    return json.loads(path.read_text())


def unet_of(home: Path) -> tuple[Path, str]:
    """Where a folder in diffusers' layout has a UNet: its sub-folder, and the prefix of the names in its weights."""
    return (home / RESTORER, "unet.") if (home / RESTORER).is_dir() else (home / "unet", "")


def unet_weights(home: Path) -> dict[str, Tensor]:
    """The weights of the UNet of a folder in diffusers' layout, by diffusers' names."""
    place, prefix = unet_of(home)
    weights = read_weights(place)
    return below(weights, prefix) if prefix else weights
