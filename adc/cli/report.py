"""``adc report``: what a run reached, measured side by side, as data, a page and pictures."""

from __future__ import annotations

import dataclasses
import os
import platform
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from PIL import Image

from adc import __version__, runs
from adc.cli.parser import component_parser, load_components, recipes_of
from adc.errors import UsageError
from adc.evaluation.head_probe import read_heads
from adc.evaluation.loss_curves import read_curves
from adc.evaluation.sample_sheets import sheets
from adc.interfaces import Restorer
from adc.metrics.clips import warping_origin
from adc.metrics.comparison import Figures, compare, steadiness_of_truth
from adc.metrics.quality import find_niqe
from adc.pruning import load_student

PROFILES = "profiles.png"
RESULTS = ("report.json", "samples.png", PROFILES, "report.html")
SHOWN_OF_VIDEO = 6


def main(argv: list[str]) -> None:
    """Measure the restorers of a recipe and write the report."""
    load_components(training=True)
    parser = component_parser("adc report", "Measure restorers side by side and write a report.")
    parser.add_argument("--folder", type=str, required=True, help="Where the report goes.")
    parser.add_subclass_arguments(pl.LightningDataModule, "data", help="Its held-out clips are restored.")
    parser.add_argument(
        "--restorers",
        type=dict[str, Restorer],
        required=True,
        help="What is compared, by name; `student` is the result.",
    )
    parser.add_argument(
        "--stages", type=list[str], default=[], help="Run folders of the stages in their order, each holding a student."
    )
    parser.add_argument("--title", type=str, default="adc report", help="Heading of the page.")
    parser.add_argument("--rounds", type=int, default=3, help="How often each clip is restored for its time.")
    parser.add_argument(
        "--niqe", type=str | None, default=None, help="File of NIQE's parameters; torch's cache if null."
    )
    parser.add_argument("--seed_everything", type=int, default=0, help="Seed of untrained weights.")
    config = parser.parse_args(argv)
    pl.seed_everything(config.seed_everything, verbose=False)
    built: Any = parser.instantiate_classes(config)
    folder = Path(config.folder)
    runs.clear(folder)
    runs.begin(folder, recipes_of(argv))
    write_report(folder, built.data, dict(built.restorers), config.stages, config.title, config.rounds, config.niqe)
    runs.finish(folder)
    for name in RESULTS:
        if (folder / name).exists():
            print(folder.resolve() / name)


def write_report(
    folder: Path,
    data: pl.LightningDataModule,
    restorers: dict[str, Restorer],
    stages: list[str],
    title: str = "adc report",
    rounds: int = 3,
    niqe: str | None = None,
) -> Path:
    """Measure, and write ``report.json``, ``samples.png``, of video also ``profiles.png``, and ``report.html``.

    Args:
        folder: Where they go.
        data: Its held-out clips are restored.
        restorers: What is compared, by name.
        stages: Run folders, each holding the student after that stage.
        title: Heading of the page.
        rounds: How often each clip is restored.
        niqe: File of NIQE's parameters, or None for torch's cache.

    Returns:
        The page.

    Raises:
        ValueError: If there is nothing to restore.
    """
    from adc.evaluation.report_page import render

    rate, origin = find_niqe(niqe)
    clips = _held_out(data)
    names = {run: Path(run).name for run in stages}
    heads = {run: {"heads": found} if (found := read_heads(run)) else {} for run in stages}
    everyone = {**restorers, **{f"stage {name}": load_student(run) for run, name in names.items()}}
    for restorer in everyone.values():
        _lay_out(restorer)
    with _bar(len(clips) * rounds) as advance:
        table = compare(everyone, clips, rate, rounds, progress=advance)
    report = {
        "title": title,
        "restorers": {name: _row(table[name]) for name in restorers},
        "stages": [
            {"name": name, **_row(table[f"stage {name}"]), **_spent(run), **heads[run]} for run, name in names.items()
        ],
        **_motion(clips),
        "kept": _kept(table),
        "images": _images(table, list(restorers)),
        "niqe": origin,
        "machine": _machine(),
    }
    curves = {name: read_curves(Path(run, "logs")) for run, name in names.items()}
    samples, profiles = sheets(clips, _shown(restorers, "truth" in report))
    folder.mkdir(parents=True, exist_ok=True)
    _write_picture(folder / "samples.png", samples)
    _write_picture(folder / PROFILES, profiles)
    runs.write_text(folder / "report.html", render(report, curves, samples, profiles))
    runs.write_json(folder / "report.json", report)
    return folder / "report.html"


