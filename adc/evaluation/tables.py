"""The figures as a table on the screen, as JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from adc.evaluation.measure import Method
from adc.evaluation.summary import Comparison, comparisons, intervals, means
from adc.interfaces import SetMetric

MAX_ROWS = 40


@dataclass
class Results:
    """Figures of methods by metric, reasons why others were skipped, level of intervals, kind of a row, options."""

    methods: list[Method]
    metrics: Mapping[str, Any]
    skipped: Mapping[str, str]
    level: float = 0.95
    kind: str = "image"
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.means = {method.name: means(method) for method in self.methods}
        self.intervals = {method.name: intervals(method, self.level) for method in self.methods}
        self.comparisons = comparisons(self.methods, self.metrics, self.level)

    @property
    def columns(self) -> list[Any]:
        """The metrics of which there are figures, in the order in which they were asked for."""
        measured = {name for reached in self.means.values() for name in reached}
        return [metric for name, metric in self.metrics.items() if name in measured]


def as_json(results: Results) -> dict[str, Any]:
    """Of one method ``images``, ``mean`` and ``interval``; of several the same under ``methods``, by name."""
    methods = {
        method.name: {
            "images": method.rows,
            "mean": results.means[method.name],
            "interval": {name: list(ends) for name, ends in results.intervals[method.name].items()},
            "failed": method.failed,
        }
        for method in results.methods
    }
    (first, *rest) = methods.values()
    figures = {"methods": methods, "comparisons": [asdict(c) for c in results.comparisons]} if rest else first
    return {
        **figures,
        "metrics": {
            metric.name: {key: getattr(metric, key) for key in ("title", "options", "higher_is_better")}
            for metric in results.columns
        },
        "skipped": dict(results.skipped),
        "notes": notes(results),
        "options": {**results.options, "level": results.level},
    }


def notes(results: Results) -> list[str]:
    """What to know about the figures, and what failed; of several methods by their names."""
    several = len(results.methods) > 1
    return [f"{method.name}: {line}" if several else line for method in results.methods for line in method.lines]


def as_csv(results: Results) -> str:
    """A line for each image of each method."""
    names = [metric.name for metric in results.columns if not isinstance(metric, SetMetric)]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["method", "name", *names])
    for method in results.methods:
        for row in method.rows:
            table.writerow(
                [method.name, row["name"], *(repr(float(row[name])) if name in row else "" for name in names)]
            )
    return text.getvalue()


def as_markdown(results: Results) -> str:
    """The means with their intervals, the comparisons, and what was skipped."""
    arrows = [f"{metric.title} {'↑' if metric.higher_is_better else '↓'}" for metric in results.columns]
    lines = _lines(["method", "n", *arrows], [_means_row(results, method) for method in results.methods])
    if results.comparisons:
        lines += ["", *_lines(COMPARED, [_compared(results, c) for c in results.comparisons])]
    lines += ["", *(f"- {metric.title}: {metric.options}" for metric in results.columns)]
    lines += [f"- skipped: {name} ({reason})" for name, reason in results.skipped.items()]
    lines += [f"- note: {line}" for line in notes(results)]
    note = f"{results.level:.0%} bootstrap intervals over {results.kind}s"
    note += f"; PSNR and SSIM leave out {results.options.get('border', 0)} pixels on each side."
    if results.comparisons:
        note += (
            f" A win is {'a' if results.kind == 'clip' else 'an'} {results.kind} on which the first method is better."
        )
    return "\n".join([*lines, "", note, ""])


def show(results: Results) -> None:
    """Print tables; of many images only the means."""
    for method in results.methods:
        if method.rows:
            _print(_table_of(results, method))
    if results.comparisons:
        _print(_table(COMPARED, [_compared(results, c) for c in results.comparisons]))
    for name, reason in results.skipped.items():
        print(f"skipped: {name} ({reason})")


COMPARED = ("metric", "first", "second", "n", "difference", "wins", "ties", "losses", "p (Wilcoxon)")


def _table_of(results: Results, method: Method) -> Table:
    rows = [[str(row["name"]), *_figures(results, row)] for row in method.rows if len(method.rows) <= MAX_ROWS]
    foot = [[f"mean of {len(method.rows)}", *_figures(results, results.means[method.name])]]
    if results.intervals[method.name]:
        low, high = _ends(results, method)
        foot += [[f"{results.level:.0%} from", *low], ["to", *high]]
    title = method.name if len(results.methods) > 1 else results.kind
    return _table([title, *(metric.title for metric in results.columns)], rows, foot)


def _means_row(results: Results, method: Method) -> list[str]:
    columns = zip(_figures(results, results.means[method.name]), *_ends(results, method), strict=True)
    cells = [mean if low == "-" else f"{mean} [{low}, {high}]" for mean, low, high in columns]
    return [method.name, str(len(method.rows)), *cells]


def _compared(results: Results, found: Comparison) -> list[str]:
    metric = results.metrics[found.metric]
    interval = "" if found.interval is None else " [{:+.{n}f}, {:+.{n}f}]".format(*found.interval, n=metric.decimals)
    return [
        metric.title,
        *found.methods,
        str(found.images),
        f"{found.difference:+.{metric.decimals}f}{interval}",
        *(str(count) for count in (found.wins, found.ties, found.losses)),
        "-" if found.p is None else f"{found.p:.2g}",
    ]


def _figures(results: Results, values: Mapping[str, Any]) -> list[str]:
    """A cell for each column, ``-`` without a value."""
    return [
        "-" if values.get(metric.name) is None else f"{float(values[metric.name]):.{metric.decimals}f}"
        for metric in results.columns
    ]


def _ends(results: Results, method: Method) -> list[list[str]]:
    intervals = results.intervals[method.name]
    return [_figures(results, {name: ends[index] for name, ends in intervals.items()}) for index in (0, 1)]


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    ruler = ["---", *("---:" for _ in head[1:])]
    return [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in (head, ruler, *rows)]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], foot: Sequence[Sequence[str]] = ()) -> Table:
    table = Table(escape(head[0]))
    for title in head[1:]:
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*map(escape, row))
    if rows and foot:
        table.add_section()
    for row in foot:
        table.add_row(*row)
    return table


def _print(table: Table) -> None:
    """Print a table in its full width, so that no figure is cut."""
    needed = Console(file=sys.stdout, width=10_000).measure(table).maximum
    Console(file=sys.stdout, width=needed).print(table)
