"""Runs folders of recipes with several seeds and prints each figure's mean and spread.

python tools/run_seeds.py runs/seeds recipes/demo_duo --seeds [0,1,2]

In a copy of the recipes for each seed ``seed_everything`` and the run folders are changed and nothing else. Steps
without a seed that need no seeded one (caches) are run once. What is finished is not run again: a call that was stopped
goes on.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from _command import run

from adc import runs
from adc.cli.run import Step, plan
from adc.errors import UsageError

SEED = re.compile(r"^seed_everything:\s*\S+", re.MULTILINE)
TABLES = ("restorers", "samplers")
"""The tables of a report: rows of figures, by name."""


def run_seeds(folder: Path, recipes: list[Path], seeds: list[int] | None = None) -> None:
    """Run recipes with each seed, then compare the reports.

    Args:
        folder: Where copies and run folders go; results are ``seeds.json`` there.
        recipes: Folders of numbered recipes, run one after the other.
        seeds: The seeds; 0, 1 and 2 if not given.

    Raises:
        UsageError: If no recipe has a seed, or none is a report.
    """
    seeds = [0, 1, 2] if seeds is None else seeds
    steps = {source: plan(str(source)) for source in recipes}
    seeded = _seeded([step for source in recipes for step in steps[source]])
    if not any(step.command == "report" for step in seeded):
        raise UsageError(f"{', '.join(map(str, recipes))}: no report depends on a seed; there is nothing to compare.")
    reports: dict[str, list[Any]] = {step.run.name: [] for step in seeded if step.command == "report"}
    for seed in seeds:
        place = folder / f"seed_{seed}"
        for number, source in enumerate(recipes):
            copy = place / "recipes" / f"{number}_{source.name}"
            copy.mkdir(parents=True, exist_ok=True)
            for step in steps[source]:
                text = SEED.sub(f"seed_everything: {seed}", step.recipe.read_text(encoding="utf-8"))
                runs.write_text(copy / step.recipe.name, _moved(text, seeded, place))
            if status := subprocess.run([sys.executable, "-m", "adc", "run", str(copy)]).returncode:
                sys.exit(status)
        for step in seeded:
            if step.command == "report":
                reports[step.run.name].append(runs.read_json(place / step.run / "report.json"))
    figures = {name: spread(found) for name, found in reports.items()}
    runs.write_json(folder / "seeds.json", {"seeds": seeds, "reports": figures})
    for name, tables in figures.items():
        for table, rows in tables.items():
            _show(f"{name}: {table}, {len(seeds)} seeds", rows)


def spread(reports: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Mean and half the range of each figure, by table, row and figure."""
    first, tables = reports[0], {}
    for table in TABLES:
        rows: dict[str, dict[str, list[float]]] = {}
        for row, figures in first.get(table, {}).items():
            rows[row] = {}
            for figure, value in figures.items():
                if isinstance(value, int | float):
                    values = [report[table][row][figure] for report in reports]
                    rows[row][figure] = [statistics.fmean(values), (max(values) - min(values)) / 2]
        if rows:
            tables[table] = rows
    return tables


def _seeded(steps: list[Step]) -> list[Step]:
    """The steps that have a seed, or need one that does."""
    found: list[Step] = []
    for step in steps:
        text = step.recipe.read_text(encoding="utf-8")
        if SEED.search(text) or any(_names(other.run).search(text) for other in found):
            found.append(step)
    return found


def _names(path: Path) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w./-]){re.escape(str(path))}(?![\w.-])")


def _moved(text: str, steps: list[Step], place: Path) -> str:
    for step in steps:
        text = _names(step.run).sub(str(place / step.run), text)
    return text


def _show(title: str, rows: dict[str, dict[str, list[float]]]) -> None:
    from rich.console import Console
    from rich.table import Table

    figures = list(dict.fromkeys(figure for row in rows.values() for figure in row))
    table = Table(title=title, box=None, pad_edge=False)
    for name in ("", *figures):
        table.add_column(name, overflow="fold", justify="right" if name else "left")
    for name, row in rows.items():
        table.add_row(name, *("{:.4g} ± {:.2g}".format(*row[one]) if one in row else "" for one in figures))
    Console(width=None if sys.stdout.isatty() else 240, highlight=False).print(table)


if __name__ == "__main__":
    sys.exit(run(run_seeds))
