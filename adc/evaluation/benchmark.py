"""Costs of restorers: parameters, multiply-accumulates, time, memory, storage."""

from __future__ import annotations

import copy
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from adc.errors import UsageError
from adc.evaluation.machine import machine
from adc.exporting.onnx import parameters_of, size_of
from adc.inference.device import find_device
from adc.inference.onnx_student import OnnxStudent
from adc.inference.prepare import prepare, stored_bytes, why_not
from adc.interfaces import Restorer
from adc.metrics.efficiency import Efficiency, count, meta_copy, peak_memory
from adc.progress import track
from adc.pruning import load_student

PRECISIONS = ("plain", "fp32", "bf16", "fp16")


def bench(
    restorers: Mapping[str, Restorer | str | Path] | Sequence[str | Path],
    sizes: Sequence[int] = (128,),
    *,
    frames: int = 1,
    precisions: Sequence[str] = ("fp32",),
    repeats: int = 5,
    device: str = "cpu",
    compile: bool = False,
) -> dict[str, Any]:
    """Measure what restorers cost, side by side, as ``bench.json`` of ``adc bench`` holds it.

    Args:
        restorers: Restorers, student folders and ONNX files by name, or a list of folders and files. Restorers are
            used up: copy one first to keep it.
        sizes: Heights and widths of the LR image.
        frames: Frames of a clip.
        precisions: Of plain (as it was built), fp32, bf16 and fp16.
        repeats: How often each is timed, in turn with the others.
        device: cpu, cuda or cuda:1; ``auto`` is a GPU if there is one.
        compile: Whether they are compiled; not for plain.

    Returns:
        ``rows``, one for each size, restorer and precision; ``frames`` and ``machine``.

    Raises:
        FileNotFoundError: If there is no such student.
        UsageError: If an option is out of its range, or there is nothing to measure.
    """
    check_options(sizes, frames, precisions, repeats, device)
    place = str(find_device(device))
    built = load_restorers(restorers)
    load = _load_of_machine()
    rows = measure(cases_of(built, precisions, place, compile), sizes, frames, repeats, place)
    name = torch.cuda.get_device_name(place) if place.startswith("cuda") else place
    facts = {**machine(), "device": name, "load_before": load, "load_after": _load_of_machine()}
    return {"machine": facts, "frames": frames, "rows": rows}


def check_options(sizes: Sequence[int], frames: int, precisions: Sequence[str], repeats: int, device: str) -> None:
    """Check the options of `bench` before anything is loaded.

    Raises:
        UsageError: If an option is out of its range, or the device does not compute in a precision.
    """
    for key, values in (("sizes", sizes), ("precisions", precisions)):
        if not values:
            raise UsageError(f"{key}: name at least one.")
    if wrong := [one for one in precisions if one not in PRECISIONS]:
        raise UsageError(f"precisions: there is no {wrong[0]!r}; there are {', '.join(PRECISIONS)}.")
    if (small := min(sizes)) < 16:
        raise UsageError(f"sizes: {small} pixels; at least 16.")
    for key, number in (("frames", frames), ("repeats", repeats)):
        if number < 1:
            raise UsageError(f"{key}: {number}; at least 1.")
    place = find_device(device)
    for precision in precisions:
        if precision != "plain" and (reason := why_not(precision, place)):
            raise UsageError(f"precisions: {reason}")


def load_restorers(restorers: Mapping[str, Restorer | str | Path] | Sequence[str | Path]) -> dict[str, Restorer]:
    """Restorers by name, read from student folders and ONNX files where paths are given.

    Raises:
        FileNotFoundError: If there is no such student.
        UsageError: If there is none.
    """
    named = restorers if isinstance(restorers, Mapping) else {str(path): path for path in restorers}
    if not named:
        raise UsageError("bench: there is nothing to measure; name restorers in a recipe, or a folder with --student.")

    def load(path: str) -> Restorer:
        return OnnxStudent(path) if path.endswith(".onnx") else load_student(path)

    return {name: one if isinstance(one, Restorer) else load(str(one)) for name, one in named.items()}


