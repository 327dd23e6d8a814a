"""Files of weights: published ones read as data, of which nothing is run, and safetensors files written."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adc.files import replacing

ENDINGS = (".pth", ".pt", ".ckpt", ".pkl", ".bin", ".safetensors")


def save_tensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write a safetensors file that is whole or not there."""
    from safetensors.torch import save_file

    with replacing(path) as scratch:
        mode = scratch.stat().st_mode  # safetensors lets nobody else read
        save_file(tensors, scratch, metadata)
        scratch.chmod(mode)


class InertObject:
    """Stands for an object of a training checkpoint whose class is not loaded; it holds and does nothing."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Take any arguments, and forget them."""

    def __setstate__(self, state: Any) -> None:
        """Take any state, and forget it."""


def read_checkpoint(file: str | Path, key: str = "weights") -> dict[str, Any]:
    """What a file holds by name, tensors in float32; wrappers such as ``state_dict`` stay on.

    Pickled files are read with ``weights_only=True``. A training checkpoint may hold objects beside
    its tensors (callbacks, hyper-parameters); they become `InertObject`, and their classes are never looked for.

    Args:
        file: ``.safetensors``, or a file written by ``torch.save``.
        key: Of the recipe or the command line, for messages.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no file of weights, is damaged, or asks for something to be run.
    """
    path = Path(file)
    if not path.is_file():
        raise FileNotFoundError(f"{key}: {file}: no such file.")
    if path.suffix.lower() not in ENDINGS:
        raise ValueError(f"{key}: {file}: not a file of weights; expected one that ends in {', '.join(ENDINGS)}.")
    try:
        held = _safetensors(path) if path.suffix.lower() == ".safetensors" else _pickle(path)
    except pickle.UnpicklingError:
        raise ValueError(
            f"{key}: {file}: holds more than tensors, which adc does not run; save its state dict alone, "
            "best as .safetensors."
        ) from None
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, TypeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{key}: {file}: cannot be read ({reason}).") from None
    if not isinstance(held, dict):
        raise ValueError(f"{key}: {file}: holds a {type(held).__name__}; expected tensors by name.")
    return _float32(held)


def _safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from None


def _pickle(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        unknown = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        with torch.serialization.safe_globals([(_stand_in(name), name) for name in unknown]):
            return torch.load(path, map_location="cpu", weights_only=True)


def _stand_in(name: str) -> type[InertObject]:
    return type(name.rpartition(".")[2], (InertObject,), {})


def _float32(held: dict[str, Any]) -> dict[str, Any]:
    def convert(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.float() if value.is_floating_point() else value
        return _float32(value) if isinstance(value, dict) else value

    return {name: convert(value) for name, value in held.items()}
