"""The recipes of the papers' systems, with a user's paths filled in."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from adc.errors import UsageError
from adc.projects.edits import texts, with_texts
from adc.recipe_files import FOLDER, PACKAGE


@dataclass(frozen=True)
class System:
    """Where recipes of a system name what belongs to a user.

    Attributes:
        teacher: The teacher's weights.
        data: The training data.
    """

    teacher: str
    data: tuple[str, ...]


SYSTEMS = {
    "adcsr": System("weights/osediff", ("data/lsdir", "data/openimages")),
    "adcvsr": System("weights/dove", ("data/videos",)),
    "duovsr": System("weights/wan", ("data/videos",)),
}
PLACES = ("weights/", "data/", "runs/")
"""How paths begin in recipes that ship."""


def recipes_of(system: str, project: Path, teacher: str, data: str) -> dict[str, str]:
    """The files of a system's folder of recipes by their names in the project, with a project's paths.

    Args:
        system: One of `SYSTEMS`.
        project: The project's folder, which holds the run folders too.
        teacher: The teacher's weights, as `adc` reads them: a folder that a tool of the README wrote.
        data: The folder of training photos or videos.
    """
    known, own = SYSTEMS[system], f"runs/{system}"

    def change(value: str) -> str:
        if value == own or value.startswith(f"{own}/"):
            return str(project / "runs") + value[len(own) :]
        return {known.teacher: teacher, **dict.fromkeys(known.data, data)}.get(value, value)

    found: dict[str, str] = {}
    with as_file(files(PACKAGE) / FOLDER / system) as source:
        for path in sorted(source.rglob("*")):
            if path.is_file():
                text = path.read_text(encoding="utf-8")
                found[str(path.relative_to(source))] = with_texts(text, change) if path.suffix == ".yaml" else text
    return found


def missing_paths(recipes: dict[str, str]) -> list[str]:
    """Paths of data and weights that numbered recipes name and that are not there yet, each once."""
    named = {
        node.value
        for name, text in recipes.items()
        if name[0].isdigit()
        for _, node in texts(text)
        if node.value.startswith(PLACES)
    }
    return sorted(path for path in named if not Path(path).exists())


def check_teacher(system: str, teacher: str) -> None:
    """Refuse weights that are not there.

    Raises:
        UsageError: With the way to make them.
    """
    if not Path(teacher).exists():
        made = f"recipes/{system}/README.md says how {SYSTEMS[system].teacher} is made."
        raise UsageError(f"--teacher {teacher}: no such file or folder; {made}")
