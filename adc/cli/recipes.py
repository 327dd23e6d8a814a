"""``adc recipes``: the recipes that ship with adc, listed or copied."""

from __future__ import annotations

import argparse

from adc.cli import EXAMPLES
from adc.cli.options import console_of_output
from adc.errors import UsageError
from adc.recipe_files import copy_recipes, recipe_folders


def main(argv: list[str]) -> None:
    """List the folders of recipes, or copy one."""
    parser = argparse.ArgumentParser(
        "adc recipes",
        description="List the recipes that ship with adc, or copy a folder of them, to run and to change.",
        epilog=f"example: {EXAMPLES['recipes']}",
        allow_abbrev=False,
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="the folder of recipes to copy; lists all if not given")
    parser.add_argument("-o", "--output", metavar="FOLDER", help="where they go; recipes/NAME if not given")
    given = parser.parse_args(argv)
    if given.name is None:
        if given.output is not None:
            raise UsageError(f"--output {given.output}: name the recipes to copy; `adc recipes` lists them.")
        _show(recipe_folders())
        return
    folder = copy_recipes(given.name, given.output)
    runs = any(stem[0].isdigit() for stem in recipe_folders()[given.name])
    way = f"adc run {folder} --dry-run" if runs else f"adc fit -c RECIPE -c {folder}/NAME.yaml"
    print(f"{folder}: copied; `{way}` goes on.")


def _show(found: dict[str, list[str]]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("recipes", no_wrap=True)
    table.add_column("steps, or overlays", overflow="fold")
    for name, stems in found.items():
        table.add_row(name, " ".join(stems))
    console = console_of_output()
    console.print(table)
    console.print("`adc recipes NAME` copies a folder.")
