"""Groups of channels that share a ratio: what a budget is divided among."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from adc.interfaces import Student
from adc.pruning.groups import Group, kept_units
from adc.pruning.layers import drop
from adc.pruning.ranking import PRODUCTS, Ranking
from adc.pruning.trial import Choice, Whole, kind_of, masks_of, noted_of


@dataclass(frozen=True)
class Section:
    """Groups of channels that share a ratio.

    Attributes:
        names: A layer of each of its groups, as ratios name it.
        part: The part that it belongs to.
        groups: Its groups.
        size: Units of its largest group.
        unit: The fewest units of it that can go: one for each head.
        step: How many go at a time, so that norms keep some of their groups.
    """

    names: tuple[str, ...]
    part: str
    groups: tuple[Group, ...]
    size: int
    unit: int
    step: int

    @property
    def fewest(self) -> int:
        """The fewest units that stay: an eighth, of which a narrow network can still learn."""
        return max(1, round(self.size / 8 / self.step)) * self.step

    @property
    def name(self) -> str:
        """Its first layer."""
        return self.names[0]

    def ratio(self, kept: int) -> float:
        """The ratio at which so many units of the largest group stay: six digits that are never rounded up."""
        return math.floor((1 - kept / self.size) * 1e6 + 1e-6) / 1e6

    def ratios(self, ratio: float) -> dict[str, float]:
        """A ratio by the names of its layers, as `prune` takes it."""
        return dict.fromkeys(self.names, ratio)


def find_sections(ranking: Ranking) -> list[Section]:
    """The groups that may have ratios of their own, in the order of their layers.

    Groups of one layer, as its gate and its value may be, and those of layers that `Prunable.alike` names share one.
    Where cuts are tried, so do those of a kind that cannot be cut one by one.
    """
    twins = {
        other: one
        for first, second in ranking.plan.alike
        for one, other in zip(first.modules(), second.modules(), strict=True)
    }
    order = {layer: position for position, layer in enumerate(ranking.layers.values())}
    names = {layer: name for name, layer in ranking.layers.items()}
    joined: list[tuple[set[nn.Module], list[Group]]] = []
    for group in filter(ranking.is_cut, ranking.groups):
        layers = _products(group, names)
        if not layers or ranking.part_of(group) is None:
            continue
        own, members = {twins.get(layer, layer) for layer in layers}, [group]
        for one in [one for one in joined if one[0] & own]:
            joined.remove(one)
            own, members = own | one[0], one[1] + members
        joined.append((own, members))
    sections = [_section(ranking, members, names, order) for _, members in joined]
    sections.sort(key=lambda section: order[ranking.layers[section.name]])
    return _tried(ranking, sections, names, order) if ranking.plan.tried else sections


def _products(group: Group, names: Mapping[nn.Module, str]) -> set[nn.Module]:
    """The layers whose outputs a group is made of."""
    outputs = {side.layer for side in group.sides if side.output}
    return {layer for layer in outputs if isinstance(layer, PRODUCTS) and layer in names}


def _section(
    ranking: Ranking, members: Sequence[Group], names: Mapping[nn.Module, str], order: Mapping[nn.Module, int]
) -> Section:
    firsts = [min(_products(group, names), key=order.__getitem__) for group in members]
    largest = max(members, key=lambda group: group.size)
    part = max((str(ranking.part_of(group)) for group in members), key=list(ranking.plan.parts).index)
    labels = tuple(names[layer] for layer in sorted(set(firsts), key=order.__getitem__))
    return Section(labels, part, tuple(members), largest.size, *_steps(ranking, largest))


def _steps(ranking: Ranking, group: Group) -> tuple[int, int]:
    unit = kept_units(group, 1 - 1e-9, ranking.heads, ranking.plan.blocks)
    norms = [side.layer.num_groups for side in group.sides if isinstance(side.layer, nn.GroupNorm)]
    step = math.lcm(unit, *(max(1, norm // 4) for norm in norms))
    return unit, step if group.size % step == 0 else unit


def _tried(
    ranking: Ranking, sections: list[Section], names: Mapping[nn.Module, str], order: Mapping[nn.Module, int]
) -> list[Section]:
    """Sections that can be cut one by one, the others joined by kind; those that cannot be cut at all are left out."""
    left: list[Whole] = []
    ranking.choose(dict.fromkeys(ranking.plan.parts, 0.5), left)
    stuck = {kind for whole in left for kind in whole.kind.split(", ")}
    modules = {module: name for name, module in ranking.plan.network.named_modules()}

    def kind(section: Section) -> set[str]:
        return set(kind_of(section.groups[0], modules).split(", "))

    sections = [section for section in sections if not stuck & kind(section)]
    for _ in range(2):
        uneven = {
            name: (0.5, 0.25)[position % 2] for position, section in enumerate(sections) for name in section.names
        }
        left = []
        ranking.choose(uneven, left)
        bound = {kind for whole in left for kind in whole.kind.split(", ")}
        if not bound:
            return sections
        together: dict[str, list[Section]] = {}
        for section in sections:
            key = ", ".join(sorted(kind(section))) if bound & kind(section) else section.name
            together.setdefault(key, []).append(section)
        sections = [
            _section(ranking, [group for one in members for group in one.groups], names, order)
            for members in together.values()
        ]
    return sections


def pruned_copy(student: Student, ranking: Ranking, chosen: Sequence[Choice]) -> Student:
    """A copy of a student without the channels that a choice leaves out."""
    copied = copy.deepcopy(student)
    layers = dict(zip(student.modules(), copied.modules(), strict=True))
    kept = {(layers[layer], output): mask for (layer, output), mask in masks_of(chosen).items()}
    plan = copied.prunable()
    drop(plan.network, kept, ranking.importance.aligned, {layers[layer] for layer in noted_of(chosen)})
    plan.after()
    return copied
