"""What the stages that train a denoiser share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from adc.interfaces import Batch, Conditioner, Denoiser, DiffusionRestorer, Restorer
from adc.ops.random import ClipRandom
from adc.training.memory import enable_gradient_checkpointing
from adc.training.role import Losses, Phase, Role
from adc.training.stage import Stage


@dataclass
class Latents:
    """What phases share of a batch.

    Attributes:
        clean: Clean latents ``z_0`` ``(B, T', Z, h, w)``; of preference pairs the chosen ones.
        condition: ``z_LR`` and the text ``c``, as the denoiser takes them.
        random: Noise and times of the clips.
        rejected: The rejected latents of preference pairs.
    """

    clean: Tensor
    condition: dict[str, Tensor]
    random: ClipRandom
    rejected: Tensor | None = None


def predict_velocity(denoiser: Denoiser, z_t: Tensor, t: Tensor, condition: dict[str, Tensor]) -> Tensor:
    """The velocity ``v(z_t, t, z_LR, c)`` alone."""
    velocity, _ = denoiser(z_t, t, condition)
    assert velocity is not None
    return velocity


class DenoiserStage(Stage):
    """A stage whose role ``student`` is the denoiser of a `DiffusionRestorer`; its conditioner is frozen."""

    frozen = excluded_from_checkpoint = ("student.conditioner",)

    def __init__(
        self,
        student: DiffusionRestorer,
        roles: dict[str, Role],
        gradient_checkpointing: bool = False,
        cycle: list[list[str]] | None = None,
        accumulate: int = 1,
    ) -> None:
        """
        Args:
            student: The restorer whose denoiser is trained.
            roles: The optimizer of ``student``.
            gradient_checkpointing: Recompute activations of the denoiser in the backward pass instead of keeping them.
            cycle: The phases of each successive batch.
            accumulate: Batches whose gradients are averaged in one update.
        """
        super().__init__(roles, [["student"]] if cycle is None else cycle, accumulate)
        self.student = student
        if gradient_checkpointing:
            enable_gradient_checkpointing(student.denoiser)

    def phases(self) -> Mapping[str, Phase]:
        """One phase."""
        return {"student": Phase(self.student_loss, ("student",))}

    def module_of(self, role: str) -> nn.Module:
        """The student's network is its denoiser."""
        return self.student.denoiser if role == "student" else super().module_of(role)

    @property
    def conditioner(self) -> Conditioner:
        """The student's."""
        return self.student.conditioner

    @property
    def restorer(self) -> Restorer:
        """The student."""
        return self.student

    def prepare(self, batch: Batch) -> Latents:
        """Clean latents, their condition, and randomness that does not depend on the number of processes."""
        return Latents(self.conditioner.clean(batch), self.conditioner.condition(batch), self.random_of(batch))

    def random_of(self, batch: Batch) -> ClipRandom:
        """Randomness of a batch: a function of seed, batch and clip."""
        rank, world = self.global_rank, self.trainer.world_size
        return ClipRandom(
            len(batch["lr"]), self.seed, self.batches_seen, rank=rank, world=world, device=batch["lr"].device
        )

    def student_loss(self, latents: Latents) -> Losses:
        """The losses of the phase ``student``."""
        raise NotImplementedError

    def denoise(self, z_t: Tensor, t: Tensor, condition: dict[str, Tensor]) -> Tensor:
        """The student's velocity ``v_S(z_t, t, z_LR, c)``."""
        return predict_velocity(self.student.denoiser, z_t, t, condition)
