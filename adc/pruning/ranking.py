"""Which units of a network's groups stay at which ratios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from adc.errors import suggest
from adc.interfaces import Prunable
from adc.pruning.groups import Blocks, Group, blocks, choose, kept_units
from adc.pruning.importance import Importance
from adc.pruning.trial import Choice, Whole, try_groups

PRODUCTS = (nn.modules.conv._ConvNd, nn.Linear)
"""Layers whose output channels are what groups are made of."""


@dataclass(frozen=True)
class Ranking:
    """The groups of a network, and an order of their units.

    Attributes:
        plan: What is pruned.
        groups: Its groups of coupled channels.
        importance: Which units stay; prepared.
        heads: Number of heads by projection.
        layers: Layers that ratios may name, by name.
    """

    plan: Prunable
    groups: Sequence[Group]
    importance: Importance
    heads: Mapping[nn.Module, int]
    layers: Mapping[str, nn.Module] = field(default_factory=dict[str, nn.Module])

    def choose(self, ratios: Mapping[str, float], whole: list[Whole] | None = None) -> list[Choice]:
        """The groups that lose channels, and which of their units stay.

        Args:
            ratios: As of `prune`. Where cuts are tried, those that do not fit are left out.
            whole: Takes the kinds of groups that were left out, and why.

        Raises:
            ValueError: If a layer that is named is in no group that can be cut.
        """
        self._check_named(ratios)
        found = self.untried(ratios)
        if not self.plan.tried:
            return found

        def evenly(group: Group, count: int) -> Tensor | None:
            number = kept_units(group, self.ratio(group, ratios), self.heads) // count * count
            even = number and group.size % count == 0
            return choose(self.importance.score(group), number, Blocks(count)) if even else None

        found, left = try_groups(self.plan, found, evenly)
        if whole is not None:
            whole += left
        return found

    def untried(self, ratios: Mapping[str, float]) -> list[Choice]:
        """What `choose` returns where nothing is tried."""
        plan, found = self.plan, list[Choice]()
        for group in self.groups:
            ratio = self.ratio(group, ratios)
            if ratio > 0 and self.is_cut(group):
                number = kept_units(group, ratio, self.heads, plan.blocks)
                mask = choose(self.importance.score(group), number, blocks(group, number, self.heads, plan.blocks))
                found.append(Choice(group, mask))
        return found

    def is_cut(self, group: Group) -> bool:
        """Whether a group may lose channels."""
        return group.free and not any(side.output and side.layer in self.plan.ignored for side in group.sides)

    def part_of(self, group: Group) -> str | None:
        """The last listed part that holds a layer whose output channels are the group's; None if none does."""
        layers = {side.layer for side in group.sides if side.output}
        owners = [name for name, part in self.plan.parts.items() if not layers.isdisjoint(part.modules())]
        return owners[-1] if owners else None

    def ratio(self, group: Group, ratios: Mapping[str, float]) -> float:
        """The ratio of the last named layer of a group, or else of its part."""
        layers = {side.layer for side in group.sides if side.output}
        named = [name for name in ratios if name not in self.plan.parts and self.layers.get(name) in layers]
        part = named[-1] if named else self.part_of(group)
        return 0.0 if part is None else ratios.get(part, 0.0)

    def _check_named(self, ratios: Mapping[str, float]) -> None:
        cut = {side.layer for group in self.groups if self.is_cut(group) for side in group.sides if side.output}
        for name in ratios:
            if name not in self.plan.parts and self.layers.get(name) not in cut:
                raise ValueError(f"ratios: {name} keeps its channels; leave it out.")


def check_ratios(ratios: Mapping[str, float], plan: Prunable, layers: Mapping[str, nn.Module]) -> None:
    """Check the ratios of `prune` before a network is traced.

    Raises:
        ValueError: If a part or layer is unknown, or a ratio out of range.
    """
    products = [name for name, layer in layers.items() if isinstance(layer, PRODUCTS)]
    for name, ratio in ratios.items():
        if name not in plan.parts and name not in products:
            near = suggest(name, products if "." in name else plan.parts)
            raise ValueError(f"ratios: the student has no part {name!r}; {near}")
        if not 0 <= ratio < 1:
            raise ValueError(f"ratios: {name} is {ratio}; expected what is cut, at least 0 and less than 1.")
