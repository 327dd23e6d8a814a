"""The report as one self-contained page."""

from __future__ import annotations

import base64
import io
from importlib.resources import files
from typing import Any

from PIL import Image

from adc.evaluation.head_probe import table_of
from adc.evaluation.loss_curves import Curve

COLUMNS = {
    "psnr_y": ("PSNR-Y, dB", "{:.2f}"),
    "ssim_y": ("SSIM-Y", "{:.4f}"),
    "agreement": ("PSNR-Y to the teacher, dB", "{:.2f}"),
    "agreement_ssim": ("SSIM-Y to the teacher", "{:.4f}"),
    "flicker": ("flicker", "{:.2f}"),
    "ewarp": ("E*warp (DIS)", "{:.3f}"),
    "sharpness": ("sharpness", "{:.1f}"),
    "niqe": ("NIQE", "{:.2f}"),
    "parameters": ("parameters, M", "{:.2f}"),
    "macs": ("MACs, G", "{:.2f}"),
    "seconds_per_image": ("seconds per image", "{:.3f}"),
    "training_seconds": ("training, s", "{:.0f}"),
    "frechet": ("Frechet distance of latents", "{:.3f}"),
    "sharpness_ratio": ("sharpness, 1 is the truth's", "{:.2f}"),
    "end_distance": ("distance to the reference", "{:.4f}"),
    "lr_error": ("error against LR, x 1000", "{:.2f}"),
    "spread": ("spread over noise", "{:.3f}"),
    "score": ("score", "{:.3f}"),
}
WIDTH, HEIGHT = 320, 140


def render(
    report: dict[str, Any], curves: dict[str, dict[str, Curve]], sheet: Image.Image, profiles: Image.Image | None = None
) -> str:
    """The HTML page: tables of ``report.json``, loss curves by stage and tag, and images, with nothing to fetch."""
    from jinja2 import Environment

    source = files("adc.evaluation").joinpath("report.html").read_text(encoding="utf-8")
    restorers = [{"name": name, **row} for name, row in report["restorers"].items()]
    samplers = [{"name": name, **row} for name, row in report.get("samplers", {}).items()]
    truth = [{"name": "truth", **report["truth"]}] if "truth" in report else []
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
    return template.render(
        report=report,
        tables=[
            ("Side by side", _table([*restorers, *truth])),
            ("Samplers", _table(samplers)),
            ("Stage by stage", _table(report["stages"])),
        ],
        curves=[(stage, [_plot(tag, curve) for tag, curve in tags.items()]) for stage, tags in curves.items() if tags],
        heads=[(stage["name"], table_of(stage["heads"])) for stage in report["stages"] if "heads" in stage],
        sheet=_data_url(sheet),
        profiles=None if profiles is None else _data_url(profiles),
    )


def headline(report: dict[str, Any]) -> str:
    """What the student kept of the teacher, in one line; empty where the report has no such figures."""
    if not (kept := report["kept"]):
        return ""
    gain, agreement = kept["teacher_gain_db"], kept["agreement_db"]
    if kept["gain"] is not None:
        text = f"the student keeps {100 * kept['gain']:.0f}% of the teacher's gain of {gain:.2f} dB over bicubic"
    else:
        text = f"the teacher is {gain:+.2f} dB from bicubic in PSNR: judge by agreement with it and by looking"
    close = "" if agreement is None else f"; student and teacher agree to {agreement:.2f} dB"
    if close and kept["agreement_ssim"] is not None:
        close += f" and SSIM {kept['agreement_ssim']:.3f}"
    cost = f"{100 * kept['parameters']:.0f}% of its parameters, {100 * kept['macs']:.0f}% of its MACs"
    return f"{text}{close}; {cost}, {kept['speedup']:.1f} times as fast"


def terminal_table(report: dict[str, Any]) -> Any:
    """The figures of the restorers and stages as a table of rich."""
    from rich.table import Table

    rows = [{"name": name, **row} for name, row in report["restorers"].items()]
    found = _table([*rows, *({**row, "name": f"after {row['name']}"} for row in report["stages"])])
    table = Table(title=report["title"])
    for number, head in enumerate(found["head"]):
        table.add_column(head, justify="right" if number else "left", no_wrap=not number)
    for row in found["rows"]:
        table.add_row(*row)
    return table


def _table(rows: list[dict[str, Any]]) -> dict[str, Any]:
    keys = [key for key in COLUMNS if any(row.get(key) is not None for row in rows)]
    return {
        "head": ["", *(COLUMNS[key][0] for key in keys)],
        "rows": [[row["name"], *(_cell(row.get(key), *COLUMNS[key]) for key in keys)] for row in rows],
    }


def _cell(value: float | None, title: str, form: str) -> str:
    unit = 1e-3 if title.endswith(", x 1000") else 1e6 if title.endswith(", M") else 1e9 if title.endswith(", G") else 1
    return "" if value is None else form.format(value / unit)


def _plot(tag: str, curve: Curve) -> dict[str, Any]:
    xs, ys = [x for x, _ in curve], [y for _, y in curve]
    low, high = min(ys), max(ys)
    across, up = (max(xs) - min(xs)) or 1.0, (high - low) or 1.0
    places = [f"{(x - min(xs)) / across * WIDTH:.1f},{HEIGHT - (y - low) / up * HEIGHT:.1f}" for x, y in curve]
    return {
        "tag": tag,
        "points": " ".join(places),
        "first": f"{min(xs):.0f}",
        "low": f"{low:.4g}",
        "high": f"{high:.4g}",
        "last": f"{ys[-1]:.4g}",
        "until": f"{max(xs):.0f}",
    }


def _data_url(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
