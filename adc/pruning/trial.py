"""Trials of a cut: which groups of channels a network can lose, and which it cannot."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from adc.interfaces import Prunable
from adc.ops.modes import evaluating
from adc.pruning.groups import Group
from adc.pruning.layers import as_products, drop, is_channelwise, weights

Masks = dict[tuple[nn.Module, bool], Tensor]
"""By layer and side (its output, or its input) which channels stay."""

NORMS = (nn.LayerNorm, nn.GroupNorm)

BLOCKS = (2, 4, 3)
"""Numbers of blocks in each of which as many units are left, for splits into parts of one size."""


@dataclass(frozen=True)
class Whole:
    """Groups of one kind that keep their channels.

    Attributes:
        kind: The layers, a ``#`` for every number in their names.
        reason: Why, in one line.
    """

    kind: str
    reason: str


@dataclass(frozen=True)
class Choice:
    """What of a group stays.

    Attributes:
        group: The group.
        mask: Over its units.
        noted: Whether modules that remember a width of its layers as a number are put right too.
    """

    group: Group
    mask: Tensor
    noted: bool = False


def masks_of(chosen: Iterable[Choice]) -> Masks:
    """What stays of each layer's sides."""
    kept: Masks = {}
    for choice in chosen:
        for side in choice.group.sides:
            whole = torch.ones(len(side.units), dtype=torch.bool)
            inside = side.units >= 0
            whole[inside] = choice.mask[side.units[inside]]
            kept[side.layer, side.output] = kept.get((side.layer, side.output), True) & whole
    return kept


def noted_of(chosen: Iterable[Choice]) -> set[nn.Module]:
    """Layers whose widths are remembered elsewhere."""
    return {side.layer for choice in chosen if choice.noted for side in choice.group.sides}


def try_groups(
    plan: Prunable, chosen: list[Choice], evenly: Callable[[Group, int], Tensor | None]
) -> tuple[list[Choice], list[Whole]]:
    """Groups that can be cut together, and those that stay whole.

    A cut is right if channels that are zero, and that nothing reads, can go without any change of the result. That
    holds for channels between convolutions and linear layers whatever is done to each of them, and not where a network
    counts its channels (windows and heads of attention that are reshaped), mixes them (a mean over channels), or where
    the graph of channels is wrong. Norms over channels are left out of the comparison. Groups of one kind, which differ
    in numbers of blocks alone, are tried together; a kind that does not fit is tried again with the numbers that its
    modules remember put right, and with the same number of units in each of a few blocks, as splits need it.

    Args:
        plan: The network and its example.
        chosen: Groups, and what of them would stay.
        evenly: A mask for a group that keeps the same number in each of so many blocks; None if there is none.

    Returns:
        What can be cut, and the kinds that cannot.
    """
    names = {module: name for name, module in plan.network.named_modules()}
    kinds: dict[str, list[Choice]] = {}
    for choice in chosen:
        kinds.setdefault(kind_of(choice.group, names), []).append(choice)
    if not chosen or _problem(plan, chosen) is None:
        return chosen, []
    kinds = _joined(kinds)
    fit: list[Choice] = []
    whole: list[Whole] = []
    for kind, members in kinds.items():
        reasons = []
        for ways in _ways(members, evenly):
            reasons.append(_problem(plan, [*fit, *ways]))
            if reasons[-1] is None:
                fit += ways
                break
        else:
            whole.append(Whole(kind, str(reasons[0])))
    return fit, whole


def _joined(kinds: dict[str, list[Choice]]) -> dict[str, list[Choice]]:
    """Kinds that hold parts of the output of one layer, as the halves of a split do, as one."""
    joined: list[tuple[str, list[Choice], set[nn.Module]]] = []
    for kind, members in kinds.items():
        layers = {side.layer for choice in members for side in choice.group.sides if side.output}
        for one in [one for one in joined if one[2] & layers]:
            joined.remove(one)
            kind, members, layers = f"{one[0]}, {kind}", one[1] + members, one[2] | layers
        joined.append((kind, members, layers))
    return {", ".join(dict.fromkeys(kind.split(", "))): members for kind, members, _ in joined}


