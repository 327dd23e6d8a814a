"""``adc export``: a student in the formats that other programs read, checked against the original."""

from __future__ import annotations

from pathlib import Path

from adc.cli.options import naming_options, words_of_lists
from adc.cli.parser import OneLineErrors
from adc.exporting.job import export


def main(argv: list[str]) -> None:
    """Parse the command line, export, and print what was written."""
    parser = OneLineErrors(prog="adc export", description="Write a student in other formats.", allow_abbrev=False)
    parser.add_argument("student", help="A student folder, as adc fit and adc prune write it.")
    parser.add_argument("-o", "--output", required=True, help="The folder that the files go to.")
    parser.add_function_arguments(export, skip={"student", "output"}, as_group=False)
    options = vars(parser.parse_args(words_of_lists(argv, ("formats", "variants"))))
    with naming_options(options):
        written = export(**options)
    for row in written["files"]:
        checked = f"differs by {row['difference']:.2g} at most" if "difference" in row else "written"
        loss = f", {row['decibels']:.1f} dB" if "decibels" in row else ""
        file = Path(options["output"]) / row["file"]
        print(f"{file}: {row['bytes'] / 1e6:.1f} MB, {row['what']}; {checked}{loss}")
