"""What differs between the recipe of a run and the one that it is resumed with, key by key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl

from adc import runs
from adc.errors import UsageError, masked

CONFIG = "config.yaml"
OPTIMIZER = re.compile(r"model\.init_args\.roles\.([^.]+)\.optimizer\.init_args\.([^.]+)$")
SCHEDULE = re.compile(r"model\.init_args\.roles\.([^.]+)\.scheduler(\.|$)")
AVERAGE = re.compile(r"trainer\.callbacks\.StudentEMA(\.|$)")
CALLBACKS = ("StopAfter", "StudentEMA")
KEPT = ("model.class_path", "seed_everything")
Changes = dict[str, tuple[Any, Any]]
"""Values before and now, by key; None where there was or is none."""


def changes(run: Path, now: Mapping[str, Any]) -> Changes:
    """What differs from the recipe that a run folder was trained with, options of the command line included.

    Of ``trainer`` the callbacks count that change a result, wherever they stand in their list; the rest is the
    machine's.
    """
    if not (run / CONFIG).is_file():
        return {}
    before, after = _flat(_comparable(runs.read_recipe(run / CONFIG))), _flat(_comparable(now))
    keys = [*before, *(key for key in after if key not in before)]
    return {key: (before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)}


def check(run: Path, found: Changes) -> None:
    """Refuse changes that a resumed run cannot make.

    A seed is part of what a run is; an optimizer's or schedule's state is of its class; an average that begins late, or
    ends, is another one. All else takes effect where the run goes on.

    Raises:
        UsageError: With the first such key, its values and the way out.
    """
    for key, (before, after) in found.items():
        optimizer = re.search(r"\.roles\.[^.]+\.optimizer\.class_path$", key)
        late = AVERAGE.match(key) and (None in (before, after) or key.endswith(".role"))
        if key in KEPT or optimizer or SCHEDULE.search(key) or late:
            raise UsageError(
                f"{key}: {run} was trained with {_short(before)}, now {_short(after)}; a run that is resumed cannot "
                "change it. Put it back, or start over (--restart)."
            )


def describe(found: Changes) -> list[str]:
    """One line for each change."""
    return [f"{key}: {_short(before)} -> {_short(after)}" for key, (before, after) in found.items()]


class ApplyChanges(pl.Callback):
    """Gives optimizers the settings of the recipe where they differ from those of the checkpoint.

    A changed rate under a schedule scales the schedule: base rate and present rate by the same factor.
    """

    def __init__(self, found: Changes) -> None:
        """
        Args:
            found: What `changes` found.
        """
        matches = ((OPTIMIZER.match(key), after) for key, (_, after) in found.items())
        self.settings = [(match[1], match[2], after) for match, after in matches if match]

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Agree with the first process, which alone may know the recipe of before."""
        self.settings = trainer.strategy.broadcast(self.settings)

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Once, when optimizers and schedules hold what the checkpoint has of them."""
        for role, key, value in self.settings:
            for group in pl_module.optimizer_of(role).optimizer.param_groups:
                self._apply(group, key, _plain(value))
            scheduler = getattr(pl_module, "_schedulers", {}).get(role)
            if key == "lr" and scheduler is not None:
                scheduler.base_lrs = [value for _ in scheduler.base_lrs]
        self.settings = []

    @staticmethod
    def _apply(group: dict[str, Any], key: str, value: Any) -> None:
        if key == "lr" and "initial_lr" in group:
            group["lr"], group["initial_lr"] = group["lr"] * value / group["initial_lr"], value
        elif key in group:
            group[key] = value


def _comparable(config: Mapping[str, Any]) -> dict[str, Any]:
    trainer: Any = config.get("trainer") or {}
    listed: Any = trainer.get("callbacks") or []
    callbacks: dict[str, list[Any]] = {}
    found = cast("Iterable[Any]", listed if isinstance(listed, Sequence) else [listed])
    for callback in found:
        name = str(callback.get("class_path", "")).rpartition(".")[2]
        if name in CALLBACKS:
            callbacks.setdefault(name, []).append(callback)
    kept = {key: config.get(key) for key in ("seed_everything", "model", "data")}
    return {**kept, "trainer": {"callbacks": callbacks}}


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping):
        content = cast("Mapping[Any, Any]", value)
    elif isinstance(value, list) and any(isinstance(entry, Mapping) for entry in cast("list[Any]", value)):
        content = dict(enumerate(cast("list[Any]", value)))
    else:
        return {path: masked(value) if isinstance(value, str) else value}
    entries = [(str(key), entry) for key, entry in content.items()]
    return {
        key: leaf for name, entry in entries for key, leaf in _flat(entry, f"{path}.{name}" if path else name).items()
    }


def _plain(value: Any) -> Any:
    """A value of a recipe as an optimizer keeps it: betas are a tuple."""
    return tuple(cast("list[Any]", value)) if isinstance(value, list) else value


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
