"""Samplers of rectified flows."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Generator, Tensor

from adc.ops.flow import euler_step

Velocity = Callable[[Tensor, Tensor], Tensor]
"""``(z_t, t)`` with times ``(B,)`` to the velocity, shaped like ``z_t``."""


def euler(velocity: Velocity, noise: Tensor, grid: Tensor) -> Tensor:
    """Clean latents by Euler's method from ``t = 1`` to ``t = 0`` (Liu et al., 2023, algorithm 1).

    Args:
        velocity: The denoiser's prediction.
        noise: ``(B, ...)``, normal.
        grid: Rising times ``(N + 1,)``, as `adc.ops.flow.time_grid` makes them.
    """
    z = noise
    times = grid.to(noise.device).flip(0)
    for t, end in pairwise(times):
        z = euler_step(z, velocity(z, t.expand(len(z))), t.expand(len(z)), end.expand(len(z)))
    return z


def draw_noise(like: Tensor, generator: Generator | None = None, period: int | None = None) -> Tensor:
    """Normal noise shaped like latents ``(B, ...)``.

    Args:
        like: The latents.
        generator: Its state decides; null is one noise, the same for every clip and every call.
        period: Frames of latents ``(B, T', ...)`` after which that one repeats; null never does.
    """
    if generator is not None:
        return torch.randn(like.shape, generator=generator, device=generator.device).to(like)
    shape, generator = like.shape[1:], torch.Generator().manual_seed(0)
    if period is None:
        return torch.randn(shape, generator=generator).to(like).expand_as(like)
    noise = torch.randn(period, *shape[1:], generator=generator)
    return noise[torch.arange(shape[0]) % period].to(like).expand_as(like)
