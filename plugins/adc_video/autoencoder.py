"""Autoencoders of open video transformers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from adc_sd21.folder import load, read_weights, save
from torch import Tensor

from adc.interfaces import Autoencoder
from adc_video import configuration

Config = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """The autoencoders of one family.

    Attributes:
        network: Their class in diffusers.
        strides: Frames and pixels of a latent, by the configuration.
        odd: Whether only odd numbers of latents are decoded to ``1 + k n`` frames.
        statistics: Mean and deviation of latents by channel, of a network; null where one factor is all.
        fixed: Entries that have one value alone.
    """

    network: str
    strides: Callable[[Config], tuple[int, int]]
    odd: bool = False
    statistics: Callable[[Any], tuple[Tensor, Tensor]] | None = None
    fixed: tuple[tuple[str, Any], ...] = ()


def _ltx_strides(config: Config) -> tuple[int, int]:
    halvings = sum(config["spatio_temporal_scaling"])
    return config["patch_size_t"] * 2**halvings, config["patch_size"] * 2**halvings


KINDS = {
    "ltx": Kind(
        "AutoencoderKLLTXVideo",
        _ltx_strides,
        statistics=lambda network: (network.latents_mean, network.latents_std),
        fixed=(
            ("timestep_conditioning", False),
            ("spatial_compression_ratio", None),
            ("temporal_compression_ratio", None),
        ),
    ),
    "hunyuan": Kind(
        "AutoencoderKLHunyuanVideo",
        lambda config: (config["temporal_compression_ratio"], config["spatial_compression_ratio"]),
    ),
    "mochi": Kind(
        "AutoencoderKLMochi",
        lambda config: (prod(config["temporal_expansions"]), prod(config["spatial_expansions"])),
        statistics=lambda network: (
            torch.tensor(network.config["latents_mean"]),
            torch.tensor(network.config["latents_std"]),
        ),
    ),
    "cogvideox": Kind(
        "AutoencoderKLCogVideoX",
        lambda config: (int(config["temporal_compression_ratio"]), 2 ** (len(config["block_out_channels"]) - 1)),
        odd=True,
        fixed=(("invert_scale_latents", False),),
    ),
}
"""By the key ``family``, as of `VideoDenoiser`; SkyReels-V2 and SANA-Video have Wan's (`WanAutoencoder`)."""


class VideoAutoencoder(Autoencoder):
    """The causal autoencoder of LTX-Video, HunyuanVideo, Mochi 1 or CogVideoX, by diffusers.

    A clip of ``1 + k n`` frames has ``1 + n`` latents; other lengths are refused. Latents are the posterior's mean, as
    the denoisers of the family take them: ``(mu - mean) / std`` by channel where the family has these numbers, times
    ``scaling_factor``. Nothing is drawn. Long clips and large frames are computed as diffusers does by default:
    HunyuanVideo's in overlapping parts of 16 frames, CogVideoX's in parts that hand on what convolutions keep.
    CogVideoX decodes an even number of latents with the first one twice; the frames that this adds are cut.
    """

    def __init__(self, family: str, source: str | None = None, config: Config | None = None, seed: int = 0) -> None:
        """
        Args:
            family: ltx, hunyuan, mochi or cogvideox.
            source: The weights: a folder in diffusers' layout, itself or in ``vae/``; null draws them.
            config: Entries that differ from diffusers' defaults, which are the published ones; a folder has its own.
            seed: Of the weights that are drawn.

        Raises:
            FileNotFoundError: If there is no such source.
            ImportError: If the installed diffusers has no such network.
            ValueError: If the family or an entry is unknown, or the weights do not fit.
        """
        super().__init__()
        if family not in KINDS:
            others = ", ".join(KINDS)
            raise ValueError(f"family: {family!r}; one of {others} (WanAutoencoder is that of the others).")
        self.family, kind = family, KINDS[family]
        home = None if source is None else configuration.home_of(Path(source), "vae")
        _, _, whole = configuration.stated(kind.network, home, config, {}, dict(kind.fixed), "VideoAutoencoder")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.vae = configuration.network(kind.network)(**whole)
        if home is not None:
            load(self.vae, read_weights(home), home)
        self.config, self.strides = whole, kind.strides(whole)
        self.init_args = {"family": family, "source": None, "config": whole}

    def encode(self, pixels: Tensor) -> Tensor:
        """The normalised mean of the posterior.

        Raises:
            ValueError: If the number of frames is not ``1 + k n``, or a side is no multiple of the stride.
        """
        self.latent_frames(pixels.shape[1])
        side = self.strides[1]
        if pixels.shape[-2] % side or pixels.shape[-1] % side:
            size = f"{pixels.shape[-1]}x{pixels.shape[-2]}"
            raise ValueError(f"pixels: frames of {size}; {self.vae.__class__.__name__} takes multiples of {side}.")
        mean = self.vae.encode(pixels.transpose(1, 2)).latent_dist.mode().transpose(1, 2)
        centre, scale = self._statistics(mean)
        return (mean - centre) / scale

    def to_decoder_input(self, latent: Tensor) -> Tensor:
        """Undo the normalisation."""
        centre, scale = self._statistics(latent)
        return latent * scale + centre

    def decode(self, latent: Tensor) -> Tensor:
        """Pixels of a latent, not clamped."""
        copies = int(KINDS[self.family].odd and latent.shape[1] % 2 == 0)
        projected = self.to_decoder_input(torch.cat([latent[:, :1]] * copies + [latent], dim=1))
        pixels = self.vae.decode(projected.transpose(1, 2)).sample.transpose(1, 2)
        return pixels[:, copies * self.strides[0] :]

    def save_pretrained(self, folder: str, precision: torch.dtype = torch.float32) -> None:
        """Write ``vae/`` in diffusers' layout."""
        save(self.vae, {"_class_name": KINDS[self.family].network, **self.config}, Path(folder) / "vae", precision)

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """What is subtracted from the posterior's mean, and what it is divided by."""
        statistics = KINDS[self.family].statistics
        centre, deviation = (torch.zeros(1), torch.ones(1)) if statistics is None else statistics(self.vae)
        scale = deviation / self.config["scaling_factor"]
        return centre.view(-1, 1, 1).to(like), scale.view(-1, 1, 1).to(like)
