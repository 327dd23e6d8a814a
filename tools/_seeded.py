"""Weights that anyone can make: every tensor is drawn from its own name, so that none has to be stored."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor


def seeded(name: str, shape: Iterable[int]) -> Tensor:
    """The float32 tensor that belongs to a name and a shape.

    NumPy's PCG64 seeded with the CRC-32 of the name draws standard normal numbers. Kernels and
    matrices are divided by the root of their fan-in; vectors are 0.1 times those numbers, around 1
    for the weights of norms and around 0 otherwise.
    """
    shape = tuple(shape)
    draws = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).standard_normal(shape, dtype=np.float32)
    if len(shape) > 1:
        return torch.from_numpy(draws / np.float32(math.sqrt(math.prod(shape[1:]))))
    centre = 1.0 if name.endswith("weight") and "norm" in name else 0.0
    return torch.from_numpy(np.asarray(centre + 0.1 * draws, dtype=np.float32))


def seeded_like(tensors: Mapping[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """A seeded tensor for each of a state dict, which may lie on the meta device; the names stay without prefix."""
    return {name: seeded(prefix + name, tensor.shape) for name, tensor in tensors.items()}
