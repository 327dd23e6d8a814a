"""Preference optimisation: stage III of DUO-VSR."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from adc.interfaces import Batch, Denoiser, DiffusionRestorer
from adc.ops.flow import TimeLaw, add_noise, velocity_of
from adc.ops.preference import dpo_loss, preference_margin
from adc.ops.targets import clip_mean
from adc.training import Losses, Role
from adc.training.denoising import DenoiserStage, Latents, predict_velocity


class PreferenceOptimization(DenoiserStage):
    """Direct preference optimisation (DPO) on velocities (Wallace et al., 2024; stage III of DUO-VSR, Lv et al., 2026).

    Of one LR clip ``z_w`` is the best candidate and ``z_l`` the worst (``adc cache-preferences``). With one ``t`` and
    one ``eps`` for both, ``v = eps - z`` and ``e(z) = |v_S(z_t, t) - v|^2``, a mean over the clip, and ``e_ref`` the
    same of the frozen reference:

    ``L = -E log sigmoid(-(beta / 2) [(e(w) - e_ref(w)) - (e(l) - e_ref(l))]) + anchor E e(w)``.

    A one-step student knows ``t = 1`` only. There both noisy latents are the noise itself, so one forward serves both,
    and the margin is linear in the student's output: only the anchor, and a large beta's saturation, hold it back.
    """

    frozen = excluded_from_checkpoint = ("student.conditioner", "reference")

    def __init__(
        self,
        student: DiffusionRestorer,
        reference: Denoiser,
        roles: dict[str, Role],
        beta: float = 5000.0,
        anchor: float = 0.1,
        times: TimeLaw | None = None,
        gradient_checkpointing: bool = False,
        accumulate: int = 1,
    ) -> None:
        """
        Args:
            student: The restorer whose denoiser is trained; it begins as the reference.
            reference: The frozen denoiser that it may not leave far behind.
            roles: The optimizer of ``student``.
            beta: How closely it is held to the reference: 5000 in Diffusion-DPO, whose errors are means too.
            anchor: Weight of the chosen clip's error, against both errors rising together (TangoFlux); 0 is none.
            times: The law of ``t``; null is ``t = 1``, the only time that a one-step student knows.
            gradient_checkpointing: Recompute activations of the denoiser in the backward pass instead of keeping them.
            accumulate: Batches whose gradients are averaged in one update.

        Raises:
            ValueError: If beta is not positive or the anchor negative.
        """
        super().__init__(student, roles, gradient_checkpointing, accumulate=accumulate)
        if not 0 < beta < math.inf or not 0 <= anchor < math.inf:
            raise ValueError(f"beta, anchor: {beta} and {anchor}; beta above 0, the anchor 0 or more.")
        self.reference, self.beta, self.anchor, self.times = reference, beta, anchor, times

    def prepare(self, batch: Batch) -> Latents:
        """The chosen clips as clean latents, and the rejected ones."""
        if "chosen" not in batch or "rejected" not in batch:
            raise ValueError("data: batches have no chosen and rejected latents; name CachedClips of preference pairs.")
        return Latents(batch["chosen"], self.conditioner.condition(batch), self.random_of(batch), batch["rejected"])

    def student_loss(self, latents: Latents) -> Losses:
        """``L`` above."""
        noise = latents.random.normal(latents.clean)
        t = torch.ones(len(noise), device=noise.device) if self.times is None else self.times.draw(latents.random)
        student = self._errors(self.student.denoiser, latents, noise, t)
        with torch.no_grad():
            reference = self._errors(self.reference, latents, noise, t)
        margin = preference_margin(*student, *reference, self.beta)
        chosen, other = (error.detach().mean() for error in student)
        accuracy = (margin.detach() > 0).float().mean()
        self.log_dict(
            {
                "preference/error_chosen": chosen,
                "preference/error_rejected": other,
                "preference/margin": margin.detach().mean(),
                "preference/accuracy": accuracy,
            }
        )
        anchor = {"anchor": self.anchor * student[0].mean()} if self.anchor else {}
        return {"dpo": dpo_loss(margin), **anchor}

    def _errors(self, denoiser: Denoiser, latents: Latents, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """``e(w)`` and ``e(l)``, each ``(B,)``."""
        assert latents.rejected is not None
        both = latents.clean, latents.rejected
        if self.times is None:
            velocity = predict_velocity(denoiser, noise, t, latents.condition)
            velocities = velocity, velocity
        else:
            noisy = torch.cat([add_noise(clean, noise, t) for clean in both])
            condition = {name: torch.cat([value, value]) for name, value in latents.condition.items()}
            velocities = predict_velocity(denoiser, noisy, t.repeat(2), condition).chunk(2)
        chosen, other = (
            clip_mean((velocity - velocity_of(clean, noise)).square())
            for velocity, clean in zip(velocities, both, strict=True)
        )
        return chosen, other
