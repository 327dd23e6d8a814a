"""A new project: checked, planned and written."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from adc import runs
from adc.errors import UsageError
from adc.projects.photos import look_at
from adc.projects.systems import check_teacher, missing_paths, recipes_of
from adc.projects.target import share_of

TARGET = "macs=25%"
SCALE = 4
"""That of the papers' systems."""


def new_project(
    folder: str,
    teacher: str,
    photos: str,
    *,
    scale: int | None = None,
    target: str | None = None,
    minutes: float | None = None,
    degradation: str | None = None,
    system: str = "spandrel",
    say: Callable[[str, str], None] = lambda word, sentence: None,
) -> list[str]:
    """Write the recipes of a project into a folder, all of them or none.

    Args:
        folder: Where they go; it must not be there, or be empty.
        teacher: The teacher's weights: a file that spandrel reads, or what the recipes of a system take.
        photos: The folder of photos to train and to validate on; of videos for a system of videos.
        scale: How many times larger results are; None is the network's own.
        target: What stays of the teacher's cost; None is ``macs=25%``.
        minutes: How long training takes; None is 10 on a CPU, 60 on a GPU.
        degradation: How LR is made of the photos, ``real-esrgan`` or ``bicubic``; None or ``auto`` measures which one
            the teacher was trained for.
        system: ``spandrel``, or a paper's system whose recipes are written with these paths.
        say: Takes what is found out, as soon as it is: a word and a sentence.

    Returns:
        The commands that come next.

    Raises:
        UsageError: If something does not fit: one line with the option and the way out. Nothing is written then.
    """
    home = Path(folder)
    _check_folder(home)
    if minutes is not None and not 0 < minutes < 1e6:
        raise UsageError(f"--minutes {minutes:g}: expected how long training takes, above 0.")
    if system != "spandrel":
        return _system(
            home, teacher, photos, scale, system, say, target=target, minutes=minutes, degradation=degradation
        )
    share = share_of(target or TARGET)
    if not Path(teacher).is_file():
        what = "is a folder" if Path(teacher).is_dir() else "no such file"
        raise UsageError(f"--teacher {teacher}: {what}; name the weights of a network, a .pth or .safetensors file.")
    look_at(photos, 1)
    from adc.projects.project import plan

    project = plan(home, teacher, photos, scale, share, minutes, degradation or "auto", say)
    _write(home, project.recipes)
    say("written", f"{home}: {', '.join(project.recipes)}")
    return [_command("run", home), _command("upscale", "PHOTO", "-o", "large.png", "--student", project.student)]


def _system(
    home: Path,
    teacher: str,
    data: str,
    scale: int | None,
    system: str,
    say: Callable[[str, str], None],
    **given: object,
) -> list[str]:
    for name, value in given.items():
        if value is not None:
            raise UsageError(
                f"--{name}: the recipes of {system} have the paper's; leave it out, and change them there."
            )
    if scale not in (None, SCALE):
        raise UsageError(f"--scale {scale}: {system} enlarges {SCALE} times; leave --scale out.")
    check_teacher(system, teacher)
    if not Path(data).is_dir() or not any(Path(data).iterdir()):
        what = "is empty" if Path(data).is_dir() else "no such folder"
        raise UsageError(f"--photos {data}: {what}; name the folder that holds what is trained on.")
    recipes = recipes_of(system, home, teacher, data)
    _write(home, recipes)
    say("written", f"{home}: {', '.join(name for name in recipes if name[0].isdigit())}")
    if missing := missing_paths(recipes):
        say("missing", f"{', '.join(missing)}; {home}/README.md says how they are made")
    return [_command("run", home, "--dry-run")]


def _command(*words: object) -> str:
    return shlex.join(["adc", *map(str, words)])


def _check_folder(home: Path) -> None:
    if home.exists() and not (home.is_dir() and not any(home.iterdir())):
        what = "holds something already" if home.is_dir() else "is a file"
        raise UsageError(f"{home}: {what}; name another folder, or go on with `adc run {home}`.")


def _write(home: Path, recipes: dict[str, str]) -> None:
    """Write all of them, or remove those that were written."""
    try:
        for name, text in sorted(recipes.items()):
            runs.write_text(home / name, text)
    except OSError:
        for name in recipes:
            (home / name).unlink(missing_ok=True)
        raise
