"""The noise schedules of Stable Diffusion and CogVideoX, one step of them, and their change to the straight path."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from adc.ops.flow import per_clip


@lru_cache
def scaled_linear_alphas(
    steps: int = 1000, first: float = 0.00085, last: float = 0.012, precision: torch.dtype = torch.float32
) -> Tensor:
    """The cumulative products ``a_t`` of ``1 - beta_t`` for betas whose roots are evenly spaced; ``(steps,)``."""
    betas = torch.linspace(first**0.5, last**0.5, steps, dtype=precision, device="cpu") ** 2
    return torch.cumprod(1 - betas, dim=0)


def shift_signal_to_noise(alphas: Tensor, factor: float) -> Tensor:
    """``a_t / (f + (1 - f) a_t)``: every ratio ``a_t / (1 - a_t)`` divided by ``f`` (Esser et al., 2024)."""
    return alphas / (factor + (1 - factor) * alphas)


def to_zero_terminal(alphas: Tensor) -> Tensor:
    """Let the last step hold nothing of the clean latent, and the first as much as before (Lin et al., 2024).

    ``sqrt(a_t)`` becomes ``(sqrt(a_t) - sqrt(a_last)) sqrt(a_first) / (sqrt(a_first) - sqrt(a_last))``.
    """
    roots = alphas.sqrt()
    first, last = roots[0], roots[-1]
    return ((roots - last) * (first / (first - last))).square()


def clean_from_noise(z_t: Tensor, noise: Tensor, alpha: float) -> Tensor:
    """``(z_t - sqrt(1 - a) noise) / sqrt(a)``: the clean latent that a noise prediction implies (Ho et al., 2020)."""
    return (z_t - (1 - alpha) ** 0.5 * noise) / alpha**0.5


def clean_from_velocity(z_t: Tensor, velocity: Tensor, alpha: float | Tensor) -> Tensor:
    """``sqrt(a) z_t - sqrt(1 - a) v``: the clean latent that a velocity implies (Salimans and Ho, 2022).

    The coefficients have the precision of `alpha`: a tensor ``()`` rounds them as its type does.
    """
    return alpha**0.5 * z_t - (1 - alpha) ** 0.5 * velocity


def straight_times(alphas: Tensor) -> Tensor:
    """The times at which ``(1 - t) x0 + t eps`` holds as much noise as each step: ``t = s / (a + s)``.

    With ``a = sqrt(a_t)`` and ``s = sqrt(1 - a_t)``; 1 where a step holds nothing of the clean latent.
    """
    signal, noise = alphas.sqrt(), (1 - alphas).sqrt()
    return noise / (signal + noise)


def to_preserved_variance(z_t: Tensor, t: Tensor) -> Tensor:
    """``a x0 + s eps`` of the same clean latent and noise: ``z_t / sqrt((1 - t)^2 + t^2)``.

    Args:
        z_t: ``(1 - t) x0 + t eps``, ``(B, ...)``.
        t: ``(B,)``; ``a = (1 - t) / n`` and ``s = t / n`` with ``n = sqrt((1 - t)^2 + t^2) = 1 / (a + s)``.
    """
    return z_t / per_clip(_length(t), z_t)


def straight_velocity(z_t: Tensor, velocity: Tensor, t: Tensor) -> Tensor:
    """``eps - x0`` from ``v = a eps - s x0``, the velocity of a process that preserves variance.

    With ``z = z_t / n``: ``x0 = a z - s v`` and ``eps = s z + a v``, so their difference is ``(s - a) z + (a + s) v``,
    which is ``((2 t - 1) z_t / n + v) / n``.

    Args:
        z_t: ``(1 - t) x0 + t eps``, ``(B, ...)``.
        velocity: What a network predicts from `to_preserved_variance` of it, shaped like it.
        t: ``(B,)``.
    """
    length = _length(t)
    return per_clip((2 * t - 1) / length.square(), z_t) * z_t + velocity / per_clip(length, z_t)


def _length(t: Tensor) -> Tensor:
    return ((1 - t).square() + t.square()).sqrt()