def _held_out(data: pl.LightningDataModule) -> list[dict[str, Any]]:
    data.setup("validate")
    clips = list(data.val_dataloader())
    if not clips:
        raise UsageError("data: there are no held-out clips to restore; name a folder of them.")
    return clips


def _lay_out(restorer: Restorer) -> None:
    """The layout in which networks of images are quickest on a CPU; weights of three-dimensional layers keep theirs."""
    for parameter in restorer.requires_grad_(False).parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def _shown(restorers: dict[str, Restorer], video: bool) -> dict[str, Restorer]:
    """Those in the pictures: of video all if they are not too many."""
    if video and len(restorers) <= SHOWN_OF_VIDEO:
        return restorers
    return {name: restorers[name] for name in ("bicubic", "student", "teacher") if name in restorers} or restorers


def _write_picture(path: Path, picture: Image.Image | None) -> None:
    """A file that is whole or, without a picture, not there."""
    if picture is None:
        path.unlink(missing_ok=True)
        return
    scratch = path.with_name(f".{path.name}.partial")
    picture.save(scratch, format="PNG")
    scratch.replace(path)


def _row(figures: Figures) -> dict[str, Any]:
    row = dataclasses.asdict(figures)
    return {key: value for key, value in row.items() if key != "images" and value is not None}


def _motion(clips: list[dict[str, Any]]) -> dict[str, Any]:
    """What the truth's own figures of motion are, and what the warping error is; of images nothing."""
    truth = steadiness_of_truth(clips)
    return {"truth": truth, "ewarp": warping_origin()} if truth else {}


def _spent(run: str) -> dict[str, Any]:
    facts = runs.finished(run) or {}
    return {"training_seconds": facts.get("seconds"), "updates": facts.get("updates", {})}


def _kept(table: dict[str, Figures]) -> dict[str, float]:
    """What the student kept of the teacher's gain over bicubic, and at what share of its cost."""
    if not {"bicubic", "teacher", "student"} <= set(table):
        return {}
    bicubic, teacher, student = table["bicubic"], table["teacher"], table["student"]
    gain = teacher.psnr_y - bicubic.psnr_y
    return {
        "teacher_gain_db": gain,
        "gain": (student.psnr_y - bicubic.psnr_y) / gain if gain else float("nan"),
        "parameters": student.parameters / max(teacher.parameters, 1),
        "macs": student.macs / max(teacher.macs, 1),
        "speedup": teacher.seconds_per_image / student.seconds_per_image,
    }


def _images(table: dict[str, Figures], names: list[str]) -> list[dict[str, Any]]:
    rows = zip(*(table[name].images for name in names), strict=True)
    return [
        {
            "name": row[0]["name"],
            **{name: {k: v for k, v in one.items() if k != "name"} for name, one in zip(names, row, strict=True)},
        }
        for row in rows
    ]


def _machine() -> dict[str, Any]:
    return {
        "adc": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


class _bar:
    """A progress bar that is told each clip."""

    def __init__(self, total: int) -> None:
        from rich.progress import Progress

        self.progress, self.total = Progress(transient=True), total

    def __enter__(self) -> Callable[[str], None]:
        self.progress.start()
        task = self.progress.add_task("restoring held-out clips", total=self.total)
        return lambda name: self.progress.update(task, advance=1, description=f"restoring {name}")

    def __exit__(self, *error: Any) -> None:
        self.progress.stop()
