"""How LR is made of a user's photos, as the teacher knows it."""

from __future__ import annotations

import copy
from typing import Any

import torch

from adc.data import DegradedClips
from adc.interfaces import Degradation, Teacher
from adc.metrics.fidelity import psnr_y
from adc.ops.clip import upsample_bicubic
from adc.projects.parts import build
from adc.projects.photos import Photos

DEGRADATIONS = {
    "real-esrgan": {"class_path": "SecondOrder", "init_args": {"preset": "real-esrgan"}},
    "bicubic": {"class_path": "BicubicDown", "init_args": {}},
}
"""How LR is made, by the kind of photos that a network was trained for: photos as they are, or bicubic reductions."""
GAIN = 0.5
"""Decibels over bicubic interpolation, on bicubic reductions, from which a network was trained for these."""
TESTED = 4
"""Photos on which that is measured."""


def degradation_of(asked: str, teacher: Teacher, photos: Photos, side: int) -> tuple[dict[str, Any], str]:
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
    data = data_of(build(reduction, Degradation), photos, 1, side)
    data.validation_limit = TESTED
    data.setup("validate")
    gains = []
    for batch in data.val_dataloader():
        lr, hr = batch["lr"], batch["hr"]
        gains.append((psnr_y(teacher.restore(lr), hr) - psnr_y(upsample_bicubic(lr, teacher.scale), hr)).item())
    return sum(gains) / len(gains)


def data_of(degradation: Degradation, photos: Photos, batch: int, side: int) -> DegradedClips:
    """The data of the recipe; crops are made in this process, so that making them can be timed."""
    return DegradedClips(
        degradation,
        batch,
        photos.folder,
        size=side,
        validation_split=photos.validation,
        validation_size=validation_size(degradation.scale),
        broken="skip",
        small="reflect",
        workers=0,
    )


def validation_size(scale: int) -> int:
    """The side of HR crops for validation, of which LR has at least 16 pixels."""
    return max(256, 16 * scale)
