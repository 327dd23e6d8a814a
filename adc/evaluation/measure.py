"""Metrics over pairs, frame by frame, so that a clip of any length fits into memory."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adc.evaluation.pairs import Pair, frames

Row = dict[str, str | float]
NUMBERS = {1: "a frame", 2: "two frames", 3: "three frames"}


@dataclass
class Method:
    """What one method reached.

    Attributes:
        name: Of the method.
        rows: A ``name`` and a figure of each metric, for each image or clip that could be compared.
        sets: Figures of the set as a whole.
        failed: How many pairs could not be compared.
        pairs: How many there were.
    """

    name: str
    rows: list[Row] = field(default_factory=list)
    sets: dict[str, float] = field(default_factory=dict)
    failed: int = 0
    pairs: int = 0


class Measurer:
    """Measures pairs with metrics that are built once."""

    def __init__(self, metrics: Mapping[str, tuple[Any, Any]], video: bool, device: Any) -> None:
        """
        Args:
            metrics: As `adc.metrics.registry.build` gives them.
            video: Whether pairs are clips.
            device: Where to compute.
        """
        self.metrics, self.video, self.device = metrics, video, device

    def method(self, name: str, pairs: list[Pair]) -> Method:
        """Measure all pairs of a method; what fails is told by name, and the rest goes on."""
        from adc.evaluation.batch import work_through

        found = Method(name, pairs=len(pairs))
        for _, measure in self._of("of_sets"):
            measure.rewind(0)
        found.failed = work_through(pairs, lambda pair: found.rows.append(self.row(pair)), f"comparing {name}")
        for metric, measure in self._of("of_sets"):
            if len(found.rows) > 1:
                found.sets[metric.name] = measure.value()
        return found

    def row(self, pair: Pair) -> Row:
        """The figures of one pair.

        Raises:
            ValueError: If it cannot be compared; the message names it.
        """
        import torch

        figures: dict[str, list[float]] = {metric.name: [] for metric, _ in self.metrics.values() if not metric.of_sets}
        before = [(measure, measure.seen) for _, measure in self._of("of_sets")]
        longest = max(metric.frames for metric, _ in self.metrics.values())
        window: deque[tuple[Any, Any]] = deque(maxlen=longest)
        try:
            with torch.inference_mode():
                for couple in frames(pair, self.video):
                    restored, reference = (frame.to(self.device)[None, None] for frame in couple)
                    window.append((restored, reference))
                    self._look(pair.restored, list(window), figures)
            for metric, measure in self._of("of_files"):
                figures[metric.name].append(_told(pair.restored, metric.name, lambda m=measure: m(pair.restored)))
            means = {name: _mean(pair.restored, self.metrics[name][0], every) for name, every in figures.items()}
            return {"name": pair.name, **means}
        except (ValueError, OSError):
            for measure, seen in before:
                measure.rewind(seen)
            raise

    def _look(self, path: Path, window: list[tuple[Any, Any]], figures: dict[str, list[float]]) -> None:
        """Measure the newest frame, or as many of the newest as a metric looks at."""
        import torch

        for metric, measure in self.metrics.values():
            if metric.of_files or len(window) < metric.frames:
                continue
            restored, reference = (torch.cat(clips, dim=1) for clips in zip(*window[-metric.frames :], strict=True))
            if metric.of_sets:
                _told(path, metric.name, lambda m=measure, a=restored, b=reference: m.add(a, b))
            else:
                rate = _told(path, metric.name, lambda m=measure, a=restored, b=reference: m(a, b))
                figures[metric.name].append(rate.item())

    def _of(self, kind: str) -> Iterable[tuple[Any, Any]]:
        return [(metric, measure) for metric, measure in self.metrics.values() if getattr(metric, kind)]


def _told(path: Path, name: str, work: Callable[[], Any]) -> Any:
    """What a metric refuses is told with the name of the file."""
    try:
        return work()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    except (RuntimeError, AssertionError, IndexError) as error:
        raise ValueError(f"{path}: {name} fails ({' '.join(str(error).split())[:160]}).") from error


def _mean(path: Path, metric: Any, values: list[float]) -> float:
    if not values:
        raise ValueError(f"{path}: {metric.name} needs {NUMBERS[metric.frames]}.")
    mean = math.fsum(values) / len(values)
    if not math.isfinite(mean):
        raise ValueError(f"{path}: {metric.name} is not a finite number; leave it out with --metrics.")
    return mean
