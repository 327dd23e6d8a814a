"""Distribution matching distillation (DMD; Yin et al., 2024): the gradient of a KL divergence from two scores."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

GUARD = 1e-6


def dmd_direction(sample: Tensor, clean_real: Tensor, clean_fake: Tensor, guard: float = GUARD) -> Tensor:
    """``(x_F - x_R) / (mean |z_0 - x_R| + guard)``: where the sample has to go down, in float32, without gradients.

    The mean is over each clip (DMD2; Yin et al., 2024, without the guard).

    Args:
        sample: The student's clean latents ``(B, ...)``.
        clean_real: Clean latents that the real score predicts from the noisy sample.
        clean_fake: Those that the fake score predicts from it.
        guard: Keeps a clip with ``z_0 = x_R`` finite.
    """
    sample, real, fake = (tensor.detach().float() for tensor in (sample, clean_real, clean_fake))
    distance = (sample - real).abs().flatten(1).mean(dim=1)
    return (fake - real) / (distance.reshape(-1, *[1] * (sample.dim() - 1)) + guard)


def dmd_loss(sample: Tensor, direction: Tensor) -> Tensor:
    """``0.5 mean |z_0 - stop(z_0 - direction)|^2``, whose gradient is ``direction`` over the number of elements."""
    return 0.5 * F.mse_loss(sample.float(), sample.detach().float() - direction)
