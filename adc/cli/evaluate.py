"""``adc evaluate``: restored images and videos against their references."""

from __future__ import annotations

import json as json_text
from pathlib import Path
from typing import Any

from adc.errors import UsageError


def main(argv: list[str]) -> None:
    """Parse the command line and compare."""
    from adc.cli.parser import OneLineErrors

    description = "Compare restored images or videos with references, with the metrics and options of the papers."
    parser = OneLineErrors(prog="adc evaluate", description=description, allow_abbrev=False)
    parser.add_argument("restored", help="An image or a folder of images; with --video a clip or a folder of clips.")
    parser.add_argument("reference", help="The reference; for a folder, a folder with the same names.")
    parser.add_argument(
        "--metrics",
        nargs="+",
        help="Which: psnr_y ssim_y ssim_y_unrounded psnr_rgb ssim_rgb ssim_yiq lpips dists fid niqe musiq maniqa-pipal "
        "clipiqa, and with --video tlpips flicker unsteadiness ewarp ewarp_raft ewarp_spynet ewarp_dis dover; "
        "also sharpness sharpness_ratio. Those of the papers' tables if not given; ewarp takes the first estimator "
        "whose weights are there. A metric of a plugin goes by its own name; `adc list --kind Metric` shows all.",
    )
    parser.add_argument(
        "--compare", nargs="+", help="Other methods' results for the same references, to be told apart from the first."
    )
    parser.add_argument(
        "--weights-dir",
        type=str | None,
        help="A folder with the metrics' weights; the caches of their libraries are looked into after it.",
    )
    parser.add_argument(
        "--video",
        action="store_true",
        help="Compare clips: folders of frames are clips then. Video files are always taken for clips.",
    )
    written: set[str | int] = {"restored", "reference", "metrics", "compare", "weights_dir", "video"}
    parser.add_function_arguments(evaluate, skip=written, as_group=False)
    evaluate(**vars(parser.parse_args(argv)))


def evaluate(
    restored: str,
    reference: str,
    metrics: list[str] | None = None,
    compare: list[str] | None = None,
    video: bool = False,
    border: int = 0,
    weights_dir: str | None = None,
    level: float = 0.95,
    device: str = "auto",
    json: str | None = None,
    csv: str | None = None,
    markdown: str | None = None,
) -> None:
    """Compare images or clips with references.

    Args:
        restored: An image or a folder of images; a clip is a video file or a folder of frames.
        reference: The reference, or a folder with one of the same name for each.
        metrics: Names of metrics; null is those of the papers' tables.
        compare: Other methods' results for the same references.
        video: Compare clips; folders of frames are clips then. Video files are always taken for clips.
        border: Pixels on each side that PSNR and SSIM leave out.
        weights_dir: A folder with the metrics' weights; the caches of their libraries are looked into after it.
        level: The share of resampled means that an interval holds.
        device: Where to compute: auto takes a GPU if there is one; cpu, cuda or cuda:1.
        json: Also write the figures into this file.
        csv: Also write the figures of each image into this file.
        markdown: Also write the means, intervals and comparisons into this file.
    """
    from adc.evaluation import tables as output
    from adc.evaluation.batch import leave
    from adc.evaluation.measure import Measurer
    from adc.evaluation.pairs import find_pairs, holds_videos

    _check(border, level, weights_dir)
    folders = _named([restored, *(compare or [])])
    video = video or any(holds_videos(Path(path)) for path in (*folders.values(), reference))
    pairs = {name: find_pairs(Path(path), Path(reference), video) for name, path in folders.items()}
    place = _place(device)
    built, skipped = _metrics(metrics, video, weights_dir, border, place)
    _leave_out_files(built, skipped, [pair.restored for found in pairs.values() for pair in found])
    if not built:
        raise ValueError(f"nothing to measure: {'; '.join(f'{name}: {why}' for name, why in skipped.items())}.")
    measurer = Measurer(built, video, place)
    methods = [measurer.method(name, found) for name, found in pairs.items()]
    measured = [method for method in methods if method.rows]
    if measured:
        results = output.Results(measured, built, skipped, level, "clip" if video else "image", {"border": border})
        output.show(results)
        output.write(json, json_text.dumps(output.as_json(results), indent=2) + "\n" if json else "")
        output.write(csv, output.as_csv(results) if csv else "")
        output.write(markdown, output.as_markdown(results) if markdown else "")
    leave(sum(method.failed for method in methods), sum(method.pairs for method in methods))


def _check(border: int, level: float, weights_dir: str | None) -> None:
    if border < 0:
        raise UsageError(f"--border {border}: a number of pixels, 0 or more.")
    if not 0 < level < 1:
        raise UsageError(f"--level {level}: between 0 and 1, for one 0.95.")
    if weights_dir is not None and not Path(weights_dir).is_dir():
        raise FileNotFoundError(f"--weights-dir {weights_dir}: no such folder.")


def _place(device: str) -> Any:
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.zeros(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise UsageError(f"--device {device}: {reason}; there are auto, cpu, cuda and cuda:1.") from None


def _metrics(
    names: list[str] | None, video: bool, folder: str | None, border: int, device: Any
) -> tuple[dict[str, Any], dict[str, str]]:
    """What can be measured, and why the rest cannot."""
    from adc.interfaces import FileMetric
    from adc.metrics.registry import IMAGE, VIDEO, build, expand, find_metric

    try:
        wanted = expand(names if names is not None else VIDEO if video else IMAGE)
    except ValueError as error:
        raise UsageError(f"--metrics: {error}") from None
    for name in wanted:
        metric = find_metric(name)
        if not video and (metric.frames > 1 or issubclass(metric, FileMetric)):
            raise UsageError(f"--metrics {name}: looks at successive frames; add --video.")
    return build(wanted, folder, border, device)


def _leave_out_files(built: dict[str, Any], skipped: dict[str, str], paths: list[Path]) -> None:
    from adc.interfaces import FileMetric

    for name, metric in list(built.items()):
        if isinstance(metric, FileMetric) and (folders := [path for path in paths if path.is_dir()]):
            skipped[name] = f"reads video files itself; {folders[0]} is a folder of frames"
            del built[name]


def _named(paths: list[str]) -> dict[str, str]:
    """A name for each method: the shortest end of its path that no other has."""
    parts = [Path(path).resolve().parts for path in paths]
    if len(set(parts)) < len(parts):
        raise UsageError("--compare: one result is given twice.")
    longest = max(len(part) for part in parts)
    for length in range(1, longest + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return dict(zip(names, paths, strict=True))
    raise AssertionError("paths that differ have names that differ")
