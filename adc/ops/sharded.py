"""Tensors that are divided among processes (``DTensor``)."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


def full(tensor: Tensor) -> Tensor:
    """The whole of a tensor that may be divided among processes; a collective: all of them must call it.

    Args:
        tensor: A plain tensor, which is returned as it is, or a ``torch.distributed.tensor.DTensor``.
    """
    divided: Any = tensor
    return divided.full_tensor() if hasattr(tensor, "full_tensor") else tensor


@contextmanager
def gathered(module: nn.Module) -> Generator[nn.Module, None, None]:
    """A module with its whole parameters, those of the graph of its last forward; a collective if it is sharded.

    Args:
        module: A plain one, which is returned as it is, or a unit of torch's ``fully_shard``.
    """
    unit: Any = module
    sharded = hasattr(module, "unshard")
    if sharded:
        unit.unshard()
    try:
        yield module
    finally:
        if sharded:
            unit.reshard()
