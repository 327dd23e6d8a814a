"""The metrics of ``adc evaluate`` by name: those of adc and those of plugins."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path

import torch

from adc import registry
from adc.errors import suggest
from adc.interfaces import Metric
from adc.metrics import cvvdp, dover, fidelity, library, quality, temporal  # noqa: F401
from adc.metrics.library import MissingWeightsError

IMAGE = ("psnr_y", "ssim_y", "lpips", "dists", "fid", "niqe", "musiq", "maniqa-pipal", "clipiqa")
"""The default columns of images: those of AdcSR's and OSEDiff's tables."""
VIDEO = ("psnr_y", "ssim_y", "lpips", "dists", "niqe", "musiq", "clipiqa", "tlpips", "flicker", "ewarp", "dover")
"""The default columns of videos: what tables of videos have in common, tLPIPS and flicker; no paper prints these."""
_DOVE = ("psnr_rgb", "ssim_yiq", "lpips", "dists", "clipiqa", "dover", "ewarp")
PAPERS = {
    "adcsr": IMAGE,
    "dove": _DOVE,
    "adcvsr": (*_DOVE[:4], "musiq", "maniqa-pipal", *_DOVE[4:]),
    "duovsr": ("psnr_rgb", "ssim_yiq", "lpips", "niqe", "musiq", "clipiqa", "dover", "ewarp"),
}
"""Columns of papers' tables, by names that stand for all of them.

DOVE's code leaves pyiqa's defaults as they are: PSNR of RGB, SSIM of the luminance of YIQ. What those of AdcVSR and
DUO-VSR are of is not known here; DOVE's are taken. FasterVQA, a column of DOVE's, is not measured.
"""
ALTERNATIVES = {"ewarp": ("ewarp_raft", "ewarp_spynet", "ewarp_dis")}
"""Names that stand for the first of several metrics that can be measured."""


def metrics() -> dict[str, type[Metric]]:
    """All imported metrics by name."""
    return {kind.name: kind for kind in registry.subclasses(Metric)}


def find_metric(name: str) -> type[Metric]:
    """The metric of a name, or the first that the name stands for; plugins are loaded if adc has none.

    Raises:
        ValueError: If there is none, or more than one.
    """
    (first, *_) = ALTERNATIVES.get(name, (name,))
    if first not in metrics():
        registry.discover()
    found = [kind for kind in registry.subclasses(Metric) if kind.name == first]
    if len(found) > 1:
        paths = " and ".join(sorted(f"{kind.__module__}.{kind.__qualname__}" for kind in found))
        raise ValueError(f"metric {name!r}: {paths} have this name; rename one.")
    if not found:
        known = sorted([*metrics(), *ALTERNATIVES, *PAPERS])
        raise ValueError(f"no metric {name!r}; {suggest(name, known)}")
    return found[0]


def expand(names: Iterable[str]) -> list[str]:
    """Names of metrics, once each, with their companions; those of `PAPERS` stand for the columns of a table.

    ``ewarp`` stands for several estimators, see `build`.

    Raises:
        ValueError: If there is no such metric.
    """
    columns = [column for name in names for column in PAPERS.get(name, (name,))]
    return list(dict.fromkeys(one for name in columns for one in (name, *find_metric(name).companions)))


def build(
    names: Iterable[str], folder: str | Path | None = None, border: int = 0, device: torch.device | str = "cpu"
) -> tuple[dict[str, Metric], dict[str, str]]:
    """The metrics that can be measured here by name, and reasons why others are skipped.

    Args:
        names: Those of `expand`; ``ewarp`` is the first estimator whose weights are there.
        folder: Folder of weights; the libraries' caches are looked into after it.
        border: Pixels that PSNR and SSIM leave out on each side.
        device: Where to compute.

    Raises:
        ValueError: If a file of weights does not hold what it should, or a metric cannot be made without arguments.
    """
    built: dict[str, Metric] = {}
    skipped: dict[str, str] = {}
    for name in names:
        for one in ALTERNATIVES.get(name, (name,)):
            try:
                if one not in built:
                    built[one] = _load(find_metric(one), folder, border, device)
                break
            except (ModuleNotFoundError, MissingWeightsError) as error:
                skipped[one] = str(error)
    return built, skipped


def _load(kind: type[Metric], folder: str | Path | None, border: int, device: torch.device | str) -> Metric:
    if absent := [package for package in kind.packages if importlib.util.find_spec(package) is None]:
        raise ModuleNotFoundError(f"{' and '.join(absent)} is not installed")
    files = {file: path for file in kind.weights if (path := file.find(folder)) is not None}
    if missing := [" or ".join(file.names) for file in kind.weights if file not in files]:
        where = "the libraries' caches" if folder is None else f"{folder} or the libraries' caches"
        raise MissingWeightsError(f"{' and '.join(missing)}: not in {where}; nothing is downloaded")
    try:
        metric = kind()
    except TypeError as error:
        raise ValueError(f"metric {kind.name!r} cannot be made without arguments ({error}).") from error
    metric.border = border
    metric.load(files, torch.device(device))
    return metric
