"""Restored images and videos against their references: metrics, intervals, comparisons of methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adc.errors import UsageError
from adc.evaluation.measure import Measurer
from adc.evaluation.pairs import find_pairs, holds_videos
from adc.evaluation.tables import Results, as_json
from adc.inference.device import find_device
from adc.interfaces import FileMetric
from adc.metrics.registry import IMAGE, VIDEO, build, expand, find_metric
from adc.progress import note


@dataclass(frozen=True)
class Outcome:
    """Results of the methods that could be measured (None without any), numbers of failed pairs and of all pairs."""

    results: Results | None
    failed: int
    pairs: int


def evaluate(
    restored: str | Path,
    reference: str | Path,
    metrics: Sequence[str] | None = None,
    *,
    compare: Sequence[str | Path] = (),
    video: bool = False,
    border: int = 0,
    weights_dir: str | Path | None = None,
    level: float = 0.95,
    partial: bool = False,
    device: str = "auto",
) -> dict[str, Any]:
    """Compare images or videos with references, as ``adc evaluate --json`` writes it.

    Args:
        restored: An image or a folder of images; a video file, a folder of frames, or a folder of these.
        reference: The reference, or a folder with one of the same name for each; a label that all names of a folder
            end in may differ (0801x4 and 0801, 1_LR4 and 1_HR). One whose size is no multiple of the scale is cropped.
        metrics: Names of metrics, and of papers (`adc.metrics.registry.PAPERS`); None is those of the papers' tables.
        compare: Other methods' results for the same references.
        video: Whether folders of frames are videos. Video files always are.
        border: Pixels on each side that PSNR and SSIM leave out.
        weights_dir: A folder with the metrics' weights; the caches of their libraries are looked into after it.
        level: The share of resampled means that an interval holds.
        partial: Whether what has no partner is left out, and noted; otherwise it is an error.
        device: Where to compute: ``auto`` is a GPU if there is one; cpu, cuda or cuda:1.

    Returns:
        ``mean`` and ``interval`` by metric, ``images`` with the figures of each, ``metrics``, ``skipped``, ``notes``,
        ``options``; of several methods the first three under ``methods`` by name, beside ``comparisons``.

    Raises:
        FileNotFoundError: If a file or folder is not there.
        UsageError: If an option is out of its range.
        ValueError: If nothing can be measured.
    """
    outcome = measure_methods(
        [restored, *compare], reference, metrics, video, border, weights_dir, level, partial, device
    )
    if outcome.results is None:
        raise ValueError(f"{restored}: none of {outcome.pairs} could be compared with {reference}.")
    return as_json(outcome.results)


def measure_methods(
    methods: Sequence[str | Path],
    reference: str | Path,
    metrics: Sequence[str] | None = None,
    video: bool = False,
    border: int = 0,
    weights_dir: str | Path | None = None,
    level: float = 0.95,
    partial: bool = False,
    device: str = "auto",
) -> Outcome:
    """Measure each method's results against the same references; see `evaluate`."""
    if border < 0:
        raise UsageError(f"border {border}: a number of pixels, 0 or more.")
    if not 0 < level < 1:
        raise UsageError(f"level {level}: between 0 and 1, for one 0.95.")
    if weights_dir is not None and not Path(weights_dir).is_dir():
        raise FileNotFoundError(f"weights-dir {weights_dir}: no such folder.")
    folders = _named([str(path) for path in methods])
    video = video or any(holds_videos(Path(path)) for path in (*folders.values(), reference))
    about: dict[str, list[str]] = {name: [] for name in folders}
    pairs = {
        name: find_pairs(Path(path), Path(reference), video, partial, about[name].append)
        for name, path in folders.items()
    }
    place = find_device(device)
    built, skipped = _metrics(metrics, video, weights_dir, border, place)
    folder = next((pair.restored for found in pairs.values() for pair in found if pair.restored.is_dir()), None)
    for name, metric in list(built.items()):
        if isinstance(metric, FileMetric) and folder is not None:
            skipped[name] = f"reads video files itself; {folder} is a folder of frames"
            del built[name]
    if not built:
        raise ValueError(f"nothing to measure: {'; '.join(f'{name}: {why}' for name, why in skipped.items())}.")
    measurer = Measurer(built, video, place)
    found = [measurer.method(name, some) for name, some in pairs.items()]
    for method in found:
        method.notes[:0] = [("", text) for text in about[method.name]]
        for line in method.lines:
            if not line.startswith("error: "):  # reported when it happened
                note(f"{method.name}: {line}")
    results = None
    if measured := [method for method in found if method.rows]:
        results = Results(measured, built, skipped, level, "clip" if video else "image", {"border": border})
    return Outcome(results, sum(method.failed for method in found), sum(method.pairs for method in found))


def _metrics(
    names: Sequence[str] | None, video: bool, folder: str | Path | None, border: int, device: Any
) -> tuple[dict[str, Any], dict[str, str]]:
    """Metrics by name, and reasons why others are skipped."""
    if names is not None and not [*names]:
        raise UsageError("metrics: none is named; leave the option out for those of the papers' tables.")
    try:
        expanded = expand([*names] if names is not None else VIDEO if video else IMAGE)
    except ValueError as error:
        raise UsageError(f"metrics: {error}") from None
    for name in expanded:
        metric = find_metric(name)
        if not video and (metric.frames > 1 or issubclass(metric, FileMetric)):
            raise UsageError(f"metrics {name}: looks at successive frames; add --video.")
    return build(expanded, folder, border, device)


def _named(paths: list[str]) -> dict[str, str]:
    """A name for each method: the shortest end of its path that no other has."""
    parts = [Path(path).resolve().parts for path in paths]
    if len(set(parts)) < len(parts):
        raise UsageError("compare: one result is given twice.")
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return dict(zip(names, paths, strict=True))
    raise AssertionError("paths that differ have names that differ")
