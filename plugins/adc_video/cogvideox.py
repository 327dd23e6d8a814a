"""CogVideoX1.5 (Yang et al., 2024): diffusers' networks from plain configurations, and their folders."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from adc_sd21.folder import WEIGHTS
from torch import Tensor

from adc.ops import diffusion

if TYPE_CHECKING:
    from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel

Config = dict[str, Any]

TRANSFORMER: Config = {
    "num_attention_heads": 48,
    "attention_head_dim": 64,
    "in_channels": 16,
    "out_channels": 16,
    "time_embed_dim": 512,
    "text_embed_dim": 4096,
    "num_layers": 42,
    "patch_size": 2,
    "patch_size_t": 2,
    "patch_bias": False,
    "max_text_seq_length": 226,
    "use_rotary_positional_embeddings": True,
}
VAE: Config = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ["CogVideoXDownBlock3D"] * 4,
    "up_block_types": ["CogVideoXUpBlock3D"] * 4,
    "block_out_channels": [128, 256, 256, 512],
    "latent_channels": 16,
    "layers_per_block": 3,
    "norm_num_groups": 32,
    "temporal_compression_ratio": 4,
    "scaling_factor": 0.7,
}
SCHEDULER: Config = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "snr_shift_scale": 1.0,
}
PARTS = {"transformer": TRANSFORMER, "vae": VAE, "scheduler": SCHEDULER}
FILES = {"transformer": "config.json", "vae": "config.json", "scheduler": "scheduler_config.json"}
FIXED = {
    "transformer": {"use_rotary_positional_embeddings": True, "ofs_embed_dim": None},
    "vae": {"temporal_compression_ratio": 4},
    "scheduler": {"beta_schedule": "scaled_linear", "prediction_type": "v_prediction", "trained_betas": None},
}
"""What the computation rests on: other values would be another one."""
KEY = "prompt_embedding"


def complete(part: str, changes: Config | None) -> Config:
    """The configuration of CogVideoX1.5-5B with some of its entries changed.

    Args:
        part: ``transformer``, ``vae`` or ``scheduler``.
        changes: Entries that differ; the block types follow from the number of widths.

    Raises:
        ValueError: If an entry is unknown, or has a value that is excluded.
    """
    config = {**PARTS[part], **(changes or {})}
    if part == "vae":
        for key in ("down_block_types", "up_block_types"):
            if key not in (changes or {}):
                config[key] = VAE[key][:1] * len(config["block_out_channels"])
    return _checked(part, config, part)


def read_config(home: Path, part: str) -> Config:
    """The configuration in a folder of diffusers; what diffusers notes about itself is left out.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is not JSON, lacks an entry that CogVideoX has, or holds one that is excluded.
    """
    path = home / part / FILES[part]
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; DOVE's folder holds transformer/, vae/ and scheduler/.")
    held = _read_json(path)
    for key in PARTS[part]:
        if key not in held:
            raise ValueError(f"{path}: has no {key}; expected the configuration of a {part} of CogVideoX.")
    return _checked(part, {key: value for key, value in held.items() if not key.startswith("_")}, str(path))


def _checked(part: str, config: Config, origin: str) -> Config:
    known = set(inspect.signature(_class(part).__init__).parameters) - {"self"}
    if unknown := sorted(set(config) - known):
        raise ValueError(f"{origin}: unknown option {unknown[0]!r}; known: {', '.join(sorted(known))}.")
    for key, value in FIXED[part].items():
        if config.get(key) != value:
            raise ValueError(f"{origin}: {key} is {config.get(key)!r}; only {value!r} is computed here.")
    return config


def _class(part: str) -> Any:
    import diffusers

    names = {
        "transformer": "CogVideoXTransformer3DModel",
        "vae": "AutoencoderKLCogVideoX",
        "scheduler": "CogVideoXDPMScheduler",
    }
    return getattr(diffusers, names[part])


def transformer(config: Config) -> CogVideoXTransformer3DModel:
    """The diffusion transformer of a configuration, freshly initialised."""
    return _class("transformer")(**config)


def vae(config: Config) -> AutoencoderKLCogVideoX:
    """The causal autoencoder of a configuration, freshly initialised."""
    return _class("vae")(**config)


def alpha(config: Config, timestep: int) -> float:
    """What is left of the clean latent's variance at a step of a scheduler's configuration.

    Raises:
        ValueError: If the schedule has no such step.
    """
    steps = config["num_train_timesteps"]
    if not 0 <= timestep < steps:
        raise ValueError(f"timestep: {timestep}; the schedule has 0 to {steps - 1}.")
    return alphas(config)[timestep].item()


def alphas(config: Config) -> Tensor:
    """The same at every step, falling, ``(num_train_timesteps,)`` in float64."""
    ends = (config["num_train_timesteps"], config["beta_start"], config["beta_end"])
    shifted = diffusion.shift_signal_to_noise(
        diffusion.scaled_linear_alphas(*ends, torch.float64), config["snr_shift_scale"]
    )
    return diffusion.to_zero_terminal(shifted) if config["rescale_betas_zero_snr"] else shifted


def positions(config: Config, grid: tuple[int, int, int], device: torch.device) -> tuple[Tensor, Tensor] | None:
    """Rotary embeddings of a transformer's patches; null where it adds a table of positions itself.

    CogVideoX1.5 (patches of several frames) counts rows and columns from 0; CogVideoX-5b fits the grid into the one it
    was trained on.

    Args:
        config: The configuration of the transformer.
        grid: Frames, rows and columns of patches.
        device: Where they are computed.
    """
    if not config["use_rotary_positional_embeddings"]:
        return None
    if config["patch_size_t"] is not None:
        return counted_positions(config["attention_head_dim"], grid, device)
    trained = config["sample_height"] // config["patch_size"], config["sample_width"] // config["patch_size"]
    return _rotary(config["attention_head_dim"], grid, device, crops_coords=fitted(grid[1:], trained))


def counted_positions(width: int, grid: tuple[int, int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Rotary embeddings ``(N, width)``, cosines and sines, of patches whose positions are counted from 0."""
    return _rotary(width, grid, device, crops_coords=None, grid_type="slice", max_size=grid[1:])


