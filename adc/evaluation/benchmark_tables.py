"""Costs of restorers as a Markdown table and a bar chart."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

_COLUMNS = (
    "restorer", "precision", "LR image", "parameters, M", "MACs, G", "without attention products, G", "seconds",
    "spread, s", "fastest, s", "peak memory, MB", "storage, MB",
)  # fmt: skip
_COLORS = {"plain": "#9aa5b1", "fp32": "#3b6ea5", "bf16": "#d9822b", "fp16": "#7a9b3f"}


def as_markdown(report: dict[str, Any]) -> str:
    """A table of the rows, one of the parts, and the machine."""
    rows = report["rows"]
    lines = [f"| {' | '.join(_COLUMNS)} |", "|---|---|" + "---:|" * (len(_COLUMNS) - 2)]
    lines += [f"| {' | '.join(_cells(row))} |" for row in rows]
    parts = _parts(rows)
    machine = report["machine"]
    notes = [
        f"{machine['processor']}, {machine['threads']} threads, device {machine['device']}, torch {machine['torch']}, "
        f"adc {machine['adc']}, {machine['date']}.",
        f"Load of the machine before and after: {machine['load_before']}, {machine['load_after']}.",
        f"Seconds are the median of {len(rows[0]['repeats'])} warm calls, taken in turn with the other rows; the "
        "spread is between their quartiles. Peak memory is what a warm call needs beyond the weights.",
        *(f"MACs of {row} leave out {operators}: they come on top." for row, operators in _uncounted(rows).items()),
    ]
    return "\n".join([*lines, "", *parts, *notes]) + "\n"


def _cells(row: dict[str, Any]) -> list[str]:
    macs = [f"{row[key] / 1e9:.1f}" if key in row else "" for key in ("macs", "macs_without_attention_products")]
    return [
        row["name"],
        row["precision"],
        f"{row['size']} x {row['size']}",
        f"{row['parameters'] / 1e6:.2f}",
        *macs,
        f"{row['seconds']:.3f}",
        f"{row['spread']:.3f}",
        f"{row['fastest']:.3f}",
        f"{row['peak_memory'] / 1e6:.0f}",
        f"{row['storage'] / 1e6:.1f}",
    ]


def _uncounted(rows: list[dict[str, Any]]) -> dict[str, str]:
    """Operators whose MACs are not counted, by restorer."""
    return {row["name"]: ", ".join(f"`{one}`" for one in row["uncounted"]) for row in rows if "uncounted" in row}


def _parts(rows: list[dict[str, Any]]) -> list[str]:
    lines = ["| restorer | part | LR image | parameters, M | MACs, G |", "|---|---|---:|---:|---:|"]
    seen = set()
    for row in rows:
        key = (row["name"], row["size"])
        if key in seen or "parts" not in row:
            continue
        seen.add(key)
        for name, part in row["parts"].items():
            if part["parameters"] or part["macs"]:
                numbers = f"{part['parameters'] / 1e6:.2f} | {part['macs'] / 1e9:.1f}"
                lines.append(f"| {row['name']} | {name} | {row['size']} x {row['size']} | {numbers} |")
    return [*lines, ""] if seen else []


def as_svg(report: dict[str, Any]) -> str:
    """Bars of the median seconds, the quartiles' distance as a line."""
    rows = report["rows"]
    longest = max(row["seconds"] + row["spread"] / 2 for row in rows) or 1.0
    left, bar, height = 330, 420, 26
    shapes = []
    for number, row in enumerate(rows):
        top = 40 + number * height
        width = row["seconds"] / longest * bar
        label = f"{row['name']}, {row['precision']}, {row['size']} x {row['size']}"
        color = _COLORS.get(row["precision"], "#8a5fa8")
        low, high = (left + (row["seconds"] + sign * row["spread"] / 2) / longest * bar for sign in (-1, 1))
        shapes += [
            f'<text x="{left - 8}" y="{top + 13}" text-anchor="end">{escape(label)}</text>',
            f'<rect x="{left}" y="{top}" width="{width:.1f}" height="18" fill="{color}"/>',
            f'<path d="M{low:.1f} {top + 9}H{high:.1f}" stroke="#222"/>',
            f'<text x="{max(left + width, high) + 6:.1f}" y="{top + 13}">{row["seconds"]:.3f} s</text>',
        ]
    size = f'width="{left + bar + 90}" height="{60 + len(rows) * height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">'
    title = '<rect width="100%" height="100%" fill="#fff"/><text x="12" y="22" font-size="14">Seconds for a clip</text>'
    return "\n".join([head, title, *shapes, "</svg>"]) + "\n"
