"""Learning-rate schedules of roles: as long as the stage, unless a recipe says otherwise."""

from __future__ import annotations

import inspect
import math
from abc import abstractmethod
from collections import Counter
from functools import partial
from typing import Any, cast

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR, PolynomialLR, ReduceLROnPlateau

from adc.progress import note
from adc.training.role import build

TOTAL = "total_steps"
ENDS: dict[type[LRScheduler], str] = {CosineAnnealingLR: "T_max", PolynomialLR: "total_iters"}
"""Attributes of torch's schedules that are over, or rise again, after so many updates, where it is not the total."""


class _Warmup(LRScheduler):
    """Linear warm-up, then a decay down to a share of the rate: what the schedules of this module have in common."""

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int | None = None,
        warmup: int = 0,
        final: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        """
        Args:
            optimizer: The optimizer whose rate it is.
            total_steps: Updates in all; null is as many as the stage has (StopAfter).
            warmup: Updates of the warm-up; the rate of update ``n`` is ``(n + 1) / (warmup + 1)`` of the full one.
            final: Share of the rate at the end.
            last_epoch: Updates that are behind it, less one.

        Raises:
            ValueError: If the total is not known, or not larger than the warm-up.
        """
        if total_steps is None or not 0 <= warmup < total_steps:
            raise ValueError(f"{TOTAL}: {total_steps} with {warmup} updates of warm-up; the total must be larger.")
        self.total_steps, self.warmup, self.final = total_steps, warmup, final
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        """The rates of the next update."""
        return [base * self.share(self.last_epoch) for base in self.base_lrs]

    def share(self, update: int) -> float:
        """The share of the full rate at an update."""
        if update < self.warmup:
            return (update + 1) / (self.warmup + 1)
        through = min(1.0, (update - self.warmup) / (self.total_steps - self.warmup))
        return self.final + (1 - self.final) * self.decay(through)

    @abstractmethod
    def decay(self, through: float) -> float:
        """The decay from 1 to 0 at a share of the way, from 0 to 1."""


class WarmupCosine(_Warmup):
    """Linear warm-up, then half a cosine (Loshchilov and Hutter, 2017) down to a share of the rate."""

    def decay(self, through: float) -> float:
        """Half a cosine."""
        return (1 + math.cos(math.pi * through)) / 2


class WarmupLinear(_Warmup):
    """Linear warm-up, then a straight line down to a share of the rate."""

    def decay(self, through: float) -> float:
        """A straight line."""
        return 1 - through


def make_schedule(stage: Any, role: str, optimizer: Optimizer) -> LRScheduler | None:
    """The schedule of a role, as its recipe says; one without ``total_steps`` ends with the stage.

    Raises:
        ValueError: If it waits for a metric, ends before the stage, or an option is not allowed; begins with the
            recipe's key.
    """
    schedule = stage.roles[role].scheduler
    if schedule is None:
        return None
    key, rate = f"roles.{role}.scheduler", optimizer.param_groups[0]["lr"]
    scheduler = build(key, _with_total(schedule, stage, role), optimizer)
    if isinstance(scheduler, ReduceLROnPlateau):
        raise ValueError(f"{key}: {type(scheduler).__name__} waits for a metric; schedules follow updates here.")
    _check_length(scheduler, stage, role)
    if isinstance(scheduler, OneCycleLR):
        largest = optimizer.param_groups[0]["max_lr"]
        if not math.isclose(rate, largest) and not stage.updates[role] and _is_first(stage):
            note(f"roles.{role}.optimizer.lr: {rate} is without effect; OneCycleLR goes up to max_lr {largest}")
    return scheduler


def _check_length(scheduler: LRScheduler, stage: Any, role: str) -> None:
    name = next((name for kind, name in ENDS.items() if isinstance(scheduler, kind)), TOTAL)
    steps, needed = getattr(scheduler, name, None), updates_in_all(stage, role)
    if steps is not None and needed is not None and steps < needed:
        remedy = f"leave {TOTAL} out" if name == TOTAL else f"give it {needed}"
        raise ValueError(
            f"roles.{role}.scheduler: {type(scheduler).__name__} ends after {steps} updates ({name}), the role's "
            f"updates after {needed} (StopAfter, cycle, rounds); {remedy}."
        )


def updates_in_all(stage: Any, role: str) -> int | None:
    """Updates that a role has until its stage ends, or its schedule begins anew; None if nothing says so."""
    from adc.training.callbacks.goal import goals

    trainer = getattr(stage, "_trainer", None)
    wanted = goals(trainer) if trainer is not None else {}
    known = [until for leader, updates in wanted.items() if (until := _until(stage, leader, updates, role))]
    if getattr(stage, "reset_optimizer", True):
        known += [stage.updates_per_round] if hasattr(stage, "updates_per_round") else []
    return min(known) if known and min(known) > 0 else None


def _until(stage: Any, leader: str, updates: int, role: str) -> int:
    """Updates of a role in all batches up to the one in which another role has had its own; 0 if it has none."""
    phases = stage.phases()
    batches = [Counter(one for name in names for one in phases[name].updates) for names in stage.cycle]
    times = sum(batches, Counter[str]())
    if not times[leader]:
        return 0
    cycles = (updates - 1) // times[leader]
    led, found = cycles * times[leader], cycles * times[role]
    for batch in batches:
        if led >= updates:
            break
        led, found = led + batch[leader], found + batch[role]
    return found


def _with_total(schedule: Any, stage: Any, role: str) -> Any:
    """A schedule of a recipe, with the stage's number of updates where it takes one and has none."""
    parts: tuple[Any, ...] = (getattr(schedule, "func", None), *getattr(schedule, "args", ()))
    kinds = [one for one in parts if inspect.isclass(one)]
    if not kinds or TOTAL not in inspect.signature(kinds[0]).parameters:
        return schedule
    stated = any(schedule.keywords.get(name) is not None for name in (TOTAL, "epochs"))
    total = None if stated else updates_in_all(stage, role)
    return schedule if total is None else cast("Any", partial(schedule, **{TOTAL: total}))


def _is_first(stage: Any) -> bool:
    trainer = getattr(stage, "_trainer", None)
    return trainer is None or trainer.is_global_zero
