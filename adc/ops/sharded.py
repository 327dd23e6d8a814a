"""Tensors that are divided among processes (``DTensor``)."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def full(tensor: Tensor) -> Tensor:
    """The whole of a tensor that may be divided among processes; a collective: all of them must call it.

    Args:
        tensor: A plain tensor, which is returned as it is, or a ``torch.distributed.tensor.DTensor``.
    """
    divided: Any = tensor
    return divided.full_tensor() if hasattr(tensor, "full_tensor") else tensor
