"""Published files of weights, read as data; nothing that they hold is run."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ENDINGS = (".pth", ".pt", ".ckpt", ".pkl", ".bin", ".safetensors")


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
    return {name: _float32(value) for name, value in held.items()}


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
        inert: list[Any] = [(type(name.rpartition(".")[2], (InertObject,), {}), name) for name in unknown]
        with torch.serialization.safe_globals(inert):
            return torch.load(path, map_location="cpu", weights_only=True)


def _float32(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _float32(entry) for name, entry in value.items()}
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value
