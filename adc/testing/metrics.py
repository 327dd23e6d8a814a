"""Contract of `Metric`."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from adc.interfaces import FileMetric, Metric, Scorer, SetMetric, WeightFile
from adc.testing import probe
from adc.testing.probe import require


def check_metric(metric: Metric, size: int = 64, video: Path | None = None) -> None:
    """Verify the text of `Metric`, `SetMetric` or `FileMetric`.

    Args:
        metric: What is checked; its weights are loaded.
        size: Side of the square example clips.
        video: A video file for a `FileMetric`; null checks its attributes only.

    Raises:
        AssertionError: Names the first clause that is broken.
    """
    name = probe.require_kind(metric, Metric)
    _check_attributes(name, metric)
    module = metric if isinstance(metric, nn.Module) else None
    device = torch.device("cpu") if module is None else probe.device_of(module)

    def example(frames: int, seed: int = 0) -> Tensor:
        return probe.example(2, frames, 3, size, size, seed=seed, device=device)

    with nullcontext() if module is None else probe.evaluating(module), torch.no_grad():
        if isinstance(metric, FileMetric):
            if video is not None:
                rates = [metric.rate_file(video) for _ in range(2)]
                _check_numbers(f"{name}.rate_file", *rates)
        elif isinstance(metric, SetMetric):
            _check_sets(name, metric, example)
        else:
            _check_clips(name, metric, example)


def _check_attributes(name: str, metric: Metric) -> None:
    clauses: dict[str, tuple[Callable[[Any], bool], str]] = {
        "name": (lambda v: isinstance(v, str) and v != "" and not any(c.isspace() for c in v), "one word"),
        "title": (lambda v: isinstance(v, str) and v != "", "a text"),
        "options": (lambda v: isinstance(v, str), "a text"),
        "higher_is_better": (lambda v: isinstance(v, bool), "true or false"),
        "needs_reference": (lambda v: isinstance(v, bool), "true or false"),
        "decimals": (lambda v: isinstance(v, int) and v >= 0, "a number, 0 or more"),
        "frames": (lambda v: isinstance(v, int) and v >= 1, "a number, 1 or more"),
        "weights": (_is_tuple_of(WeightFile), "a tuple of WeightFile"),
        "packages": (_is_tuple_of(str), "a tuple of names"),
        "companions": (_is_tuple_of(str), "a tuple of names"),
    }
    for key, (fits, what) in clauses.items():
        value = getattr(metric, key, None)
        require(fits(value), f"{name}.{key}", f"must be {what}; got {value!r}")
        require(getattr(type(metric), key, None) == value, f"{name}.{key}", "must be an attribute of the class")


def _is_tuple_of(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, tuple) and all(isinstance(one, kind) for one in value)


def _check_clips(name: str, metric: Metric, example: Callable[..., Tensor]) -> None:
    subject = f"{name}.__call__"
    for frames in (metric.frames, metric.frames + 1):
        restored, reference, other = (example(frames, seed) for seed in range(3))
        before = reference.clone()
        value = metric(restored, reference)
        probe.check_clip(subject, value, (2,), restored)
        require(torch.equal(reference, before), subject, "must leave the reference unchanged")
        probe.check_steady(subject, lambda clip, reference=reference: metric(clip, reference), restored)
        alone = torch.cat([metric(*pair) for pair in zip(restored.split(1), reference.split(1), strict=True)])
        require(probe.close(value, alone), subject, "a clip's value must not depend on the other clips of its batch")
        changes = not probe.close(value, metric(restored, other))
        clause = "another reference must change the value" if metric.needs_reference else "no reference may change it"
        require(changes == metric.needs_reference, subject, f"with needs_reference {metric.needs_reference} {clause}")
        if frames > metric.frames and not isinstance(metric, Scorer):
            parts = [metric(restored[:, t : t + metric.frames], reference[:, t : t + metric.frames]) for t in (0, 1)]
            mean = torch.stack(parts).mean(dim=0)
            require(probe.close(value, mean), subject, f"of more than {metric.frames} frames it must be the mean")
    if metric.frames > 1:
        short = [example(metric.frames - 1, seed) for seed in (0, 1)]
        probe.require_refused(subject, lambda: metric(*short), f"clips of fewer than {metric.frames} frames")


def _check_sets(name: str, metric: SetMetric, example: Callable[..., Tensor]) -> None:
    clips = [example(metric.frames, seed) for seed in range(2)]
    probe.check_clip(f"{name}.features", metric.features(clips[0]), (2 * metric.frames, None), torch.zeros(0))
    probe.check_steady(f"{name}.features", metric.features, clips[0])
    metric.truncate(0)
    for clip in clips:
        metric.add(clip, 0.3 * clip)
    require(metric.count == 2, f"{name}.count", f"must be how many times clips were added, 2; got {metric.count}")
    far = metric.compute()
    _check_numbers(f"{name}.compute", far, metric.compute())
    metric.add(clips[0], -clips[0])
    metric.truncate(2)
    require(_close(metric.compute(), far), f"{name}.truncate", "must forget what was added later")
    metric.truncate(0)
    for clip in clips:
        metric.add(clip, clip)
    near = metric.compute()
    better = near >= far if metric.higher_is_better else near <= far
    metric.truncate(0)
    require(better, f"{name}.compute", f"equal sets must be no worse than others; got {near:.4g} and {far:.4g}")


def _check_numbers(subject: str, first: float, second: float) -> None:
    require(isinstance(first, float) and math.isfinite(first), subject, f"must return a finite float; got {first!r}")
    require(_close(first, second), subject, "must give the same value twice")


def _close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=probe.TOLERANCE, abs_tol=probe.TOLERANCE)
