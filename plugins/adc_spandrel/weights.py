"""Weights files, read as data; nothing that they hold is run."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ENDINGS = (".pth", ".pt", ".ckpt", ".safetensors")


def read_weights(file: str) -> dict[str, Any]:
    """The tensors of a file by name, in float32; wrappers such as ``params_ema`` stay for spandrel to take off.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no file of weights, is damaged, or holds more than data.
    """
    path = Path(file)
    if not path.is_file():
        raise FileNotFoundError(f"weights: {file}: no such file.")
    if path.suffix.lower() not in ENDINGS:
        raise ValueError(f"weights: {file}: not a file of weights; expected one that ends in {', '.join(ENDINGS)}.")
    try:
        held = _safetensors(path) if path.suffix.lower() == ".safetensors" else _pickle(path)
    except pickle.UnpicklingError:
        raise ValueError(
            f"weights: {file}: holds more than tensors, which adc does not run; save its state dict alone, "
            "best as .safetensors."
        ) from None
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"weights: {file}: cannot be read ({reason}).") from None
    if not isinstance(held, dict):
        raise ValueError(f"weights: {file}: holds a {type(held).__name__}; expected tensors by name.")
    return _float32(held)


def _safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from None


def _pickle(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def _float32(held: dict[str, Any]) -> dict[str, Any]:
    def convert(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.float() if value.is_floating_point() else value
        return _float32(value) if isinstance(value, dict) else value

    return {name: convert(value) for name, value in held.items()}
