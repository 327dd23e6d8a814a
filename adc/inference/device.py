"""Devices by their names."""

from __future__ import annotations

import torch

from adc.errors import UsageError


def find_device(name: str | torch.device) -> torch.device:
    """A device by its name; ``auto`` is a GPU if there is one.

    Raises:
        UsageError: If there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError):
        raise UsageError(f"device {name}: there is no such device here; take auto or cpu.") from None
