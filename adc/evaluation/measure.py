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

from adc.evaluation.batch import work_through
from adc.evaluation.pairs import Pair, frames
from adc.interfaces import FileMetric, Metric, SetMetric

Row = dict[str, str | float]
NUMBERS = {1: "a frame", 2: "two frames", 3: "three frames"}


@dataclass
class Method:
    """Figures of one method.

    Attributes:
        rows: A ``name`` and a figure of each metric, for each image or clip that could be compared.
        sets: Figures of the set as a whole.
        failed: How many of the pairs could not be compared.
    """

    name: str
    rows: list[Row] = field(default_factory=list)
    sets: dict[str, float] = field(default_factory=dict)
    failed: int = 0
    pairs: int = 0


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
        found.failed = work_through(pairs, lambda pair: found.rows.append(self.row(pair)), f"comparing {name}")
        if len(found.rows) > 1:
            found.sets = {metric.name: metric.compute() for metric in self.sets}
        return found

    def row(self, pair: Pair) -> Row:
        """The figures of one pair.

        Raises:
            ValueError: If it cannot be compared; the message names it.
        """
        figures: dict[str, list[float]] = {name: [] for name in self.metrics if self.metrics[name] not in self.sets}
        before = [metric.count for metric in self.sets]
        window: deque[list[Tensor]] = deque(maxlen=max(metric.frames for metric in self.metrics.values()))
        try:
            with torch.inference_mode():
                for two in frames(pair, self.video):
                    window.append([frame.to(self.device)[None, None] for frame in two])
                    self._measure(pair.restored, list(window), figures)
            for name, metric in self.metrics.items():
                if isinstance(metric, FileMetric):
                    figures[name].append(_named(pair.restored, metric, metric.rate_file, pair.restored))
            means = {name: _mean(pair.restored, self.metrics[name], every) for name, every in figures.items()}
            return {"name": pair.name, **means}
        except (ValueError, OSError):
            for metric, count in zip(self.sets, before, strict=True):
                metric.truncate(count)
            raise

    def _measure(self, path: Path, window: list[list[Tensor]], figures: dict[str, list[float]]) -> None:
        """Measure the newest frame, or as many of the newest as a metric looks at."""
        for name, metric in self.metrics.items():
            if isinstance(metric, FileMetric) or len(window) < metric.frames:
                continue
            clips = [torch.cat(clips, dim=1) for clips in zip(*window[-metric.frames :], strict=True)]
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


def _mean(path: Path, metric: Metric, values: list[float]) -> float:
    if not values:
        raise ValueError(f"{path}: {metric.name} needs {NUMBERS.get(metric.frames, f'{metric.frames} frames')}.")
    mean = math.fsum(values) / len(values)
    if not math.isfinite(mean):
        raise ValueError(f"{path}: {metric.name} is not a finite number; leave it out with --metrics.")
    return mean
