"""Ratios for a target: what is cut where, so that a student costs what it may and changes least."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from torch import Tensor, nn

from adc.interfaces import Student
from adc.progress import track
from adc.pruning.allocation import UNIFORM, Curve, Cut, LayerCost, Range, Share, cuts
from adc.pruning.heads import heads_of
from adc.pruning.importance import Importance
from adc.pruning.prune import find_groups
from adc.pruning.ranking import Ranking
from adc.pruning.sections import Section, find_sections, pruned_copy
from adc.pruning.sensitivity import Reference, Sensitivity, measure_sensitivities
from adc.pruning.target import Target

TOLERANCE = 0.02
"""How far, relative to it, a student may be from its target."""
CLOSE = 0.005
"""A distance at which nothing nearer is looked for."""
STEEPER = (1.0, 2.0, 4.0)
"""Factors of the exponents of the curves that are tried."""


class Cost(Protocol):
    """What a target counts."""

    def total(self, student: Student) -> float:
        """What a student costs."""
        ...

    def layers(self, student: Student) -> Mapping[nn.Module, float]:
        """What its modules cost themselves, without those inside; what else it costs stays."""
        ...


@dataclass(frozen=True)
class Budget:
    """Ratios that meet a target.

    Attributes:
        ratios: By layer, as `prune` takes them.
        full: What the full student costs.
        goal: What the pruned one may cost.
        reached: What it costs with these ratios.
        errors: Relative errors of the whole cut student's result, by what was tried: the sensitivities' curves,
            steeper ones, and uniform ratios.
        chosen: The one of them with the least error.
        sensitivities: Of the sections that were cut.
        kept: How many units of each section stay.
        costs: What the student would cost, each section cut alone, at the ratios of its sensitivity.
    """

    ratios: dict[str, float]
    full: float
    goal: float
    reached: float
    errors: dict[str, float]
    chosen: str
    sensitivities: list[Sensitivity]
    kept: list[int]
    costs: list[list[float]]


def find_ratios(
    student: Student,
    target: Target,
    importance: Importance,
    calibration: Iterable[Tensor],
    clips: Sequence[Tensor],
    cost: Cost,
) -> Budget:
    """Divide a target among the sections of a student by the errors that cutting them makes.

    The error of each section that is cut alone is measured at a few ratios, and fitted by a curve. Units then go one
    after the other, each with the least error for the cost that it saves, until the target is met; what is met is
    what the pruned network costs. That is done with steeper curves too, and with uniform ratios, because errors of
    sections that are cut together do not simply add up; the pruned student with the least error is taken.

    Args:
        student: The full-width student, which stays as it is.
        target: What the pruned one may cost.
        importance: Which channels stay.
        calibration: Clips for importances that need them.
        clips: LR clips ``(B, T, 3, h, w)`` on which errors are measured.
        cost: Counts what the target names.

    Raises:
        ValueError: If the target cannot be met; says what can.
    """
    plan = student.prunable()
    importance.prepare(student, calibration)
    ranking = Ranking(plan, find_groups(plan), importance, heads_of(plan), dict(student.named_modules()))
    fitting = _Fitting(student, ranking, find_sections(ranking), cost)
    goal = target.of(fitting.full)
    fitting.check(target, goal)
    found = measure_sensitivities(student, ranking, fitting.sections, clips)
    curves = [one.curve for one in found]
    tried = {_name(factor): [one.steeper(factor) for one in curves] for factor in STEEPER}
    tried["uniform"] = [UNIFORM] * len(curves)
    reference, errors, fitted = Reference(student, clips), dict[str, float](), dict[str, tuple[list[int], float]]()
    with track("meeting the target", len(tried), "divisions") as bar:
        for name, candidates in tried.items():
            fitted[name] = fitting.fit(candidates, goal)
            errors[name] = reference.error(fitting.cut(fitted[name][0])) ** 0.5
            bar.advance()
    near = [name for name in tried if _distance(fitted[name][1], goal) <= TOLERANCE]
    if not near:
        costs = " or ".join(sorted({fitting.as_text(target, reached) for _, reached in fitted.values()}))
        raise ValueError(f"target: {target.kind}: {target.text} falls between channels; the nearest are {costs}.")
    chosen = min(near, key=errors.__getitem__)
    kept, reached = fitted[chosen]
    costs = [[fitting.alone(index, ratio) for ratio in one.ratios] for index, one in enumerate(found)]
    return Budget(fitting.ratios(kept), fitting.full, goal, reached, errors, chosen, found, kept, costs)


def _name(factor: float) -> str:
    return "sensitivities" if factor == 1 else f"sensitivities, {factor:g} times as steep"


class _Fitting:
    """Sections cut until a student costs what it may."""

    def __init__(self, student: Student, ranking: Ranking, sections: list[Section], cost: Cost) -> None:
        self.student, self.ranking, self.sections, self.cost = student, ranking, sections, cost
        self.full, self.layers = cost.total(student), _layer_costs(cost.layers(student), sections)
        self.fixed = self.full - sum(layer.cost for layer in self.layers)
        self.ranges = [Range(one.size, one.step, one.fewest) for one in sections]

    def check(self, target: Target, goal: float) -> None:
        """Refuse a target out of reach."""
        narrow = [one.fewest for one in self.sections]
        least = self.full if not narrow else self.measured(narrow)
        if not least * (1 - TOLERANCE) <= goal <= self.full * (1 + 1e-9):
            low, high = self.as_text(target, least), self.as_text(target, self.full)
            given = f"{target.kind} is {target.text}"
            raise ValueError(f"target: {given}; this student can be cut to between {low} and {high}.")

    def as_text(self, target: Target, cost: float) -> str:
        """A cost, and its share."""
        return f"{cost / self.full:.1%} ({target.as_text(cost)})"

    def ratios(self, kept: Sequence[int]) -> dict[str, float]:
        """By layer."""
        found: dict[str, float] = {}
        for section, units in zip(self.sections, kept, strict=True):
            if units < section.size:
                found |= section.ratios(section.ratio(units))
        return found

    def cut(self, kept: Sequence[int]) -> Student:
        """A copy of the student, with so many units of each section."""
        return pruned_copy(self.student, self.ranking, self.ranking.choose(self.ratios(kept)))

    def measured(self, kept: Sequence[int]) -> float:
        """What that copy costs."""
        return self.cost.total(self.cut(kept))

    def predicted(self, kept: Sequence[int]) -> float:
        """What it should cost by what its layers cost."""
        shares = [units / section.size for units, section in zip(kept, self.sections, strict=True)]
        return self.fixed + sum(layer.of(shares) for layer in self.layers)

    def alone(self, index: int, ratio: float) -> float:
        """What the student should cost, one section of it cut."""
        shares = [1.0] * len(self.sections)
        shares[index] -= ratio
        return self.fixed + sum(layer.of(shares) for layer in self.layers)

    def fit(self, curves: Sequence[Curve], goal: float) -> tuple[list[int], float]:
        """Units to keep, and what the student then costs: as near to the goal as was found."""
        moves = [*cuts(self.ranges, curves, self.layers)]
        costs = [self.full, *(self.full - saved for saved in accumulate(move.saved for move in moves))]
        low, high = 0, len(moves)
        seen = {low: self.full, high: self.measured(self._after(moves))}
        while high - low > 1 and min(_distance(cost, goal) for cost in seen.values()) > CLOSE:
            span = seen[low] - seen[high]
            part = (seen[low] - goal) / span if span > 0 and len(seen) < 8 else 0.5
            wanted = costs[low] + (costs[high] - costs[low]) * min(max(part, 0.02), 0.98)
            position = bisect_left(costs, -wanted, low + 1, high - 1, key=lambda cost: -cost)
            seen[position] = self.measured(self._after(moves[:position]))
            low, high = (position, high) if seen[position] > goal else (low, position)
        best = min(seen, key=lambda index: _distance(seen[index], goal))
        return self._refined(self._after(moves[:best]), seen[best], goal)

    def _after(self, moves: Sequence[Cut]) -> list[int]:
        kept = [one.size for one in self.sections]
        for move in moves:
            kept[move.section] = move.units
        return kept

    def _refined(self, kept: list[int], reached: float, goal: float) -> tuple[list[int], float]:
        """A few units of single sections less or more, where steps are too long."""
        for _ in range(4):
            if _distance(reached, goal) <= CLOSE:
                break
            factor = reached / self.predicted(kept)
            near = min(self._beside(kept), key=lambda one: _distance(self.predicted(one) * factor, goal), default=kept)
            cost = self.measured(near)
            if _distance(cost, goal) >= _distance(reached, goal):
                break
            kept, reached = near, cost
        return kept, reached

    def _beside(self, kept: list[int]) -> list[list[int]]:
        found = []
        for index, section in enumerate(self.sections):
            most = max(1, section.step // section.unit)
            for change in (*range(-most, 0), *range(1, most + 1)):
                units = kept[index] + change * section.unit
                if section.fewest <= units <= section.size:
                    found.append([*kept[:index], units, *kept[index + 1 :]])
        return found


def _layer_costs(costs: Mapping[nn.Module, float], sections: Sequence[Section]) -> list[LayerCost]:
    """What layers cost, with the shares that sections have in their channels."""
    shares: dict[tuple[nn.Module, bool], list[Share]] = {}
    for index, section in enumerate(sections):
        for side in (side for group in section.groups for side in group.sides):
            share = Share(index, (side.units >= 0).float().mean().item())
            shares.setdefault((side.layer, side.output), []).append(share)
    found: list[LayerCost] = []
    for layer, cost in costs.items():
        inputs, outputs = shares.get((layer, False), []), shares.get((layer, True), [])
        if [*layer.children()]:  # products of a block itself, as of attention, are as wide as its first projection
            outputs = next((shares[child, True] for child in layer.children() if (child, True) in shares), [])
        if cost > 0:
            found.append(LayerCost(cost, tuple(inputs), tuple(outputs)))
    return found


def _distance(cost: float, goal: float) -> float:
    return abs(cost / goal - 1)
