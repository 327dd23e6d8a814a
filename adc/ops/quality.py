"""How close two images are."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5


def psnr(a: Tensor, b: Tensor, peak: float = 1.0, eps: float = 1e-8) -> Tensor:
    """Peak signal-to-noise ratio in dB, ``10 log10(peak^2 / (mse + eps))``.

    Args:
        a: ``(N, C, H, W)``.
        b: The same shape.
        peak: The largest value.
        eps: Keeps equal images finite: 80 dB at a peak of 1.

    Returns:
        ``(N,)``.
    """
    return decibels(squared_error(a, b), peak, eps)


def squared_error(a: Tensor, b: Tensor) -> Tensor:
    """The mean squared difference of ``(N, C, H, W)``: ``(N,)``."""
    return (a - b).square().mean(dim=(1, 2, 3))


def decibels(error: Tensor, peak: float = 1.0, eps: float = 1e-8) -> Tensor:
    """``10 log10(peak^2 / (error + eps))``, see `psnr`."""
    return 10 * torch.log10(peak**2 / (error + eps))


def ssim(a: Tensor, b: Tensor, peak: float = 1.0) -> Tensor:
    """Structural similarity (Wang et al., 2004): Gaussian window 11, sigma 1.5, where it fits whole.

    The contrast-structure term is clipped at 0, as in pyiqa and in the published tables.

    Args:
        a: ``(N, C, H, W)``, sides of at least 11.
        b: The same shape.
        peak: The largest value.

    Returns:
        The mean over channels and positions, ``(N,)``.

    Raises:
        ValueError: If a side is shorter than the window.
    """
    if min(a.shape[-2:]) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs sides of at least {SSIM_WINDOW} pixels; got {tuple(a.shape[-2:])}.")
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    mean_a, mean_b = _smooth(a), _smooth(b)
    var_a = _smooth(a * a) - mean_a.square()
    var_b = _smooth(b * b) - mean_b.square()
    covariance = _smooth(a * b) - mean_a * mean_b
    structure = ((2 * covariance + c2) / (var_a + var_b + c2)).clamp(min=0)
    luminance = (2 * mean_a * mean_b + c1) / (mean_a.square() + mean_b.square() + c1)
    return (luminance * structure).mean(dim=(1, 2, 3))


def _smooth(image: Tensor) -> Tensor:
    offset = torch.arange(SSIM_WINDOW, dtype=image.dtype, device=image.device) - SSIM_WINDOW // 2
    line = torch.exp(-offset.square() / (2 * SSIM_SIGMA**2))
    line = (line / line.sum()).expand(image.shape[1], 1, -1)
    rows = F.conv2d(image, line.unsqueeze(2), groups=image.shape[1])
    return F.conv2d(rows, line.unsqueeze(3), groups=image.shape[1])
