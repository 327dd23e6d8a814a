"""The layouts in which weights were published, and the way to ours. Functions of tensors by name; no files.

Which layouts there are was read off the code that writes and reads them: AdcSR, OSEDiff, PiSA-SR,
CompVis' latent diffusion, and diffusers before and after it renamed the attention of its VAE.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from adc_sd21.folder import below
from adc_sd21.lora import as_tensors, factors

Weights = dict[str, Tensor]

STUDENT_VAE = {"block_out_channels": [64, 128, 256, 256]}
STUDENT_UNET = {"block_out_channels": [240, 480, 960, 960]}
"""The published student's widths: half of Stable Diffusion's decoder, three quarters of its UNet (AdcSR)."""

_ATTENTION = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
ALIASES = {"0": "down_blocks.0", "1": "down_blocks.1", "2": "down_blocks.2", "3": "down_blocks.3", "4": "mid_block"}
ALIASES |= {"5": "up_blocks.0", "6": "up_blocks.1", "7": "up_blocks.2", "8": "up_blocks.3"}
ALIASES |= {"9": "conv_norm_out", "11": "conv_out"}


def adcsr_student(net: Weights, half_decoder: Weights) -> Weights:
    """AdcSR's ``net_params_200.pkl`` and its decoder (`decoder_of`) as the weights of an ``AdcSRStudent``.

    ``module.`` is left off, ``body.1.`` is the UNet and ``body.2.`` the middle block; the UNet's
    blocks are stored a second time under ``body.1.body.``, which must hold the same numbers.

    Raises:
        ValueError: If a second copy differs, or a name belongs to neither; names the tensor.
    """
    net = {name.removeprefix("module."): tensor for name, tensor in net.items()}
    for name, tensor in below(net, "body.1.body.").items():
        index, _, rest = name.partition(".")
        first = f"body.1.{ALIASES.get(index, '?')}.{rest}"
        if first not in net or not torch.equal(net[first], tensor):
            raise ValueError(f"body.1.body.{name}: is not the same as {first}, as whose copy it is stored.")
    parts = {"body.1.": "unet.", "body.2.": "mid_block."}
    student = {
        ours + name: tensor
        for theirs, ours in parts.items()
        for name, tensor in below(net, theirs).items()
        if not name.startswith("body.")
    }
    _refuse((name for name in net if not name.startswith(tuple(parts))), "an AdcSR student's UNet or middle block")
    return student | {f"decoder.{name}": tensor for name, tensor in half_decoder.items()}


def decoder_of(checkpoint: dict[str, Any], levels: int = 4) -> Weights:
    """The decoder in a training checkpoint such as ``halfDecoder.ckpt``, or in the weights of an autoencoder.

    Names may be diffusers' or latent diffusion's (``decoder.up.3.block.0...``), with anything before ``decoder.``.

    Args:
        checkpoint: Tensors by name, or a checkpoint with them in ``state_dict``.
        levels: Resolutions of the decoder.

    Raises:
        ValueError: If there is no decoder in it.
    """
    weights = checkpoint.get("state_dict", checkpoint)
    found = {name.split("decoder.", 1)[1]: tensor for name, tensor in weights.items() if "decoder." in name}
    if not found:
        raise ValueError(f"no tensor is named decoder.*; the first ones are {', '.join(list(weights)[:3])}.")
    if any(name.startswith("up.") for name in found):
        prefixed = {f"first_stage_model.decoder.{name}": tensor for name, tensor in found.items()}
        return below(_from_latent_diffusion(prefixed, levels), "decoder.")
    return current_names(found)


def current_names(weights: Weights) -> Weights:
    """diffusers' autoencoder with the names that its attention has today, and its projections as matrices."""

    def rename(name: str) -> str:
        for old, new in _ATTENTION.items():
            name = name.replace(f".attentions.0{old}", f".attentions.0{new}")
        return name

    return {
        rename(name): tensor.flatten(1) if ".attentions.0.to_" in rename(name) and tensor.ndim == 4 else tensor
        for name, tensor in weights.items()
    }


