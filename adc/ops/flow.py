"""Rectified flow: the path between clean latents and noise, and what a velocity implies (Liu et al., 2023).

Throughout, ``z_t = (1 - t) z_0 + t eps`` with ``t`` in ``[0, 1]``, 1 being noise, and ``v = eps - z_0``. Times have one
dimension, the batch's, and are kept in float32.
"""

# Parts of torch have no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from adc.ops.random import ClipRandom


def per_clip(t: Tensor, like: Tensor) -> Tensor:
    """Times ``(B,)`` as ``(B, 1, ...)``, to be multiplied with ``like``."""
    return t.to(like).reshape(-1, *[1] * (like.dim() - 1))


def add_noise(clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """``z_t = (1 - t) z_0 + t eps``: the noisy latents at times ``(B,)``."""
    share = per_clip(t, clean)
    return (1 - share) * clean + share * noise


def velocity_of(clean: Tensor, noise: Tensor) -> Tensor:
    """``v = eps - z_0``: what a denoiser is trained to predict."""
    return noise - clean


def clean_from_velocity(z_t: Tensor, velocity: Tensor, t: Tensor) -> Tensor:
    """``x0 = z_t - t v``: the clean latents that a velocity implies."""
    return z_t - per_clip(t, z_t) * velocity


def velocity_from_clean(z_t: Tensor, clean: Tensor, t: Tensor) -> Tensor:
    """``v = (z_t - x0) / t``: the velocity that clean latents imply; ``t`` above 0."""
    return (z_t - clean) / per_clip(t, z_t)


def euler_step(z_t: Tensor, velocity: Tensor, t: Tensor, end: Tensor) -> Tensor:
    """``z_end = z_t - (t - t_end) v``: one Euler step, which on this path is a step of DDIM."""
    return z_t - per_clip(t - end, z_t) * velocity


def shift_times(t: Tensor, shift: float) -> Tensor:
    """``s t / (1 + (s - 1) t)``: times moved towards noise for ``s`` above 1 (Esser et al., 2024)."""
    return shift * t / (1 + (shift - 1) * t)


def time_grid(steps: int, shift: float = 1.0) -> Tensor:
    """The times of a sampler, ``(steps + 1,)`` in float32, rising from 0 to 1.

    Raises:
        ValueError: If there is no step, or the shift is not positive.
    """
    if steps < 1:
        raise ValueError(f"steps: {steps}; at least 1.")
    _check_shift(shift)
    return shift_times(torch.linspace(0, 1, steps + 1), shift)


def _check_shift(shift: float) -> None:
    if not 0 < shift < math.inf:
        raise ValueError(f"shift: {shift}; a finite number above 0.")


@dataclass(frozen=True)
class TimeLaw:
    """The distribution of times in training: drawn, shifted towards noise, and clamped.

    Args:
        law: ``uniform`` in [0, 1], or ``logit_normal``: the logistic of a normal number (Esser et al., 2024).
        shift: Moves times towards noise (`shift_times`); 1 leaves them as drawn.
        low: Smallest time.
        high: Largest time.

    Raises:
        ValueError: If the shift is not positive, or not ``0 <= low <= high <= 1``.
    """

    law: Literal["uniform", "logit_normal"] = "uniform"
    shift: float = 1.0
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        _check_shift(self.shift)
        if not 0 <= self.low <= self.high <= 1:
            raise ValueError(f"low, high: {self.low} and {self.high}; 0 <= low <= high <= 1.")

    def draw(self, random: ClipRandom) -> Tensor:
        """A time for each clip, ``(B,)`` in float32."""
        drawn = random.uniform()
        if self.law == "logit_normal":
            drawn = torch.erfinv(2 * drawn.clamp(1e-6, 1 - 1e-6) - 1).mul(2**0.5).sigmoid()
        return shift_times(drawn, self.shift).clamp(self.low, self.high)
