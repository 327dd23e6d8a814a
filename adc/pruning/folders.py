"""Student folders by path, and those that ship with plugins by name."""

from __future__ import annotations

import difflib
import importlib.util
from itertools import islice
from pathlib import Path

from adc import registry

DESCRIPTION, STRUCTURE, WEIGHTS = "student.yaml", "structure.json", "model.safetensors"
SHIPPED = "students"
"""The folder of a plugin's package whose subfolders are students that ship with it."""
CHECKPOINTS, RECIPE = "checkpoints", "recipe.json"


def shipped() -> dict[str, Path]:
    """The students that ship with installed plugins, by name; no plugin is imported."""
    found: dict[str, Path] = {}
    for plugin in registry.installed():
        spec = importlib.util.find_spec(plugin.module.partition(".")[0])
        for home in spec.submodule_search_locations or () if spec is not None else ():
            found |= {path.parent.name: path.parent for path in Path(home, SHIPPED).glob(f"*/{DESCRIPTION}")}
    return found


def student_folder(name: str | Path) -> Path:
    """The folder of a student: one that is there, or one that ships with a plugin.

    Raises:
        FileNotFoundError: If there is none, or its files are not all there; says what is there instead.
    """
    home = Path(name)
    if not home.exists() and str(name) in (known := shipped()):
        home = known[str(name)]
    if not home.exists():
        raise FileNotFoundError(f"{home}: no such folder; {_near(home)}")
    if not home.is_dir():
        raise FileNotFoundError(f"{home}: is a file; name the folder that holds {DESCRIPTION}.")
    missing = [file for file in (DESCRIPTION, STRUCTURE, WEIGHTS) if not (home / file).is_file()]
    if missing:
        raise FileNotFoundError(f"{home / missing[0]}: no such file; {_instead(home, missing)}")
    return home


def _near(home: Path) -> str:
    beside = [str(path.parent) for path in home.parent.glob(f"*/{DESCRIPTION}")]
    near = difflib.get_close_matches(str(home), [*beside, *shipped()], 1)
    hint = f"did you mean {near[0]}? " if near else ""
    ships = f" (one that ships with adc: {', '.join(sorted(shipped()))})" if shipped() else ""
    return f"{hint}expected one that `adc prune` or a stage has written{ships}."


def _instead(home: Path, missing: list[str]) -> str:
    """What a folder without a student is, and the way out."""
    if len(missing) < 3:
        return "the student folder is not complete. Write it again."
    below = sorted(str(path.parent) for path in islice(home.glob(f"*/{DESCRIPTION}"), 20))
    below = below or sorted(str(path.parent) for path in islice(home.glob(f"*/*/{DESCRIPTION}"), 20))
    if below:
        do = "does; name it" if len(below) == 1 else "do; name one of them"
        return f"this folder holds no student, but {' and '.join(below)} {do}."
    if (home / CHECKPOINTS).is_dir() or (home / RECIPE).is_file():
        saved = sorted((home / CHECKPOINTS).glob("*.ckpt"))
        state = f"its newest checkpoint is {saved[-1].name}" if saved else "it has no checkpoint yet"
        return (
            f"this run is not finished ({state}); the command that began it goes on, and writes its student at the end."
        )
    return "this folder holds no student; expected one that `adc prune` or a stage has written."
