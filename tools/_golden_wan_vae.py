"""Wan's autoencoder on seeded weights: what its golden files hold, by our code.

A file holds ``pixels`` ``(B, 3, 1 + 4 k, H, W)`` in ``[-1, 1]`` and, made of them, ``posterior_mean``, ``latent``
(normalised), ``latent_of_first_frame``, ``decoded`` and ``decoded_of_half`` (of half the latent), not clamped; its
JSON the configuration. Everything is computed twice: on weights read by their published names and by diffusers'.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from _seeded import seeded_like
from adc_wan import WanAutoencoder
from adc_wan.convert_vae import vae_to_original
from torch import Tensor

NAMES = ("posterior_mean", "latent", "latent_of_first_frame", "decoded", "decoded_of_half")


def tolerances(facts: dict[str, Any]) -> dict[str, tuple[str, float]]:
    """How far each figure may be off, as the file states it."""
    stated = facts["tolerances"]
    return {name: (stated["measure"], stated[name]) for name in NAMES if name in stated}


def computed(golden: dict[str, Tensor], facts: dict[str, Any], home: Path, say: Any) -> Iterator[tuple[str, Any]]:
    """Everything that a golden file holds, name by name.

    Args:
        golden: The file's tensors; its pixels are used.
        facts: Its JSON.
        home: An empty folder for the weights.
        say: Called with a line of progress.
    """
    say("seeded by their published names, written, read")
    published = home / "Wan2.1_VAE.pth"
    config = facts["diffusers"]
    torch.save(seeded_weights(config), published)
    autoencoder = WanAutoencoder(str(published), config).eval()
    for name, value in _outputs(autoencoder, golden["pixels"]).items():
        if name in golden:
            yield name, value
    say("the same through diffusers' names")
    autoencoder.save_pretrained(str(home))
    for name, value in _outputs(WanAutoencoder(str(home)).eval(), golden["pixels"]).items():
        if name in golden:
            yield f"{name} (diffusers)", value


def seeded_weights(config: dict[str, Any]) -> dict[str, Tensor]:
    """Weights drawn from the published names."""
    with torch.device("meta"):
        names = vae_to_original(WanAutoencoder(config=config).vae.state_dict())
    return seeded_like(names, "vae.")


@torch.no_grad()
def _outputs(autoencoder: WanAutoencoder, pixels: Tensor) -> dict[str, Tensor]:
    clip = pixels.transpose(1, 2)
    latent = autoencoder.encode(clip)
    statistics = (torch.tensor(autoencoder.config[f"latents_{name}"]).view(-1, 1, 1) for name in ("mean", "std"))
    centre, scale = statistics
    found = {
        "posterior_mean": latent * scale + centre,
        "latent": latent,
        "latent_of_first_frame": autoencoder.encode(clip[:, :1]),
        "decoded": autoencoder.decode(latent),
        "decoded_of_half": autoencoder.decode(latent * 0.5),
    }
    return {name: value.transpose(1, 2) for name, value in found.items()}
