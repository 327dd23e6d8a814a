"""``adc bench``: what restorers cost, side by side, in one process and one run."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from adc import __version__, runs
from adc.cli.parser import component_parser, recipes_of
from adc.errors import UsageError
from adc.evaluation.benchmark import cases_of, measure
from adc.evaluation.benchmark_tables import as_markdown, as_svg
from adc.inference.prepare import why_not
from adc.interfaces import Restorer

PRECISIONS = ("plain", "fp32", "bf16", "fp16")


def main(argv: list[str]) -> None:
    """Measure the restorers of a recipe and of student folders."""
    parser = component_parser(
        "adc bench",
        "Measure what restorers cost: parameters, multiply-accumulates, time, memory, storage. `plain` is a restorer "
        "as it was built (float32, nothing prepared); fp32, bf16 and fp16 are what adc upscale makes of it.",
    )
    parser.add_argument("--folder", type=str, required=True, help="Where bench.json, bench.md and bench.svg go.")
    parser.add_argument("--bench", type=dict[str, Restorer], default={}, help="What is measured, by name.")
    parser.add_argument("--student", type=str, nargs="*", default=[], help="Student folders and ONNX files as well.")
    parser.add_argument("--sizes", type=list[int], default=[128], help="Heights and widths of the small picture.")
    parser.add_argument("--frames", type=int, default=1, help="Pictures of a clip.")
    parser.add_argument("--precisions", type=list[str], default=["fp32"], help=f"Of {', '.join(PRECISIONS)}.")
    parser.add_argument("--repeats", type=int, default=5, help="How often each is timed, in turn with the others.")
    parser.add_argument("--device", type=str, default="cpu", help="cpu, cuda or cuda:1.")
    parser.add_argument("--compile", type=bool, default=False, help="With torch.compile; not for plain.")
    parser.add_argument("--seed_everything", type=int, default=0, help="Seed of untrained weights.")
    config = parser.parse_args(argv)
    _check(config)
    torch.manual_seed(config.seed_everything)
    built: Any = parser.instantiate_classes(config)
    restorers = {**(built.bench or {}), **_students(config.student)}
    if not restorers:
        raise UsageError("bench: there is nothing to measure; name restorers in a recipe, or a folder with --student.")
    folder = Path(config.folder)
    runs.clear(folder)
    runs.begin(folder, recipes_of(argv))
    load = _load()
    cases = cases_of(restorers, config.precisions, config.device, config.compile)
    rows = measure(cases, config.sizes, config.frames, config.repeats, config.device)
    report = {
        "machine": {**_machine(config.device), "load_before": load, "load_after": _load()},
        "frames": config.frames,
        "rows": rows,
    }
    runs.write_json(folder / "bench.json", report)
    table = as_markdown(report)
    runs.write_text(folder / "bench.md", table)
    runs.write_text(folder / "bench.svg", as_svg(report))
    runs.finish(folder)
    print(table)
    for name in ("bench.json", "bench.md", "bench.svg"):
        print(folder.resolve() / name)


def _check(config: Any) -> None:
    for key in ("sizes", "precisions"):
        if not config[key]:
            raise UsageError(f"{key}: name at least one.")
    if wrong := [one for one in config.precisions if one not in PRECISIONS]:
        raise UsageError(f"precisions: there is no {wrong[0]!r}; there are {', '.join(PRECISIONS)}.")
    if (small := min(config.sizes)) < 16:
        raise UsageError(f"sizes: {small} pixels; at least 16.")
    for key in ("frames", "repeats"):
        if config[key] < 1:
            raise UsageError(f"{key}: {config[key]}; at least 1.")
    try:
        torch.zeros(1, device=config.device)
    except (RuntimeError, AssertionError):
        raise UsageError(f"device: {config.device}: there is no such device here; take cpu.") from None
    for precision in config.precisions:
        if precision != "plain" and (complaint := why_not(precision, config.device)):
            raise UsageError(f"precisions: {complaint}")


def _students(paths: list[str]) -> dict[str, Restorer]:
    from adc.inference.onnx_student import OnnxStudent
    from adc.pruning import load_student

    return {path: OnnxStudent(path) if path.endswith(".onnx") else load_student(path) for path in paths}


def _load() -> list[float] | None:
    return [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None


def _machine(device: str) -> dict[str, Any]:
    cpu = Path("/proc/cpuinfo")
    named = (
        [line.partition(":")[2].strip() for line in cpu.read_text().splitlines() if line.startswith("model name")]
        if cpu.is_file()
        else []
    )
    return {
        "adc": __version__,
        "torch": torch.__version__,
        "processor": named[0] if named else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
