"""A user's first project: recipes for weights and photos, written after both were looked at."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import torch
import yaml

from adc.data import DegradedClips
from adc.errors import UsageError
from adc.interfaces import Degradation, Student, Teacher
from adc.metrics.fidelity import psnr_y
from adc.ops.clip import upsample_bicubic
from adc.progress import clock
from adc.projects.edits import with_texts, with_values
from adc.projects.parts import build
from adc.projects.photos import Photos, look_at
from adc.projects.target import Cut, cut_to
from adc.projects.timing import FEWEST, Machine, Step, duration, time_step, updates_in
from adc.recipe_files import FOLDER, PACKAGE

TEMPLATE = "new"
"""The folder of recipes that a project is copied from."""
PRUNE, DISTIL, REPORT = "0_prune.yaml", "1_distill.yaml", "2_report.yaml"
STOP, SAVE, AVERAGE = (f"trainer.callbacks.{number}.init_args" for number in range(3))
DEGRADATIONS = {
    "real-esrgan": {"class_path": "SecondOrder", "init_args": {"preset": "real-esrgan"}},
    "bicubic": {"class_path": "BicubicDown", "init_args": {}},
}
"""How LR is made, by the kind of photos that a network was trained for: photos as they are, or bicubic reductions."""
GAIN = 0.5
"""Decibels over bicubic interpolation, on bicubic reductions, from which a network was trained for these."""
TESTED = 4
"""Photos on which that is measured."""
CHECKPOINTS = 3 * 4
"""Copies of the student's numbers on the disk: three checkpoints of weights, average and Adam's two moments."""
LOGS = 20 * 2**20
"""Bytes of curves, samples and the report, about."""


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
        degradation: One of `DEGRADATIONS`, or ``auto``, which measures what the network was trained for.
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
    say("teacher", f"{teacher}: {network.summary()}, enlarges {network.scale} times, {_millions(network)}")
    images = look_at(photos, side)
    say("photos", _of_photos(images, side))
    frozen = _build(found[DISTIL]["model"]["init_args"]["teacher"], teacher, Teacher).eval().requires_grad_(False)
    node, reason = _degradation(degradation, frozen, images, side)
    say("LR", reason)
    cut = cut_to(network, share)
    say("student", _of_cut(cut))
    data = _data(build(node, Degradation), images, machine, side)
    data.setup("fit")
    step = time_step(copy.deepcopy(cut.student), frozen, iter(data.train_dataloader()), machine)
    updates = updates_in(machine.minutes if minutes is None else minutes, step)
    say("training", _of_training(step, updates, machine, side))
    say("needs", _of_needs(cut, step, updates))
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


def _degradation(asked: str, teacher: Teacher, photos: Photos, side: int) -> tuple[dict[str, Any], str]:
    """The node of a recipe that makes LR, and why."""
    kind, reason = asked, "as asked"
    if asked == "auto":
        gain = gain_on_reductions(teacher, photos, side)
        kind = "bicubic" if gain >= GAIN else "real-esrgan"
        reason = f"on bicubic reductions of your photos the teacher is {gain:+.1f} dB from bicubic interpolation"
    node = copy.deepcopy(DEGRADATIONS[kind])
    node["init_args"]["scale"] = teacher.scale
    what = {
        "bicubic": "made by bicubic reduction",
        "real-esrgan": "made as Real-ESRGAN makes it, with blur, noise and JPEG",
    }
    return node, f"{what[kind]} ({reason})"


@torch.no_grad()
def gain_on_reductions(teacher: Teacher, photos: Photos, side: int) -> float:
    """How much nearer to photos a network is than bicubic interpolation, on their bicubic reductions, in dB of PSNR-Y.

    Above zero for one that was trained for such images; one that was trained for looks, on images with other faults,
    is below.
    """
    reduction = {**DEGRADATIONS["bicubic"], "init_args": {"scale": teacher.scale}}
    data = _data(build(reduction, Degradation), photos, Machine("cpu", "32-true", 1, 0, 0, 0), side)
    data.validation_limit = TESTED
    data.setup("validate")
    gains = []
    for batch in data.val_dataloader():
        lr, hr = batch["lr"], batch["hr"]
        gains.append((psnr_y(teacher.restore(lr), hr) - psnr_y(upsample_bicubic(lr, teacher.scale), hr)).item())
    return sum(gains) / len(gains)


def _data(degradation: Degradation, photos: Photos, machine: Machine, side: int) -> DegradedClips:
    """The data of the recipe; crops are made in this process, so that making them can be timed."""
    return DegradedClips(
        degradation,
        machine.batch,
        photos.folder,
        size=side,
        validation_split=photos.validation,
        validation_size=max(256, 16 * degradation.scale),
        broken="skip",
        small="reflect",
        workers=0,
    )


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
        "validation_size": max(256, 16 * degradation["init_args"]["scale"]),
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


def _millions(network: torch.nn.Module) -> str:
    return f"{sum(parameter.numel() for parameter in network.parameters()) / 1e6:.2f} M parameters"


def _of_photos(photos: Photos, side: int) -> str:
    small = f"; {photos.small} smaller than {side} x {side} are mirrored at their borders" if photos.small else ""
    training = photos.count - photos.validation
    return (
        f"{photos.folder}: {photos.count}, of which {training} to train on and {photos.validation} to validate{small}"
    )


def _of_cut(cut: Cut) -> str:
    ratio = next(iter(cut.ratios.values()))
    left = f"{cut.after.parameters / 1e6:.2f} M parameters, {cut.share:.1%} of the multiply-accumulates"
    return f"{ratio:.1%} of the channels go; {left} stay"


def _of_training(step: Step, updates: int, machine: Machine, side: int) -> str:
    crops = f"a step of {machine.batch} crops of {side} x {side} takes {step.seconds:.2g} s on {machine.name}"
    few = "; few: more --minutes, or a GPU, make more of it" if updates <= 10 * FEWEST else ""
    return f"{crops}; {updates} of them{few}"


def _of_needs(cut: Cut, step: Step, updates: int) -> str:
    disk = CHECKPOINTS * 4 * cut.after.parameters + LOGS
    seconds = clock(duration(updates, step))
    return f"{step.memory / 2**30:.1f} GiB of memory, {disk / 2**20:.0f} MiB of disk, about {seconds} (h:mm:ss)"
