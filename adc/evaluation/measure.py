"""Metrics over pairs, frame by frame, so that a clip of any length fits into memory."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adc.errors import describe
from adc.evaluation.batch import work_through
from adc.evaluation.pairs import Pair, Report, frames
from adc.evaluation.shots import shot_starts
from adc.interfaces import FileMetric, Metric, SetMetric

Row = dict[str, str | float]
NUMBERS = {1: "a frame", 2: "two frames", 3: "three frames"}


@dataclass
class Method:
    """Figures of one method.

    Attributes:
        rows: A ``name`` and a figure of each metric that has one, for each image or clip that could be compared.
        sets: Figures of the set as a whole.
        failed: How many of the pairs could not be compared.
        pairs: How many pairs there are.
        notes: What to know about its figures, by the name of the pair; by nothing what concerns all.
    """

    name: str
    rows: list[Row] = field(default_factory=list)
    sets: dict[str, float] = field(default_factory=dict)
    failed: int = 0
    pairs: int = 0
    notes: list[tuple[str, str]] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """The notes, those of one text in one line."""
        names: dict[str, list[str]] = {}
        for name, text in self.notes:
            names.setdefault(text, []).append(name)
        return [f"{_some(found)}{text}" for text, found in names.items()]


class Measurer:
    """Metrics (of `adc.metrics.registry.build`) over the pairs of methods, images or clips."""

    def __init__(self, metrics: Mapping[str, Metric], video: bool, device: Any) -> None:
        self.metrics, self.video, self.device = metrics, video, device
        self.sets = [metric for metric in metrics.values() if isinstance(metric, SetMetric)]

    def method(self, name: str, pairs: list[Pair]) -> Method:
        """Figures of all pairs of a method; failures are noted in one line each."""
        found = Method(name, pairs=len(pairs))
        for metric in self.sets:
            metric.truncate(0)

        def measure(pair: Pair) -> None:
            reports: dict[str, None] = {}
            try:
                found.rows.append(self.row(pair, lambda text: reports.update({text: None})))
            except (ValueError, OSError) as error:
                found.notes.append(("", f"error: {describe(error)}"))
                raise
            found.notes += [(pair.name, text) for text in reports]

        found.failed = work_through(pairs, measure, f"comparing {name}")
        if len(found.rows) > 1:
            found.sets = {metric.name: metric.compute() for metric in self.sets}
        return found

    def row(self, pair: Pair, report: Report = lambda _: None) -> Row:
        """The figures of one pair. Frames on which a metric has no value are left out of its mean, and reported.

        Metrics of successive frames leave out those across a cut of the reference; the number of cuts is reported.

        Raises:
            ValueError: If it cannot be compared; the message names it.
        """
        figures: dict[str, list[float]] = {name: [] for name in self.metrics if self.metrics[name] not in self.sets}
        before = [metric.count for metric in self.sets]
        longest = max(metric.frames for metric in self.metrics.values())
        window: deque[list[Tensor]] = deque(maxlen=longest)
        cuts = 0
        try:
            with torch.inference_mode():
                for two, is_start in shot_starts(frames(pair, self.video, report), longest > 1):
                    if is_start:
                        window.clear()
                        cuts += 1
                    window.append([frame.to(self.device)[None, None] for frame in two])
                    self._measure(pair.restored, list(window), figures)
            if cuts:
                report(_about_cuts(cuts, [name for name, metric in self.metrics.items() if metric.frames > 1]))
            for name, metric in self.metrics.items():
                if isinstance(metric, FileMetric):
                    figures[name].append(_named(pair.restored, metric, metric.rate_file, pair.restored))
            means = {name: _mean(pair.restored, self.metrics[name], every, report) for name, every in figures.items()}
            return {"name": pair.name, **{name: mean for name, mean in means.items() if mean is not None}}
        except (ValueError, OSError):
            for metric, count in zip(self.sets, before, strict=True):
                metric.truncate(count)
            raise

    def _measure(self, path: Path, window: list[list[Tensor]], figures: dict[str, list[float]]) -> None:
        """Measure the newest frame, or as many of the newest as a metric looks at."""
        for name, metric in self.metrics.items():
            if isinstance(metric, FileMetric) or len(window) < metric.frames:
                continue
            seen = zip(*window[-metric.frames :], strict=True)
            clips = [torch.cat(frames, dim=1) if metric.frames > 1 else frames[0] for frames in seen]
            if isinstance(metric, SetMetric):
                _named(path, metric, metric.add, *clips)
            else:
                figures[name].append(_named(path, metric, metric, *clips).item())


def _named(path: Path, metric: Metric, work: Callable[..., Any], *arguments: Any) -> Any:
    """Result of a metric; its errors are raised with the file's name."""
    try:
        return work(*arguments)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    except (RuntimeError, AssertionError, IndexError) as error:
        raise ValueError(f"{path}: {metric.name} fails ({' '.join(str(error).split())[:160]}).") from error


def _mean(path: Path, metric: Metric, values: list[float], report: Report) -> float | None:
    """The mean of those that are numbers; None if none is."""
    if not values:
        raise ValueError(f"{path}: {metric.name} needs {NUMBERS.get(metric.frames, f'{metric.frames} frames')}.")
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < len(values):
        report(f"{metric.name} has no value on {len(values) - len(finite)} of {len(values)} frames; they are left out")
    return math.fsum(finite) / len(finite) if finite else None


def _about_cuts(cuts: int, names: list[str]) -> str:
    count = "1 cut" if cuts == 1 else f"{cuts} cuts"
    return f"{count}; frames on both sides of a cut are left out of {', '.join(names)}"


def _some(names: list[str]) -> str:
    """The first of some names and how many more, before a text; nothing for what concerns all."""
    more = len(names) - 1
    return f"{names[0]}{f' and {more} more' if more else ''}: " if names[0] else ""
