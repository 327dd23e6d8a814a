"""``adc evaluate``: restored images and videos against their references."""

from __future__ import annotations

import json
from pathlib import Path

from adc.cli.options import leave, naming_options, words_of_lists
from adc.cli.parser import OneLineErrors
from adc.errors import UsageError
from adc.evaluation import tables
from adc.evaluation.evaluate import evaluate, measure_methods
from adc.media.names import check_place
from adc.runs import write_text

FILES = {
    "json": "Also write the figures into this file.",
    "csv": "Also write the figures of each image into this file.",
    "markdown": "Also write the means, intervals and comparisons into this file.",
}


def main(argv: list[str]) -> None:
    """Parse the command line, compare, and print tables."""
    description = "Compare restored images or videos with references, with the metrics and options of the papers."
    parser = OneLineErrors(prog="adc evaluate", description=description, allow_abbrev=False)
    parser.add_argument("restored", help="An image or a folder of images; with --video a clip or a folder of clips.")
    parser.add_argument(
        "reference",
        help="The reference; for a folder, a folder with the same names. A label that all names of a folder end in may "
        "differ: 0801x4 and 0801, 1_LR4 and 1_HR. A reference whose size is no multiple of the scale is cropped to the "
        "result's at the right and bottom. What was cropped, left out or damaged is noted.",
    )
    parser.add_argument(
        "--metrics",
        type=list[str] | None,
        help="Which: psnr_y ssim_y ssim_y_unrounded psnr_rgb ssim_rgb ssim_yiq lpips dists fid niqe musiq maniqa-pipal "
        "clipiqa, and with --video tlpips flicker unsteadiness ewarp ewarp_raft ewarp_spynet ewarp_dis dover; "
        "also sharpness sharpness_ratio. The names of papers, adcsr dove adcvsr duovsr, stand for the columns of their "
        "tables. Those of AdcSR's if not given; of clips what tables have in common, tlpips and flicker. ewarp takes "
        "the first estimator whose weights are there. A metric of a plugin goes by its own name; `adc list --kind "
        "Metric` shows all.",
    )
    parser.add_argument(
        "--compare", nargs="+", help="Other methods' results for the same references, compared with the first."
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
    parser.add_argument(
        "--partial", action="store_true", help="Leave out what has no partner; its number and some names are noted."
    )
    written: set[str | int] = {"restored", "reference", "metrics", "compare", "weights_dir", "video", "partial"}
    parser.add_function_arguments(evaluate, skip=written, as_group=False)
    for name, text in FILES.items():
        parser.add_argument(f"--{name}", type=str | None, help=text)
    options = vars(parser.parse_args(words_of_lists(argv, ("metrics",))))
    files = {name: options.pop(name) for name in FILES}
    with naming_options({*options, *FILES}):
        for name in (name for name in FILES if files[name] is not None):
            if Path(files[name]).is_dir():
                raise UsageError(f"{name} {files[name]}: is a folder; name a file.")
            check_place(files[name], name)
        methods = [options.pop("restored"), *(options.pop("compare") or [])]
        outcome = measure_methods(methods, **options)
    if (results := outcome.results) is not None:
        tables.show(results)
        for name, text in (("json", tables.as_json), ("csv", tables.as_csv), ("markdown", tables.as_markdown)):
            if files[name] is not None:
                content = text(results)
                write_text(files[name], content if isinstance(content, str) else json.dumps(content, indent=2) + "\n")
    leave(outcome.failed, outcome.pairs)
