"""The noise schedule of Stable Diffusion, and one step of it."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


@lru_cache
def scaled_linear_alphas(steps: int = 1000, first: float = 0.00085, last: float = 0.012) -> Tensor:
    """The cumulative products ``a_t`` of ``1 - beta_t`` for betas whose roots are evenly spaced; ``(steps,)``."""
    betas = torch.linspace(first**0.5, last**0.5, steps, dtype=torch.float32, device="cpu") ** 2
    return torch.cumprod(1 - betas, dim=0)


def clean_from_noise(z_t: Tensor, noise: Tensor, alpha: float) -> Tensor:
    """``(z_t - sqrt(1 - a) noise) / sqrt(a)``: the clean latent that a noise prediction implies (Ho et al., 2020)."""
    return (z_t - (1 - alpha) ** 0.5 * noise) / alpha**0.5
