"""Recipes that ship with adc, by the names of their folders."""

from __future__ import annotations

import re
import shutil
from importlib.resources import as_file, files
from pathlib import Path

from adc.errors import UsageError, suggest

PACKAGE, FOLDER = "adc", "recipes"


def recipe_folders() -> dict[str, list[str]]:
    """The folders of recipes that ship, by name, and their recipes in order; overlays too."""
    with as_file(files(PACKAGE) / FOLDER) as root:
        found = {path.name: [file.stem for file in path.glob("*.yaml")] for path in sorted(root.iterdir())}
    return {name: sorted(stems, key=_order) for name, stems in found.items() if stems}


def copy_recipes(name: str, folder: str | Path | None = None) -> Path:
    """Copy a folder of recipes, with all that is in it.

    Args:
        name: Its name, one of `recipe_folders`.
        folder: Where the recipes go; None is ``recipes/NAME``, as the documentation names them.

    Raises:
        UsageError: If there is no such folder of recipes, or the place is taken.
    """
    known = recipe_folders()
    if name not in known:
        raise UsageError(f"there are no recipes {name!r}; {suggest(name, known)}")
    target = Path(FOLDER, name) if folder is None else Path(folder)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UsageError(f"{target} is there already; name another folder: adc recipes {name} -o FOLDER.")
    with as_file(files(PACKAGE) / FOLDER / name) as source:
        shutil.copytree(source, target, dirs_exist_ok=True)
    return target


def _order(stem: str) -> tuple[int, str]:
    number = re.match(r"\d+", stem)
    return (int(number[0]) if number else -1, stem)
