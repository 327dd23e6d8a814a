"""Wan's transformer as a denoiser that sees LR."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from adc_sd21.folder import WEIGHTS, load, read_weights, save
from torch import Tensor

from adc.interfaces import Denoiser
from adc.weights import read_checkpoint
from adc_wan.convert import is_original, transformer_to_diffusers
from adc_wan.network import tapped_wan

WAN_1_3B: dict[str, Any] = {"num_attention_heads": 12, "attention_head_dim": 128, "ffn_dim": 8960, "num_layers": 30}
"""What differs in Wan 2.1 1.3B from diffusers' defaults, which are those of 14B."""
STEPS = 1000.0
"""The network is given ``1000 t``, never rounded: an integer or bfloat16 step changes the velocity by a third."""


class WanDenoiser(Denoiser):
    """The transformer of Wan 2.1 (Wan team, 2025), LR's latents beside the noisy ones in its channels.

    The weights of a text-to-video model are widened: the first convolution gets zeros for the channels of LR, so that
    the first forward is that model's bit for bit. The text has no mask; rows of zeros behind its words take part in
    the attention, as the network was trained.

    Attributes:
        checkpoint_activations: Whether blocks are computed again in the backward pass; taps are kept once then.
    """

    def __init__(
        self,
        source: str | None = None,
        config: dict[str, Any] | None = None,
        lr_channels: bool = True,
        seed: int = 0,
    ) -> None:
        """
        Args:
            source: The weights: a folder in diffusers' layout, itself or in ``transformer/`` (stages write such
                folders), or one file (``.safetensors``, ``.pth``) with diffusers' or the published names; null draws
                them.
            config: Entries that differ from Wan 2.1 1.3B's ``transformer/config.json``; a folder has its own. Its
                ``in_channels`` are those of the noisy latents.
            lr_channels: Whether the network takes LR's latents behind the noisy ones.
            seed: Of the weights that are drawn.

        Raises:
            FileNotFoundError: If there is no such source.
            ValueError: If the configuration has an unknown entry, or the weights do not fit it.
        """
        super().__init__()
        home = None if source is None or Path(source).is_file() else _home(Path(source))
        if home is not None:
            if config is not None:
                raise ValueError(f"config: {home} holds its configuration; leave one of the two out.")
            config = json.loads((home / "config.json").read_text())
        whole = complete(config or {}, f"{home}/config.json" if home else "config", lr_channels)
        self.lr_channels, self.checkpoint_activations = lr_channels, False
        if source is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                self.network = new_network(whole)
        else:
            weights = read_weights(home) if home is not None else _read(Path(source))
            with torch.device("meta"):
                self.network = new_network(whole)
            self.network.rope = type(self.network.rope)(  # its tables are no weights
                whole["attention_head_dim"], tuple(whole["patch_size"]), whole["rope_max_seq_len"]
            )
            load(self.network, _widened(weights, whole["in_channels"]), source)
        self.config, self.depth = whole, whole["num_layers"]
        self.multiple = max(whole["patch_size"][1:])
        given = {key: value for key, value in whole.items() if key != "in_channels"}
        self.init_args = {"source": None, "config": given, "lr_channels": lr_channels}

    def forward(
        self,
        z_t: Tensor,
        t: Tensor,
        condition: dict[str, Tensor],
        taps: Sequence[int] = (),
        stop_early: bool = False,
    ) -> tuple[Tensor | None, list[Tensor]]:
        """The velocity, and the outputs of blocks.

        Args:
            z_t: ``(B, T', Z, h, w)``.
            t: ``(B,)``, in float32.
            condition: ``text`` ``(B, L, D)``, and ``lr``, shaped like ``z_t``.
            taps: Blocks, from 0.
            stop_early: Whether to end after the last of the taps.

        Returns:
            The velocity, and features ``(B, T', C, h / 2, w / 2)`` for each tap.
        """
        channels = torch.cat([z_t, condition["lr"].to(z_t)], dim=2) if self.lr_channels else z_t
        latents, time, text = channels.transpose(1, 2), STEPS * t.float(), condition["text"]
        return self.network(latents, time, text, taps, stop_early, self.checkpoint_activations)

    def save_pretrained(self, folder: str, precision: torch.dtype = torch.float32) -> None:
        """Write ``transformer/`` in diffusers' layout."""
        config = {"_class_name": "WanTransformer3DModel", **self.config}
        save(self.network, config, Path(folder) / "transformer", precision)


def new_network(config: dict[str, Any]) -> Any:
    """Diffusers' transformer of a whole configuration, with taps."""
    return tapped_wan()(**config)


def complete(config: dict[str, Any], origin: str, lr_channels: bool) -> dict[str, Any]:
    """The configuration of Wan 2.1 1.3B with some of its entries changed, and the channels of its input.

    Args:
        config: Entries that differ; those of diffusers that begin with an underscore are left out.
        origin: Where they stand, for errors.
        lr_channels: Whether LR's latents follow the noisy ones.

    Raises:
        ValueError: If an entry is unknown, or of an image-to-video model.
    """
    from diffusers import WanTransformer3DModel

    parameters = inspect.signature(WanTransformer3DModel.__init__).parameters
    defaults = {key: parameter.default for key, parameter in parameters.items() if key != "self"}
    given = {key: value for key, value in config.items() if not key.startswith("_")}
    if unknown := sorted(given.keys() - defaults):
        raise ValueError(f"{origin}: unknown entry {unknown[0]!r}; known: {', '.join(sorted(defaults))}.")
    whole = {**defaults, **WAN_1_3B, **given}
    whole["patch_size"] = list(whole["patch_size"])
    whole["out_channels"] = whole["out_channels"] or whole["in_channels"]
    for key in ("image_dim", "added_kv_proj_dim", "pos_embed_seq_len"):
        if whole[key] is not None:
            raise ValueError(f"{origin}: {key} is of an image-to-video model; WanDenoiser takes a text-to-video one.")
    whole["in_channels"] = whole["out_channels"] * (2 if lr_channels else 1)
    return whole


def _widened(weights: dict[str, Tensor], channels: int) -> dict[str, Tensor]:
    """Weights whose first convolution takes so many channels, zeros for those that it had not."""
    first = weights.get("patch_embedding.weight")
    if first is None or first.shape[1] >= channels:
        return weights
    zeros = first.new_zeros(first.shape[0], channels - first.shape[1], *first.shape[2:])
    return {**weights, "patch_embedding.weight": torch.cat([first, zeros], dim=1)}


def _home(folder: Path) -> Path:
    for home in (folder / "transformer", folder):
        if (home / "config.json").is_file():
            return home
    raise FileNotFoundError(
        f"source: {folder}: no transformer/config.json there, nor config.json, nor is it a file; expected a folder in "
        f"diffusers' layout with config.json and {WEIGHTS}, or a published file."
    )


def _read(file: Path) -> dict[str, Tensor]:
    held = read_checkpoint(file, "source")
    return transformer_to_diffusers(held) if is_original(held) else held
