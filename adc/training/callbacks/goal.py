"""The goal of a stage: what it must have done to be finished."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl

from adc.errors import suggest
from adc.training.callbacks.schedule import StopAfter


def goals(trainer: pl.Trainer) -> dict[str, int]:
    """Updates by role, of which any one reached ends the stage; the smaller where a role has two."""
    callbacks: list[Any] = getattr(trainer, "callbacks", [])
    found = [(callback.role, callback.updates) for callback in callbacks if isinstance(callback, StopAfter)]
    return dict(sorted(found, key=lambda goal: goal[1], reverse=True))


def reached(trainer: pl.Trainer, stage: Any) -> bool:
    """Whether a stage has met its goal: the updates of `StopAfter`, else the steps or epochs of the trainer.

    A trainer that ends for another reason (``max_time``, a signal, fewer batches) has not.
    """
    if wanted := goals(trainer):
        return any(stage.updates.get(role, 0) >= updates for role, updates in wanted.items())
    if trainer.max_steps > 0:
        return trainer.global_step >= trainer.max_steps
    return trainer.max_epochs is not None and 0 < trainer.max_epochs <= trainer.current_epoch


def progress(trainer: pl.Trainer, stage: Any) -> str:
    """How far a stage is, such as ``student 15 of 24``."""
    wanted = goals(trainer)
    return ", ".join(
        f"{role} {n}" + (f" of {wanted[role]}" if role in wanted else "") for role, n in stage.updates.items()
    )


def check(trainer: pl.Trainer, stage: Any) -> None:
    """Refuse a stage that cannot end, before it begins.

    Raises:
        ValueError: In one line that begins with the recipe's key.
    """
    wanted = goals(trainer)
    callbacks: list[Any] = getattr(trainer, "callbacks", [])
    for callback in callbacks:
        role = getattr(callback, "role", None)
        own = type(callback).__module__.startswith("adc.training.")
        if own and isinstance(role, str) and role not in stage.updates:
            place = f"trainer.callbacks: {type(callback).__name__}.role"
            raise ValueError(f"{place}: {type(stage).__name__} has no role {role!r}; {suggest(role, stage.updates)}")
    trained = {role for names in stage.cycle for name in names for role in stage.phases()[name].updates}
    for role in wanted:
        if role in stage.updates and role not in trained:
            raise ValueError(
                f"cycle: {stage.cycle} never updates {role!r}, after whose updates the stage ends (StopAfter)."
            )
    for key in ("min_steps", "min_epochs"):
        if getattr(trainer, key):
            raise ValueError(f"trainer.{key}: a stage ends after updates of a role (StopAfter); leave it out.")
    if not wanted and trainer.max_steps <= 0 and (trainer.max_epochs or -1) <= 0:
        example = f"{{class_path: StopAfter, init_args: {{role: {next(iter(stage.roles))}, updates: 10000}}}}"
        raise ValueError(f"trainer.callbacks: nothing ends this stage; add {example}.")