def latent_diffusion(checkpoint: Weights, vae: dict[str, Any], unet: dict[str, Any]) -> tuple[Weights, Weights]:
    """A single file of Stable Diffusion, named as latent diffusion does, as (autoencoder, UNet) in diffusers' names.

    Args:
        checkpoint: Names begin with ``first_stage_model.`` and ``model.diffusion_model.``.
        vae: Configuration of the autoencoder.
        unet: Configuration of the UNet.
    """
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    networks = {"model.diffusion_model.": "UNet", "first_stage_model.": "autoencoder"}
    for prefix, network in networks.items():
        if not any(name.startswith(prefix) for name in checkpoint):
            raise ValueError(f"no tensor is named {prefix}*, where latent diffusion keeps the {network}.")
    config = {"class_embed_type": None, "addition_embed_type": None, **unet}
    return (
        _from_latent_diffusion(checkpoint, len(vae["block_out_channels"])),
        dict(convert_ldm_unet_checkpoint(dict(checkpoint), config)),
    )


def _from_latent_diffusion(checkpoint: Weights, levels: int) -> Weights:
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    types = {"down_block_types": [""] * levels, "up_block_types": [""] * levels}
    return current_names(dict(convert_ldm_vae_checkpoint(dict(checkpoint), types)))


def osediff_merged(checkpoint: dict[str, Any]) -> tuple[Weights, Weights]:
    """AdcSR's ``osediff.pkl``: whole autoencoder and UNet, adapters merged; returns (autoencoder, UNet).

    Raises:
        ValueError: If it is another file of that name.
    """
    _need(checkpoint, ("vae", "unet"), "AdcSR's osediff.pkl")
    return current_names(checkpoint["vae"]), dict(checkpoint["unet"])


def osediff_lora(checkpoint: dict[str, Any]) -> tuple[Weights, Weights]:
    """OSEDiff's own ``osediff.pkl``: the adapters of (autoencoder, UNet), to be merged into Stable Diffusion 2.1.

    Raises:
        ValueError: If it is another file of that name.
    """
    _need(checkpoint, ("state_dict_vae", "state_dict_unet"), "OSEDiff's osediff.pkl")
    return dict(checkpoint["state_dict_vae"]), dict(checkpoint["state_dict_unet"])


def pisasr_adapters(checkpoint: dict[str, Any]) -> tuple[Weights, Weights]:
    """``pisa_sr.pkl`` as (pixel adapter, semantic adapter) by layer.

    A first convolution that was tuned whole (``conv_in.base_layer``) goes with the pixel adapter.

    Raises:
        ValueError: If it is another kind of file.
    """
    _need(checkpoint, ("state_dict_unet",), "PiSA-SR's pisa_sr.pkl")
    weights = checkpoint["state_dict_unet"]
    whole = {name: tensor for name, tensor in weights.items() if ".base_layer." in name}
    pixel, semantic = (
        as_tensors(factors(weights, [f"default_{part}_{kind}" for part in ("encoder", "decoder", "others")]))
        for kind in ("pix", "sem")
    )
    if not pixel or not semantic:
        raise ValueError("state_dict_unet holds no adapters named default_{encoder,decoder,others}_{pix,sem}.")
    return pixel | whole, semantic


def is_merged(checkpoint: dict[str, Any]) -> bool:
    """Which of the two files called ``osediff.pkl`` this is."""
    return "vae" in checkpoint and "unet" in checkpoint


def _need(checkpoint: dict[str, Any], keys: Iterable[str], what: str) -> None:
    missing = [key for key in keys if key not in checkpoint]
    if missing:
        held = ", ".join(list(checkpoint)[:4]) or "nothing"
        raise ValueError(f"not {what}: it has no {missing[0]!r} but {held}.")


def _refuse(names: Iterable[str], what: str) -> None:
    unknown = list(names)
    if unknown:
        raise ValueError(f"{', '.join(unknown[:3])}: not part of {what} ({len(unknown)} such tensors).")
