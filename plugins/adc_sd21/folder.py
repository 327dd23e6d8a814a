"""Networks as folders in diffusers' layout: a ``config.json`` and a safetensors file each."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, dtype, nn

DEMO = "demo"
SHORTCUT = "shortcut"
WEIGHTS = "diffusion_pytorch_model.safetensors"


def resolve(folder: str) -> Path:
    """The folder that a recipe names; ``demo`` is the small teacher that ships with adc.

    Raises:
        FileNotFoundError: If it is not a folder.
    """
    path = Path(__file__).parent / "demo_teacher" if folder == DEMO else Path(folder)
    if not path.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; expected one in diffusers' layout, or '{DEMO}'.")
    return path


def read_config(folder: Path, known: Collection[str]) -> dict[str, Any]:
    """The configuration of a network: the entries that our networks know, and the shortcut.

    What diffusers writes besides (its version, settings that Stable Diffusion leaves alone) is left
    out; weights that need it do not load.

    Raises:
        FileNotFoundError: If the folder holds no ``config.json``.
        ValueError: If an entry that is needed is missing.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; a folder in diffusers' layout holds one for each network.")
    config = json.loads(path.read_text())
    for key in known:
        if key not in config:
            raise ValueError(f"{path}: has no {key}; expected a configuration of diffusers.")
    return {key: value for key, value in config.items() if key in known or key == SHORTCUT}


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The float32 tensors of a network's folder, by name; of one file, or of the several that an index lists.

    Raises:
        FileNotFoundError: If the folder holds no weights, or not all of its files.
        ValueError: If they are damaged.
    """
    index = folder / f"{WEIGHTS}.index.json"
    if (folder / WEIGHTS).is_file() or not index.is_file():
        return read_tensors(folder / WEIGHTS)
    files = sorted({Path(file).name for file in json.loads(index.read_text())["weight_map"].values()})
    return {name: tensor for file in files for name, tensor in read_tensors(folder / file).items()}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, in float32, by name.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; tools/convert_*.py write it from published weights.")
    try:
        return {name: tensor.float() for name, tensor in load_file(path).items()}
    except SafetensorError as error:
        raise ValueError(f"{path}: not a whole safetensors file ({error}); copy or convert it again.") from None


def below(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}


def load(network: nn.Module, weights: dict[str, Tensor], origin: str | Path) -> None:
    """Load strictly; layers that were made on the meta device take the tensors themselves.

    Raises:
        ValueError: If names or shapes differ; it says which come first.
    """
    own = network.state_dict()
    wrong = [f"{name} is missing" for name in own if name not in weights]
    wrong += [f"{name} is unknown" for name in weights if name not in own]
    wrong += [
        f"{name} is {list(weights[name].shape)}, not {list(tensor.shape)}"
        for name, tensor in own.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    if wrong:
        raise ValueError(
            f"{origin} does not fit {type(network).__name__}: {', '.join(wrong[:4])} ({len(wrong)} such tensors)."
        )
    network.load_state_dict(weights, assign=True)
    for parameter in network.parameters():
        parameter.requires_grad_(parameter.is_floating_point())


def save(network: nn.Module, config: dict[str, Any], folder: Path, precision: dtype) -> None:
    """Write configuration and weights; each file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(network.state_dict(), folder / WEIGHTS, precision)
    (folder / "config.json.tmp").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "config.json.tmp").replace(folder / "config.json")


def save_tensors(tensors: Mapping[str, Tensor], path: Path, precision: dtype) -> None:
    """Write a safetensors file; it appears whole or not at all."""
    from safetensors.torch import save_file

    held = {name: tensor.detach().cpu().to(precision).contiguous() for name, tensor in tensors.items()}
    handle, scratch = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    os.close(handle)
    try:
        save_file(held, scratch)
        Path(scratch).chmod(0o644)
        Path(scratch).replace(path)
    finally:
        Path(scratch).unlink(missing_ok=True)