def fitted(sides: tuple[int, int], trained: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where a grid lies in another after it was enlarged or reduced until it fits: its first corner, and its last."""
    ratio = min(trained[0] / sides[0], trained[1] / sides[1])
    height, width = (round(side * ratio) for side in sides)
    top, left = round((trained[0] - height) / 2), round((trained[1] - width) / 2)
    return (top, left), (top + height, left + width)


def _rotary(width: int, grid: tuple[int, int, int], device: torch.device, **options: Any) -> tuple[Tensor, Tensor]:
    from diffusers.models.embeddings import get_3d_rotary_pos_embed

    found: Any = get_3d_rotary_pos_embed(width, grid_size=grid[1:], temporal_size=grid[0], device=device, **options)
    return found


def read_weights(folder: Path, precision: torch.dtype) -> dict[str, Tensor]:
    """The tensors of a network's folder by name, from one safetensors file or from the shards of an index.

    Raises:
        FileNotFoundError: If the folder holds neither, or a shard is missing.
        ValueError: If a file is damaged, or a shard holds other tensors than the index says.
    """
    whole, index = folder / WEIGHTS, folder / f"{WEIGHTS}.index.json"
    if whole.is_file():
        return _read_tensors(whole, precision)
    if not index.is_file():
        raise FileNotFoundError(f"{whole}: no such file, nor {index.name}; weights are read from safetensors alone.")
    shards: dict[str, set[str]] = {}
    for name, file in _read_json(index).get("weight_map", {}).items():
        shards.setdefault(file, set()).add(name)
    weights: dict[str, Tensor] = {}
    for file, names in sorted(shards.items()):
        if Path(file).name != file:
            raise ValueError(f"{index}: {file}: a shard lies beside its index.")
        held = _read_tensors(folder / file, precision)
        if wrong := sorted(names ^ held.keys()):
            what = "is missing" if wrong[0] in names else f"is not in {index.name}"
            raise ValueError(f"{folder / file}: {wrong[0]} {what} ({len(wrong)} such tensors).")
        weights |= held
    return weights


def read_prompt(path: Path, shape: tuple[int, int], precision: torch.dtype) -> Tensor:
    """The embedding of a prompt, ``(L, D)``.

    Args:
        path: A safetensors file whose key is ``prompt_embedding``.
        shape: What it must have.
        precision: Of the result.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, has no such key, another shape, or values that are no numbers.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"prompt: {path}: no such file; DOVE publishes the embedding of the empty prompt, copy it there or name it."
        )
    held = _read_tensors(path, precision)
    if KEY not in held:
        raise ValueError(f"prompt: {path}: holds no {KEY} but {', '.join(list(held)[:4]) or 'nothing'}.")
    if held[KEY].shape != shape:
        raise ValueError(f"prompt: {path}: {KEY} is {list(held[KEY].shape)}, not {list(shape)}.")
    if not held[KEY].isfinite().all():
        raise ValueError(f"prompt: {path}: {KEY} holds values that are no numbers; copy it again.")
    return held[KEY]


def _read_tensors(path: Path, precision: torch.dtype) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; copy the folder again.")
    try:
        return {name: tensor.to(precision) for name, tensor in load_file(path).items()}
    except SafetensorError as error:
        raise ValueError(f"{path}: not a whole safetensors file ({error}); copy it again.") from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        held = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error}); copy it again.") from None
    if not isinstance(held, dict):
        raise ValueError(f"{path}: holds a {type(held).__name__}; expected entries by name.")
    return held
