"""Sampling of latents in several steps."""

from __future__ import annotations

from torch import Tensor

from adc.interfaces import Conditioner, Denoiser, DiffusionRestorer
from adc.ops.flow import time_grid
from adc.ops.sampling import euler
from adc.ops.targets import guided_velocity


class LatentDiffusion(DiffusionRestorer):
    """A diffusion restorer of several Euler steps, with classifier-free guidance (Ho and Salimans, 2022)."""

    def __init__(
        self,
        denoiser: Denoiser,
        conditioner: Conditioner,
        steps: int = 50,
        shift: float = 5.0,
        guidance_scale: float = 1.0,
    ) -> None:
        """
        Args:
            denoiser: Predicts the velocity.
            conditioner: Makes its condition; its autoencoder decodes.
            steps: Steps of the sampler, each with one forward of the denoiser.
            shift: Moves the steps towards noise; 1 spaces them evenly.
            guidance_scale: ``s`` in ``v_null + s (v_c - v_null)``; 1 is no guidance, others take two forwards a step.
        """
        super().__init__(denoiser, conditioner)
        self.grid, self.guidance_scale = time_grid(steps, shift), guidance_scale

    def sample(self, condition: dict[str, Tensor], noise: Tensor) -> Tensor:
        """Clean latents by Euler's method."""
        guided = self.guidance_scale != 1
        null = self.conditioner.unconditional(condition) if guided else condition

        def velocity(z_t: Tensor, t: Tensor) -> Tensor:
            conditional = _velocity(self.denoiser, z_t, t, condition)
            if not guided:
                return conditional
            return guided_velocity(conditional, _velocity(self.denoiser, z_t, t, null), self.guidance_scale)

        return euler(velocity, noise, self.grid)


def _velocity(denoiser: Denoiser, z_t: Tensor, t: Tensor, condition: dict[str, Tensor]) -> Tensor:
    velocity, _ = denoiser(z_t, t, condition)
    assert velocity is not None
    return velocity
