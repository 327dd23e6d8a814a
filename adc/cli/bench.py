"""``adc bench``: costs of restorers, side by side, in one process and one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from adc import runs
from adc.cli.parser import component_parser, recipes_of
from adc.evaluation.benchmark import bench, check_options, load_restorers
from adc.evaluation.benchmark_tables import as_markdown, as_svg
from adc.interfaces import Restorer


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
    parser.add_function_arguments(bench, skip={"restorers"}, as_group=False)
    parser.add_argument("--seed_everything", type=int, default=0, help="Seed of untrained weights.")
    config = parser.parse_args(argv)
    options = {key: config[key] for key in ("sizes", "frames", "precisions", "repeats", "device")}
    check_options(**options)
    torch.manual_seed(config.seed_everything)
    built: Any = parser.instantiate_classes(config)
    restorers = load_restorers({**(built.bench or {}), **{path: path for path in config.student}})
    folder = Path(config.folder)
    runs.clear(folder, trains=False)
    runs.begin(folder, recipes_of(argv))
    report = bench(restorers, **options, compile=config.compile)
    runs.write_json(folder / "bench.json", report)
    table = as_markdown(report)
    runs.write_text(folder / "bench.md", table)
    runs.write_text(folder / "bench.svg", as_svg(report))
    runs.finish(folder)
    print(table)
    for name in ("bench.json", "bench.md", "bench.svg"):
        print(folder.resolve() / name)
