"""A budget divided among sections: the least error for what is saved."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Share:
    """The share of a layer's channels on one side that a section holds."""

    section: int
    share: float


@dataclass(frozen=True)
class LayerCost:
    """What a layer costs: in proportion to its channels that come in, times those that go out.

    Attributes:
        cost: That of the whole layer.
        inputs: Which sections its input channels belong to; what no section holds stays.
        outputs: The same of its output channels.
    """

    cost: float
    inputs: tuple[Share, ...] = ()
    outputs: tuple[Share, ...] = ()

    def of(self, kept: Sequence[float]) -> float:
        """Its cost where a share of each section's units is kept."""
        inputs = 1 - sum(one.share * (1 - kept[one.section]) for one in self.inputs)
        outputs = 1 - sum(one.share * (1 - kept[one.section]) for one in self.outputs)
        return self.cost * inputs * outputs


@dataclass(frozen=True)
class Curve:
    """The error that a section's cut makes at a ratio ``r``: ``scale * (r / (1 - r)) ** exponent``.

    It is convex, and without bound where nothing is left: a section that was harmless so far becomes precious.
    """

    scale: float
    exponent: float

    def __call__(self, ratio: float) -> float:
        """The error at a ratio less than 1."""
        return self.scale * (ratio / (1 - ratio)) ** self.exponent

    def steeper(self, factor: float) -> Curve:
        """The same error where half is cut, with a larger exponent: ratios of sections then differ less."""
        return Curve(self.scale, self.exponent * factor)


def fit_curve(ratios: Sequence[float], errors: Sequence[float]) -> Curve:
    """The curve nearest to errors measured at ratios, in logarithms; its exponent is between 1 and 4.

    Sections without any error have a curve of zeros.
    """
    points = [
        (math.log(ratio / (1 - ratio)), math.log(error))
        for ratio, error in zip(ratios, errors, strict=True)
        if error > 0 < ratio
    ]
    if not points:
        return Curve(0.0, 1.0)
    x, y = (sum(values) / len(points) for values in zip(*points, strict=True))
    spread = sum((one - x) ** 2 for one, _ in points)
    slope = sum((one - x) * (other - y) for one, other in points) / spread if spread else 2.0
    exponent = min(max(slope, 1.0), 4.0)
    return Curve(math.exp(y - exponent * x), exponent)


UNIFORM = Curve(1.0, 32.0)
"""Of all sections alike, it cuts the widest one first: they keep equal shares."""


@dataclass(frozen=True)
class Range:
    """How many units a section has, how many go at a time, and the fewest that stay."""

    size: int
    step: int
    fewest: int


class Cut(NamedTuple):
    """A section, how many of its units are left, and what their removal saves."""

    section: int
    units: int
    saved: float


def cuts(ranges: Sequence[Range], curves: Sequence[Curve], layers: Sequence[LayerCost]) -> Iterator[Cut]:
    """Cuts in the order in which they should be made, each with the least error for the cost that it saves.

    Sections that save nothing are never cut.

    Args:
        ranges: Of the sections.
        curves: Their errors, which add up.
        layers: What they save.

    """
    touched = [[layer for layer in layers if _holds(layer, index)] for index in range(len(ranges))]
    near = [sorted({share.section for layer in one for share in (*layer.inputs, *layer.outputs)}) for one in touched]
    units, kept = [one.size for one in ranges], [1.0] * len(ranges)
    version, queue = [0] * len(ranges), list[tuple[float, int, int, float]]()

    def push(index: int) -> None:
        size, fewer = ranges[index].size, units[index] - ranges[index].step
        version[index] += 1
        if fewer < ranges[index].fewest:
            return
        before = sum(layer.of(kept) for layer in touched[index])
        old, kept[index] = kept[index], fewer / size
        saved = before - sum(layer.of(kept) for layer in touched[index])
        kept[index] = old
        if saved > 0:
            harm = curves[index](1 - fewer / size) - curves[index](1 - units[index] / size)
            heapq.heappush(queue, (harm / saved, index, version[index], saved))

    for index in range(len(ranges)):
        push(index)
    while queue:
        _, index, stamp, saved = heapq.heappop(queue)
        if stamp != version[index]:
            continue
        units[index] -= ranges[index].step
        kept[index] = units[index] / ranges[index].size
        yield Cut(index, units[index], saved)
        for other in near[index]:
            push(other)


def _holds(layer: LayerCost, section: int) -> bool:
    return any(share.section == section for share in (*layer.inputs, *layer.outputs))
