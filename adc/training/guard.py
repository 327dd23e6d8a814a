"""Guards of the weights: updates that are not finite are skipped and counted, weights that are not are not written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from adc.ops.sharded import full
from adc.training.role import Losses
from adc.training.routing import Buffers
from adc.training.sharding import local


@dataclass(frozen=True)
class Skip:
    """An update that was skipped.

    Attributes:
        role: Whose update it was.
        phase: The phase that computed the gradient.
        batches: Batches seen before.
        what: ``loss`` or ``gradient``: what was not finite.
        losses: The values of the phase's losses on this process, of the batch where they were not finite, or the last.
        scaled: Whether a gradient scaler can still lower its scale; such a skip is not unusual.
    """

    role: str
    phase: str
    batches: int
    what: str
    losses: Mapping[str, float]
    scaled: bool

    def __str__(self) -> str:
        values = ", ".join(f"{key} {value:.4g}" for key, value in self.losses.items())
        return (
            f"phase {self.phase!r}, role {self.role!r}: the {self.what} is not finite after {self.batches} batches "
            f"({values})"
        )


class Guard:
    """Keeps updates with non-finite losses or gradients from the weights, and counts them.

    Attributes:
        skipped: Updates of each role that were skipped.
        in_a_row: Those of them since its last update; skips of a gradient scaler that looks for its scale do not count.
        attempts: Updates of each role that this process tried.
        norms: The norm of each role's last gradient, before it was clipped.
        skips: Those that were skipped on the present batch.
    """

    def __init__(self, roles: Sequence[str]) -> None:
        self.skipped = dict.fromkeys(roles, 0)
        self.in_a_row = dict.fromkeys(roles, 0)
        self.attempts = dict.fromkeys(roles, 0)
        self.norms: dict[str, Tensor] = {}
        self.skips: list[Skip] = []
        self._refused: dict[str, dict[str, float]] = {}
        self._dropped: set[str] = set()
        self._buffers: dict[str, Buffers] = {}

    def begin(self, modules: Mapping[str, Sequence[nn.Module]], first: bool) -> None:
        """Begin a batch; at the first one of an update, note the buffers to which a skipped one goes back.

        Args:
            modules: What `adc.training.routing.buffered` returns for the network of each role.
            first: Whether it is the first batch of an update.
        """
        self.skips = []
        if first or not self._buffers:
            self._buffers = {role: Buffers(held) for role, held in modules.items()}

    def refuse(self, roles: Sequence[str], losses: Losses) -> None:
        """Skip the next update of these roles: a loss was not finite on one of the processes."""
        self._refused |= dict.fromkeys(roles, _values(losses))

    def limit(self, role: str, parameters: Sequence[nn.Parameter], clip: float | None) -> None:
        """Take the norm of a role's gradient; drop one that is not finite, or clip it. The same on all processes.

        Args:
            role: The role that is about to be updated.
            parameters: Its parameters.
            clip: The largest norm, or None.
        """
        norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        self.norms[role] = full(norm)
        if role in self._refused or not self.norms[role].isfinite().item():
            self._dropped.add(role)
            for parameter in parameters:
                parameter.grad = None
        elif clip is not None:
            nn.utils.clip_grads_with_norm_(parameters, clip, norm)

    def took(self, role: str, phase: str, batches: int, losses: Losses, scaler: Any = None) -> bool:
        """Whether the update that a role was due happened; if not, it is counted, and buffers are put back.

        Args:
            role: The role.
            phase: The phase that computed its gradient.
            batches: Batches seen before.
            losses: The losses of the phase.
            scaler: The gradient scaler of float16, if there is one.
        """
        self.attempts[role] += 1
        if role not in self._dropped:
            self.in_a_row[role] = 0
            return True
        what = "loss" if role in self._refused else "gradient"
        values = self._refused.pop(role, {}) or _values(losses)
        scaled = scaler is not None and what == "gradient" and scaler.get_scale() > 1
        self.skips.append(Skip(role, phase, batches, what, values, scaled))
        self._dropped.discard(role)
        self._buffers[role].restore()
        self.skipped[role] += 1
        self.in_a_row[role] += not scaled
        return False

    def state_dict(self) -> dict[str, Any]:
        """Counts, and the roles whose next update is to be skipped."""
        return {"skipped": dict(self.skipped), "refused": sorted(self._refused)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on counting; a checkpoint of before has no counts."""
        self.skipped |= state.get("skipped", {})
        self._refused = {role: {} for role in state.get("refused", ())}


def _values(losses: Losses) -> dict[str, float]:
    return {key: value.item() for key, value in losses.items()}


def total(stage: str, phase: str, losses: Any) -> Tensor:
    """The sum of a phase's losses, a scalar in float32.

    Args:
        stage: The stage's name, for messages.
        phase: The phase.
        losses: Scalar tensors by name.

    Raises:
        ValueError: If they are anything else; the message names the loss.
    """
    if not isinstance(losses, Mapping):
        kind = type(losses).__name__
        raise ValueError(f"{stage}: phase {phase!r} gave a {kind} for losses; it must give scalar tensors by name.")
    checked = cast(Mapping[str, Any], losses)
    if not checked:
        raise ValueError(f"{stage}: phase {phase!r} gave no losses; it must give scalar tensors by name.")
    for name, value in checked.items():
        check_scalar(f"{stage}: phase {phase!r}, loss {name!r}", value)
    return torch.stack([loss.float() for loss in checked.values()]).sum()


def check_scalar(component: str, value: Any) -> None:
    """Refuse a loss that is no scalar tensor.

    Raises:
        ValueError: Names the component.
    """
    if not isinstance(value, Tensor):
        raise ValueError(f"{component}: is a {type(value).__name__}, not a scalar tensor.")
    if value.dim():
        raise ValueError(f"{component}: is a tensor {list(value.shape)}, not a scalar; take its mean.")


def check_finite(stage: Any) -> None:
    """Refuse to go on with weights that are not finite; all processes must ask.

    Raises:
        ValueError: Names a role and a tensor of its network.
    """
    place = non_finite(stage)
    bad = torch.tensor(float(place is not None), device=stage.device)
    if stage.all_reduce_mean(bad).item():
        where = place or "on another process, a tensor"
        raise ValueError(f"{where} is not finite after {stage.batches_seen} batches; nothing was written.")


@torch.no_grad()
def non_finite(stage: Any) -> str | None:
    """The first tensor of this process that a role trains, or of its network's buffers, which is not finite."""
    for role in stage.roles:
        network: nn.Module = stage.module_of(role)
        flags = {name: local(parameter).isfinite().all() for name, parameter in network.named_parameters()}
        flags |= {name: ~buffer.isnan().any() for name, buffer in network.named_buffers()}  # masks hold infinities
        if flags and not torch.stack(list(flags.values())).all():
            return next(f"role {role!r}: tensor {name}" for name, ok in flags.items() if not ok)
    return None
