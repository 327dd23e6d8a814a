"""Descriptions of blocks that inference may compute in another way with the same result.

A plugin describes the blocks of its networks; `adc.inference.prepare` and ONNX export rearrange them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class UpsampleConv:
    """Nearest upsampling by two and a convolution: ``convolution(interpolate(x, scale_factor=2))``.

    Attributes:
        convolution: The convolution.
    """

    convolution: nn.Conv2d


@dataclass(frozen=True)
class ResidualBlock:
    """``conv2(silu(norm2(conv1(silu(norm1(x))) + time(silu(t))))) + shortcut(x)``.

    Attributes:
        norm1: Normalisation before the first convolution.
        conv1: The first convolution.
        norm2: Normalisation before the second.
        conv2: The second convolution.
        time: Projection of the embedded time, if there is one.
        shortcut: Convolution of the input, if there is one.
    """

    norm1: nn.Module
    conv1: nn.Module
    norm2: nn.Module
    conv2: nn.Module
    time: nn.Module | None = None
    shortcut: nn.Module | None = None


Description = UpsampleConv | ResidualBlock
_describers: list[Callable[[nn.Module], Description | None]] = []


def register_blocks(describe: Callable[[nn.Module], Description | None]) -> None:
    """Let a plugin describe blocks of its networks.

    Args:
        describe: The description of a module, or None if it is no such block, or one with further options.
    """
    if describe not in _describers:
        _describers.append(describe)


def describe_block(module: nn.Module) -> Description | None:
    """The description of a module by the first plugin that has one."""
    found = (describe(module) for describe in _describers)
    return next((description for description in found if description is not None), None)
