"""Samplers of rectified flows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Generator, Tensor

from adc.ops.flow import euler_step
from adc.ops.random import generator_of

Velocity = Callable[[Tensor, Tensor], Tensor]
"""``(z_t, t)`` with times ``(B,)`` to the velocity, shaped like ``z_t``."""
BLOCK = 16
"""Side of the blocks, in positions of latents, that `placed_noise` is made of."""


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


def draw_noise(like: Tensor, generator: Generator | None = None) -> Tensor:
    """Normal noise shaped like latents ``(B, ...)``.

    Args:
        like: The latents.
        generator: Its state decides; null is one noise, the same for every clip and every call.
    """
    if generator is not None:
        return torch.randn(like.shape, generator=generator, device=generator.device).to(like)
    return torch.randn(like.shape[1:], generator=torch.Generator().manual_seed(0)).to(like).expand_as(like)


def placed_noise(like: Tensor, places: Sequence[tuple[int, int]], period: int) -> Tensor:
    """Normal noise of parts of one endless field: where two parts overlap, in space or in time, they have the same.

    Args:
        like: Latents of the parts, ``(B, T', Z, h, w)``.
        places: For each part the row and the column of its first position in the field.
        period: Frames after which the field repeats.
    """
    frames, channels, height, width = like.shape[1:]
    frame = torch.arange(frames) % period
    blocks: dict[tuple[int, int], Tensor] = {}

    def block(row: int, column: int) -> Tensor:
        if (row, column) not in blocks:
            shape = period, channels, BLOCK, BLOCK
            blocks[row, column] = torch.randn(shape, generator=generator_of(row, column))[frame]
        return blocks[row, column]

    parts: dict[tuple[int, int], Tensor] = {}
    for top, left in places:
        if (top, left) not in parts:
            rows = range(top // BLOCK, (top + height - 1) // BLOCK + 1)
            columns = range(left // BLOCK, (left + width - 1) // BLOCK + 1)
            field = torch.cat([torch.cat([block(row, column) for column in columns], -1) for row in rows], -2)
            parts[top, left] = field[..., top % BLOCK :, left % BLOCK :][..., :height, :width].to(like)
    return torch.stack([parts[place] for place in places])
