"""How long a training step takes on this machine, measured, and what fits into some minutes."""

from __future__ import annotations

import math
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from adc.interfaces import Student, Teacher
from adc.training.precision import has_kernels

REPEATS, LONGEST = 5, 10.0
"""Steps that are timed after the first, as long as they take fewer seconds together."""
SHARE = 0.85
"""Of the minutes, this much is for steps; validation and checkpoints take the rest."""
FEWEST = 20
"""Updates below which a run makes no sense."""
STARTS = 45.0
"""Seconds that the three commands of a run take to start, to prune and to write the report, about."""


@dataclass(frozen=True)
class Machine:
    """What trains here: ``cpu`` or ``cuda``, and the settings of recipes that follow from it.

    Attributes:
        device: Where the networks are.
        precision: ``trainer.precision``.
        batch: Crops in a batch.
        side: Height and width of the LR crops, about.
        workers: Processes that make crops.
        minutes: How long training takes, if nobody says.
    """

    device: str
    precision: str
    batch: int
    side: int
    workers: int
    minutes: float

    @classmethod
    def here(cls) -> Machine:
        """The machine that this process runs on."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        if torch.cuda.is_available():
            return cls("cuda", "bf16-mixed", 16, 64, min(8, cores), 60.0)
        precision = "bf16-mixed" if has_kernels("bf16") else "32-true"
        return cls("cpu", precision, 4, 32, min(cores - 1, 2), 10.0)

    @property
    def name(self) -> str:
        """The device, in words."""
        if self.device == "cuda":
            return torch.cuda.get_device_name()
        threads = torch.get_num_threads()
        return f"the CPU, {threads} thread{'s' if threads > 1 else ''}"


@dataclass(frozen=True)
class Step:
    """What a training step costs.

    Attributes:
        seconds: The quickest of several; other jobs on the machine make it longer.
        memory: Bytes that this process, in which it ran, held at most; on a GPU those that the GPU held.
    """

    seconds: float
    memory: int


def time_step(student: Student, teacher: Teacher, batches: Iterator[dict[str, Any]], machine: Machine) -> Step:
    """Train for a few steps, as the recipe would: both networks, the losses against teacher and truth, Adam.

    Args:
        student: The pruned student; it changes.
        teacher: The network to imitate.
        batches: Of training; making them counts where no worker does it beside.
        machine: Where to.
    """
    device = torch.device(machine.device)
    student, teacher = student.to(device).train(), teacher.to(device).eval().requires_grad_(False)
    optimizer = torch.optim.Adam(student.parameters(), lr=1e-6)
    making: list[float] = []
    training: list[float] = []

    def step() -> None:
        batch = _timed(lambda: next(batches), making)
        _timed(lambda: _train(student, teacher, optimizer, batch, machine), training)

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    start = time.monotonic()
    while len(training) < 2 or (len(training) <= REPEATS and time.monotonic() - start < LONGEST):
        step()
    made, trained = min(making), min(training[1:])
    seconds = max(trained, made / machine.workers) if machine.workers else trained + made
    unit = 1 if sys.platform == "darwin" else 1024
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return Step(seconds, torch.cuda.max_memory_allocated() if device.type == "cuda" else memory)


def _train(
    student: Student, teacher: Teacher, optimizer: torch.optim.Optimizer, batch: dict[str, Any], machine: Machine
) -> None:
    lr, hr = batch["lr"].to(machine.device), batch["hr"].to(machine.device)
    with torch.autocast(machine.device, torch.bfloat16, enabled=machine.precision == "bf16-mixed"):
        with torch.no_grad():
            target = teacher.restore(lr)
        prediction = student.restore(lr)
        loss = (prediction - target).abs().mean() + (prediction - hr).abs().mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    if machine.device == "cuda":
        torch.cuda.synchronize()


def _timed(work: Callable[[], Any], seconds: list[float]) -> Any:
    start = time.perf_counter()
    result = work()
    seconds.append(time.perf_counter() - start)
    return result


def duration(updates: int, step: Step) -> float:
    """Seconds of a whole run, from pruning to the report, about."""
    return updates * step.seconds / SHARE + STARTS


def updates_in(minutes: float, step: Step) -> int:
    """Updates that fit into some minutes, as a round number of at least `FEWEST`."""
    fitting = SHARE * 60 * minutes / step.seconds
    unit = 10 ** max(0, math.floor(math.log10(max(fitting, 1))) - 1)
    return max(FEWEST, int(fitting // unit * unit))
