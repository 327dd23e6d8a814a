"""``adc report``: restorers measured side by side, as data, a page and sample sheets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from adc import runs
from adc.cli.options import console_of_output
from adc.cli.parser import component_parser, load_components, recipes_of
from adc.evaluation.report import RESULTS, write_report
from adc.evaluation.report_page import headline, terminal_table
from adc.interfaces import Restorer


def main(argv: list[str]) -> None:
    """Measure the restorers of a recipe and write the report."""
    load_components(training=True)
    parser = component_parser("adc report", "Measure restorers side by side and write a report.")
    parser.add_argument("--folder", type=str, required=True, help="Where the report goes.")
    parser.add_subclass_arguments(pl.LightningDataModule, "data", help="Its validation clips are restored.")
    parser.add_argument(
        "--restorers",
        type=dict[str, Restorer],
        required=True,
        help="What is compared, by name; `student` is the result.",
    )
    parser.add_argument(
        "--stages", type=list[str], default=[], help="Run folders of the stages in their order, each holding a student."
    )
    own: set[str | int] = {"folder", "data", "restorers", "stages"}
    parser.add_function_arguments(write_report, skip=own, as_group=False)
    parser.add_argument("--seed_everything", type=int, default=0, help="Seed of untrained weights.")
    config = parser.parse_args(argv)
    pl.seed_everything(config.seed_everything, verbose=False)
    built: Any = parser.instantiate_classes(config)
    folder = Path(config.folder)
    runs.clear(folder, trains=False)
    runs.begin(folder, recipes_of(argv))
    options = config.stages, config.title, config.rounds, config.niqe, config.reference, built.scorer
    write_report(folder, built.data, dict(built.restorers), *options)
    runs.finish(folder)
    report = runs.read_json(folder / "report.json")
    console_of_output().print(terminal_table(report))
    if line := headline(report):
        print(line)
    for name in RESULTS:
        if (folder / name).exists():
            print(folder / name)
