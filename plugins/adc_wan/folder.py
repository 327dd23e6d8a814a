"""Wan's published folder and diffusers' layout, both ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from adc_sd21.folder import save_tensors
from torch import Tensor

from adc.weights import read_checkpoint
from adc_wan import convert as transformer
from adc_wan.autoencoder import WanAutoencoder
from adc_wan.convert_vae import vae_to_original
from adc_wan.denoiser import WanDenoiser

VAE, TRANSFORMER, CONFIG = "Wan2.1_VAE.pth", "diffusion_pytorch_model.safetensors", "config.json"
OURS = {
    "num_heads": "num_attention_heads",
    "ffn_dim": "ffn_dim",
    "num_layers": "num_layers",
    "freq_dim": "freq_dim",
    "out_dim": "out_channels",
    "eps": "eps",
}
"""Entries of the published ``config.json``, and diffusers' names of them."""


def convert(source: str, out: str, back: bool = False) -> None:
    """Write Wan's networks in the other layout.

    Args:
        source: The published folder; with ``back`` one in diffusers' layout.
        out: Where the other layout goes.
        back: From diffusers' layout to the published names.

    Raises:
        FileNotFoundError: If the source holds none of both networks.
        ValueError: If weights do not fit their configuration.
    """
    home, target = Path(source), Path(out)
    written = _to_published(home, target) if back else _to_diffusers(home, target)
    if not written:
        expected = "transformer/ and vae/" if back else f"{VAE} and {TRANSFORMER}"
        raise FileNotFoundError(f"{source}: holds neither of {expected}.")
    print(f"{', '.join(written)}, in {target}")


def _to_diffusers(home: Path, target: Path) -> list[str]:
    written = []
    if (home / TRANSFORMER).is_file():
        held = read_checkpoint(home / TRANSFORMER, "source")
        lr = _first_layer(held).shape[1] > _config(home).get("out_channels", 16)
        WanDenoiser(str(home / TRANSFORMER), _config(home), lr).save_pretrained(str(target))
        written.append("transformer/")
    if (home / VAE).is_file():
        WanAutoencoder(str(home / VAE)).save_pretrained(str(target))
        written.append("vae/")
    return written


def _to_published(home: Path, target: Path) -> list[str]:
    written = []
    target.mkdir(parents=True, exist_ok=True)
    if (home / "transformer").is_dir():
        config = json.loads((home / "transformer" / CONFIG).read_text())
        lr = config["in_channels"] > config["out_channels"]
        network = WanDenoiser(str(home), lr_channels=lr).network
        save_tensors(transformer.transformer_to_original(network.state_dict()), target / TRANSFORMER, torch.float32)
        about = {published: config[ours] for published, ours in OURS.items()}
        about |= {"in_dim": config["in_channels"], "dim": config["num_attention_heads"] * config["attention_head_dim"]}
        (target / CONFIG).write_text(json.dumps({**about, "text_dim": config["text_dim"]}, indent=2) + "\n")
        written.append(TRANSFORMER)
    if (home / "vae").is_dir():
        network = WanAutoencoder(str(home)).vae
        torch.save(vae_to_original(network.state_dict()), target / VAE)
        written.append(VAE)
    return written


def _config(home: Path) -> dict[str, Any]:
    """The published configuration by diffusers' names; that of 1.3B where there is none."""
    if not (home / CONFIG).is_file():
        return {}
    held = json.loads((home / CONFIG).read_text())
    config = {ours: held[published] for published, ours in OURS.items() if published in held}
    if {"dim", "num_heads"} <= held.keys():
        config["attention_head_dim"] = held["dim"] // held["num_heads"]
    return config | {key: held[key] for key in ("text_dim",) if key in held}


def _first_layer(held: dict[str, Tensor]) -> Tensor:
    return held["patch_embedding.weight"]
