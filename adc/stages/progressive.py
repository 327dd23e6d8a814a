"""Progressive distillation: the second half of stage I of DUO-VSR."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from adc.interfaces import Denoiser, DiffusionRestorer
from adc.ops.flow import add_noise, time_grid
from adc.ops.sharded import full
from adc.ops.targets import halving_loss, halving_target
from adc.training import Losses, Role
from adc.training.denoising import DenoiserStage, Latents, predict_velocity


class ProgressiveDistillation(DenoiserStage):
    """Halving of a sampler's steps, round after round (Salimans and Ho, 2022; stage I of DUO-VSR, Lv et al., 2026).

    In a round of ``N`` steps, on the grid ``tau_0 = 0 < ... < tau_2N = 1`` and for ``i`` uniform in ``1..N``, with
    ``t = tau_2i``, ``t' = tau_(2i-1)``, ``t'' = tau_(2i-2)``: the teacher takes two Euler steps from ``z_t`` to ``z''``
    and ``L = |z_t - (t - t'') v_S - z''|^2 = (t - t'')^2 |v_S - v*|^2``, ``v* = (z_t - z'') / (t - t'')``.

    After each round the student becomes the teacher, and its denoiser is written to ``rounds/N`` in the run folder.
    The checkpoint holds the teacher. The last round has one step; a run of all rounds has
    ``rounds * updates_per_round`` updates.
    """

    frozen = ("student.conditioner", "teacher")
    excluded_from_checkpoint = ("student.conditioner",)

    def __init__(
        self,
        student: DiffusionRestorer,
        teacher: Denoiser,
        roles: dict[str, Role],
        steps_from: int = 64,
        updates_per_round: int = 500,
        shift: float = 5.0,
        loss_space: Literal["state", "velocity"] = "state",
        reset_optimizer: bool = True,
        gradient_checkpointing: bool = False,
        accumulate: int = 1,
    ) -> None:
        """
        Args:
            student: The restorer whose denoiser is trained; it begins as the teacher.
            teacher: The first round's frozen teacher, of the same shape.
            roles: The optimizer of ``student``; its schedule is that of a round if `reset_optimizer`.
            steps_from: Steps of the first teacher, a power of two: 64 in the paper, though its base takes 50.
            updates_per_round: Updates until the student becomes the teacher: 500 in the paper.
            shift: Of the grid, as in sampling.
            loss_space: ``state`` is the paper's; ``velocity`` weighs all rounds alike.
            reset_optimizer: Whether each round begins with a fresh optimizer and schedule. Without, the second
                moments of one round are a thousandth of the next one's where the loss is in state space.
            gradient_checkpointing: Recompute activations of the denoiser in the backward pass instead of keeping them.
            accumulate: Batches whose gradients are averaged in one update.

        Raises:
            ValueError: If the steps are no power of two, the shift is not positive, or both networks differ in shape.
        """
        super().__init__(student, roles, gradient_checkpointing, accumulate=accumulate)
        if steps_from < 2 or steps_from & (steps_from - 1):
            raise ValueError(f"steps_from: {steps_from}; a power of two, at least 2.")
        if updates_per_round < 1:
            raise ValueError(f"updates_per_round: {updates_per_round}; at least 1.")
        time_grid(2, shift)  # refuses a shift that is none
        ours, theirs = ([*map(tuple, _shapes(network))] for network in (student.denoiser, teacher))
        if ours != theirs:
            raise ValueError("teacher: its shape is not the student's; name the same source for both.")
        self.teacher, self.steps_from, self.updates_per_round = teacher, steps_from, updates_per_round
        self.shift, self.reset_optimizer = shift, reset_optimizer
        self.loss_space: Literal["state", "velocity"] = loss_space

    @property
    def rounds(self) -> int:
        """How many rounds there are."""
        return self.steps_from.bit_length() - 1

    @property
    def round(self) -> int:
        """The present round, from 0."""
        return min(self.updates["student"] // self.updates_per_round, self.rounds - 1)

    @property
    def steps(self) -> int:
        """The student's steps in the present round."""
        return self.steps_from >> (self.round + 1)

    def student_loss(self, latents: Latents) -> Losses:
        """``L`` above."""
        clean, condition = latents.clean, latents.condition
        grid = time_grid(2 * self.steps, self.shift).to(clean.device)
        places = 2 * latents.random.integer(1, self.steps)
        t, middle, end = grid[places], grid[places - 1], grid[places - 2]
        z_t = add_noise(clean, latents.random.normal(clean), t)
        with torch.no_grad():
            target = halving_target(partial(self._teacher_velocity, condition), z_t, t, middle, end)
        errors = halving_loss(self.denoise(z_t, t, condition), target, t, end, self.loss_space)
        self.log("round/steps", float(self.steps))
        return {"halving": errors.mean()}

    def on_phase_end(self, phase: str) -> None:
        """At the end of a round the student becomes the teacher."""
        done, rest = divmod(self.updates["student"], self.updates_per_round)
        if rest or done > self.rounds:
            return
        self._write(self.steps_from >> done)
        if done == self.rounds:
            return
        with torch.no_grad():
            for teacher, student in zip(self.teacher.parameters(), self.student.denoiser.parameters(), strict=True):
                teacher.copy_(full(student))
            for teacher, student in zip(self.teacher.buffers(), self.student.denoiser.buffers(), strict=True):
                teacher.copy_(student)
        if self.reset_optimizer:
            self.restart("student")

    def _teacher_velocity(self, condition: dict[str, Tensor], z_t: Tensor, t: Tensor) -> Tensor:
        return predict_velocity(self.teacher, z_t, t, condition)

    def _write(self, steps: int) -> None:
        restorer = self.whole_restorer()
        if self.trainer.is_global_zero:
            assert isinstance(restorer, DiffusionRestorer)
            restorer.denoiser.save_pretrained(str(Path(self.trainer.default_root_dir, "rounds", str(steps))))


def _shapes(network: Denoiser) -> list[torch.Size]:
    tensors: list[Tensor] = [*network.parameters(), *network.buffers()]
    return [tensor.shape for tensor in tensors]
