"""A pruned student, and what was cut out of it: channels, parameters, multiply-accumulates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from adc import pruning, runs
from adc.errors import UsageError
from adc.interfaces import Student
from adc.metrics.efficiency import Cost, Efficiency, count, meta_copy
from adc.pruning import Cut, Importance, Magnitude, load_student, save_student

if TYPE_CHECKING:
    from lightning.pytorch import LightningDataModule

REPORT = "pruning.json"


def prune(
    student: Student | str | Path,
    ratios: dict[str, float],
    importance: Importance | None = None,
    folder: str | Path | None = None,
    *,
    data: LightningDataModule | None = None,
    size: int = 128,
    precision: Literal["float32", "float16", "bfloat16"] = "float32",
) -> dict[str, Any]:
    """Cut channels out of a student, and write it as a folder.

    Args:
        student: The full-width student, which is changed, or its folder.
        ratios: What is cut, at least 0 and less than 1, by part of the student; other parts keep their channels.
        importance: Which channels stay; None is `Magnitude`.
        folder: Where the student and ``pruning.json`` go; None writes nothing.
        data: Calibration data, for importances that need it.
        size: Height and width of the LR image for which multiply-accumulates are counted.
        precision: Of the numbers in the file of weights.

    Returns:
        ``importance``, ``ratios``, ``input`` and ``parts``: for each part, and for the student, what was cut, and the
        parameters and multiply-accumulates before and after.

    Raises:
        ValueError: If there is no such part, or a ratio or the size is out of its range.
    """
    if size < 1:
        raise UsageError(f"size: {size} pixels; at least 1.")
    student = student if isinstance(student, Student) else load_student(str(student))
    importance = Magnitude() if importance is None else importance
    parts = student.prunable().parts
    before = _measure(student, parts, size)
    if data is not None:
        data.setup("fit")
    clips = () if data is None else (batch["lr"] for batch in data.train_dataloader())
    cuts = pruning.prune(student, ratios, importance, clips)
    after = _measure(student, parts, size)
    rows = {name: _row(cuts[name], before.parts[name], after.parts[name]) for name in parts}
    rows["student"] = _row(cuts["student"], before, after)
    report = {"importance": type(importance).__name__, "ratios": ratios, "input": [1, 1, 3, size, size], "parts": rows}
    if folder is not None:
        save_student(student, folder, precision)
        runs.write_json(Path(folder, REPORT), report)
    return report


def _measure(student: Student, parts: Mapping[str, nn.Module], size: int) -> Efficiency:
    """Count without computing where the student allows it."""
    clip = torch.zeros(1, 1, 3, size, size)
    try:
        copied, *copies = meta_copy(student, *parts.values())
        return count(copied, clip.to("meta"), parts=dict(zip(parts, copies, strict=True)))
    except (RuntimeError, NotImplementedError):
        return count(student, clip.to(next(student.parameters()).device), parts=parts)


def _row(cut: Cut, before: Cost, after: Cost) -> dict[str, Any]:
    counts = {key: [getattr(before, key), getattr(after, key)] for key in ("parameters", "macs")}
    return {**asdict(cut), **counts}
