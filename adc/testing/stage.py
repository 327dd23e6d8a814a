"""Contract of `Stage`: gradient routing, resuming, and processes that agree."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import LambdaCallback
from torch import Tensor

from adc.testing.probe import require
from adc.testing.training import STRATEGIES, fit, fit_in_processes
from adc.training.stage import Stage


def check_stage(stage: Stage, batch: dict[str, Any], batches: int | None = None, processes: int = 1) -> None:
    """Verify what every stage owes the trainer; the stage itself is left as it is.

    - Each phase moves the networks of its roles, and nothing else; frozen networks stay in evaluation mode.
    - A fresh stage that resumes from a checkpoint after any batch ends bit-equal to one that was never stopped,
      networks that the stage replaces on its way included.
    - With ``processes`` above 1: as many processes under DDP, and with sharded networks (`ShardedStrategy`), end as
      one does, to 1e-5. For losses that are means over a batch, stages whose randomness is that of a clip
      (`adc.ops.random.ClipRandom`), and optimizers that do not enlarge rounding (SGD; Adam with ``eps=1e-4``); the
      stage must be picklable.

    Args:
        stage: Small, as its recipe makes it, not trained yet.
        batch: What a data module gives it: tensors ``(B, ...)`` and lists of B.
        batches: How many times it sees the batch; null is twice its cycle. More, where it must reach a boundary.
        processes: Processes that share the batch; B must be a multiple.

    Raises:
        AssertionError: Names the stage and the clause that is broken.
    """
    name = type(stage).__name__
    require(isinstance(stage, Stage), name, "must be a subclass of adc.training.Stage")
    count = batches or 2 * len(stage.cycle) * stage.accumulate
    with tempfile.TemporaryDirectory() as folder:

        def save(trainer: pl.Trainer, stage: Stage, *_: Any) -> None:
            trainer.save_checkpoint(Path(folder, f"{stage.batches_seen}.ckpt"), weights_only=False)

        observers = [_Routing(name), LambdaCallback(on_train_batch_end=save)]
        end = fit(copy.deepcopy(stage), batch, count, observers)
        for done in range(1, count):
            resumed = fit(copy.deepcopy(stage), batch, count, resume=Path(folder, f"{done}.ckpt"))
            _same(name, f"resumed after batch {done} of {count}", resumed, end, 0)
        if processes > 1:
            for strategy in STRATEGIES:
                joint = fit_in_processes(stage, batch, count, processes, strategy, folder)
                _same(name, f"{strategy} in {processes} processes", joint, end, 1e-5)


def _same(name: str, how: str, found: dict[str, Tensor], end: dict[str, Tensor], tolerance: float) -> None:
    for key, value in end.items():
        apart = (found[key].double() - value.double()).abs().max().item() if value.numel() else 0.0
        require(apart <= tolerance, name, f"{how}, it must end as one run does; {key} is {apart:.3g} away")


class _Routing(pl.Callback):
    """Compares all weights before and after each phase."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.moved: set[str] = set()
        self.before: dict[str, Tensor] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        usual = pl_module.on_phase_end

        def on_phase_end(phase: str) -> None:
            self.compare(pl_module, f"phase {phase!r}", pl_module.phases()[phase].updates)
            usual(phase)
            self.before = self.weights(pl_module)

        pl_module.on_phase_end = on_phase_end

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.before = self.weights(pl_module)
        for part in pl_module.frozen_parts():
            kind = type(part).__name__
            require(not any(module.training for module in part.modules()), self.name, f"{kind} is frozen, yet training")

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *arguments: Any) -> None:
        self.compare(pl_module, "what comes after the phases", ())

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        for role, updates in pl_module.updates.items():
            require(updates > 0, self.name, f"role {role!r} had no update; check with more batches")
            own = self.names(pl_module, role)
            require(bool(own & self.moved), self.name, f"role {role!r} had {updates} updates, yet no weight moved")

    def compare(self, stage: Stage, what: str, roles: tuple[str, ...]) -> None:
        now = self.weights(stage)
        changed = {key for key, value in now.items() if not torch.equal(value, self.before[key])}
        stray = sorted(changed - {key for role in roles for key in self.names(stage, role)})
        require(not stray, self.name, f"{what} must move {', '.join(roles) or 'nothing'}; {', '.join(stray[:3])} moved")
        self.moved |= changed

    @staticmethod
    def weights(stage: Stage) -> dict[str, Tensor]:
        return {key: parameter.detach().clone() for key, parameter in stage.named_parameters()}

    @staticmethod
    def names(stage: Stage, role: str) -> set[str]:
        own = {id(parameter) for parameter in stage.parameters_of(role)}
        return {key for key, parameter in stage.named_parameters() if id(parameter) in own}
