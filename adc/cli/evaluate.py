"""``adc evaluate``: restored images and videos against their references."""

from __future__ import annotations

import json as json_text


def main(argv: list[str]) -> None:
    """Parse the command line and compare."""
    from adc.cli.options import naming_options
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
        "whose weights are there.",
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
    options = vars(parser.parse_args(argv))
    with naming_options(options):
        evaluate(**options)


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
    from adc.cli.options import leave
    from adc.evaluation import tables
    from adc.evaluation.evaluate import measure_methods

    methods = [restored, *(compare or [])]
    outcome = measure_methods(methods, reference, metrics, video, border, weights_dir, level, device)
    if (results := outcome.results) is not None:
        tables.show(results)
        tables.write(json, json_text.dumps(tables.as_json(results), indent=2) + "\n" if json else "")
        tables.write(csv, tables.as_csv(results) if csv else "")
        tables.write(markdown, tables.as_markdown(results) if markdown else "")
    leave(outcome.failed, outcome.pairs)
