"""A user's first project: recipes for weights and photos, written after both were looked at."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import yaml

from adc.errors import UsageError
from adc.interfaces import Degradation, Student, Teacher
from adc.projects import sentences
from adc.projects.edits import with_texts, with_values
from adc.projects.lr import data_of, degradation_of, validation_size
from adc.projects.parts import build
from adc.projects.photos import Photos, look_at
from adc.projects.target import Cut, cut_to
from adc.projects.timing import Machine, time_step, updates_in
from adc.recipe_files import FOLDER, PACKAGE

TEMPLATE = "new"
"""The folder of recipes that a project is copied from."""
PRUNE, DISTIL, REPORT = "0_prune.yaml", "1_distill.yaml", "2_report.yaml"
STOP, SAVE, AVERAGE = (f"trainer.callbacks.{number}.init_args" for number in range(3))


@dataclass(frozen=True)
class Project:
    """What was found out of weights, photos and machine, and the recipes for them.

    Attributes:
        folder: The project's folder.
        recipes: The recipes by their names; nothing is written yet.
        student: The folder in which the run leaves its student.
    """

    folder: Path
    recipes: dict[str, str]
    student: Path


def plan(
    folder: Path,
    teacher: str,
    photos: str,
    scale: int | None,
    share: float,
    minutes: float | None,
    degradation: str,
    say: Callable[[str, str], None],
) -> Project:
    """Look at weights, photos and machine, and fill in the recipes.

    Args:
        folder: The project's folder.
        teacher: A file of weights.
        photos: A folder of photos.
        scale: The network's, for a check; None takes it as it is.
        share: Of the teacher's multiply-accumulates, what the student may have.
        minutes: How long training takes; None is what suits the machine.
        degradation: One of `adc.projects.lr.DEGRADATIONS`, or ``auto``: measure what the network was trained for.
        say: Takes what was found out, as soon as it is: a word and a sentence.

    Raises:
        UsageError: If something does not fit, with the way out.
    """
    recipes = _template()
    machine = Machine.here()
    found = {name: yaml.safe_load(text) for name, text in recipes.items()}
    network = _build(found[PRUNE]["student"], teacher, Student)
    check_scale(scale, network.scale, teacher)
    side = crop(machine.side, network) * network.scale
    say("teacher", sentences.of_teacher(teacher, network))
    images = look_at(photos, side)
    say("photos", sentences.of_photos(images, side))
    frozen = _build(found[DISTIL]["model"]["init_args"]["teacher"], teacher, Teacher).eval().requires_grad_(False)
    node, reason = degradation_of(degradation, frozen, images, side)
    say("LR", reason)
    cut = cut_to(network, share)
    say("student", sentences.of_cut(cut))
    data = data_of(build(node, Degradation), images, machine.batch, side)
    data.setup("fit")
    step = time_step(copy.deepcopy(cut.student), frozen, iter(data.train_dataloader()), machine)
    updates = updates_in(machine.minutes if minutes is None else minutes, step)
    say("training", sentences.of_training(step, updates, machine, side))
    say("needs", sentences.of_needs(cut, step, updates))
    values = _values(teacher, photos, cut, node, machine, images, side, updates)
    texts = {name: with_values(with_texts(text, _runs(folder)), values[name]) for name, text in recipes.items()}
    return Project(folder, texts, folder / "runs" / Path(DISTIL).stem)


def _template() -> dict[str, str]:
    with as_file(files(PACKAGE) / FOLDER / TEMPLATE) as source:
        return {name: (source / name).read_text(encoding="utf-8") for name in (PRUNE, DISTIL, REPORT)}


def _build(node: dict[str, Any], weights: str, kind: type[Any]) -> Any:
    try:
        return build({**node, "init_args": {**node["init_args"], "weights": weights}}, kind)
    except UsageError as error:
        raise UsageError(f"--teacher: {str(error).removeprefix('weights: ')}") from error


def check_scale(asked: int | None, scale: int, teacher: str) -> None:
    """Refuse a scale that is not the network's."""
    if asked is not None and asked != scale:
        raise UsageError(
            f"--scale {asked}: the network of {teacher} enlarges {scale} times; leave --scale out, or give weights of "
            "that scale."
        )


def crop(side: int, network: Student) -> int:
    """The side of LR crops: at least the one given, a multiple of what the network computes with and of 16."""
    step = math.lcm(16, network.multiple)
    return -(-side // step) * step


def _values(
    teacher: str,
    photos: str,
    cut: Cut,
    degradation: dict[str, Any],
    machine: Machine,
    images: Photos,
    side: int,
    updates: int,
) -> dict[str, dict[str, Any]]:
    """What is filled in, by recipe and key."""
    data: dict[str, Any] = {
        "train_dir": photos,
        "validation_split": images.validation,
        "size": side,
        "degradation": degradation,
        "validation_size": validation_size(degradation["init_args"]["scale"]),
    }
    data = {f"data.init_args.{key}": value for key, value in data.items()}
    return {
        PRUNE: {**data, "student.init_args.weights": teacher, "ratios": cut.ratios},
        DISTIL: {
            **data,
            "data.init_args.batch_size": machine.batch,
            "data.init_args.workers": machine.workers,
            "model.init_args.teacher.init_args.weights": teacher,
            "trainer.precision": machine.precision,
            "trainer.val_check_interval": max(updates // 2, 1),
            f"{STOP}.updates": updates,
            f"{SAVE}.updates": max(updates // 5, 1),
            f"{AVERAGE}.decay": round(1 - 1 / max(updates // 10, 2), 4),
            "model.init_args.roles.student.scheduler.init_args.warmup": min(updates // 10, 200),
        },
        REPORT: {
            **data,
            "restorers.bicubic.init_args.scale": degradation["init_args"]["scale"],
            "restorers.teacher.init_args.weights": teacher,
        },
    }


def _runs(folder: Path) -> Callable[[str], str]:
    own = f"runs/{TEMPLATE}/"
    return lambda value: f"{folder}/runs/{value[len(own) :]}" if value.startswith(own) else value
