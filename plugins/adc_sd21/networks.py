"""diffusers' networks from plain configurations; Stable Diffusion 2.1-base where nothing else is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import nn

from adc_sd21.folder import SHORTCUT

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from diffusers.models.autoencoders.vae import Decoder

SD_VAE: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "latent_channels": 4,
    "norm_num_groups": 32,
    "scaling_factor": 0.18215,
}
SD_UNET: dict[str, Any] = {
    "sample_size": 64,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2,
    "attention_head_dim": [5, 10, 20, 20],
    "cross_attention_dim": 1024,
    "use_linear_projection": True,
    "norm_num_groups": 32,
}


def complete(base: dict[str, Any], changes: dict[str, Any] | None) -> dict[str, Any]:
    """A configuration with some of its entries changed.

    The block types follow from the number of widths.

    Raises:
        ValueError: If an entry is not one of the configuration's.
    """
    changes = changes or {}
    unknown = sorted(set(changes) - set(base) - {SHORTCUT})
    if unknown:
        raise ValueError(f"unknown network option {unknown[0]!r}; known: {', '.join(base)}.")
    config = {**base, **changes}
    levels = len(config["block_out_channels"])
    for key, inner, ends in (("down_block_types", 0, -1), ("up_block_types", -1, 0)):
        if key not in changes:
            config[key] = [base[key][inner]] * levels
            config[key][ends] = base[key][ends]
    return config


def without_norms(network: nn.Module) -> nn.Module:
    """Take the group normalisations out, in place, and let every residual branch begin silent.

    What super-resolution networks have done since EDSR (Lim et al., 2017): normalisation forgets the
    contrast that a restorer must keep, and it is a third of a step on a CPU. A configuration asks
    for it by ``norm_num_groups: null``.
    """
    modules: list[Any] = list(network.modules())
    for module in modules:
        for name, child in list(module.named_children()):
            if isinstance(child, nn.GroupNorm):
                setattr(module, name, nn.Identity())
        if type(module).__name__ == "ResnetBlock2D":
            nn.init.zeros_(module.conv2.weight)
            nn.init.zeros_(module.conv2.bias)
    return network


def vae(config: dict[str, Any]) -> AutoencoderKL:
    """The autoencoder of a configuration, freshly initialised."""
    from diffusers import AutoencoderKL

    entries = {key: value for key, value in config.items() if key != SHORTCUT}
    return _normed(lambda groups: AutoencoderKL(**{**entries, "norm_num_groups": groups}), config)


def vae_decoder(config: dict[str, Any]) -> Decoder:
    """The decoder of an autoencoder's configuration alone."""
    from diffusers.models.autoencoders.vae import Decoder

    return _normed(
        lambda groups: Decoder(
            in_channels=config["latent_channels"],
            out_channels=config["out_channels"],
            up_block_types=tuple(config["up_block_types"]),
            block_out_channels=tuple(config["block_out_channels"]),
            layers_per_block=config["layers_per_block"],
            norm_num_groups=groups,
        ),
        config,
    )


def unet(config: dict[str, Any]) -> UNet2DConditionModel:
    """The conditional UNet of a configuration, freshly initialised."""
    from diffusers import UNet2DConditionModel

    return _normed(lambda groups: UNet2DConditionModel(**{**config, "norm_num_groups": groups}), config)


def _normed(build: Callable[[int], Any], config: dict[str, Any]) -> Any:
    groups = config["norm_num_groups"]
    return without_norms(build(1)) if groups is None else build(groups)
