"""Means, intervals and comparisons of methods over many images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Any

import torch

from adc.evaluation.measure import Method
from adc.ops.statistics import bootstrap_interval
from adc.progress import note

Interval = tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """One metric of two methods, over the images that both could be measured on.

    Attributes:
        difference: Mean of the first minus mean of the second.
        interval: Bootstrap interval of the difference, over pairs; None for fewer than two images.
        wins: Images on which the first is better.
        losses: Images on which the second is better.
        p: Two-sided p value of Wilcoxon's signed-rank test; 1 if all are equal, None for fewer than two images.
    """

    metric: str
    methods: tuple[str, str]
    images: int
    difference: float
    interval: Interval | None
    wins: int
    ties: int
    losses: int
    p: float | None


def means(method: Method) -> dict[str, float]:
    """The mean of each metric, and the figures of the set."""
    return {name: fmean(column) for name, column in _columns(method).items()} | method.sets


def _columns(method: Method) -> dict[str, list[float]]:
    """The figures of each metric; an image on which it has no value is not among them."""
    names = dict.fromkeys(name for row in method.rows for name in row if name != "name")
    return {name: [float(row[name]) for row in method.rows if name in row] for name in names}


def intervals(method: Method, level: float) -> dict[str, Interval]:
    """Bootstrap intervals of the means over images; figures of sets, and of a single image, have none."""
    return {
        name: bootstrap_interval(torch.tensor(column, dtype=torch.float64), level)
        for name, column in _columns(method).items()
        if len(column) > 1
    }


def comparisons(methods: Sequence[Method], metrics: Mapping[str, Any], level: float) -> list[Comparison]:
    """Comparisons of every two methods, metric by metric."""
    found = []
    for one, other in combinations(methods, 2):
        second = {row["name"]: row for row in other.rows}
        common = [(row, second[row["name"]]) for row in one.rows if row["name"] in second]
        if len(common) < max(len(one.rows), len(other.rows)):
            note(
                f"{one.name} and {other.name}: {len(common)} compared, which both have; of "
                f"{len(one.rows)} and {len(other.rows)} that could be measured"
            )
        for name in dict.fromkeys(name for row, _ in common for name in row if name != "name"):
            both = [rows for rows in common if name in rows[0] and name in rows[1]]
            if not both:
                continue
            columns = [[float(row[name]) for row in rows] for rows in zip(*both, strict=True)]
            found.append(_compare(name, (one.name, other.name), columns, metrics[name].higher_is_better, level))
    return found


def _compare(name: str, methods: tuple[str, str], columns: list[list[float]], higher: bool, level: float) -> Comparison:
    from scipy import stats

    first, second = (torch.tensor(column, dtype=torch.float64) for column in columns)
    difference = first - second
    interval = p = None
    if len(difference) > 1:
        interval = bootstrap_interval(difference, level)
        test: Any = stats.wilcoxon(difference.tolist()) if difference.any() else None
        p = 1.0 if test is None else float(test.pvalue)
    gain = difference if higher else -difference
    won, tied, lost = (int(which.sum()) for which in (gain > 0, gain == 0, gain < 0))
    return Comparison(name, methods, len(difference), difference.mean().item(), interval, won, tied, lost, p)
