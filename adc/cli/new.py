"""``adc new``: the recipes of a project, for a user's weights, photos and machine."""

from __future__ import annotations

import argparse
import logging

from adc.cli import EXAMPLES
from adc.cli.options import console_of_output

SYSTEMS = ("spandrel", "adcsr", "adcvsr", "duovsr")
DEGRADATIONS = ("auto", "real-esrgan", "bicubic")
DESCRIPTION = """Write the recipes of a first project: they make a teacher smaller and train it on your photos.
Weights, photos and machine are looked at before: the network is recognised, photos for validation are put aside, and
a training step is timed, so that the run takes the minutes you give it. `adc run FOLDER` then trains."""
EPILOG = f"""example: {EXAMPLES["new"]}

what comes after it, from weights to a large photo:
  adc run small
  adc upscale photo.png -o large.png --student small/runs/1_distill
small/runs/2_report/report.html then says how near the student is to its teacher. The recipes are commented: change
one, and `adc run small --from 1_distill` does it and what follows again."""


def main(argv: list[str]) -> None:
    """Look at what is there, write the recipes, and name the next commands."""
    parser = argparse.ArgumentParser(
        "adc new",
        description=DESCRIPTION,
        epilog=EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="FOLDER", help="where the recipes go, and what their run makes")
    parser.add_argument("--teacher", metavar="WEIGHTS", required=True, help="a .pth or .safetensors file of a network")
    parser.add_argument(
        "--photos", metavar="FOLDER", required=True, help="what is trained on: 30 do, hundreds are better"
    )
    parser.add_argument("--scale", type=int, metavar="N", help="checks that the network enlarges N times")
    parser.add_argument(
        "--target", metavar="macs=N%", help="the multiply-accumulates that stay; macs=25%% if not given"
    )
    parser.add_argument("--minutes", type=float, help="how long training takes; 10 on a CPU, 60 on a GPU if not given")
    parser.add_argument(
        "--degradation", choices=DEGRADATIONS, help="how photos become LR; measured (auto) if not given"
    )
    parser.add_argument(
        "--system", choices=SYSTEMS, default="spandrel", help="a paper's recipes with your paths; see recipes/README.md"
    )
    options = vars(parser.parse_args(argv))
    logging.getLogger("lightning").setLevel(logging.ERROR)
    from adc.projects import new_project

    console = console_of_output()

    def say(word: str, sentence: str) -> None:
        console.print(f"{word + ':':<10}{sentence}", markup=False, soft_wrap=True)

    for number, command in enumerate(new_project(**options, say=say)):
        say("next" if number == 0 else "then", command)
