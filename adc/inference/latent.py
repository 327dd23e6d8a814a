"""Sampling of latents in several steps."""

from __future__ import annotations

from typing import cast

from torch import Generator, Tensor

from adc.interfaces import Batch, Conditioner, Denoiser, DiffusionRestorer
from adc.ops.flow import time_grid
from adc.ops.padding import crop, pad_frames, pad_to_multiple
from adc.ops.sampling import draw_noise, euler
from adc.ops.targets import guided_velocity


class LatentDiffusion(DiffusionRestorer):
    """A diffusion restorer of several Euler steps, with classifier-free guidance (Ho and Salimans, 2022).

    A clip whose length or sides do not fit the autoencoder and the denoiser is padded with copies of its last frame,
    column and row, and the result is cut.
    """

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

    def restore(self, lr: Tensor, generator: Generator | None = None) -> Tensor:
        """Sample latents and decode them; null draws the same noise for every clip."""
        frames, height, width = lr.shape[1], *(self.scale * side for side in lr.shape[-2:])
        autoencoder = self.conditioner.autoencoder
        padded = pad_frames(pad_to_multiple(lr, self.multiple), autoencoder.strides[0])
        condition = self.conditioner.condition(cast(Batch, {"lr": padded}))
        latents = self.sample(condition, draw_noise(condition["lr"], generator))
        return crop(autoencoder.decode(latents)[:, :frames], height, width)

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
