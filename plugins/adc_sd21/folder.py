"""Networks as folders in diffusers' layout: a ``config.json`` and a safetensors file each."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from torch import Tensor, dtype, nn

DEMO = "demo"
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


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a network, without diffusers' own underscored entries.

    Raises:
        FileNotFoundError: If the folder holds no ``config.json``.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; a folder in diffusers' layout holds one for each network.")
    return {key: value for key, value in json.loads(path.read_text()).items() if not key.startswith("_")}


def read_weights(folder: Path, prefix: str = "") -> dict[str, Tensor]:
    """The float32 tensors of a network whose names begin with a prefix, without it.

    Raises:
        FileNotFoundError: If the folder holds no weights.
    """
    from safetensors import safe_open

    path = folder / WEIGHTS
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; convert the weights to safetensors in diffusers' layout.")
    with safe_open(path, "pt") as file:
        return below({name: file.get_tensor(name).float() for name in file.keys()}, prefix)  # noqa: SIM118


def one_step(folder: Path) -> dict[str, Any]:
    """The timestep and the prompt's length of a one-step restorer.

    Raises:
        FileNotFoundError: If the folder holds no ``one_step.json``.
    """
    path = folder / "one_step.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; a one-step restorer's folder holds it beside its config.json.")
    return json.loads(path.read_text())


def below(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}


def load(network: nn.Module, weights: dict[str, Tensor], origin: str | Path) -> None:
    """Load strictly.

    Raises:
        ValueError: If names or shapes differ; it says which come first.
    """
    own = network.state_dict()
    wrong = [name for name in own if name not in weights or weights[name].shape != own[name].shape]
    wrong += [name for name in weights if name not in own]
    if wrong:
        raise ValueError(
            f"{origin} does not fit {type(network).__name__}: {', '.join(wrong[:4])} ({len(wrong)} in all)."
        )
    network.load_state_dict(weights)


def save(network: nn.Module, config: dict[str, Any], folder: Path, precision: dtype) -> None:
    """Write configuration and weights; each file appears whole or not at all."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().to(precision).contiguous() for name, tensor in network.state_dict().items()}
    handle, scratch = tempfile.mkstemp(dir=folder, suffix=".tmp")
    os.close(handle)
    save_file(tensors, scratch)
    Path(scratch).chmod(0o644)
    Path(scratch).replace(folder / WEIGHTS)
    (folder / "config.json.tmp").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "config.json.tmp").replace(folder / "config.json")
