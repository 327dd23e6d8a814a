"""``adc prune``: cuts channels out of a student and writes it as a folder."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import torch

from adc import runs
from adc.cli.parser import component_parser, load_components, recipes_of
from adc.evaluation import prune as evaluation
from adc.evaluation.pruning_tables import print_pruning
from adc.interfaces import Student
from adc.pruning import Importance


def main(argv: list[str]) -> None:
    """Prune the student of a recipe."""
    recipes = recipes_of(argv)
    with_data = any("data" in runs.read_recipe(path) for path in recipes) or any(a.startswith("--data") for a in argv)
    if with_data:
        load_components(training=True)
    parser = component_parser("adc prune", "Cut channels out of a student; what is left is written as a folder.")
    parser.add_argument("--seed_everything", type=int, default=0, help="Of Python's and torch's random numbers.")
    parser.add_argument("--student", type=Student, required=True, help="The full-width student.")
    parser.add_argument("--importance", type=Importance, required=True, help="Which channels stay.")
    parser.add_argument("--folder", type=str, required=True, help="Where the student goes.")
    own: set[str | int] = {"student", "importance", "folder", "data"}
    parser.add_function_arguments(evaluation.prune, as_group=False, skip=own)
    if with_data:
        from lightning.pytorch import LightningDataModule

        parser.add_argument("--data", type=LightningDataModule, help="Calibration data, for a target and importances.")
    else:
        parser.add_argument("--data", type=dict | None, default=None, help="Calibration data: a data module.")
    config = parser.parse_args(argv)
    evaluation.check_options(config.ratios, config.target, bool(config.data or config.calibration), config.size)
    random.seed(config.seed_everything)
    torch.manual_seed(config.seed_everything)
    built: Any = parser.instantiate_classes(config)
    folder = Path(config.folder)
    runs.clear(folder, trains=False)
    config.pop("config", None)
    runs.write_text(folder / "config.yaml", parser.dump(config, skip_none=False, skip_validation=True))
    runs.begin(folder, recipes)
    start = time.monotonic()
    options = {name: built[name] for name in ("target", "data", "calibration", "size", "precision", "device")}
    report = evaluation.prune(built.student, built.ratios, built.importance, folder, **options)
    print_pruning(report)
    print(f"{config.folder}: the pruned student; {evaluation.REPORT} holds this table.")
    runs.finish(folder, seconds=round(time.monotonic() - start, 3))
