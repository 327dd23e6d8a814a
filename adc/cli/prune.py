"""``adc prune``: cuts channels out of a student and writes it as a folder."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from rich.table import Table

from adc import runs
from adc.cli.errors import place_of_value, root_cause
from adc.cli.parser import component_parser, load_components, recipes_of
from adc.errors import UsageError, describe
from adc.evaluation import prune as evaluation
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
    parser.add_function_arguments(prune_recipe, as_group=False, skip={"data"})
    if with_data:
        from lightning.pytorch import LightningDataModule

        parser.add_argument("--data", type=LightningDataModule, help="Calibration data, for importances that need it.")
    else:
        parser.add_argument("--data", type=dict | None, default=None, help="Calibration data: a data module.")
    config = parser.parse_args(argv)
    random.seed(config.seed_everything)
    torch.manual_seed(config.seed_everything)
    try:
        ready = parser.instantiate_classes(config)
    except Exception as error:
        cause = root_cause(error)
        if isinstance(cause, ValueError | OSError | ImportError):
            line = describe(cause)
            raise UsageError(f"{place_of_value(recipes, line)}{line}") from cause
        raise cause from None
    folder = Path(config.folder)
    runs.clear(folder)
    config.pop("config", None)
    runs.write_text(folder / "config.yaml", parser.dump(config, skip_none=False, skip_validation=True))
    runs.begin(folder, recipes)
    start = time.monotonic()
    prune_recipe(
        **{name: ready[name] for name in ("student", "ratios", "importance", "folder", "data", "size", "precision")}
    )
    runs.finish(folder, seconds=round(time.monotonic() - start, 3))


def prune_recipe(
    student: Student,
    ratios: dict[str, float],
    importance: Importance,
    folder: str,
    data: Any = None,
    size: int = 128,
    precision: Literal["float32", "float16", "bfloat16"] = "float32",
) -> None:
    """Prune, write the student's folder, and print what was cut.

    Args:
        student: The full-width student.
        ratios: What is cut, at least 0 and less than 1, by part of the student; other parts keep their channels.
        importance: Which channels stay.
        folder: Where the student goes.
        data: A data module, for importances that need calibration.
        size: Height and width of the LR image for which multiply-accumulates are counted.
        precision: Of the numbers in the file of weights.
    """
    report = evaluation.prune(student, ratios, importance, folder, data=data, size=size, precision=precision)
    _show(report["parts"], size)
    print(f"{folder}: the pruned student; {evaluation.REPORT} holds this table.")


def _show(rows: Mapping[str, dict[str, Any]], size: int) -> None:
    table = Table(title=f"What was cut (MACs of one {size} x {size} image)", title_justify="left")
    table.add_column("part", no_wrap=True)
    for column in ("layers cut", "channels", "parameters", "MACs"):
        table.add_column(column, justify="right", overflow="fold")
    for name, row in rows.items():
        style = "bold" if name == "student" else None
        pairs = [_pair(*row[key]) for key in ("channels", "parameters", "macs")]
        table.add_row(name, f"{row['changed']} of {row['layers']}", *pairs, style=style)
    Console(width=None if sys.stdout.isatty() else 120, highlight=False).print(table)


def _pair(before: int, after: int) -> str:
    share = f" ({after / before:.1%})" if before else ""
    return f"{_short(before)} → {_short(after)}{share}"


def _short(number: int) -> str:
    for unit, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= unit:
            return f"{number / unit:.2f} {letter}"
    return str(number)
