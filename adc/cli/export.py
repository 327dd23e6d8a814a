"""``adc export``: a student in the formats that other programs read, checked against the original."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

Format = Literal["diffusers", "onnx", "torch"]
Variant = Literal["fp16", "int8"]


def main(argv: list[str]) -> None:
    """Parse the command line and export."""
    from adc.cli.options import naming_options
    from adc.cli.parser import OneLineErrors

    parser = OneLineErrors(prog="adc export", description="Write a student in other formats.", allow_abbrev=False)
    parser.add_argument("student", help="A student folder, as adc fit and adc prune write it.")
    parser.add_argument("-o", "--output", required=True, help="The folder that the files go to.")
    parser.add_function_arguments(export, skip={"student", "output"}, as_group=False)
    options = vars(parser.parse_args(argv))
    with naming_options(options):
        export(**options)


def export(
    student: str,
    output: str,
    formats: list[Format] = ["diffusers", "onnx", "torch"],  # noqa: B006
    variants: list[Variant] = [],  # noqa: B006
    photos: str | None = None,
    title: str | None = None,
    system: str | None = None,
    license: str | None = None,
    metrics: str | None = None,
) -> None:
    """Write a student in other formats, each checked, and a model card.

    Args:
        student: A student folder.
        output: The folder that the files go to.
        formats: diffusers (config.json and safetensors, for from_pretrained), onnx, torch (a torch.export program).
        variants: Smaller kinds of the ONNX file: fp16, int8; what they lose is measured.
        photos: A folder of photos that set the ranges of int8 and on which losses are measured; bundled ones if null.
        title: Heading of the model card; the folder's name if null.
        system: For the card: the method, for one AdcSR.
        license: For the card: the licence of the weights.
        metrics: For the card: a JSON file, for one report.json.
    """
    from adc.exporting import job

    card: dict[str, Any] = {"title": title, "system": system, "license": license, "metrics": metrics}
    written = job.export(student, output, formats, variants, photos=photos, **card)
    for row in written["files"]:
        checked = f"differs by {row['difference']:.2g} at most" if "difference" in row else "written"
        loss = f", {row['decibels']:.1f} dB" if "decibels" in row else ""
        print(f"{Path(output) / row['file']}: {row['bytes'] / 1e6:.1f} MB, {row['what']}; {checked}{loss}")