def _ways(members: list[Choice], evenly: Callable[[Group, int], Tensor | None]) -> Iterator[list[Choice]]:
    yield members
    for count in (1, *BLOCKS):
        masks = [choice.mask if count == 1 else evenly(choice.group, count) for choice in members]
        for noted in (False, True)[count == 1 :]:
            if all(mask is not None for mask in masks):
                yield [
                    Choice(one.group, mask, noted) for one, mask in zip(members, masks, strict=True) if mask is not None
                ]


def kind_of(group: Group, names: Mapping[nn.Module, str]) -> str:
    """The names of the layers whose output a group is, without the numbers of their blocks."""
    sides = {re.sub(r"\d+", "#", names[side.layer]) for side in group.sides if side.output}
    return ", ".join(sorted(sides))


def _problem(plan: Prunable, chosen: list[Choice]) -> str | None:
    """Why a network cannot lose channels; None if it can."""
    kept, noted = masks_of(chosen), noted_of(chosen)
    try:
        return _difference(plan, kept, noted, torch.float64)
    except RuntimeError:  # a network that makes tensors of one type has no result in another
        return _difference(plan, kept, noted, torch.float32)


def _difference(plan: Prunable, kept: Masks, noted: set[nn.Module], number: torch.dtype) -> str | None:
    modules = list(plan.network.modules())
    network = copy.deepcopy(plan.network).to(number)
    copies = dict(zip(modules, network.modules(), strict=True))
    masks = {(copies[layer], output): mask for (layer, output), mask in kept.items()}
    generator = torch.Generator().manual_seed(0)
    example = tuple(_noise(tensor, generator, number) for tensor in plan.example)
    norms = [module for module in network.modules() if isinstance(module, NORMS) or is_channelwise(module)]
    with torch.no_grad(), evaluating(network), as_products(norms):
        _stir(network, generator)
        for (layer, output), mask in masks.items():
            for name, axis in weights(layer, output).items():
                getattr(layer, name).index_fill_(axis, (~mask).nonzero().flatten().to(example[0].device), 0)
        expected = _results(network(*example))
    with torch.no_grad(), evaluating(network):
        drop(network, masks, noted={copies[layer] for layer in noted})
    norms = [module for module in network.modules() if isinstance(module, NORMS) or is_channelwise(module)]
    with torch.no_grad(), evaluating(network), as_products(norms):
        try:
            found = _results(network(*example))
        except Exception as error:  # a network's own code, which raises what it likes
            return f"does not run ({(str(error).strip().splitlines() or [type(error).__name__])[0]})"
    for one, other in zip(expected, found, strict=True):
        if one.shape != other.shape:
            return f"returns {tuple(other.shape)} instead of {tuple(one.shape)}"
        tolerance = 1e-9 if number is torch.float64 else 1e-4
        scale = one.abs().max().clamp(min=1e-6)
        if not bool((one - other).abs().max() <= tolerance * scale):
            return "mixes its channels"
    return None


def _results(output: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return output if isinstance(output, tuple) else (output,)


def _noise(tensor: Tensor, generator: torch.Generator, number: torch.dtype) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    return torch.rand(tensor.shape, generator=generator, dtype=number).to(tensor.device)


def _stir(network: nn.Module, generator: torch.Generator) -> None:
    """Change parameters that are constant, as they are initialised: a branch times zero would hide what it does."""
    for parameter in network.parameters():
        if parameter.numel() and bool((parameter == parameter.flatten()[0]).all()):
            drawn = torch.rand(parameter.shape, generator=generator, dtype=parameter.dtype)
            parameter.add_(drawn.to(parameter.device) * 0.2 + 0.1)