def _load_of_machine() -> list[float] | None:
    return [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None


@dataclass
class Case:
    """A restorer in one precision (plain, fp32, bf16, fp16 or onnx).

    Attributes:
        original: Its copy on the meta device, for counting; None if it cannot be counted.
        stored: Bytes of its weights.
        parameters: Numbers in its weights, where counting is not possible.
    """

    name: str
    precision: str
    run: Restorer
    original: nn.Module | None
    stored: int
    parameters: int


def cases_of(
    restorers: Mapping[str, Restorer], precisions: Sequence[str], device: str, compile: bool = False
) -> list[Case]:
    """Each restorer in each precision; an ONNX file has its own. Restorers are consumed."""
    cases = []
    for name, restorer in restorers.items():
        if isinstance(restorer, OnnxStudent):
            kind = f"onnx {restorer.facts.get('precision', '')}".strip()
            numbers = restorer.facts.get("parameters") or parameters_of(restorer.path)
            cases.append(Case(name, kind, restorer, None, size_of(restorer.path), numbers))
            continue
        (original,) = meta_copy(restorer.eval().requires_grad_(False))
        numbers = sum(parameter.numel() for parameter in restorer.parameters())
        for number, precision in enumerate(precisions):
            copied = restorer if number == len(precisions) - 1 else copy.deepcopy(restorer)
            if precision == "plain":
                cases.append(Case(name, precision, copied.to(device), original, stored_bytes(copied), numbers))
            else:
                ready = prepare(copied, precision, device, compile)  # type: ignore[arg-type]
                cases.append(Case(name, precision, ready, original, ready.stored, numbers))
    return cases


def measure(
    cases: Sequence[Case], sizes: Sequence[int], frames: int, repeats: int, device: str
) -> list[dict[str, Any]]:
    """A row for each size and case; all are timed in turn, round by round, to share what slows the machine."""
    rows = []
    costs: dict[tuple[int, int], Efficiency | None] = {}
    for size in sizes:
        clip = torch.rand(1, frames, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
        clip = clip.to(device)
        memory = []
        with torch.no_grad():
            for case in cases:
                case.run.restore(clip)  # the first call, which also warms it
                memory.append(peak_memory(partial(case.run.restore, clip), device))
        seconds = _times(cases, clip, repeats)
        for case, peak, spent in zip(cases, memory, seconds, strict=True):
            key = (id(case.original), size)
            if key not in costs:
                empty = torch.empty_like(clip, device="meta")
                costs[key] = None if case.original is None else count(case.original, empty)
            rows.append(_row(case, size, costs[key], peak, spent))
    return rows


def _times(cases: Sequence[Case], clip: Tensor, repeats: int) -> list[list[float]]:
    seconds: list[list[float]] = [[] for _ in cases]
    with track(f"timing at {clip.shape[-1]}", repeats, "rounds") as bar:
        for _ in range(repeats):
            for case, spent in zip(cases, seconds, strict=True):
                _wait(clip)
                start = time.perf_counter()
                with torch.no_grad():
                    case.run.restore(clip)
                _wait(clip)
                spent.append(time.perf_counter() - start)
            bar.advance()
    return seconds


def _wait(clip: Tensor) -> None:
    if clip.is_cuda:
        torch.cuda.synchronize(clip.device)


def _row(case: Case, size: int, cost: Efficiency | None, peak: int, spent: list[float]) -> dict[str, Any]:
    first, _, third = statistics.quantiles(spent, n=4, method="inclusive") if len(spent) > 1 else (0.0, 0.0, 0.0)
    row: dict[str, Any] = {
        "name": case.name,
        "precision": case.precision,
        "size": size,
        "scale": case.run.scale,
        "parameters": case.parameters if cost is None else cost.parameters,
        "seconds": statistics.median(spent),
        "spread": third - first,
        "fastest": min(spent),
        "repeats": spent,
        "peak_memory": peak,
        "storage": case.stored,
    }
    if cost is not None:
        parts = {name: {"parameters": part.parameters, "macs": part.macs} for name, part in cost.parts.items()}
        layers = cost.macs - cost.attention_macs
        row |= {"macs": cost.macs, "macs_without_attention_products": layers, "parts": parts}
        row |= {"uncounted": list(cost.uncounted)} if cost.uncounted else {}
    return row
