"""The noise schedules of Stable Diffusion and CogVideoX, and one step of them."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


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
