"""What `adc new` says of what it found."""

from __future__ import annotations

from adc.interfaces import Student
from adc.progress import clock
from adc.projects.photos import Photos
from adc.projects.target import Cut
from adc.projects.timing import FEWEST, Machine, Step, duration

CHECKPOINTS = 3 * 4
"""Copies of the student's numbers on the disk: three checkpoints of weights, average and Adam's two moments."""
LOGS = 20 * 2**20
"""Bytes of curves, samples and the report, about."""


def of_teacher(weights: str, network: Student) -> str:
    """What a file of weights holds."""
    millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    return f"{weights}: {network.summary()}, enlarges {network.scale} times, {millions:.2f} M parameters"


def of_photos(photos: Photos, side: int) -> str:
    """How a folder of photos is divided."""
    small = f"; {photos.small} smaller than {side} x {side} are mirrored at their borders" if photos.small else ""
    training = photos.count - photos.validation
    return (
        f"{photos.folder}: {photos.count}, of which {training} to train on and {photos.validation} to validate{small}"
    )


def of_cut(cut: Cut) -> str:
    """What goes, and what stays."""
    ratio = next(iter(cut.ratios.values()))
    left = f"{cut.after.parameters / 1e6:.2f} M parameters, {cut.share:.1%} of the multiply-accumulates"
    return f"{ratio:.1%} of the channels go; {left} stay"


def of_training(step: Step, updates: int, machine: Machine, side: int) -> str:
    """What a step takes, and how many there are."""
    crops = f"a step of {machine.batch} crops of {side} x {side} takes {step.seconds:.2g} s on {machine.name}"
    few = "; few: more --minutes, or a GPU, make more of it" if updates <= 10 * FEWEST else ""
    return f"{crops}; {updates} of them{few}"


def of_needs(cut: Cut, step: Step, updates: int) -> str:
    """Memory, disk and time of the whole run."""
    disk = CHECKPOINTS * 4 * cut.after.parameters + LOGS
    seconds = clock(duration(updates, step))
    return f"{step.memory / 2**30:.1f} GiB of memory, {disk / 2**20:.0f} MiB of disk, about {seconds} (h:mm:ss)"
