"""What was pruned, and what sensitivities were measured, as tables on the screen."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def print_pruning(report: Mapping[str, Any]) -> None:
    """Print what `adc.evaluation.prune.prune` returned."""
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    if "sensitivities" in report:
        console.print(_sensitivities(report["sensitivities"]))
        console.print(_reached(report["target"]), soft_wrap=True)
    console.print(_parts(report["parts"], report["input"][-1]))


def _parts(rows: Mapping[str, dict[str, Any]], size: int) -> Table:
    table = Table(title=f"What was cut (MACs of one {size} x {size} image)", title_justify="left")
    table.add_column("part", no_wrap=True)
    for column in ("layers cut", "channels", "parameters", "MACs"):
        table.add_column(column, justify="right", overflow="fold")
    for name, row in rows.items():
        style = "bold" if name == "student" else None
        pairs = [
            f"{_short(before)} → {_short(after)}" + (f" ({after / before:.1%})" if before else "")
            for before, after in (row[key] for key in ("channels", "parameters", "macs"))
        ]
        table.add_row(name, f"{row['changed']} of {row['layers']}", *pairs, style=style)
    return table


def _sensitivities(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="Relative error of the result, one group of layers cut", title_justify="left")
    table.add_column("first layer", overflow="fold")
    table.add_column("part", no_wrap=True)
    ratios = [0.125, 0.25, 0.5]
    for column in (*(f"{ratio:.1%} cut" for ratio in ratios), "channels"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        cells = []
        for ratio in ratios:
            near = min(row["measured"], key=lambda point: abs(point["ratio"] - ratio))
            cells.append(f"{near['error']:.4f}" if abs(near["ratio"] - ratio) < 0.1 else "")
        before, after = row["channels"]
        table.add_row(row["layers"][0], row["part"], *cells, f"{before} → {after}")
    return table


def _reached(target: Mapping[str, Any]) -> str:
    kind = next(iter(target))
    errors = ", ".join(f"{name} {error:.3f}" for name, error in target["errors"].items())
    left = f"{target['reached'] / target['full']:.2%}"
    return (
        f"{kind}: {target[kind]} was asked for, {left} of the full student's is left. "
        f"Relative error of the pruned student's result before training: {errors}."
    )


def _short(number: int) -> str:
    for unit, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= unit:
            return f"{number / unit:.2f} {letter}"
    return str(number)
