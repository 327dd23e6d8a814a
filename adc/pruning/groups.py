"""Channels that can only be cut together, and which of them to keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from adc.pruning.layers import norm_groups


@dataclass(frozen=True)
class Side:
    """One side of a layer in a group.

    Attributes:
        layer: The layer.
        output: Whether its output channels are meant; norms have one side, and it is an output.
        units: For each channel of that side the unit of the group it belongs to; -1 if it is another group's.
    """

    layer: nn.Module
    output: bool
    units: Tensor


@dataclass(frozen=True)
class Group:
    """Layers whose channels can only be cut together.

    A *unit* is the smallest thing that can be cut: one channel in each of the layers, both of its
    halves in a gated layer, or its place in a concatenation.

    Attributes:
        size: Number of units.
        sides: The sides of layers that lose channels with a unit.
        free: Whether its layers can be cut, and nothing else depends on their channels: no
            parameter outside of layers, and not the network's result.
    """

    size: int
    sides: list[Side]
    free: bool = True


@dataclass(frozen=True)
class Blocks:
    """Consecutive units that must fare alike.

    Attributes:
        count: Number of blocks.
        whole: Whether whole blocks are kept; otherwise the same number of units is kept in each.
    """

    count: int = 1
    whole: bool = False


def kept_units(group: Group, ratio: float, heads: Mapping[nn.Module, int], whole: Mapping[nn.Module, int] = {}) -> int:
    """How many units are left: ``int(size * (1 - ratio))``, at least one.

    Attention keeps its heads and the same number of channels in each, so there the number is
    rounded down to a multiple of the heads; where heads go as a whole, to a multiple of their width.

    Args:
        group: The group.
        ratio: What is cut, in ``[0, 1)``.
        heads: Number of heads by projection.
        whole: Width of a head by projection, where heads go as a whole.
    """
    number = max(1, int(group.size * (1 - ratio) + 1e-6))
    step = _of_group(group, whole, _of_group(group, heads, 1))
    return max(step, number // step * step)


def blocks(group: Group, keep: int, heads: Mapping[nn.Module, int], whole: Mapping[nn.Module, int] = {}) -> Blocks:
    """The blocks that keep a group's structure: attention heads, or the groups of its GroupNorms.

    A GroupNorm computes what it did before if its groups lose alike, or if whole groups go; where
    its new number of groups allows neither, there is no constraint.
    """
    if width := _of_group(group, whole, 0):
        return Blocks(group.size // width, whole=True)
    per_head = _of_group(group, heads, 1)
    if per_head > 1:
        return Blocks(per_head)
    found = [
        _norm_blocks(side.layer, group.size, keep)
        for side in group.sides
        if isinstance(side.layer, nn.GroupNorm) and torch.equal(side.units, torch.arange(group.size))
    ]
    return max((block for block in found if block is not None), key=lambda block: block.count, default=Blocks())


def choose(scores: Tensor, keep: int, blocks: Blocks) -> Tensor:
    """The units that stay.

    Args:
        scores: A score for each unit; the higher ones stay.
        keep: How many stay.
        blocks: What must fare alike.

    Returns:
        A mask over the units with `keep` times true.
    """
    table = scores.reshape(blocks.count, -1)
    if blocks.whole:
        best = table.sum(dim=1).argsort(descending=True, stable=True)[: keep // table.shape[1]]
        mask = torch.zeros_like(table, dtype=torch.bool)
        mask[best] = True
    else:
        best = table.argsort(dim=1, descending=True, stable=True)[:, : keep // blocks.count]
        mask = torch.zeros_like(table, dtype=torch.bool).scatter_(1, best, True)
    return mask.reshape(-1)


def _of_group(group: Group, numbers: Mapping[nn.Module, int], default: int) -> int:
    return max((numbers.get(side.layer, default) for side in group.sides if side.output), default=default)


def _norm_blocks(norm: nn.GroupNorm, size: int, keep: int) -> Blocks | None:
    old = norm.num_groups
    new = norm_groups(keep, old)
    if new == old:
        return Blocks(old)
    return Blocks(old, whole=True) if size * new == keep * old else None
