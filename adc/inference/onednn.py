"""oneDNN's own layouts of weights, by operators that torch keeps private, and what a CPU computes in half precision.

Whether the operators are there, and whether this CPU has the instructions that they need, is tried once for each
dtype.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Settings = tuple[list[int], list[int], list[int], int]
"""Padding, stride, dilation and groups of a convolution."""

_PLAIN: Settings = ([1, 1], [1, 1], [1, 1], 1)
_UNABLE = (RuntimeError, AttributeError)


@cache
def can_pack(dtype: torch.dtype) -> bool:
    """Whether weights of a dtype can be packed here and computed with."""
    sizes = (1, 8, 4, 4), (8, 8, 3, 3), (8,), (2, 8)
    x, weight, bias, row = (torch.zeros(size, dtype=dtype, device="cpu") for size in sizes)
    try:
        packed = pack_convolution(pack_convolution(weight, _PLAIN).to_dense(), _PLAIN, x.shape)
        convolve(convolve(x, packed, bias, _PLAIN), packed, bias, _PLAIN, added=x)
        multiply(row, pack_linear(weight[:, :, 0, 0].contiguous()), bias)
    except _UNABLE:
        return False
    return True


@cache
def layout_follows_size(dtype: torch.dtype) -> bool:
    """Whether the best layout of a convolution's weight depends on the size of its input.

    It does in half precision, and in float32 where oneDNN has no AVX-512: blocks of 24 output channels of 480 for 32 x
    32 pixels, of 16 for 8 x 8.
    """
    wide = torch.backends.cpu.get_cpu_capability().startswith("AVX512") and "ONEDNN_MAX_CPU_ISA" not in os.environ
    return dtype != torch.float32 or not wide


@cache
def obstacle(dtype: torch.dtype, device: str) -> str | None:
    """Error of a device that computes neither convolutions nor linear layers in a dtype; else None."""
    x, weight, row = (torch.zeros(size, device=device) for size in ((1, 8, 4, 4), (8, 8, 3, 3), (2, 8)))
    half = dtype != torch.float32
    try:
        with torch.no_grad(), torch.autocast(torch.device(device).type, dtype, enabled=half):
            F.linear(row, weight[:, :, 0, 0]), F.conv2d(x, weight)
    except _UNABLE as error:
        return str(error).strip().partition("\n")[0] or type(error).__name__
    return None


def pack_convolution(weight: Tensor, settings: Settings, size: Sequence[int] | None = None) -> Tensor:
    """A convolution's weight ``(O, I, kh, kw)`` in oneDNN's layout, the best one for inputs of `size` if given."""
    sized: list[Any] = [] if size is None else [list(size)]
    return torch.ops.mkldnn._reorder_convolution_weight(weight, *settings, *sized)


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, settings: Settings, added: Tensor | None = None) -> Tensor:
    """Convolve with a packed weight, and add something of the result's shape."""
    operator = torch.ops.mkldnn._convolution_pointwise
    if added is None:
        return operator(x, weight, bias, *settings, "none", [], "")
    return operator.binary(x, added, weight, bias, *settings, "add", 1.0, None, [], None)


def pack_linear(weight: Tensor) -> Tensor:
    """The weight of a linear layer in oneDNN's layout."""
    return torch.ops.mkldnn._reorder_linear_weight(weight)


def multiply(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A linear layer with a packed weight."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
