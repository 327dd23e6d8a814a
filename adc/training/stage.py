"""Alternating training, written once."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim.lr_scheduler import LRScheduler

from adc import renamed
from adc.interfaces import Batch, Restorer
from adc.ops.clip import quantize
from adc.ops.sharded import full
from adc.training.checkpoint import check_fit
from adc.training.guard import Guard, total
from adc.training.memory import keep_freed_memory
from adc.training.role import Losses, Phase, Role, build, plain_state
from adc.training.routing import buffered, unmoved, without_gradients
from adc.training.schedules import make_schedule
from adc.training.sharding import Whole, broadcast_weights, divided_like, is_sharded, refuse_unsupported, shard


class Stage(pl.LightningModule):
    """Alternating updates of named roles, under manual optimisation.

    A subclass names its phases and prepares batches; everything else is here: which parameters
    receive gradients in which phase, backward, accumulation, clipping, precision, counters, and
    checkpoints that leave frozen parts out.

    Attributes:
        updates: Optimizer steps taken, for each role. Everything that stops, saves, logs or
            averages counts by these; Lightning's ``global_step`` counts all roles together.
        guard: Skips and counts updates whose loss or gradient is not finite; they leave all as it was.
        separation: Margin and accuracy of each head of discriminators since a callback took them.
        batches_seen: Batches seen by each process.
        active_phases: The phases that run on the present batch.
        seed: The seed of the run (``seed_everything``); a resumed run keeps the first one.
        frozen: Networks that no role trains, as attribute paths: without gradients and in evaluation mode.
        excluded_from_checkpoint: What checkpoints leave out, as attribute paths; a resumed run takes it from its
            recipe. A frozen network that a stage replaces stands in `frozen` alone, so that it is saved. Parameters
            that are neither trained nor in `frozen` are left out too.
        prepare_with_gradients: Whether `prepare` runs with gradients, for a forward that several phases share.
    """

    frozen: tuple[str, ...] = ()
    excluded_from_checkpoint: tuple[str, ...] = ()
    prepare_with_gradients = False

    def __init__(self, roles: dict[str, Role], cycle: list[list[str]], accumulate: int = 1) -> None:
        """
        Args:
            roles: The optimizer, schedule and clipping of each role.
            cycle: The phases that run on each successive batch; the list repeats.
            accumulate: Batches whose gradients are averaged in one update.
        """
        super().__init__()
        self.automatic_optimization = False
        self.roles, self.cycle, self.accumulate = roles, cycle, accumulate
        self.updates = dict.fromkeys(roles, 0)
        self._restarted = dict.fromkeys(roles, 0)
        self.batches_seen = 0
        self.active_phases: tuple[str, ...] = ()
        self._resumed: dict[str, Any] | None = None
        self._trainable: dict[str, list[nn.Parameter]] = {}
        self._buffered: dict[str, list[nn.Module]] = {}
        self.guard, self._stepping = Guard(list(roles)), ""
        self.separation: dict[str, Tensor] = {}
        self._whole: dict[nn.Module, Whole] = {}
        self.seed = torch.initial_seed()

    def check(self) -> None:
        """Refuse roles and a cycle that do not fit the phases.

        Raises:
            ValueError: In one line that begins with the recipe's key.
        """
        phases = self.phases()
        if not self.cycle or not all(self.cycle):
            raise ValueError(f"cycle: {self.cycle} has a batch without a phase; there are {', '.join(phases)}.")
        for names in self.cycle:
            for name in names:
                if name not in phases:
                    raise ValueError(f"cycle: no phase {name!r}; {type(self).__name__} has {', '.join(phases)}.")
                if names.count(name) > 1:
                    raise ValueError(f"cycle: {name!r} comes twice on one batch; [[{name}], [{name}]] takes two.")
        trained = {role for phase in phases.values() for role in phase.updates}
        for role in (*self.roles, *trained):
            if role not in self.roles or role not in trained:
                raise ValueError(
                    f"roles: {type(self).__name__} trains {', '.join(sorted(trained))}; found {', '.join(self.roles)}."
                )
        if self.accumulate < 1:
            raise ValueError(f"accumulate: {self.accumulate} batches; at least 1.")

    def phases(self) -> Mapping[str, Phase]:
        """The phases that a cycle may name."""
        raise NotImplementedError

    def module_of(self, role: str) -> nn.Module:
        """The network that a role trains: the attribute of its name."""
        return getattr(self, role)

    def prepare(self, batch: Batch) -> Any:
        """What the phases of one batch share; phases of one batch get the same object."""
        return batch

    def should_run(self, phase: str) -> bool:
        """Whether a phase runs when it is its turn; asked before any phase of the batch runs."""
        return True

    def on_phase_end(self, phase: str) -> None:
        """Called when a phase has updated its roles; not if an update of one of them was skipped."""

    def all_reduce_mean(self, tensor: Tensor) -> Tensor:
        """The mean of what each process holds."""
        strategy: Any = self.trainer.strategy
        return strategy.reduce(tensor, reduce_op="mean")

    @property
    def restorer(self) -> Restorer:
        """The network that validation, samples and export use."""
        raise NotImplementedError

    def parameters_of(self, role: str) -> list[nn.Parameter]:
        """The parameters that the role's optimizer updates, in the order of its network."""
        if role not in self._trainable:
            self._trainable[role] = self._trained(role)
        return self._trainable[role]

    def _trained(self, role: str) -> list[nn.Parameter]:
        return [p for p in self.module_of(role).parameters() if p.requires_grad]

    def optimizer_of(self, role: str) -> LightningOptimizer:
        """The role's optimizer, as Lightning wraps it."""
        optimizers = self.optimizers()
        return optimizers[list(self.roles).index(role)] if isinstance(optimizers, list) else optimizers

    def setup(self, stage: str) -> None:
        """Check the recipe, and freeze what no role trains, before processes are joined and a checkpoint is read."""
        self.check()
        for part in self.frozen_parts():
            part.requires_grad_(False).eval()
        trained: set[nn.Parameter] = set()
        for role in self.roles:
            if not (own := self._trained(role)):
                raise ValueError(f"roles.{role}: its network has no trainable parameter.")
            trained.update(own)
        for parameter in self.parameters():
            parameter.requires_grad_(parameter in trained)
            if not isinstance(parameter, DTensor):
                layout = torch.channels_last if parameter.dim() == 4 else torch.preserve_format
                parameter.data = parameter.data.clone(memory_format=layout)  # what was read need not stay mapped

    def configure_model(self) -> None:
        """Shard the networks of the roles where the strategy is ``ModelParallelStrategy``."""
        if self.device_mesh is None:
            return
        refuse_unsupported(self.trainer.strategy)
        self.strict_loading = False  # the strategy reads checkpoints before frozen parts are put back
        broadcast_weights(self)
        if self.restorer not in self._whole:
            self._whole[self.restorer] = Whole(self.restorer)
        for role in self.roles:
            shard(self.module_of(role), self.device_mesh["data_parallel"])

    def whole_restorer(self) -> nn.Module:
        """The restorer, or a copy that is put together if it is sharded; all processes must ask for it."""
        restorer = self.restorer
        return self._whole[restorer].gather(restorer) if is_sharded(restorer) else restorer

    def freeze_parts(self, attribute: str, paths: Sequence[str]) -> None:
        """Freeze parts of a trained network and leave them out of checkpoints.

        Args:
            attribute: The network's attribute of this stage.
            paths: Attribute paths below the network, as the recipe's key ``frozen`` gives them.

        Raises:
            ValueError: If the network has no such part.
        """
        network = getattr(self, attribute)
        for path in paths:
            if path not in dict(network.named_modules()):
                hint = f"; {path!r} was renamed to {renamed.KEYS[path]!r}" if path in renamed.KEYS else ""
                raise ValueError(f"frozen: {type(network).__name__} has no part {path!r}{hint}.")
        parts = tuple(f"{attribute}.{path}" for path in paths)
        self.frozen, self.excluded_from_checkpoint = self.frozen + parts, self.excluded_from_checkpoint + parts

    def frozen_parts(self) -> list[nn.Module]:
        """The networks and parts that `frozen` names."""
        return [part for path in self.frozen if (part := attrgetter(path)(self)) is not None]

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """One optimizer for each role, in the order of the recipe; parameters are collected here, after sharding."""
        self._trainable, self._buffered = {}, {role: buffered(self.module_of(role)) for role in self.roles}
        roles: dict[str, Any] = dict(self.roles)
        optimizers: list[torch.optim.Optimizer] = [
            build(f"roles.{name}.optimizer", role.optimizer, self.parameters_of(name)) for name, role in roles.items()
        ]
        self._begun_without_state = [name for name, own in zip(self.roles, optimizers, strict=True) if not own.state]
        self._schedulers: dict[str, LRScheduler] = {}
        for name, optimizer in zip(self.roles, optimizers, strict=True):
            self._schedule(name, optimizer)
        return optimizers

    def _schedule(self, role: str, optimizer: torch.optim.Optimizer) -> None:
        if (scheduler := make_schedule(self, role, optimizer)) is not None:
            self._schedulers[role] = scheduler

    def restart(self, role: str) -> None:
        """Begin a role's optimizer state and schedule anew, as at the start of a round of progressive distillation."""
        optimizer = self.optimizer_of(role).optimizer
        optimizer.state.clear()
        self._restarted[role] = self.updates[role]
        for group in optimizer.param_groups:
            group["lr"] = group.get("initial_lr", group["lr"])
        self._schedule(role, optimizer)

    def configure_callbacks(self) -> list[pl.Callback]:
        """What stops a run whose updates are skipped again and again, unless the trainer has one."""
        from adc.training.callbacks.divergence import Divergence

        trainer: Any = self.trainer
        return [] if any(isinstance(callback, Divergence) for callback in trainer.callbacks) else [Divergence()]

    def on_fit_start(self) -> None:
        """On a CPU, keep freed memory for the next step."""
        if self.device.type == "cpu":
            keep_freed_memory()

    def train(self, mode: bool = True) -> Stage:
        """As usual, but frozen parts stay in evaluation mode."""
        super().train(mode)
        for part in self.frozen_parts():
            part.eval()
        return self

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Make all randomness of the step a function of seed, batch and process."""
        number = (self.seed * 1_000_003 + self.batches_seen) * 4099 % 2**62 + self.global_rank
        random.seed(number)
        np.random.seed(number % 2**32)
        torch.manual_seed(number)  # pyright: ignore[reportUnknownMemberType]

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Run the phases whose turn it is."""
        window, place = divmod(self.batches_seen, self.accumulate)
        self.active_phases = tuple(name for name in self.cycle[window % len(self.cycle)] if self.should_run(name))
        phases = self.phases()
        self.guard.begin(self._buffered, first=place == 0)
        updated = [role for name in self.active_phases for role in phases[name].updates]
        with unmoved(self._buffered, updated), torch.set_grad_enabled(self.prepare_with_gradients):
            prepared = self.prepare(batch)
        for name in self.active_phases:
            self._run(name, phases[name], prepared, step=place == self.accumulate - 1)
        self.batches_seen += 1

    def _run(self, name: str, phase: Phase, prepared: Any, step: bool) -> None:
        others = [p for role, own in self._trainable.items() if role not in phase.updates for p in own]
        with without_gradients(others), unmoved(self._buffered, phase.updates):
            losses = phase.loss(prepared)
            value = total(type(self).__name__, name, losses)
            if not math.isfinite(self.all_reduce_mean(value.detach().clone()).item()):
                self.guard.refuse(phase.updates, losses)
            self.manual_backward(value / self.accumulate)
        self.log_dict({f"{name}/{key}": value.detach() for key, value in losses.items()})
        if step:
            took = [self._step(role, name, losses) for role in phase.updates]
            if all(took):
                self.on_phase_end(name)

    def _step(self, role: str, phase: str, losses: Losses) -> bool:
        """Update a role; whether it was, and not skipped."""
        optimizer = self.optimizer_of(role)
        self._stepping = role
        optimizer.step()
        optimizer.zero_grad()
        took = self.guard.took(role, phase, self.batches_seen, losses, self._scaler)
        self.updates[role] += took
        if took and role in self._schedulers:
            self._schedulers[role].step()
        counts = {"updates": float(self.updates[role]), "skipped": float(self.guard.skipped[role])}
        numbers = {**counts, "gradient": self.guard.norms[role], "rate": optimizer.param_groups[0]["lr"]}
        self.log_dict({f"{key}/{role}": number for key, number in numbers.items()})
        return took

    @property
    def _scaler(self) -> Any:
        """The gradient scaler of float16, if there is one."""
        return getattr(self.trainer.precision_plugin, "scaler", None)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip by role, once gradients are unscaled; gradients that are not finite are dropped."""
        if self._scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
            self._scaler.unscale_(optimizer)  # fused optimizers otherwise do it while they step
        self.guard.limit(self._stepping, self.parameters_of(self._stepping), self.roles[self._stepping].clip)

    def on_validation_model_zero_grad(self) -> None:
        """Keep half-accumulated gradients, which Lightning would drop before a validation."""

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Fidelity of the restorer on validation clips, and how steady those of more than one frame are."""
        self._measure("validation", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """The same on test clips."""
        self._measure("test", batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """What the restorer makes of clips."""
        return self.restorer.restore(batch["lr"])

    def _measure(self, name: str, batch: Batch) -> None:
        from adc.metrics.clips import clip_figures

        figures = clip_figures(quantize(self.restorer.restore(batch["lr"])), batch["hr"])
        values = {f"{name}/{key}": value.mean() for key, value in figures.items()}
        self.log_dict(values, prog_bar=True, batch_size=len(batch["lr"]), sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out what the recipe gives; keep counters, schedules, the seed and half-accumulated gradients."""
        self._drop_placeholder_state()
        excluded = self._excluded_keys()
        checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k not in excluded}
        checkpoint["adc"] = {
            "batches": self.batches_seen,
            "updates": dict(self.updates),
            "restarted": dict(self._restarted),
            "schedulers": {name: plain_state(scheduler.state_dict()) for name, scheduler in self._schedulers.items()},
            "seed": self.seed,
            "gradients": self._pending_gradients(),
            "guard": self.guard.state_dict(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put back what was left out, so that loading stays strict.

        Raises:
            ValueError: If the checkpoint is of another recipe.
        """
        own = self.state_dict()
        saved = checkpoint.setdefault("state_dict", own)  # a sharded strategy has read the tensors before
        saved.update((key, own[key]) for key in self._excluded_keys())
        scheduled = [name for name, role in self.roles.items() if role.scheduler is not None]
        check_fit(checkpoint, own, list(self.roles), scheduled, getattr(self._trainer, "ckpt_path", None))
        state = checkpoint["adc"]
        self.batches_seen, self.updates, self.seed = state["batches"], dict(state["updates"]), state["seed"]
        self._restarted |= state.get("restarted", {})  # checkpoints of before restarts have none
        self.guard.load_state_dict(state.get("guard", {}))
        self._resumed = state

    def on_train_start(self) -> None:
        """Give schedules and half-accumulated gradients what the checkpoint holds of them."""
        state, self._resumed = self._resumed, None
        if state is None:
            return
        self._drop_placeholder_state()
        for name, scheduler in self._schedulers.items():
            scheduler.load_state_dict(state["schedulers"][name])
        for role, gradients in state["gradients"].items():
            for parameter, gradient in zip(self._trainable[role], gradients, strict=True):
                parameter.grad = None if gradient is None else divided_like(gradient.to(parameter.dtype), parameter)

    def _drop_placeholder_state(self) -> None:
        """Clear what torch put into optimizers that have not stepped yet, where it saved or read sharded ones."""
        for role in self._begun_without_state:
            if self.updates[role] == self._restarted[role]:
                self.optimizer_of(role).optimizer.state.clear()

    def _pending_gradients(self) -> dict[str, list[Tensor | None]]:
        if self.batches_seen % self.accumulate == 0:
            return {}
        return {
            role: [None if p.grad is None else full(p.grad) for p in parameters]
            for role, parameters in self._trainable.items()
        }

    def _excluded_keys(self) -> set[str]:
        """The keys of the state that checkpoints leave out."""
        parts = tuple(f"{path}." for path in self.excluded_from_checkpoint)
        kept = tuple(f"{path}." for path in self.frozen)
        untrained = {
            name
            for name, p in self.named_parameters(remove_duplicate=False)
            if not p.requires_grad and not name.startswith(kept)
        }
        return {key for key in self.state_dict() if key in untrained or key.startswith(parts)}
