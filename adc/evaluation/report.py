"""The report of a run: restorers measured side by side, as data, a page and sample sheets."""

from __future__ import annotations

import dataclasses
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from adc import runs
from adc.errors import UsageError
from adc.evaluation.head_probe import read_heads
from adc.evaluation.latent_figures import latent_figures
from adc.evaluation.loss_curves import read_curves
from adc.evaluation.machine import machine
from adc.evaluation.sample_sheets import sheets
from adc.files import replacing
from adc.interfaces import Restorer, Scorer
from adc.metrics.clips import warping_origin
from adc.metrics.comparison import Figures, compare, steadiness_of_truth
from adc.metrics.quality import find_niqe
from adc.progress import track
from adc.pruning import load_student

if TYPE_CHECKING:
    from lightning.pytorch import LightningDataModule

PROFILES = "profiles.png"
RESULTS = ("report.json", "samples.png", PROFILES, "report.html")
MAX_DISPLAYED = 6
LEAST_GAIN = 0.1
"""Decibels of the teacher over bicubic from which on a share of them means something."""


def write_report(
    folder: Path,
    data: LightningDataModule,
    restorers: dict[str, Restorer],
    stages: list[str],
    title: str = "adc report",
    rounds: int = 3,
    niqe: str | None = None,
    reference: str | None = None,
    scorer: Scorer | None = None,
) -> Path:
    """Measure, and write ``report.json``, ``samples.png``, of video also ``profiles.png``, and ``report.html``.

    Args:
        folder: Folder of the report.
        data: Data module; its validation clips are restored.
        restorers: The restorers by name.
        stages: Run folders, each holding the student after that stage.
        title: Heading of the page.
        rounds: How often each clip is restored.
        niqe: File of NIQE's parameters, or None for torch's cache.
        reference: The diffusion restorer that others imitate, by its name: the report gets a table of samplers
            (`adc.evaluation.latent_figures`).
        scorer: Rates the results in that table.

    Raises:
        ValueError: If there is nothing to restore, or no such reference.
    """
    from adc.evaluation.report_page import render

    rate, origin = find_niqe(niqe)
    data.setup("validate")
    clips = list(data.val_dataloader())
    if not clips:
        raise UsageError("data: there are no validation clips to restore; name a folder of them.")
    names = {run: Path(run).name for run in stages}
    heads = {run: {"heads": found} if (found := read_heads(run)) else {} for run in stages}
    measured = {**restorers, **{f"stage {name}": load_student(run) for run, name in names.items()}}
    for restorer in measured.values():
        for parameter in restorer.requires_grad_(False).parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    with track("restoring clips", len(clips) * rounds, "clips") as bar:
        table = compare(measured, clips, rate, rounds, progress=lambda name: bar.advance(f"restoring {name}"))
    samplers = {}
    if reference is not None:
        with track("sampling latents", len(clips), "clips") as bar:
            samplers = latent_figures(restorers, clips, reference, scorer, lambda name: bar.advance(f"sampling {name}"))
    truth = steadiness_of_truth(clips)
    report = {
        "title": title,
        "restorers": {name: _row(table[name]) for name in restorers},
        "stages": [
            {"name": name, **_row(table[f"stage {name}"]), **_spent(run), **heads[run]} for run, name in names.items()
        ],
        **({"samplers": samplers, "reference": reference} if samplers else {}),
        **({"truth": truth, "ewarp": warping_origin()} if truth else {}),
        "kept": _kept(table),
        "images": _images(table, list(restorers)),
        "niqe": origin,
        "machine": {**machine(), "python": platform.python_version(), "cores": os.cpu_count()},
    }
    curves = {name: read_curves(Path(run)) for run, name in names.items()}
    samples, profiles = sheets(clips, _displayed(restorers, bool(truth)))
    for name, image in (("samples.png", samples), (PROFILES, profiles)):
        if image is None:
            (folder / name).unlink(missing_ok=True)
            continue
        with replacing(folder / name) as scratch:
            image.save(scratch, format="PNG")
    runs.write_text(folder / "report.html", render(report, curves, samples, profiles))
    runs.write_json(folder / "report.json", report)
    return folder / "report.html"


def _displayed(restorers: dict[str, Restorer], video: bool) -> dict[str, Restorer]:
    """Restorers in the sample sheets: of video all if they are not too many."""
    if video and len(restorers) <= MAX_DISPLAYED:
        return restorers
    return {name: restorers[name] for name in ("bicubic", "student", "teacher") if name in restorers} or restorers


def _row(figures: Figures) -> dict[str, Any]:
    row = dataclasses.asdict(figures)
    return {key: value for key, value in row.items() if key != "images" and value is not None}


def _spent(run: str) -> dict[str, Any]:
    facts = runs.finished(run) or {}
    skips = {key: facts[key] for key in ("skipped_updates", "skipped_files") if any(facts.get(key, {}).values())}
    return {"training_seconds": facts.get("seconds"), "updates": facts.get("updates", {}), **skips}


def _kept(table: dict[str, Figures]) -> dict[str, float | None]:
    """The student's share of the teacher's gain over bicubic, and of its cost.

    A teacher that is trained for looks may be below bicubic in PSNR: there is no share then, and how far the student is
    from the teacher says more.
    """
    if not {"bicubic", "teacher", "student"} <= set(table):
        return {}
    bicubic, teacher, student = table["bicubic"], table["teacher"], table["student"]
    gain = teacher.psnr_y - bicubic.psnr_y
    return {
        "teacher_gain_db": gain,
        "gain": (student.psnr_y - bicubic.psnr_y) / gain if gain >= LEAST_GAIN else None,
        "agreement_db": student.agreement,
        "agreement_ssim": student.agreement_ssim,
        "parameters": student.parameters / max(teacher.parameters, 1),
        "macs": student.macs / max(teacher.macs, 1),
        "speedup": teacher.seconds_per_image / student.seconds_per_image,
    }


def _images(table: dict[str, Figures], names: list[str]) -> list[dict[str, Any]]:
    found = []
    for row in zip(*(table[name].images for name in names), strict=True):
        figures = {name: {k: v for k, v in one.items() if k != "name"} for name, one in zip(names, row, strict=True)}
        found.append({"name": row[0]["name"], **figures})
    return found
