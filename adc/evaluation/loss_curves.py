"""Loss curves out of the logs of a run."""

from __future__ import annotations

import csv
import math
from pathlib import Path

Curve = list[tuple[float, float]]
COUNTERS = ("updates", "rate", "epoch", "step")


def read_curves(run: Path, points: int = 200) -> dict[str, Curve]:
    """The scalars of a run by tag, each thinned to at most so many points; empty without logs.

    They are read from the events of TensorBoard and the ``metrics.csv`` of `CSVLogger`, wherever these lie in the run
    folder; of two values at one step that of the newer file counts. Counters and learning rates are left out.
    """
    latest: dict[str, dict[float, float]] = {}
    tables = dict.fromkeys(run.rglob("metrics.csv"), read_table)
    events = dict.fromkeys(run.rglob("events.out.tfevents.*"), read_events)
    for path, read in sorted({**tables, **events}.items(), key=lambda item: (item[0].stat().st_mtime, item[0].name)):
        for tag, values in read(path).items():
            if tag.split("/")[0] not in COUNTERS:
                latest.setdefault(tag, {}).update(values)
    return {tag: thin(sorted(values.items()), points) for tag, values in sorted(latest.items()) if values}


def read_events(path: Path) -> dict[str, dict[float, float]]:
    """The scalars of a file of TensorBoard, by tag and step."""
    from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

    events = EventAccumulator(str(path), size_guidance={SCALARS: 0})
    events.Reload()
    return {tag: {one.step: one.value for one in events.Scalars(tag)} for tag in events.Tags()["scalars"]}


def read_table(path: Path) -> dict[str, dict[float, float]]:
    """The columns of a table of `CSVLogger`, by tag and step; cells that are empty or no number are left out."""
    found: dict[str, dict[float, float]] = {}
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        for row in csv.DictReader(file):
            if (step := _number(row.get("step"))) is None:
                continue
            for tag, text in row.items():
                if (value := _number(text)) is not None:
                    found.setdefault(tag, {})[step] = value
    return found


def _number(text: object) -> float | None:
    try:
        value = float(text) if isinstance(text, str) else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def thin(curve: Curve, points: int) -> Curve:
    """At most so many points, each the mean of its neighbours."""
    size = max(1, -(-len(curve) // points))
    groups = [curve[start : start + size] for start in range(0, len(curve), size)]
    return [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]
