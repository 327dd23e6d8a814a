"""Loss curves out of TensorBoard logs."""

from __future__ import annotations

from pathlib import Path

Curve = list[tuple[float, float]]


def read_curves(logs: Path, points: int = 200) -> dict[str, Curve]:
    """The scalars of a run's TensorBoard logs by tag, each thinned to at most so many points; empty without logs.

    Counters and learning rates are left out.
    """
    if not logs.is_dir():
        return {}
    from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

    events = EventAccumulator(str(logs), size_guidance={SCALARS: 0})
    events.Reload()
    curves = {}
    for tag in sorted(events.Tags()["scalars"]):
        if tag.split("/")[0] in {"updates", "rate"} or tag == "epoch":
            continue
        latest = {event.step: event.value for event in events.Scalars(tag)}
        curves[tag] = thin(sorted(latest.items()), points)
    return curves


def thin(curve: Curve, points: int) -> Curve:
    """At most so many points, each the mean of its neighbours."""
    size = max(1, -(-len(curve) // points))
    groups = [curve[start : start + size] for start in range(0, len(curve), size)]
    return [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]
