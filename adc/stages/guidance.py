"""Guidance distillation: the first half of stage I of DUO-VSR."""

from __future__ import annotations

import logging
import math

import torch

from adc.interfaces import Denoiser, DiffusionRestorer
from adc.ops.flow import TimeLaw, add_noise
from adc.ops.targets import clip_mean, guided_velocity
from adc.training import Losses, Role
from adc.training.denoising import DenoiserStage, Latents, predict_velocity

log = logging.getLogger(__name__)
NOTHING = 1e-4
"""Mean square of the difference of both velocities below which guidance changes nothing to speak of."""


class GuidanceDistillation(DenoiserStage):
    """Classifier-free guidance in one forward (Meng et al., 2023; stage I of DUO-VSR, Lv et al., 2026).

    ``L_CFG = E |v_S(z_t, t, z_LR, c) - v_cfg|^2`` with ``v_cfg = v_null + s (v_c - v_null)``, both velocities the
    frozen teacher's at ``z_t = (1 - t) z_0 + t eps``; ``s = 1 + w``. The null condition drops the text, or takes the
    conditioner's negative one; ``z_LR`` stays in both.
    """

    frozen = excluded_from_checkpoint = ("student.conditioner", "teacher")

    def __init__(
        self,
        student: DiffusionRestorer,
        teacher: Denoiser,
        roles: dict[str, Role],
        guidance_scale: float = 5.0,
        times: TimeLaw | None = None,
        gradient_checkpointing: bool = False,
        accumulate: int = 1,
    ) -> None:
        """
        Args:
            student: The restorer whose denoiser is trained; it begins as the teacher.
            teacher: The frozen denoiser that is guided.
            roles: The optimizer of ``student``.
            guidance_scale: ``s``; 1 is no guidance. Wan 2.1 samples at 5; the paper does not say.
            times: The law of ``t``; null is uniform with a shift of 5.
            gradient_checkpointing: Recompute activations of the denoiser in the backward pass instead of keeping them.
            accumulate: Batches whose gradients are averaged in one update.

        Raises:
            ValueError: If the scale is not finite.
        """
        super().__init__(student, roles, gradient_checkpointing, accumulate=accumulate)
        if not math.isfinite(guidance_scale):
            raise ValueError(f"guidance_scale: {guidance_scale}; a finite number, 1 for no guidance.")
        self.teacher, self.guidance_scale = teacher, guidance_scale
        self.times = times or TimeLaw(shift=5.0)
        self._warned = False

    def student_loss(self, latents: Latents) -> Losses:
        """``L_CFG`` above."""
        clean, noise, condition = latents.clean, latents.random.normal(latents.clean), latents.condition
        t = self.times.draw(latents.random)
        z_t = add_noise(clean, noise, t)
        with torch.no_grad():
            conditional = predict_velocity(self.teacher, z_t, t, condition)
            null = predict_velocity(self.teacher, z_t, t, self.conditioner.unconditional(condition))
            gap = (conditional - null).float().square().mean()
            target = guided_velocity(conditional, null, self.guidance_scale)
        self.log("guidance/gap", gap)
        if gap < NOTHING and not self._warned:
            self._warned = True
            log.warning("the text changes the velocity by a mean square of %.2g: guidance has nothing to add.", gap)
        return {"guidance": clip_mean((self.denoise(z_t, t, condition) - target).square()).mean()}
