"""A pruned student, and what was cut out of it: channels, parameters, multiply-accumulates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from itertools import islice, tee
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from adc import pruning, runs
from adc.errors import UsageError
from adc.evaluation.pruning_costs import Counted, Timed, count_parts
from adc.inference.device import find_device
from adc.interfaces import Student
from adc.media.images import list_images, read_image, to_frame
from adc.metrics.efficiency import Cost
from adc.pruning import Cut, Importance, Magnitude, load_student, save_student
from adc.pruning.budget import Budget, find_ratios
from adc.pruning.target import Target, read_target

if TYPE_CHECKING:
    from lightning.pytorch import LightningDataModule

REPORT, SENSITIVITIES = "pruning.json", "sensitivities.json"
BATCHES, PHOTOS, SIDE = 2, 8, 64
"""Batches of data, or photos of a folder and the sides of their crops, on which sensitivities are measured."""

Clips = Iterable[tuple[list[str], Tensor]]
"""LR clips and their names."""


def prune(
    student: Student | str | Path,
    ratios: dict[str, float] | None = None,
    importance: Importance | None = None,
    folder: str | Path | None = None,
    *,
    target: dict[str, float | str] | None = None,
    data: LightningDataModule | None = None,
    calibration: str | None = None,
    size: int = 128,
    precision: Literal["float32", "float16", "bfloat16"] = "float32",
    device: str | None = None,
) -> dict[str, Any]:
    """Cut channels out of a student, and write it as a folder.

    Args:
        student: The full-width student, which is changed, or its folder.
        ratios: What is cut, at least 0 and less than 1, by part of the student or by layer; others keep their channels.
        importance: Which channels stay; None is `Magnitude`.
        folder: Where the student and ``pruning.json`` go; None writes nothing.
        target: Instead of ratios, what the student may cost: ``macs``, ``parameters`` or ``latency`` (on this device),
            as a share of the full student's (25%) or a number (40G, 1.2M, 40ms). Ratios are found by sensitivities,
            which are measured on calibration clips and written as ``sensitivities.json``.
        data: Calibration data, for a target and for importances that need it.
        calibration: A folder of LR photos that takes the place of the data.
        size: Height and width of the LR image for which costs are counted.
        precision: Of the numbers in the file of weights.
        device: Where the student is measured: cpu, cuda, auto; None is where it is.

    Returns:
        ``importance``, ``ratios``, ``input`` and ``parts``: for each part, and for the student, what was cut, and the
        parameters and multiply-accumulates before and after. With a target also ``target``, what was asked for and
        reached, and ``sensitivities``.

    Raises:
        ValueError: If there is no such part, a ratio or the size is out of its range, the target cannot be met, or
            not exactly one of ratios and target is given.
    """
    wanted = check_options(ratios, target, data is not None or calibration is not None, size)
    student = student if isinstance(student, Student) else load_student(str(student))
    student = student if device is None else student.to(find_device(device))
    importance = Magnitude() if importance is None else importance
    parts = student.prunable().parts
    before = count_parts(student, parts, size)
    clips, measured = tee(_calibration(data, calibration))
    facts: dict[str, Any] = {}
    if wanted is not None:
        ranked, clips = tee(clips)
        examples = [*islice(measured, PHOTOS if calibration is not None else BATCHES)]
        cost = Timed(student, size) if wanted.kind == "latency" else Counted(wanted.kind, size)
        only = (clip for _, clip in ranked)
        budget = find_ratios(student, wanted, importance, only, [clip for _, clip in examples], cost)
        ratios, facts = budget.ratios, _facts(wanted, budget, [name for names, _ in examples for name in names])
    del measured
    cuts = pruning.prune(student, ratios or {}, importance, (clip for _, clip in clips))
    after = count_parts(student, parts, size)
    rows = {name: _row(cuts[name], before.parts[name], after.parts[name]) for name in parts}
    rows["student"] = _row(cuts["student"], before, after)
    report = {"importance": type(importance).__name__, "ratios": ratios, "input": [1, 1, 3, size, size], "parts": rows}
    if folder is not None:
        save_student(student, folder, precision)
        if facts:
            runs.write_json(Path(folder, SENSITIVITIES), facts)
        runs.write_json(Path(folder, REPORT), {**report, **{key: facts[key] for key in facts if key == "target"}})
    return {**report, **facts}


def check_options(
    ratios: Mapping[str, float] | None, target: Mapping[str, float | str] | None, has_clips: bool, size: int = 128
) -> Target | None:
    """Check the options of `prune` before anything is cut, and read its target.

    Raises:
        UsageError: If one is missing, too much, or out of its range.
    """
    if size < 1:
        raise UsageError(f"size: {size} pixels; at least 1.")
    if ratios is not None and target is not None:
        raise UsageError("ratios, target: both are given; a target finds the ratios, so leave one of them out.")
    if ratios is None and target is None:
        raise UsageError("ratios: what is cut is not given; give ratios, or a target such as `target: {macs: 25%}`.")
    if target is None:
        return None
    wanted = read_target(target)
    if not has_clips:
        raise UsageError("target: sensitivities need clips; give `data`, or a folder of LR photos as `calibration`.")
    return wanted


def _calibration(data: LightningDataModule | None, folder: str | None) -> Clips:
    if folder is not None:
        for path in list_images(folder):
            photo = to_frame(read_image(path))
            top, left = (max(0, length - SIDE) // 2 for length in photo.shape[-2:])
            yield [str(path)], photo[None, None, :, top : top + SIDE, left : left + SIDE]
    elif data is not None:
        data.setup("fit")
        for batch in data.train_dataloader():
            yield [str(name) for name in batch.get("name", ())], batch["lr"]


def _facts(target: Target, budget: Budget, names: list[str]) -> dict[str, Any]:
    """What was asked for and reached, and the table of sensitivities, as plain data."""
    rows = []
    for one, kept, costs in zip(budget.sensitivities, budget.kept, budget.costs, strict=True):
        section = one.section
        points = zip(one.ratios, one.errors, costs, strict=True)
        measured = [{"ratio": ratio, "error": error**0.5, "cost": cost / budget.full} for ratio, error, cost in points]
        channels = [section.size, kept]
        rows.append({"layers": [*section.names], "part": section.part, "channels": channels, "measured": measured})
    asked = {
        target.kind: target.text,
        "full": budget.full,
        "goal": budget.goal,
        "reached": budget.reached,
        "errors": budget.errors,
        "chosen": budget.chosen,
    }
    return {"target": asked, "calibration": names, "sensitivities": rows}


def _row(cut: Cut, before: Cost, after: Cost) -> dict[str, Any]:
    counts = {key: [getattr(before, key), getattr(after, key)] for key in ("parameters", "macs")}
    return {**asdict(cut), **counts}
